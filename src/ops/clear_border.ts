/**
 * Zeros around the image, for kernels that write only its pixels.
 * @module
 */
import code from "../../shaders/clear_border.wgsl" with { type: "text" };
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";
import type { LowerContext } from "../graph/lower.ts";

const WORKGROUP_ROWS = 8;

/** Emits the dispatch that zeroes border and pitch padding of a `c4` tensor. */
export function clearBorder(context: LowerContext, tensor: Tensor): void {
  const { planes } = c4Geometry(tensor.shape);
  context.split(planes, [tensor], (window) => {
    context.dispatch(clearBorderSpec(tensor.shape, window.count), [window.of(tensor)]);
  });
}

/** The dispatch of {@linkcode clearBorder}. Bindings: 0 params, 1 `planes` planes of the tensor. */
function clearBorderSpec(shape: readonly number[], planes: number): DispatchSpec {
  const { width, rows, pitch } = c4Geometry(shape);
  return {
    kernel: { name: "clear_border", source: code, constants: {} },
    params: [width, rows, pitch],
    grid: [1, Math.ceil(rows / WORKGROUP_ROWS), planes],
  };
}
