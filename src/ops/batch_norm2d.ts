/**
 * Batch normalisation over N, H and W: y = weight * (x - mean) / sqrt(var + eps) + bias
 * (Ioffe and Szegedy, "Batch Normalization", 2015; semantics of PyTorch's `BatchNorm2d`).
 *
 * On big maps time goes into memory traffic. Forward reads x twice (statistics, normalise) and
 * writes y, backward reads x and dy twice and writes dx. A ReLU before or after costs nothing: it is
 * stored by the normalising kernel (attribute `relu`), and its gradient is recomputed from x by the
 * gradient kernels (attribute `reluMask`). By running statistics behind a convolution the whole op
 * costs nothing: see `conv_batch_norm.ts`.
 * @module
 */
import finishCode from "../../shaders/batch_norm2d_stats_finish.wgsl" with { type: "text" };
import statsCode from "../../shaders/batch_norm2d_stats.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Node, Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount } from "../graph/layout.ts";
import type { LowerContext } from "../graph/lower.ts";
import { batchNorm2dGradient } from "./batch_norm2d_grad.ts";
import { lowerNormalize } from "./batch_norm2d_normalize.ts";
import { finishGrid, rowChunks } from "./channel_chunks.ts";

/** The parameters and running statistics of a batch normalisation, `flat` [C] each. */
export interface BatchNorm2dState {
  /** Scale of the normalised values (gamma). */
  weight: Tensor;
  /** Added after scaling (beta). */
  bias: Tensor;
  /** Moving average of the batch means; read at inference, updated in training. */
  runningMean: Tensor;
  /** Unbiased variance. */
  runningVar: Tensor;
}

/** Settings of {@linkcode batchNorm2d}. */
export interface BatchNorm2dOptions {
  /** Normalise by the batch and update the running statistics, or normalise by the latter. */
  training: boolean;
  /** Share of the batch in the new running statistics; default 0.1. */
  momentum?: number;
  /** Added to the variance; above 0, default 1e-5. */
  eps?: number;
}

/**
 * Normalises `x` [N, C, H, W] (`c4`) channel by channel. In training every run of the program
 * updates `runningMean` and `runningVar` in place, whether or not the result is used.
 *
 * @throws {ShapeError} for other shapes, and in training for a single value a channel.
 */
export function batchNorm2d(
  x: Tensor,
  state: BatchNorm2dState,
  { training, momentum = 0.1, eps = 1e-5 }: BatchNorm2dOptions,
): Tensor {
  check(x, state, training, eps);
  const { weight, bias, runningMean, runningVar } = state;
  const [mean, spread] = training
    ? recordStats(x, runningMean, runningVar, momentum, eps)
    : [runningMean, runningVar];
  return x.graph.record({
    op: "batch_norm2d_normalize",
    inputs: [x, weight, bias, mean, spread],
    outputs: [{ shape: x.shape, layout: "c4" }],
    attributes: { training, eps },
    isCheap: true,
    flops: 2 * elementCount(x.shape),
    lower: (context, node) => lowerNormalize(context, node.inputs, node.output, node.attributes),
    backward: ([dy], needs) => {
      if (!dy) return [];
      const gradient = batchNorm2dGradient(dy, { x, weight, bias, mean, spread, training, eps });
      return [
        needs[0] ? gradient.x() : undefined,
        needs[1] ? gradient.weight() : undefined,
        needs[2] ? gradient.bias() : undefined,
      ];
    },
  }).output;
}

/** Mean and inverse standard deviation of the batch; updates the running statistics. */
function recordStats(
  x: Tensor,
  runningMean: Tensor,
  runningVar: Tensor,
  momentum: number,
  eps: number,
): [Tensor, Tensor] {
  const shape = runningMean.shape;
  const node = x.graph.record({
    op: "batch_norm2d_stats",
    inputs: [x, runningMean, runningVar],
    outputs: [{ shape }, { shape }],
    attributes: { momentum, eps },
    effect: true,
    flops: 3 * elementCount(x.shape),
    lower: lowerStats,
  });
  const [mean, invStd] = node.outputs;
  if (!mean || !invStd) throw new Error(`Node ${node.label} lacks outputs`);
  return [mean, invStd];
}

function lowerStats(context: LowerContext, node: Node): void {
  const [x, runningMean, runningVar] = node.inputs;
  if (!x || !runningMean || !runningVar) throw new Error(`Node ${node.label} lacks inputs`);
  const g = c4Geometry(x.shape, x.dtype);
  const { kernelFamily, maxBindingBytes } = context.target;
  const mostLength = maxBindingBytes / (g.planes * 32);
  const { chunkRows, chunks, length, grid, constants } = rowChunks(g, kernelFamily, mostLength);
  const partials = context.scratch("partials", g.planes * length * 32);
  context.split(g.planes, [x], (window) => {
    context.dispatch({
      kernel: { name: "batch_norm2d_stats", source: statsCode, constants: { ...constants } },
      params: [g.height, g.width, g.pitch, chunkRows, chunks, window.first],
      grid: grid(window.count),
    }, [context.reading("x", window.of(x)), partials]);
  });
  const finish = finishGrid(g.channelBlocks, kernelFamily);
  const { momentum, eps } = node.attributes;
  context.dispatch({
    kernel: {
      name: "batch_norm2d_stats_finish",
      source: finishCode,
      constants: { ...finish.constants, CHUNK_LANES: constants.CHUNK_LANES },
    },
    params: [
      g.batch,
      g.channels,
      g.channelBlocks,
      g.height,
      g.width,
      chunkRows,
      chunks,
      f32Bits(Number(momentum)),
      f32Bits(Number(eps)),
    ],
    grid: finish.grid,
  }, [partials, ...node.outputs, runningMean, runningVar]);
}

function check(x: Tensor, state: BatchNorm2dState, training: boolean, eps: number): void {
  if (x.layout !== "c4") {
    throw new ShapeError(
      `batch_norm2d got "${x.label}" ${x.describe()} (${x.layout}), expected an image in c4 layout.`,
    );
  }
  const [batch = 1, channels = 1, height = 1, width = 1] = x.shape;
  for (const tensor of Object.values(state) as Tensor[]) {
    if (tensor.layout !== "flat" || tensor.shape.join() !== String(channels)) {
      throw new ShapeError(
        `batch_norm2d of "${x.label}" ${x.describe()} got "${tensor.label}" ${tensor.describe()} ` +
          `(${tensor.layout}), expected flat f32[${channels}].`,
      );
    }
  }
  if (!(eps > 0)) throw new ShapeError(`batch_norm2d got eps ${eps}, expected more than 0.`);
  if (training && batch * height * width < 2) {
    throw new ShapeError(
      `batch_norm2d in training got "${x.label}" ${x.describe()} with one value a channel, which ` +
        "has no variance; use a larger batch or image.",
    );
  }
}
