/**
 * Prediction by sliding windows: the network sees one window at a time, the windows' answers are
 * blended into a ring of rows on the GPU, and rows of the class map are made as soon as no further
 * window reaches them. Memory depends on the window and the width of the image, not on its height.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { Graph } from "../graph/graph.ts";
import type { ImageType } from "../graph/layout.ts";
import { MemoryPool } from "../graph/pool.ts";
import { compile, type Program } from "../graph/program.ts";
import { lowerTarget, planProgram, type ProgramPlan } from "../graph/program_plan.ts";
import { areaArgmax } from "../ops/area_argmax.ts";
import { BlendArea } from "../ops/blend_area.ts";
import { imageInput } from "../ops/image_input.ts";
import { unpackIds } from "../ops/resize_argmax.ts";
import { softmax } from "../ops/softmax.ts";
import { upsampleWindow2d, windowTaps } from "../ops/upsample_window2d.ts";
import { placementWords, windowBlend } from "../ops/window_blend.ts";
import { cutOf } from "./photo_graph.ts";
import type { UNet } from "./unet.ts";
import { smallestSize, type UnetModel } from "./unet_spec.ts";
import { type AxisWindow, axisWindows } from "./windows.ts";

/** Rows of the probabilities of every class, float16 as WebGPU packs them. */
export interface ProbabilityRows {
  /** First row of the class map. */
  firstRow: number;
  /** How many. */
  rows: number;
  /** Values from one row to the next: the width rounded up to a multiple of four. */
  pitch: number;
  /** float16 bits [classes, rows, pitch]. */
  values: Uint16Array;
}

/** Everything that decides the programs of a {@linkcode WindowProgram}. */
export interface WindowJob {
  /** Of the photo as the network sees it. */
  height: number;
  width: number;
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

/** Class ids or probabilities that one readback brings at most. */
const READ_BYTES = 8 * 2 ** 20;

/**
 * Which mirror images of a photo are predicted, too: none, the one with left and right exchanged,
 * or also those with top and bottom exchanged.
 */
export type Flips = "none" | "horizontal" | "all";

/** Left to right, top to bottom. */
type Flip = readonly [mirrored: boolean, upsideDown: boolean];

const FLIPS: Readonly<Record<Flips, readonly Flip[]>> = {
  none: [[false, false]],
  horizontal: [[false, false], [true, false]],
  all: [[false, false], [true, false], [false, true], [true, true]],
};

/** Windows queued ahead of the device. */
const QUEUE_DEPTH = 2;

/** The geometry of a job and its graphs, before anything is compiled. */
export class WindowPlan {
  readonly columns: readonly AxisWindow[];
  readonly rows: readonly AxisWindow[];
  readonly area: BlendArea;
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
    this.columns = axisWindows(job.width, layout);
    this.rows = axisWindows(job.height, layout);
    const tallest = Math.max(...this.rows.map(({ length }) => length));
    const { maxBindingBytes } = lowerTarget(gpu);
    this.area = new BlendArea({
      channels: classes,
      height: job.height,
      width: job.width,
      // Interpolation reaches two rows back, rounding included.
      rows: tallest + 2,
      maxBindingBytes,
    });
    const [height, width] = job.size;
    const rowBytes = Math.ceil(width / 4) * (job.probabilities ? 8 * classes : 4);
    this.bandRows = Math.max(1, Math.min(height, Math.floor(READ_BYTES / rowBytes)));
  }

  /** Windows of one prediction, times the flips of each. */
  get runs(): number {
    return this.columns.length * this.rows.length * this.flips.length;
  }

  /** How each window is turned. */
  get flips(): readonly Flip[] {
    return FLIPS[this.job.flips];
  }

  /** The program that adds a window of this size. */
  windowGraph(height: number, width: number): Graph {
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
    windowBlend(
      this.job.flips === "none" ? logits : softmax(logits),
      weights,
      placement,
      this.area,
    );
    return graph;
  }

  /** The inputs that place a window's upsampling in the whole photo. */
  windowTaps(row: AxisWindow, column: AxisWindow): [label: string, taps: Uint32Array][] {
    if (this.#net.config.upsample !== "bilinear") return [];
    const pooled = (pixels: number, level: number) => Math.floor(pixels / 2 ** level);
    const axis = (whole: number, { start, length }: AxisWindow, level: number) => ({
      whole: pooled(whole, level),
      start: pooled(start, level),
      length: pooled(length, level),
    });
    return Array.from({ length: poolings(this.#net.config.model) }, (_, i) => [
      `taps ${i + 1}`,
      windowTaps(
        axis(this.job.width, column, i + 1),
        axis(this.job.height, row, i + 1),
      ),
    ]);
  }

  /** The program that makes rows of the class map. */
  bandGraph() {
    const { size, threshold, probabilities, flips } = this.job;
    const graph = new Graph();
    const firstRow = graph.input("firstRow", { shape: [1], dtype: "u32" });
    const made = areaArgmax(this.area, firstRow, {
      size,
      rows: this.bandRows,
      values: flips === "none" ? "logits" : "probabilities",
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
    const sizes = new Map<string, readonly [number, number]>();
    for (const { length: height } of this.rows) {
      for (const { length: width } of this.columns) {
        sizes.set(`${height},${width}`, [height, width]);
      }
    }
    const windows = [...sizes.values()].map(([height, width]) =>
      planProgram(this.windowGraph(height, width), {}, target)
    );
    const band = this.bandGraph();
    const last = planProgram(band.graph, band.outputs, target);
    const plans = [...windows, last];
    // Windows of several sizes fit each other's memory badly: together they need more than the
    // largest, and no program may push another one out of the pool.
    const pooledBytes = new MemoryPool(this.#gpu).lackingBytes(...plans.map((p) => p.memory.slots));
    const besides = (plan: ProgramPlan) => plan.plannedBytes - plan.memory.slotBytes;
    const besidesBytes = Math.max(...windows.map(besides)) + besides(last) - this.area.sizeBytes;
    return { plans, plannedBytes: pooledBytes + besidesBytes, besidesBytes };
  }
}

/** Where the rows of a prediction go. */
export interface WindowOutput {
  /** Gets the probabilities, from top to bottom. */
  onProbabilities?: ((rows: ProbabilityRows) => void | Promise<void>) | undefined;
  /** Called as windows are done. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/** The compiled programs of a {@linkcode WindowPlan}. */
export class WindowProgram {
  readonly #windows = new Map<string, Program>();
  #band: Program | undefined;

  /** Use {@linkcode WindowProgram.compile}. */
  private constructor(readonly plan: WindowPlan, readonly gpu: Gpu) {}

  /** Compiles the programs, which borrow their memory from `pool`. */
  static async compile(
    gpu: Gpu,
    net: UNet,
    plan: WindowPlan,
    pool: MemoryPool,
  ): Promise<WindowProgram> {
    const made = new WindowProgram(plan, gpu);
    try {
      for (const { length: height } of plan.rows) {
        for (const { length: width } of plan.columns) {
          const key = `${height},${width}`;
          if (made.#windows.has(key)) continue;
          const graph = plan.windowGraph(height, width);
          made.#windows.set(
            key,
            await compile(gpu, graph, { outputs: {}, stores: [net.store], pool }),
          );
        }
      }
      const { graph, outputs } = plan.bandGraph();
      made.#band = await compile(gpu, graph, { outputs, pool });
      return made;
    } catch (error) {
      made.destroy();
      throw error;
    }
  }

  /**
   * The class of every pixel.
   * @param pixels RGBA of the photo as the network sees it.
   */
  async predict(pixels: Uint8Array, { onProbabilities, onProgress }: WindowOutput) {
    const { plan } = this;
    const { rows, columns, flips, job: { size: [height, width] } } = plan;
    const ids = new Uint8Array(height * width);
    let made = 0;
    let done = 0;
    let reading: Promise<void> = Promise.resolve();
    for (const [i, row] of rows.entries()) {
      for (const [j, column] of columns.entries()) {
        for (const [turn, flip] of flips.entries()) {
          const [above, before] = [rows[i - 1], columns[j - 1]];
          await this.#add(pixels, row, column, flip, {
            // Further flips of a window always meet the first one's sums.
            keepX: turn > 0 ? plan.job.width : before ? before.start + before.length : 0,
            keepY: above ? above.start + above.length : 0,
          });
          onProgress?.(++done, plan.runs);
        }
      }
      const until = this.#completeRows(made, rows[i + 1]?.start);
      while (made < until) {
        const firstRow = made;
        const count = Math.min(plan.bandRows, until - made);
        const band = this.#read(firstRow, count);
        band.catch(() => undefined);
        // The device goes on with the next window while this one is read.
        const previous = reading;
        reading = (async () => {
          await previous;
          const { words, probabilities } = await band;
          ids.set(unpackIds(words, 1, width).subarray(0, count * width), firstRow * width);
          if (probabilities) await onProbabilities?.(probabilities);
        })();
        reading.catch(() => undefined);
        // Probabilities are large: none pile up.
        if (plan.job.probabilities) await reading;
        made += count;
      }
    }
    await reading;
    return ids;
  }

  /** Frees the programs and the blended rows. */
  destroy(): void {
    for (const program of this.#windows.values()) program.destroy();
    this.#windows.clear();
    this.#band?.destroy();
    this.plan.area.destroy();
  }

  async #add(
    pixels: Uint8Array,
    row: AxisWindow,
    column: AxisWindow,
    flip: Flip,
    { keepX, keepY }: { keepX: number; keepY: number },
  ): Promise<void> {
    const program = this.#windows.get(`${row.length},${column.length}`);
    if (!program) throw new Error(`No program for ${row.length} x ${column.length} pixels`);
    const share = 1 / this.plan.flips.length;
    const weights = new Float32Array(column.length + row.length);
    weights.set(column.weights);
    weights.set(row.weights.map((weight) => weight * share), column.length);
    const words = new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.byteLength / 4);
    program.write("pixels", cut(words, this.plan.job.width, row, column, flip));
    program.write("weights", weights);
    for (const [label, taps] of this.plan.windowTaps(row, column)) program.write(label, taps);
    program.write(
      "placement",
      placementWords({ left: column.start, top: row.start, keepX, keepY, flip }),
    );
    await program.runQueued(QUEUE_DEPTH);
  }

  /** The first row of the class map that needs rows of the area from `limit` on. */
  #completeRows(from: number, limit: number | undefined): number {
    const { height, size: [rows] } = this.plan.job;
    if (limit === undefined) return rows;
    let row = from;
    while (row < rows) {
      const source = Math.max(0, (row + 0.5) * height / rows - 0.5);
      if (Math.min(Math.floor(source) + 1, height - 1) >= limit) break;
      row++;
    }
    return row;
  }

  async #read(
    firstRow: number,
    rows: number,
  ): Promise<{ words: Uint32Array; probabilities: ProbabilityRows | undefined }> {
    const { bandRows, job } = this.plan;
    const band = this.#band;
    if (!band) throw new Error("The window program is not compiled");
    band.write("firstRow", Uint32Array.of(firstRow));
    band.run();
    const [words, raw] = await Promise.all([
      band.readInts("ids"),
      job.probabilities ? band.readRaw("probabilities") : undefined,
    ]);
    if (!raw) return { words, probabilities: undefined };
    const pitch = Math.ceil(job.size[1] / 4) * 4;
    const classes = this.plan.area.channels;
    const all = new Uint16Array(raw, 0, classes * bandRows * pitch);
    const values = rows === bandRows ? all : new Uint16Array(classes * rows * pitch);
    for (let k = 0; k < classes && values !== all; k++) {
      const first = k * bandRows * pitch;
      values.set(all.subarray(first, first + rows * pitch), k * rows * pitch);
    }
    return { words, probabilities: { firstRow, rows, pitch, values } };
  }
}

/** Max-pools from the image to the deepest level, where the smallest image is one pixel. */
function poolings(model: UnetModel): number {
  return Math.log2(smallestSize(model));
}

/** A window of an image of one word a pixel, mirrored as asked. */
function cut(
  words: Uint32Array,
  imageWidth: number,
  row: AxisWindow,
  column: AxisWindow,
  [mirrored, upsideDown]: Flip,
): Uint32Array {
  const out = new Uint32Array(row.length * column.length);
  for (let y = 0; y < row.length; y++) {
    const from = (row.start + (upsideDown ? row.length - 1 - y : y)) * imageWidth + column.start;
    const line = out.subarray(y * column.length, (y + 1) * column.length);
    line.set(words.subarray(from, from + column.length));
    if (mirrored) line.reverse();
  }
  return out;
}
