/**
 * A rewrite for networks of batch normalisation and ReLU: the gradient of the ReLU moves into the
 * gradient kernels of the normalisation, which know the sign of its output from its input.
 * @module
 */
import type { Node, Tensor } from "./graph.ts";

const GRADIENTS = new Set(["batch_norm2d_grad_reduce", "batch_norm2d_grad_input"]);

/**
 * Drops each `relu_grad` that only feeds the gradient of the batch normalisation before that ReLU,
 * and sets `reluMask` there: one map less is written and two are read less.
 *
 * @returns the nodes to lower instead of `nodes`, in order; none is changed in place
 */
export function fuseBatchNormReluGrad(
  nodes: readonly Node[],
  outputs: readonly Tensor[],
): Node[] {
  const readers = new Map<Tensor, Node[]>();
  for (const node of nodes) {
    for (const t of node.inputs) readers.set(t, [...(readers.get(t) ?? []), node]);
  }
  const replaced = new Map<Node, Node>();
  const dropped = new Set<Node>();
  for (const node of nodes) {
    const [dy, y] = node.inputs;
    if (node.op !== "relu_grad" || !dy || !y || outputs.includes(node.output)) continue;
    const normalize = y.producer?.op === "relu" ? y.producer.inputs[0]?.producer : undefined;
    if (normalize?.op !== "batch_norm2d_normalize") continue;
    const users = readers.get(node.output) ?? [];
    if (!users.every((user) => isGradientOf(user, node.output, normalize))) continue;
    for (const user of users) replaced.set(user, withMask(user, dy));
    dropped.add(node);
  }
  return nodes.filter((n) => !dropped.has(n)).map((n) => replaced.get(n) ?? n);
}

/** Whether `node` is part of the gradient of `normalize` for the output gradient `dy`. */
function isGradientOf(node: Node, dy: Tensor, normalize: Node): boolean {
  if (!GRADIENTS.has(node.op) || node.inputs.indexOf(dy) !== 0) return false;
  return node.inputs.lastIndexOf(dy) === 0 &&
    normalize.inputs.every((input, i) => node.inputs[i + 1] === input);
}

/** `node` with the gradient of the ReLU's output in place of that of its input. */
function withMask(node: Node, dy: Tensor): Node {
  const { id, label, spec, outputs, attributes } = node;
  return Object.assign(Object.create(Object.getPrototypeOf(node)) as Node, {
    id,
    label: `${label}+relu_grad`,
    spec,
    inputs: [dy, ...node.inputs.slice(1)],
    outputs,
    attributes: { ...attributes, reluMask: true },
  });
}
