/**
 * What convolutions do to the pixels they read: the batch normalisation, and the ReLU, in front of
 * them, where `rewrite_conv_input.ts` left those to them. The normalised image is then never made.
 * @module
 */
import { Tensor } from "../graph/graph.ts";
import type { Node } from "../graph/graph.ts";
import type { LowerContext } from "../graph/lower.ts";
import type { Reading } from "../graph/texture_reads.ts";
import { lowerNormalize } from "./batch_norm2d_normalize.ts";

/** `none`, or y = (x - mean) * invstd * weight + bias, and then max(y, 0). */
export type Prologue = "none" | "normalize" | "normalize_relu";

/** A prologue and the vectors it needs, `flat` [C] each: weight, bias, mean and invstd. */
export interface Preparation {
  readonly prologue: Prologue;
  /** What a kernel binds behind everything else. */
  readonly operands: readonly Reading[];
}

/** The attribute of a node whose last inputs are the vectors of a prologue. */
export const PROLOGUE = "prologue";

const NAMES = ["weight", "bias", "mean", "spread"];

/** The inputs of a node without those that its prologue needs. */
export function ownInputs({ inputs, attributes }: Node): readonly Tensor[] {
  return attributes[PROLOGUE] === undefined ? inputs : inputs.slice(0, -NAMES.length);
}

/** The prologue of a node, `undefined` where it has none. */
export function preparationOf(context: LowerContext, node: Node): Preparation | undefined {
  const prologue = node.attributes[PROLOGUE];
  if (prologue !== "normalize" && prologue !== "normalize_relu") return undefined;
  return {
    prologue,
    operands: context.readings(NAMES, node.inputs.slice(-NAMES.length), "f32"),
  };
}

/** The same with copies of its vectors, where they are read from copies: once for all parts. */
export function withCopies(
  context: LowerContext,
  preparation: Preparation | undefined,
): Preparation | undefined {
  if (!preparation) return undefined;
  // Kernels bind the staged rows beside them.
  return { ...preparation, operands: context.copied(preparation.operands, 1) };
}

/** The first input of a node with what its kernels do to it; where they cannot, what is made of it. */
export function firstInput(
  context: LowerContext,
  node: Node,
  x: Tensor,
  canPrepare: boolean,
): [Tensor, Preparation | undefined] {
  const preparation = preparationOf(context, node);
  return !preparation || canPrepare ? [x, preparation] : [prepare(context, node, x), undefined];
}

/** Emits the steps of a node's prologue; the image that they make. */
function prepare(context: LowerContext, node: Node, x: Tensor): Tensor {
  const { graph, id, label } = x;
  const prepared = new Tensor(graph, id, `${label} (normalised)`, x);
  const relu = node.attributes[PROLOGUE] === "normalize_relu";
  const vectors = node.inputs.slice(-NAMES.length);
  lowerNormalize(context, [x, ...vectors], prepared, { relu, training: true, eps: 1 });
  return prepared;
}

/** Template constants of a prologue. */
export function prologueConstants(prologue: Prologue): { NORMALIZE: number; PRE_RELU: number } {
  return {
    NORMALIZE: prologue === "none" ? 0 : 1,
    PRE_RELU: prologue === "normalize_relu" ? 1 : 0,
  };
}
