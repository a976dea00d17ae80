/**
 * Logits to a class map of any size.
 * @module
 */
import code from "../../shaders/resize_argmax.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";
import { splitImages } from "./image_windows.ts";

/** Options of {@linkcode resizeArgmax}. */
export interface ResizeArgmaxOptions {
  /** [height, width] of the class map. */
  size: readonly [number, number];
  /** Two-class networks only: class 1 where its softmax probability is above this, 0 to 1. */
  threshold?: number;
}

/**
 * The best class of each pixel after bringing the logits to `size` by bilinear interpolation
 * (PyTorch's `interpolate(..., align_corners=False)`), so that edges follow the photo and no class
 * is invented in between.
 *
 * @param logits f32 [N, K, h, w], K <= 255.
 * @returns u32 [N, H, ceil(W / 4)]: class ids as bytes, four of a row in a word; see
 *   {@linkcode unpackIds}. Has no gradient.
 */
export function resizeArgmax(logits: Tensor, options: ResizeArgmaxOptions): Tensor {
  const [batch = 0, classes = 0, h = 0, w = 0] = logits.shape;
  const { size: [height, width], threshold } = options;
  if (logits.layout !== "c4" || classes > 255) {
    throw new ShapeError(
      `resize_argmax got "${logits.label}" ${logits.describe()}, expected logits [N, K, h, w] of at ` +
        "most 255 classes.",
    );
  }
  if (threshold !== undefined && classes !== 2) {
    throw new ShapeError(
      `resize_argmax got a threshold for ${classes} classes; it has a meaning for two only.`,
    );
  }
  const words = Math.ceil(width / 4);
  return logits.graph.record({
    op: "resize_argmax",
    inputs: [logits],
    outputs: [{ shape: [batch, height, words], dtype: "u32" }],
    attributes: { height, width, ...(threshold === undefined ? {} : { threshold }) },
    lower(context, node) {
      const [logits] = node.inputs;
      const ids = node.output;
      if (!logits) throw new Error("resize_argmax operands");
      const { pitch } = c4Geometry(logits.shape, logits.dtype);
      splitImages(context, [logits], [ids], (window) => {
        context.dispatch({
          kernel: {
            name: "resize_argmax",
            source: code,
            constants: { THRESHOLD: threshold === undefined ? 0 : 1, PARTS: window.parts },
          },
          params: [
            w,
            h,
            pitch,
            classes,
            width,
            height,
            words,
            f32Bits(w / width),
            f32Bits(h / height),
            f32Bits(threshold ?? 0.5),
            window.partBlocks,
            window.skip(ids),
          ],
          grid: [Math.ceil(words / 64), height, window.count],
        }, [
          ...window.of(logits).map((part, i) => context.reading(`logits${i}`, part)),
          ...window.of(ids),
        ]);
      });
    },
  }).output;
}

/** The ids [N * H * W] out of the words of {@linkcode resizeArgmax}. */
export function unpackIds(words: Uint32Array, height: number, width: number): Uint8Array {
  const rowBytes = Math.ceil(width / 4) * 4;
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const rows = bytes.length / rowBytes;
  if (rowBytes === width) return bytes.slice(0, rows * width);
  const ids = new Uint8Array(rows * width);
  for (let y = 0; y < rows; y++) {
    ids.set(bytes.subarray(y * rowBytes, y * rowBytes + width), y * width);
  }
  if (rows % height !== 0) throw new RangeError(`${rows} rows are no whole number of images`);
  return ids;
}
