/**
 * A rewrite for training: a batch normalisation by the statistics of the batch, with the ReLU that is
 * fused into it, moves into the nodes that read its result, where all of them can apply it to what
 * they read. The result is then neither written nor kept, nor made again for the backward pass.
 * @module
 */
import type { Node, Tensor } from "./graph.ts";
import type { LowerTarget } from "./lower.ts";
import { changesInputs } from "./recompute.ts";

/**
 * Gives readers of a normalisation that is dropped its input in place of its result, its other inputs
 * behind their own, and the attribute `prologue`.
 *
 * @returns the nodes to lower instead of `nodes`, in order; none is changed in place
 */
export function moveNormalizations(
  nodes: readonly Node[],
  outputs: readonly Tensor[],
  target: LowerTarget,
): readonly Node[] {
  const readers = new Map<Tensor, number[]>();
  nodes.forEach((node, i) => {
    for (const t of node.inputs) readers.set(t, [...readers.get(t) ?? [], i]);
  });
  const current = [...nodes];
  const dropped = new Set<number>();
  nodes.forEach((node, place) => {
    if (node.op !== "batch_norm2d_normalize" || node.attributes.training !== true) return;
    const [x, ...vectors] = node.inputs;
    const [y] = node.outputs;
    const users = y && !outputs.includes(y) ? readers.get(y) ?? [] : [];
    if (!x || !y || users.length === 0) return;
    const movable = users.every((user) => {
      const reader = nodes[user];
      return reader?.inputs[0] === y && reader.inputs.lastIndexOf(y) === 0 &&
        reader.spec.takesPrologue?.(reader, target) === true &&
        !changesInputs(nodes.slice(place + 1, user), node);
    });
    if (!movable) return;
    for (const user of users) {
      const reader = current[user];
      if (reader) current[user] = withPrologue(reader, x, vectors, node.attributes.relu === true);
    }
    dropped.add(place);
  });
  return current.filter((_, i) => !dropped.has(i));
}

function withPrologue(reader: Node, x: Tensor, vectors: readonly Tensor[], relu: boolean): Node {
  const { id, label, spec, outputs, attributes } = reader;
  return Object.assign(Object.create(Object.getPrototypeOf(reader)) as Node, {
    id,
    label,
    spec,
    inputs: [x, ...reader.inputs.slice(1), ...vectors],
    outputs,
    attributes: { ...attributes, prologue: relu ? "normalize_relu" : "normalize" },
  });
}
