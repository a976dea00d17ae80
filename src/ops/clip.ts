/**
 * The norm of all gradients, for clipping (PyTorch: `clip_grad_norm_`). Clipping by value needs no
 * op of its own: the optimizer's kernel does it.
 * @module
 */
import code from "../../shaders/gradient_norm.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { ParameterGradient } from "../graph/autograd.ts";
import type { Graph, Tensor } from "../graph/graph.ts";
import type { ParameterStore } from "../graph/store.ts";
import type { LossScale } from "../nn/loss_scale.ts";
import { partBytes } from "../graph/texture_reads.ts";
import { arenaWindows } from "./arena_windows.ts";

/** Partial sums at most, so that the one workgroup that adds them stays quick. */
const MAX_PARTIALS = 16384;

/**
 * Euclidean norm over all of `gradients` together, before clipping, and the factor that clips.
 *
 * @param gradients of `store`, as `parameterGradients` pins them
 * @param maxNorm norm allowed; `Infinity` to measure only
 * @param lossScale what the gradients are multiplied with; the norm is that without it, and the
 *   scale learns whether they overflowed
 * @returns flat [2]: the norm, and min(1, maxNorm / (norm + 1e-6)); with `lossScale` the second is
 *   divided by the scale, and 0 where a gradient is no finite number
 * @throws {ShapeError} without gradients or for a maximum that is not positive.
 */
export function gradientNorm(
  graph: Graph,
  store: ParameterStore,
  gradients: readonly ParameterGradient[],
  maxNorm: number,
  lossScale?: LossScale,
): Tensor {
  if (gradients.length === 0 || !(maxNorm > 0)) {
    throw new ShapeError(
      `gradientNorm got ${gradients.length} gradients and a maximum of ${maxNorm}, expected at ` +
        "least one gradient and a positive maximum.",
    );
  }
  const arena = store.companion("gradients");
  return graph.record({
    op: "gradient_norm",
    inputs: gradients.map(({ gradient }) => gradient),
    outputs: [{ shape: [2] }],
    attributes: { maxNorm, scaled: lossScale !== undefined },
    lower(context, node) {
      const { maxBindingBytes } = context.target;
      const vectors = arenaWindows(gradients, maxBindingBytes)
        .reduce((sum, { sizeBytes }) => sum + sizeBytes / 16, 0);
      const chunk = Math.max(16, Math.ceil(vectors / MAX_PARTIALS));
      // Cut between chunks, the sum stays what it is in one window.
      const chunkBytes = chunk * 64 * 16;
      const parts = Math.max(1, Math.floor(partBytes(context.target) / chunkBytes));
      const windows = arenaWindows(gradients, Math.min(maxBindingBytes, parts * chunkBytes));
      const counts = windows.map(({ sizeBytes }) => Math.ceil(sizeBytes / 16 / (chunk * 64)) * 64);
      const total = counts.reduce((sum, count) => sum + count, 0);
      const partials = context.scratch("partials", total * 4);
      let first = 0;
      windows.forEach(({ offsetBytes, sizeBytes }, i) => {
        const count = counts[i] ?? 0;
        const groups = count / 64;
        const across = Math.min(groups, 65535);
        context.dispatch({
          kernel: {
            name: "gradient_norm_partial",
            source: code,
            constants: { PASS: "partial", SCALED: 0 },
          },
          params: [sizeBytes / 16, chunk, across, first, 0],
          grid: [across, Math.ceil(groups / across), 1],
        }, [
          context.reading("gradients", context.window(arena, offsetBytes, sizeBytes), "f32"),
          partials,
        ]);
        first += count;
      });
      // No norm is that large, since its square is finite; divided by 1e-6 it still is a number.
      const limit = Math.min(maxNorm, 1e30);
      context.dispatch({
        kernel: {
          name: "gradient_norm_final",
          source: code,
          constants: { PASS: "final", SCALED: lossScale ? 1 : 0 },
        },
        params: [total, 0, 0, 0, f32Bits(limit), lossScale?.growthInterval ?? 0],
        grid: [1, 1, 1],
      }, [partials, node.output, ...(lossScale ? [lossScale.memory] : [])]);
    },
  }).output;
}
