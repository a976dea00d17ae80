/**
 * What the losses over labelled pixels share: the check of their operands, the geometry words of
 * their kernels, and the weighted mean of partial sums.
 * @module
 */
import finaliseCode from "../../shaders/cross_entropy_finalise.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";
import type { LowerContext } from "../graph/lower.ts";
import type { BufferMemory } from "../graph/memory.ts";
import type { ImageWindow } from "./image_windows.ts";

/** Rows that one invocation of a forward kernel adds up. */
export const ROWS = 8;

/** Stands for "no class is ignored": no set has that many classes. */
const NO_CLASS = 0xffffffff;

/** Params and grids of the kernels of a pixelwise loss. */
export interface PixelLossGeometry {
  /**
   * Words for a window: classes, blocks, width, height, pitch, planeSize, chunks, ignored class,
   * blocks of a part, first image, pixels before the first one in labels and in normalisers.
   */
  params(window: ImageWindow, labels: Tensor, normaliser?: Tensor): number[];
  /** Partial sums of the batch: one for every image, chunk of rows and column. */
  partials: number;
  /** One invocation a column and chunk of rows. */
  forwardGrid(images: number): [number, number, number];
  /** One invocation a vec4 of the first plane of each image, border included. */
  backwardGrid(images: number): [number, number, number];
}

/** Geometry for `logits` [N, K, H, W]. */
export function pixelLossGeometry(
  logits: Tensor,
  ignoreIndex: number | undefined,
): PixelLossGeometry {
  const g = c4Geometry(logits.shape, logits.dtype);
  const chunks = Math.ceil(g.height / ROWS);
  const ignored = ignoreIndex === undefined ? NO_CLASS : ignoreIndex >>> 0;
  return {
    params: (window, labels, normaliser) => [
      g.channels,
      g.channelBlocks,
      g.width,
      g.height,
      g.pitch,
      g.planeSize,
      chunks,
      ignored,
      window.partBlocks,
      window.first,
      window.skip(labels),
      normaliser ? window.skip(normaliser) / (normaliser.shape[3] ?? 1) : 0,
    ],
    partials: g.batch * chunks * g.width,
    forwardGrid: (images) => [Math.ceil(g.width / 16), Math.ceil(chunks / 4), images],
    backwardGrid: (images) => [g.pitch / 16, Math.ceil(g.rows / 4), images],
  };
}

/**
 * Checks logits [N, K, H, W] and target [N, H, W] of whole numbers.
 * @throws {ShapeError} naming both tensors and their shapes.
 */
export function checkPixelLoss(op: string, logits: Tensor, target: Tensor): void {
  const [n, , h, w] = logits.shape;
  if (logits.layout !== "c4") {
    throw new ShapeError(
      `${op} got logits "${logits.label}" ${logits.describe()} (${logits.layout}), expected ` +
        "[N, K, H, W] in c4 layout.",
    );
  }
  if (
    target.dtype !== "u32" || target.layout !== "flat" ||
    target.shape.join() !== [n, h, w].join()
  ) {
    throw new ShapeError(
      `${op} got logits "${logits.label}" ${logits.describe()} and target "${target.label}" ` +
        `${target.describe()} (${target.layout}), expected a flat target u32[${n},${h},${w}].`,
    );
  }
}

/**
 * Checks that logits have the one channel of a binary problem.
 * @throws {ShapeError} otherwise.
 */
export function checkBinary(op: string, logits: Tensor): void {
  if (logits.shape[1] !== 1) {
    throw new ShapeError(
      `${op} got logits "${logits.label}" ${logits.describe()}, expected one channel: [N, 1, H, W].`,
    );
  }
}

/** Emits the sum of `count` pairs (loss, weight) and their quotient. */
export function finaliseMean(
  context: LowerContext,
  partials: BufferMemory,
  count: number,
  loss: Tensor,
  total: Tensor,
): void {
  context.dispatch({
    kernel: { name: "cross_entropy_finalise", source: finaliseCode, constants: { LANES: 256 } },
    params: [count],
    grid: [1, 1, 1],
  }, [partials, loss, total]);
}
