/**
 * Maps of one image at several scales, added up.
 * @module
 */
import code from "../../shaders/area_add.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import type { BlendArea } from "./blend_area.ts";

/**
 * Adds rows of `from` to `area`, brought to its size by bilinear interpolation (PyTorch's
 * `interpolate(..., align_corners=False)`). The rows of both must be complete and still be held.
 *
 * @param span u32 [2]: the first row of `area` to add to, and the one after the last.
 * @throws {ShapeError} where the two have different channels.
 */
export function areaAdd(area: BlendArea, from: BlendArea, span: Tensor): void {
  if (area.channels !== from.channels || span.dtype !== "u32" || span.shape[0] !== 2) {
    throw new ShapeError(
      `area_add got ${from.channels} channels to add to ${area.channels} and the span ` +
        `${span.describe()}, expected equal channels and u32[2].`,
    );
  }
  span.graph.record({
    op: "area_add",
    inputs: [span],
    outputs: [],
    effect: true,
    lower(context) {
      for (const to of area.chunks) {
        for (const source of from.chunks) {
          const first = Math.max(to.firstBlock, source.firstBlock);
          const end = Math.min(to.firstBlock + to.blocks, source.firstBlock + source.blocks);
          if (first >= end) continue;
          context.dispatch({
            kernel: { name: "area_add", source: code, constants: {} },
            params: [
              ...[from.width, from.height, from.rows, first - source.firstBlock],
              ...[area.width, area.rows, first - to.firstBlock],
              ...[from.width / area.width, from.height / area.height].map(f32Bits),
            ],
            grid: [Math.ceil(area.width / 64), area.rows, end - first],
          }, [span, context.reading("added", source.memory, "f32"), to.memory]);
        }
      }
    },
  });
}
