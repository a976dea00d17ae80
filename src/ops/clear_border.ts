/**
 * Zeros around the image, for kernels that write only its pixels.
 * @module
 */
import code from "../../shaders/clear_border.wgsl" with { type: "text" };
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import { c4Geometry } from "../graph/layout.ts";
import type { ImageView, LowerContext } from "../graph/lower.ts";
import { planeWindows } from "./plane_windows.ts";

const WORKGROUP_ROWS = 8;

/** Emits the dispatches that zero border and pitch padding. */
export function clearBorder(context: LowerContext, view: ImageView): void {
  const { width, rows, pitch } = c4Geometry(view.shape, context.images);
  for (const { planes, memory } of planeWindows(context, view)) {
    // Bindings: 0 params, 1 the planes.
    const spec: DispatchSpec = {
      kernel: { name: "clear_border", source: code, constants: {} },
      params: [width, rows, pitch],
      grid: [1, Math.ceil(rows / WORKGROUP_ROWS), planes.count],
    };
    context.dispatch(spec, [memory]);
  }
}
