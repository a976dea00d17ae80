/**
 * Bilinear resizing. The host computes where every output row and column reads, in double
 * precision: in single precision the weights of a wide image are off by 1e-5.
 * @module
 */
import backwardCode from "../../shaders/upsample_bilinear2d_backward.wgsl" with { type: "text" };
import forwardCode from "../../shaders/upsample_bilinear2d_forward.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount } from "../graph/layout.ts";
import { MAX_WORKGROUPS, vectorLanes } from "./grid.ts";

/** Options of {@linkcode upsampleBilinear2d}; exactly one of `size` and `scaleFactor` is given. */
export interface UpsampleBilinear2dOptions {
  /** Output height and width. */
  size?: readonly [height: number, width: number];
  /** Output extents are floor(input * scaleFactor); coordinates use exactly 1 / scaleFactor. */
  scaleFactor?: number;
  /** Whether the centres of the corner pixels coincide (true) or the edges of the images (false). */
  alignCorners: boolean;
}

/** Output rows (forward) or input rows (backward) of an invocation. */
const ROWS = 8;

/** Output rows that a vector of a processor walks along. */
const WALKED_ROWS = 4;

/** Column weights that the backward kernel holds in registers; more are read in a loop. */
const MAX_HELD_TAPS = 12;

/** An output coordinate reads (1 - weight) * x[first] + weight * x[first + 1]. */
interface Tap {
  first: number;
  weight: number;
}

/**
 * Resizes images (PyTorch: `interpolate(mode="bilinear")`).
 *
 * @param x c4 [N, C, H, W]
 * @returns c4 [N, C, H', W']
 * @throws {ShapeError} when neither or both of `size` and `scaleFactor` are given or one is invalid.
 */
export function upsampleBilinear2d(x: Tensor, options: UpsampleBilinear2dOptions): Tensor {
  const { size, scaleFactor, alignCorners } = options;
  if (x.layout !== "c4") {
    throw new ShapeError(
      `upsampleBilinear2d got "${x.label}" ${x.describe()} (${x.layout}), expected f32 ` +
        "[N, C, H, W] in c4 layout.",
    );
  }
  if ((size === undefined) === (scaleFactor === undefined) || !((scaleFactor ?? 1) > 0)) {
    throw new ShapeError(
      `upsampleBilinear2d of "${x.label}" got size ${size} and scaleFactor ${scaleFactor}, ` +
        "expected one of them, with a positive factor.",
    );
  }
  const [n = 1, c = 1, h = 1, w = 1] = x.shape;
  const factor = scaleFactor ?? 1;
  const [oh, ow] = size ?? [Math.floor(h * factor), Math.floor(w * factor)];
  const shape = [n, c, oh, ow];
  const input = c4Geometry(x.shape, x.dtype);
  const output = c4Geometry(shape, x.dtype);
  const rows = taps(h, oh, scaleFactor, alignCorners);
  const columns = taps(w, ow, scaleFactor, alignCorners);

  function gradient(dy: Tensor): Tensor {
    const across = columnWeights(w, columns);
    const chunks = Math.ceil(h / ROWS);
    const rowWords = across.words.length;
    const params = [
      ...[input.width, input.height, input.pitch, input.planeSize],
      ...[output.pitch, output.planeSize, chunks, across.taps],
      ...[rowWords, rowWords + 2 * oh],
      ...across.words,
      ...tapWords(rows),
      ...rowStarts(h, rows),
    ];
    return x.graph.record({
      op: "upsample_bilinear2d_grad",
      inputs: [dy],
      outputs: [{ shape: x.shape, layout: "c4" }],
      flops: 2 * elementCount(shape) * across.taps,
      lower(context, node) {
        const operands = [...node.inputs, node.output];
        context.split(input.planes, operands, (window) => {
          context.dispatch({
            kernel: {
              name: "upsample_bilinear2d_backward",
              source: backwardCode,
              constants: { ROWS, TAPS: across.taps <= MAX_HELD_TAPS ? across.taps : 0 },
            },
            params,
            grid: [input.pitch / 16, Math.ceil(chunks / 4), window.count],
          }, [...context.readings(["dy"], node.inputs.map(window.of)), window.of(node.output)]);
        });
      },
    }).output;
  }

  const chunks = Math.ceil(oh / ROWS);
  const params = [
    ...[output.width, output.height, output.pitch, output.planeSize],
    ...[input.pitch, input.planeSize, chunks, 0],
    ...tapWords(columns),
    ...tapWords(rows),
  ];
  return x.graph.record({
    op: "upsample_bilinear2d",
    inputs: [x],
    outputs: [{ shape, layout: "c4" }],
    attributes: { alignCorners },
    isCheap: true,
    flops: 6 * elementCount(shape),
    lower(context, node) {
      const operands = [...node.inputs, node.output];
      const walked = Math.ceil(output.rows / WALKED_ROWS);
      const walks = context.target.kernelFamily === "cpu" && walked <= MAX_WORKGROUPS;
      const constants = walks
        ? { WALK: 1, LANES: vectorLanes(context.target), ROWS: WALKED_ROWS }
        : { WALK: 0, LANES: 16, ROWS };
      const across = walks ? 1 : output.pitch / 16;
      const down = walks ? walked : Math.ceil(chunks / 4);
      context.split(output.planes, operands, (window) => {
        context.dispatch({
          kernel: { name: "upsample_bilinear2d_forward", source: forwardCode, constants },
          params,
          grid: [across, down, window.count],
        }, [...context.readings(["x"], node.inputs.map(window.of)), window.of(node.output)]);
      });
    },
    backward: ([dy], needs) => [dy && needs[0] ? gradient(dy) : undefined],
  }).output;
}

/** Source coordinates as ATen's `area_pixel_compute_source_index` defines them. */
function taps(
  input: number,
  output: number,
  scaleFactor: number | undefined,
  alignCorners: boolean,
): Tap[] {
  return Array.from({ length: output }, (_, i) => {
    let source: number;
    if (alignCorners) {
      source = output > 1 ? i * ((input - 1) / (output - 1)) : 0;
    } else {
      const ratio = scaleFactor === undefined ? input / output : 1 / scaleFactor;
      source = Math.max(0, ratio * (i + 0.5) - 0.5);
    }
    const first = Math.min(Math.floor(source), input - 1);
    // The last row and column have no successor.
    return { first, weight: first === input - 1 ? 0 : source - first };
  });
}

function tapWords(list: readonly Tap[]): number[] {
  return list.flatMap(({ first, weight }) => [first, f32Bits(weight)]);
}

/** For r = 0 .. height: how many output rows read from a row before r. */
function rowStarts(height: number, rows: readonly Tap[]): number[] {
  const counts = new Array<number>(height + 1).fill(0);
  for (const { first } of rows) counts[first + 1] = (counts[first + 1] ?? 0) + 1;
  let sum = 0;
  return counts.map((count) => sum += count);
}

/**
 * For every input column the first output column that reads it and the weights from there on, of
 * one number for all columns.
 */
function columnWeights(width: number, columns: readonly Tap[]): { taps: number; words: number[] } {
  const readers = Array.from({ length: width }, () => new Map<number, number>());
  columns.forEach(({ first, weight }, j) => {
    readers[first]?.set(j, 1 - weight);
    if (weight > 0) readers[first + 1]?.set(j, weight);
  });
  const spans = readers.map((weights) => {
    const outputs = [...weights.keys()];
    const from = outputs.length > 0 ? Math.min(...outputs) : 0;
    return { weights, from, length: outputs.length > 0 ? Math.max(...outputs) - from + 1 : 1 };
  });
  const taps = spans.reduce((longest, { length }) => Math.max(longest, length), 1);
  const words = spans.flatMap(({ weights, from }) => {
    // Moved to the left where the span would leave the row: what lies there belongs to others.
    const start = Math.max(0, Math.min(from, columns.length - taps));
    const bits = Array.from({ length: taps }, (_, t) => f32Bits(weights.get(start + t) ?? 0));
    return [start, ...bits];
  });
  return { taps, words };
}
