/**
 * How a photo is cut into windows: where they lie, the graphs that predict and blend them, and the
 * memory that those take, before anything is compiled.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { Graph } from "../graph/graph.ts";
import type { ImageType } from "../graph/layout.ts";
import { MemoryPool } from "../graph/pool.ts";
import { lowerTarget, planProgram, type ProgramPlan } from "../graph/program_plan.ts";
import { areaAdd } from "../ops/area_add.ts";
import { areaArgmax } from "../ops/area_argmax.ts";
import { BlendArea } from "../ops/blend_area.ts";
import { imageInput } from "../ops/image_input.ts";
import { softmax } from "../ops/softmax.ts";
import { upsampleWindow2d, windowTaps } from "../ops/upsample_window2d.ts";
import { windowBlend } from "../ops/window_blend.ts";
import { cutOf } from "./photo_graph.ts";
import type { UNet } from "./unet.ts";
import { smallestSize, type UnetModel } from "./unet_spec.ts";
import { type AxisWindow, axisWindows } from "./windows.ts";

/**
 * Which mirror images of a photo are predicted, too: none, the one with left and right exchanged,
 * or also those with top and bottom exchanged.
 */
export type Flips = "none" | "horizontal" | "all";

/** Left to right, top to bottom. */
export type Flip = readonly [mirrored: boolean, upsideDown: boolean];

/** By name. */
export const FLIPS: Readonly<Record<Flips, readonly Flip[]>> = {
  none: [[false, false]],
  horizontal: [[false, false], [true, false]],
  all: [[false, false], [true, false], [false, true], [true, true]],
};

/** A photo as the network sees it, in pixels. */
export interface ViewSize {
  height: number;
  width: number;
}

/** Everything that decides the programs of a {@linkcode WindowPlan}. */
export interface WindowJob {
  /** The photo as the network sees it, once at each scale whose probabilities are averaged. */
  views: readonly ViewSize[];
  /** [height, width] of the class map. */
  size: readonly [number, number];
  /** Pixels of a window's side; more than the photo's longest side: one window. */
  window: number;
  /** Least share of a window that its neighbour covers, too. */
  overlap: number;
  /** Whose probabilities are averaged. */
  flips: Flips;
  /** Whether probabilities will be read. */
  probabilities: boolean;
  /** Two-class networks: class 1 where its probability is above this. */
  threshold: number | undefined;
  /** How activations are kept; what windows are blended into stays f32. */
  images: ImageType;
}

/** The windows over a photo at one scale, and the rows that they are blended into. */
export interface View extends ViewSize {
  readonly columns: readonly AxisWindow[];
  readonly rows: readonly AxisWindow[];
  readonly area: BlendArea;
}

/** Class ids or probabilities that one readback brings at most. */
const READ_BYTES = 8 * 2 ** 20;

/** The geometry of a job and its graphs. */
export class WindowPlan {
  /** In the order of the job. */
  readonly views: readonly View[];
  /** The largest first: what is compiled in this order takes least memory. */
  readonly bySize: readonly [View, ...View[]];
  /** Rows of the class map that are made at a time. */
  readonly bandRows: number;
  readonly #gpu: Gpu;
  readonly #net: UNet;

  /** @throws {InputError} when the rows of a window exceed the device's limits. */
  constructor(gpu: Gpu, net: UNet, readonly job: WindowJob) {
    this.#gpu = gpu;
    this.#net = net;
    const { classes, model } = net.config;
    const layout = { ...job, multiple: 2 ** poolings(model) };
    const { maxBindingBytes } = lowerTarget(gpu);
    this.views = job.views.map(({ height, width }) => {
      const columns = axisWindows(width, layout);
      const rows = axisWindows(height, layout);
      const tallest = Math.max(...rows.map(({ length }) => length));
      // Interpolation reaches two rows back, rounding included.
      const ring = { height, width, rows: tallest + 2 };
      return {
        ...{ height, width, columns, rows },
        area: new BlendArea({ channels: classes, ...ring, maxBindingBytes }),
      };
    });
    const [largest, ...smaller] = this.views.toSorted((a, b) =>
      b.height * b.width - a.height * a.width
    );
    if (!largest) throw new Error("A job has no views");
    this.bySize = [largest, ...smaller];
    const [height, width] = job.size;
    const rowBytes = Math.ceil(width / 4) * (job.probabilities ? 8 * classes : 4);
    this.bandRows = Math.max(1, Math.min(height, Math.floor(READ_BYTES / rowBytes)));
  }

  /** Whose rows the others are added to, and the class map is made from: the largest. */
  get main(): View {
    return this.bySize[0];
  }

  /** Windows of one prediction, times the flips of each. */
  get runs(): number {
    const windows = this.views.map(({ columns, rows }) => columns.length * rows.length);
    return windows.reduce((a, b) => a + b) * this.flips.length;
  }

  /** How each window is turned. */
  get flips(): readonly Flip[] {
    return FLIPS[this.job.flips];
  }

  /** The share of each flip of each view in what is blended. */
  get share(): number {
    return 1 / (this.flips.length * this.views.length);
  }

  /** Whether probabilities are blended; logits, where there is nothing to average. */
  get #blendsProbabilities(): boolean {
    return this.share < 1;
  }

  /** The program that adds a window of this size to a view. */
  windowGraph({ area }: View, height: number, width: number): Graph {
    const graph = new Graph({ images: this.job.images });
    const pixels = graph.input("pixels", { shape: [1, height, width], dtype: "u32" });
    const weights = graph.input("weights", { shape: [width + height] });
    const placement = graph.input("placement", { shape: [5], dtype: "u32" });
    const image = imageInput(pixels, this.#net.config.channels);
    const logits = this.#net.forward(image, {
      training: false,
      upsample: (map, level) => {
        const [, , h = 0, w = 0] = map.shape;
        return upsampleWindow2d(
          map,
          graph.input(`taps ${level}`, { shape: [4 * (h + w)], dtype: "u32" }),
        );
      },
    });
    windowBlend(this.#blendsProbabilities ? softmax(logits) : logits, weights, placement, area);
    return graph;
  }

  /** The inputs that place a window's upsampling in the whole photo. */
  windowTaps(
    view: View,
    row: AxisWindow,
    column: AxisWindow,
  ): [label: string, taps: Uint32Array][] {
    if (this.#net.config.upsample !== "bilinear") return [];
    const pooled = (pixels: number, level: number) => Math.floor(pixels / 2 ** level);
    const axis = (whole: number, { start, length }: AxisWindow, level: number) => ({
      whole: pooled(whole, level),
      start: pooled(start, level),
      length: pooled(length, level),
    });
    return Array.from({ length: poolings(this.#net.config.model) }, (_, i) => [
      `taps ${i + 1}`,
      windowTaps(axis(view.width, column, i + 1), axis(view.height, row, i + 1)),
    ]);
  }

  /** The program that adds rows of another view to those of the main one. */
  mergeGraph({ area }: View): Graph {
    const graph = new Graph();
    areaAdd(this.main.area, area, graph.input("span", { shape: [2], dtype: "u32" }));
    return graph;
  }

  /** The program that makes rows of the class map. */
  bandGraph() {
    const { size, threshold, probabilities } = this.job;
    const graph = new Graph();
    const firstRow = graph.input("firstRow", { shape: [1], dtype: "u32" });
    const made = areaArgmax(this.main.area, firstRow, {
      size,
      rows: this.bandRows,
      values: this.#blendsProbabilities ? "probabilities" : "logits",
      probabilities,
      ...cutOf(threshold),
    });
    const outputs = {
      ids: made.ids,
      ...(made.probabilities ? { probabilities: made.probabilities } : {}),
    };
    return { graph, outputs };
  }

  /**
   * The plans of its programs, in the order in which they are compiled, the bytes that all of them
   * take together in a pool that was empty, and what of it lies outside of the pool.
   * @throws {InputError} when one exceeds the device's limits.
   */
  plans(): { plans: ProgramPlan[]; plannedBytes: number; besidesBytes: number } {
    const target = lowerTarget(this.#gpu);
    const windows = this.bySize.map((view) =>
      windowSizes(view).map(([height, width]) =>
        planProgram(this.windowGraph(view, height, width), {}, target)
      )
    );
    const merges = this.bySize.slice(1).map((view) =>
      planProgram(this.mergeGraph(view), {}, target)
    );
    const band = this.bandGraph();
    const last = planProgram(band.graph, band.outputs, target);
    const plans = [...windows.flat(), ...merges, last];
    // Windows of several sizes fit each other's memory badly: together they need more than the
    // largest, and no program may push another one out of the pool.
    const pooledBytes = new MemoryPool(this.#gpu).lackingBytes(...plans.map((p) => p.memory.slots));
    const areaBytes = this.views.map(({ area }) => area.sizeBytes);
    // What programs bring along besides areas, which each of those that use one counts.
    const besides = this.bySize.map((view, i) =>
      Math.max(...(windows[i] ?? []).map(outside)) - view.area.sizeBytes
    );
    const besidesBytes = Math.max(...besides) + outside(last) - this.main.area.sizeBytes +
      areaBytes.reduce((a, b) => a + b);
    return { plans, plannedBytes: pooledBytes + besidesBytes, besidesBytes };
  }

  /** Frees the blended rows. */
  destroy(): void {
    for (const { area } of this.views) area.destroy();
  }
}

/** The different [height, width] of a view's windows. */
export function windowSizes({ rows, columns }: View): (readonly [number, number])[] {
  const sizes = new Map<string, readonly [number, number]>();
  for (const { length: height } of rows) {
    for (const { length: width } of columns) sizes.set(`${height},${width}`, [height, width]);
  }
  return [...sizes.values()];
}

function outside({ plannedBytes, memory }: ProgramPlan): number {
  return plannedBytes - memory.slotBytes;
}

/** Max-pools from the image to the deepest level, where the smallest image is one pixel. */
function poolings(model: UnetModel): number {
  return Math.log2(smallestSize(model));
}
