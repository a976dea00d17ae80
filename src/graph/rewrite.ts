/**
 * Rewrites of a recorded graph before lowering: nodes nobody needs are dropped, neighbours are
 * fused.
 * @module
 */
import type { Graph, Node, Tensor } from "./graph.ts";
import { countReaders } from "./readers.ts";
import { fuseBatchNormReluGrad } from "./rewrite_batch_norm.ts";
import { fuseConvBatchNorm } from "./rewrite_conv_batch_norm.ts";

/** The nodes to lower, in execution order, for the given outputs. */
export function rewrite(graph: Graph, outputs: readonly Tensor[]): Node[] {
  const masked = fuseBatchNormReluGrad(liveNodes(graph.nodes, outputs), outputs);
  return fuseConvBatchNorm(fuseRelu(masked, outputs), outputs);
}

/** Nodes that an output or an effect depends on. */
function liveNodes(nodes: readonly Node[], outputs: readonly Tensor[]): Node[] {
  const needed = new Set(outputs);
  const live: Node[] = [];
  for (const node of [...nodes].reverse()) {
    if (!node.spec.effect && !node.outputs.some((t) => needed.has(t))) continue;
    for (const input of node.inputs) needed.add(input);
    live.push(node);
  }
  return live.reverse();
}

/** Ops whose kernel can apply a ReLU to what it stores, by attribute `relu`. */
const RELU_PRODUCERS = new Set(["batch_norm2d_normalize"]);

/**
 * Lets the producer of a ReLU's input store the ReLU's output instead, when nobody else reads that
 * input: one pass over memory less in each direction.
 */
function fuseRelu(nodes: readonly Node[], outputs: readonly Tensor[]): Node[] {
  const readers = countReaders(nodes, outputs);
  const fused = new Map<Node, Node>();
  const dropped = new Set<Node>();
  for (const node of nodes) {
    const [input] = node.inputs;
    const producer = input?.producer;
    if (node.op !== "relu" || !input || !producer || !RELU_PRODUCERS.has(producer.op)) continue;
    if (readers.get(input) !== 1 || producer.outputs.length !== 1) continue;
    fused.set(producer, withRelu(producer, node));
    dropped.add(node);
  }
  return nodes.filter((n) => !dropped.has(n)).map((n) => fused.get(n) ?? n);
}

/** `producer`, storing straight into the output of `relu`. */
function withRelu(producer: Node, relu: Node): Node {
  const { spec, id, label } = producer;
  const merged = Object.assign(Object.create(Object.getPrototypeOf(producer)) as Node, {
    id,
    label: `${label}+relu`,
    spec,
    inputs: producer.inputs,
    outputs: relu.outputs,
    attributes: { ...producer.attributes, relu: true },
  });
  return merged;
}
