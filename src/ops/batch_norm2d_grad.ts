/**
 * The gradient of batch normalisation, as two nodes: sums over each channel, which are the
 * gradients of weight and bias, then the gradient of the input.
 * @module
 */
import finishCode from "../../shaders/batch_norm2d_grad_finish.wgsl" with { type: "text" };
import inputCode from "../../shaders/batch_norm2d_grad_input.wgsl" with { type: "text" };
import reduceCode from "../../shaders/batch_norm2d_grad_reduce.wgsl" with { type: "text" };
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Attributes, Node, Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount } from "../graph/layout.ts";
import type { LowerContext } from "../graph/lower.ts";
import { finishGrid, mapGrid, planeChunks } from "./channel_chunks.ts";

/** What the forward pass used. */
export interface Normalization {
  x: Tensor;
  weight: Tensor;
  bias: Tensor;
  mean: Tensor;
  /** Training: 1 / sqrt(var + eps) of the batch; otherwise the running variance. */
  spread: Tensor;
  training: boolean;
  eps: number;
}

/** The gradients, each recorded when asked for. */
export interface NormalizationGradient {
  /** [N, C, H, W], `c4` */
  x(): Tensor;
  /** [C], `flat` */
  weight(): Tensor;
  /** [C], `flat` */
  bias(): Tensor;
}

/**
 * Records the gradients of a batch normalisation. Both nodes take [dy, x, weight, bias, mean,
 * spread] as their first inputs; with attribute `reluMask` dy is the gradient of relu(y) instead
 * of y.
 */
export function batchNorm2dGradient(dy: Tensor, forward: Normalization): NormalizationGradient {
  const { x, weight, bias, mean, spread, training, eps } = forward;
  const inputs = [dy, x, weight, bias, mean, spread];
  const attributes: Attributes = { training, eps, reluMask: false };
  let reduced: Node | undefined;
  const reduce = (output: number): Tensor => {
    reduced ??= x.graph.record({
      op: "batch_norm2d_grad_reduce",
      inputs,
      outputs: [
        { shape: bias.shape },
        { shape: weight.shape },
        ...(training ? [{ shape: [c4Geometry(x.shape, x.dtype).channelBlocks * 12] }] : []),
      ],
      attributes,
      flops: 4 * elementCount(x.shape),
      lower: lowerReduce,
    });
    const tensor = reduced.outputs[output];
    if (!tensor) throw new Error(`Node ${reduced.label} has no output ${output}`);
    return tensor;
  };
  return {
    bias: () => reduce(0),
    weight: () => reduce(1),
    x: () =>
      x.graph.record({
        op: "batch_norm2d_grad_input",
        inputs: training ? [...inputs, reduce(2)] : inputs,
        outputs: [{ shape: x.shape, layout: "c4" }],
        attributes,
        flops: (training ? 5 : 1) * elementCount(x.shape),
        lower: lowerInput,
      }).output,
  };
}

function lowerReduce(context: LowerContext, node: Node): void {
  const { dy, x, weight, bias, mean, spread } = operands(node);
  const [dBias, dWeight, coefficients] = node.outputs;
  if (!dBias || !dWeight) throw new Error(`Node ${node.label} lacks outputs`);
  const family = context.target.kernelFamily;
  const g = c4Geometry(x.shape, x.dtype);
  const mostLength = context.target.maxBindingBytes / (g.planes * 32);
  const chunked = planeChunks(g.planeSize, family, mostLength);
  const { chunkSize, chunks, length, grid, constants } = chunked;
  const { MASK, RUNNING } = variant(node);
  const eps = f32Bits(Number(node.attributes.eps));
  const partials = context.scratch("partials", g.planes * length * 32);
  context.split(g.planes, [dy, x], (window) => {
    context.dispatch({
      kernel: {
        name: node.op,
        source: reduceCode,
        constants: { ...constants, MASK, RUNNING, UNROLL: 4 },
      },
      params: [g.channelBlocks, g.planeSize, chunkSize, chunks, eps, window.first],
      grid: grid(window.count),
    }, [
      context.reading("dy", window.of(dy)),
      context.reading("x", window.of(x)),
      context.reading("mean", mean, "f32"),
      partials,
      ...(MASK
        ? context.readings(["weight", "bias", "spread"], [weight, bias, spread], "f32")
        : []),
    ]);
  });
  const finish = finishGrid(g.channelBlocks, family);
  context.dispatch({
    kernel: {
      name: "batch_norm2d_grad_finish",
      source: finishCode,
      constants: { ...finish.constants, RUNNING },
    },
    params: [
      g.batch,
      g.channels,
      g.channelBlocks,
      length,
      eps,
      f32Bits(1 / (g.batch * g.height * g.width)),
    ],
    grid: finish.grid,
  }, [partials, spread, dBias, dWeight, ...(coefficients ? [weight, coefficients] : [])]);
}

function lowerInput(context: LowerContext, node: Node): void {
  const { dy, x, weight, bias, mean, spread } = operands(node);
  const { MASK, RUNNING } = variant(node);
  const g = c4Geometry(x.shape, x.dtype);
  const { grid, constants, rows } = mapGrid(g, context.target);
  const vector = (name: string, tensor: Tensor) => context.reading(name, tensor, "f32");
  const statistics = RUNNING
    ? [vector("variance", spread), vector("weight", weight)]
    : node.inputs.slice(6).map((tensor) => vector("coefficients", tensor));
  const overwrites = context.overwrite(node, dy);
  const maps = [dy, node.output, ...(MASK || !RUNNING ? [x] : [])];
  context.split(g.planes, maps, (window) => {
    const gradient = context.reading("dy", window.of(dy));
    const others = [
      ...statistics,
      ...(MASK || !RUNNING ? [context.reading("x", window.of(x)), vector("mean", mean)] : []),
      ...(MASK ? [vector("bias", bias)] : []),
    ];
    // A copy may be bound beside the buffer that it was made of.
    const IN_PLACE = overwrites && !context.copies([gradient, ...others]) ? 1 : 0;
    context.dispatch({
      kernel: {
        name: node.op,
        source: inputCode,
        constants: { ...constants, MASK, RUNNING, IN_PLACE },
      },
      params: [
        g.channels,
        g.channelBlocks,
        g.height,
        g.width,
        g.pitch,
        f32Bits(Number(node.attributes.eps)),
        window.first,
        rows,
      ],
      grid: grid(window.count),
    }, [...(IN_PLACE ? [] : [gradient]), window.of(node.output), ...others]);
  });
}

function variant(node: Node): { MASK: number; RUNNING: number } {
  const { reluMask, training } = node.attributes;
  return { MASK: reluMask === true ? 1 : 0, RUNNING: training === true ? 0 : 1 };
}

function operands(node: Node): Record<"dy" | "x" | "weight" | "bias" | "mean" | "spread", Tensor> {
  const [dy, x, weight, bias, mean, spread] = node.inputs;
  if (!dy || !x || !weight || !bias || !mean || !spread) {
    throw new Error(`Node ${node.label} lacks inputs`);
  }
  return { dy, x, weight, bias, mean, spread };
}
