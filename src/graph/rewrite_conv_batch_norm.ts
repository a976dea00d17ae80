/**
 * A rewrite for inference: a convolution stores what the batch normalisation behind it makes of its
 * result, which saves a pass over the whole map.
 * @module
 */
import type { Node, Tensor } from "./graph.ts";
import { countReaders } from "./readers.ts";

/**
 * Joins each `conv2d` with the batch normalisation by running statistics that alone reads it, and
 * with the ReLU that is fused into that: its inputs follow those of the convolution, and `normalize`
 * is set.
 *
 * @returns the nodes to lower instead of `nodes`, in order; none is changed in place
 */
export function fuseConvBatchNorm(nodes: readonly Node[], outputs: readonly Tensor[]): Node[] {
  const readers = countReaders(nodes, outputs);
  const places = new Map(nodes.flatMap((node, i) => node.outputs.map((t) => [t, i] as const)));
  const fused = new Map<Node, Node>();
  const dropped = new Set<Node>();
  nodes.forEach((node, i) => {
    const [x] = node.inputs;
    if (node.op !== "batch_norm2d_normalize" || node.attributes.training === true || !x) return;
    const place = places.get(x) ?? i;
    const conv = nodes[place];
    if (conv?.op !== "conv2d" || readers.get(x) !== 1) return;
    // The convolution moves to the place of the normalisation, where it must see the same numbers.
    if (nodes.slice(place + 1, i).some(({ spec }) => spec.effect)) return;
    fused.set(node, joined(conv, node));
    dropped.add(conv);
  });
  return nodes.filter((n) => !dropped.has(n)).map((n) => fused.get(n) ?? n);
}

/** `conv`, storing straight into the output of `normalize`. */
function joined(conv: Node, normalize: Node): Node {
  const { eps, relu } = normalize.attributes;
  const flops = (conv.spec.flops ?? 0) + (normalize.spec.flops ?? 0);
  const suffix = normalize.label.slice(normalize.label.lastIndexOf(".") + 1);
  return Object.assign(Object.create(Object.getPrototypeOf(conv)) as Node, {
    id: normalize.id,
    label: `${conv.label}+${suffix}`,
    spec: { ...conv.spec, flops },
    inputs: [...conv.inputs, ...normalize.inputs.slice(1)],
    outputs: normalize.outputs,
    attributes: { ...conv.attributes, normalize: true, eps, relu: relu === true },
  });
}
