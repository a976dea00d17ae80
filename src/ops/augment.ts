/**
 * Photos and masks as training sees them: moved, turned, scaled, cropped and recoloured on the GPU.
 * @module
 */
import code from "../../shaders/augment.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";

/** Floats of a transform of {@linkcode augment}. */
export const TRANSFORM_FLOATS = 20;

/** What {@linkcode augment} makes. */
export interface AugmentOptions {
  /** Rows of the result. */
  height: number;
  /** Columns of the result. */
  width: number;
  /** 1 takes red, 3 drops alpha, 4 keeps it as it is; default 3. */
  channels?: number;
  /** Label of pixels that come from outside of the source. */
  ignoreIndex: number;
}

/**
 * For each image, the result's pixel (x, y) comes from (a x + b y + c, d x + e y + f) of the source,
 * pixel centres at whole numbers: photos bilinear, clamped at the edge; masks the nearest pixel.
 * Colours become `clamp(M rgb + o, 0, 1)`. Outside of the source, photos are 0. Has no gradient.
 *
 * @param pixels u32 [N, S], RGBA words, red in the lowest byte: the rows of each source image, of its
 *   own width, from the beginning of its S words
 * @param labels u32 [N, S / 4], class ids as bytes in the same order
 * @param transforms f32 [N, 20]: a, b, c, source width; d, e, f, source height; then for red, green
 *   and blue a row of M and the offset o
 * @returns `image` c4 [N, channels, height, width] and `ids`, flat u32 [N, height, width]
 * @throws {ShapeError} when shapes or types do not fit.
 */
export function augment(
  pixels: Tensor,
  labels: Tensor,
  transforms: Tensor,
  { height, width, channels = 3, ignoreIndex }: AugmentOptions,
): { image: Tensor; ids: Tensor } {
  const [batch = 0, slot = 0] = pixels.shape;
  const fits = pixels.dtype === "u32" && pixels.shape.length === 2 && slot % 4 === 0 &&
    labels.dtype === "u32" && labels.shape.join() === [batch, slot / 4].join() &&
    transforms.dtype === "f32" && transforms.shape.join() === [batch, TRANSFORM_FLOATS].join();
  if (!fits || channels < 1 || channels > 4) {
    throw new ShapeError(
      `augment got "${pixels.label}" ${pixels.describe()}, "${labels.label}" ` +
        `${labels.describe()}, "${transforms.label}" ${transforms.describe()} and ${channels} ` +
        `channels, expected u32 [N, S] with S a multiple of 4, u32 [N, S / 4], ` +
        `f32 [N, ${TRANSFORM_FLOATS}] and 1 to 4 channels.`,
    );
  }
  const [image, ids] = pixels.graph.record({
    op: "augment",
    inputs: [pixels, labels, transforms],
    outputs: [
      { shape: [batch, channels, height, width], layout: "c4" },
      { shape: [batch, height, width], dtype: "u32" },
    ],
    attributes: { channels, ignoreIndex },
    lower(context, node) {
      const [source, mask, moves] = node.inputs;
      const [y, classes] = node.outputs;
      if (!source || !mask || !moves || !y || !classes) throw new Error("augment operands");
      const { pitch, rows } = c4Geometry(y.shape, y.dtype);
      context.split(batch, [source, mask, y, classes], (window) => {
        context.dispatch({
          kernel: { name: "augment", source: code, constants: { CHANNELS: channels } },
          params: [
            width,
            height,
            pitch,
            slot,
            ignoreIndex,
            window.first,
            window.skip(source),
            window.skip(mask),
            window.skip(classes),
          ],
          grid: [Math.ceil(pitch / 64), rows, window.count],
        }, [window.of(source), window.of(mask), moves, window.of(y), window.of(classes)]);
      });
    },
  }).outputs;
  if (!image || !ids) throw new Error("augment outputs");
  return { image, ids };
}
