/**
 * Blending whole arenas of a parameter store: sums of gradients over several batches, and running
 * averages of weights.
 * @module
 */
import code from "../../shaders/arena_blend.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { ALIGNMENT_BYTES, type PersistentBuffer } from "../graph/memory.ts";
import { partBytes } from "../graph/texture_reads.ts";
import { linearGrid } from "./grid.ts";

/**
 * Records `target = k[0] target + k[1] source` over two arenas of one size, in place.
 *
 * @param coefficients flat f32 [2], k; where k[0] is 0 the old target is not looked at
 * @param after tensors that must have been computed before
 * @throws {ShapeError} when the sizes differ or the coefficients are no two floats.
 */
export function arenaBlend(
  op: string,
  target: PersistentBuffer,
  source: PersistentBuffer,
  coefficients: Tensor,
  after: readonly Tensor[] = [],
): void {
  const { sizeBytes } = target;
  if (
    sizeBytes !== source.sizeBytes || coefficients.dtype !== "f32" ||
    coefficients.shape.join() !== "2"
  ) {
    throw new ShapeError(
      `${op} got "${target.label}" of ${sizeBytes} bytes, "${source.label}" of ` +
        `${source.sizeBytes} bytes and coefficients "${coefficients.label}" ` +
        `${coefficients.describe()}, expected arenas of one size and f32[2].`,
    );
  }
  coefficients.graph.record({
    op,
    inputs: [coefficients, ...after],
    outputs: [],
    effect: true,
    lower(context) {
      const limit = Math.floor(partBytes(context.target) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
      for (let offset = 0; offset < sizeBytes; offset += limit) {
        const bytes = Math.min(limit, sizeBytes - offset);
        const { grid, stride } = linearGrid(bytes / 16);
        context.dispatch({
          kernel: { name: op, source: code, constants: {} },
          params: [bytes / 16, stride],
          grid,
        }, [
          context.window(target, offset, bytes),
          context.reading("source", context.window(source, offset, bytes), "f32"),
          context.reading("coefficients", coefficients, "f32"),
        ]);
      }
    },
  });
}
