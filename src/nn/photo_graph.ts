/**
 * The plain graph of inference: whole photos in, class maps out.
 * @module
 */
import { Graph, type Tensor } from "../graph/graph.ts";
import type { ImageType } from "../graph/layout.ts";
import { imageInput } from "../ops/image_input.ts";
import { resizeArgmax } from "../ops/resize_argmax.ts";
import type { BatchShape } from "./batch_shape.ts";
import type { UNet } from "./unet.ts";

/**
 * Records `net` on input `pixels` of this shape, up to the ids at `size` ([height, width]).
 * @param images how activations are kept
 */
export function photoGraph(
  net: UNet,
  { batch, height, width }: BatchShape,
  size: readonly [number, number],
  threshold: number | undefined,
  images: ImageType,
): { graph: Graph; ids: Tensor } {
  const graph = new Graph({ images });
  const pixels = graph.input("pixels", { shape: [batch, height, width], dtype: "u32" });
  const image = imageInput(pixels, net.config.channels);
  const logits = net.forward(image, { training: false });
  return { graph, ids: resizeArgmax(logits, { size, ...cutOf(threshold) }) };
}

/** The threshold as an option of the ops: 0.5 is what the argmax of two classes decides anyway. */
export function cutOf(threshold: number | undefined): { threshold?: number } {
  return threshold === undefined || threshold === 0.5 ? {} : { threshold };
}
