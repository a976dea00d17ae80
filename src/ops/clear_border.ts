/**
 * Zeros around the image, for kernels that write only its pixels.
 * @module
 */
import code from "../../shaders/clear_border.wgsl" with { type: "text" };
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import { c4Geometry, type ImageType } from "../graph/layout.ts";
import type { ImageView, LowerContext } from "../graph/lower.ts";

const WORKGROUP_ROWS = 8;

/** Emits the dispatch that zeroes border and pitch padding. */
export function clearBorder(context: LowerContext, { memory, shape }: ImageView): void {
  context.dispatch(clearBorderSpec(shape, context.images), [memory]);
}

/** The dispatch of {@linkcode clearBorder}. Bindings: 0 params, 1 the images. */
function clearBorderSpec(shape: readonly number[], images: ImageType): DispatchSpec {
  const { width, rows, pitch, planes } = c4Geometry(shape, images);
  return {
    kernel: { name: "clear_border", source: code, constants: {} },
    params: [width, rows, pitch],
    grid: [1, Math.ceil(rows / WORKGROUP_ROWS), planes],
  };
}
