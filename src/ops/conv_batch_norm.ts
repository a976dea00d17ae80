/**
 * Convolutions that store what a batch normalisation by running statistics, and maybe a ReLU, makes
 * of their results: nodes of `rewrite_conv_batch_norm.ts`. The normalisation is one factor and one
 * offset for each channel; the kernels apply them to their sums.
 * @module
 */
import foldSource from "../../shaders/batch_norm2d_fold.wgsl" with { type: "text" };
import { f32Bits } from "../gpu/kernel_spec.ts";
import { type Node, Tensor } from "../graph/graph.ts";
import type { LowerContext } from "../graph/lower.ts";
import type { BufferMemory } from "../graph/memory.ts";
import { lowerNormalize } from "./batch_norm2d_normalize.ts";
import { lowerForward, takesWholeImages } from "./conv_lower.ts";
import type { ConvShape } from "./conv_shape.ts";
import { planesOf } from "./conv_texture_geometry.ts";

/** The convolution's own part of a node. */
interface Convolution {
  readonly shape: ConvShape;
  readonly inputs: readonly Tensor[];
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
}

/** Weight, bias, running mean and running variance are the last inputs of the node. */
const STATE_INPUTS = 4;

/** Emits the steps of a convolution whose node has the attributes `normalize`, `eps` and `relu`. */
export function lowerNormalizedConv(
  context: LowerContext,
  node: Node,
  { shape, inputs, weight, bias }: Convolution,
): void {
  const { output, attributes } = node;
  const state = node.inputs.slice(-STATE_INPUTS);
  if (takesWholeImages(context, shape, inputs, output)) {
    const memory = fold(context, state, shape.outputChannels, Number(attributes.eps), bias);
    const affine = { memory, relu: attributes.relu === true };
    lowerForward(context, shape, inputs, weight, undefined, output, { affine });
    return;
  }
  // Sums that come in parts can be normalised only when all parts are added up.
  const { graph, id, label } = output;
  const sums = new Tensor(graph, id, `${label} (sums)`, output);
  lowerForward(context, shape, inputs, weight, bias, sums);
  lowerNormalize(context, [sums, ...state], output, attributes);
}

const LANES = 64;

/** Factors and offsets of a normalisation, and of a convolution's bias in front of it. */
function fold(
  context: LowerContext,
  state: readonly Tensor[],
  channels: number,
  eps: number,
  bias: Tensor | undefined,
): BufferMemory {
  const blocks = planesOf(channels);
  const affine = context.scratch("affine", blocks * 32);
  context.dispatch({
    kernel: {
      name: "batch_norm2d_fold",
      source: foldSource,
      constants: { HAS_BIAS: bias ? 1 : 0 },
    },
    params: [channels, blocks, f32Bits(eps)],
    grid: [Math.ceil(blocks / LANES), 1, 1],
  }, [...state, affine, ...(bias ? [bias] : [])]);
  return affine;
}
