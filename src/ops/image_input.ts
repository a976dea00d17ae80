/**
 * Photos, as the bytes that decoders give, to normalised float images.
 * @module
 */
import code from "../../shaders/image_input.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";

/**
 * RGBA pixels divided by 255.
 *
 * @param pixels u32 [N, H, W], one word a pixel, red in the lowest byte (the bytes of `ImageData`).
 * @param channels 1 takes red, 3 drops alpha, 4 keeps it.
 * @returns f32 [N, channels, H, W]. Has no gradient.
 */
export function imageInput(pixels: Tensor, channels = 3): Tensor {
  const [batch = 0, height = 0, width = 0] = pixels.shape;
  if (pixels.dtype !== "u32" || pixels.shape.length !== 3 || channels < 1 || channels > 4) {
    throw new ShapeError(
      `image_input got "${pixels.label}" ${pixels.describe()} and ${channels} channels, expected ` +
        "u32 [N, H, W] and 1 to 4 channels; give images of more channels as float input.",
    );
  }
  return pixels.graph.record({
    op: "image_input",
    inputs: [pixels],
    outputs: [{ shape: [batch, channels, height, width], layout: "c4" }],
    attributes: { channels },
    isCheap: true,
    lower(context, node) {
      const { pitch, rows } = c4Geometry(node.output.shape, node.output.dtype);
      context.split(batch, [pixels, node.output], (window) => {
        context.dispatch({
          kernel: { name: "image_input", source: code, constants: { CHANNELS: channels } },
          params: [width, height, pitch, window.skip(pixels)],
          grid: [Math.ceil(pitch / 64), rows, window.count],
        }, [window.of(pixels), window.of(node.output)]);
      });
    },
  }).output;
}
