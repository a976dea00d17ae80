/**
 * A recorded graph as TensorFlow's `GraphDef`, which TensorBoard draws.
 *
 * Source: tensorflow/core/framework/graph.proto, node_def.proto, attr_value.proto of
 * https://github.com/tensorflow/tensorflow/tree/v2.15.0
 * @module
 */
import type { Graph, Tensor } from "../graph/graph.ts";
import { Message } from "./protobuf.ts";

const GRAPH = { node: 1, versions: 4 };
const NODE = { name: 1, op: 2, input: 3, attribute: 5 };
const ATTRIBUTE = { list: 1, text: 2, integer: 3, float: 4, boolean: 5 };
const LIST_SHAPE = 7;
/** What producers of today write; readers refuse only what is newer than they are. */
const PRODUCER = 22;

/**
 * The graph's inputs, parameters and ops with shapes and attributes. Scopes are divided by slashes:
 * `inc.double_conv.0.conv2d` becomes `inc/double_conv/0/conv2d`.
 */
export function graphDef(graph: Graph): Message {
  const names = new Names();
  const nodes = new Map<Tensor, string>();
  const message = new Message();
  const declare = (tensor: Tensor, op: string): string => {
    const known = nodes.get(tensor);
    if (known !== undefined) return known;
    const name = names.free(tensor.label);
    nodes.set(tensor, name);
    message.message(GRAPH.node, nodeDef(name, op, [], [tensor]));
    return name;
  };
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((tensor) =>
      nodes.get(tensor) ??
        declare(tensor, graph.inputs.get(tensor.label) === tensor ? "Input" : "Parameter")
    );
    const name = names.free(node.label);
    node.outputs.forEach((tensor, at) => nodes.set(tensor, at === 0 ? name : `${name}:${at}`));
    const definition = nodeDef(name, node.op, inputs, node.outputs);
    for (const [key, value] of Object.entries(node.attributes)) {
      definition.message(NODE.attribute, entry(key, attribute(value)));
    }
    message.message(GRAPH.node, definition);
  }
  return message.message(GRAPH.versions, new Message().integer(1, PRODUCER));
}

/** Names of nodes must differ; those of scopes repeat. */
class Names {
  readonly #taken = new Set<string>();

  free(label: string): string {
    // What TensorFlow allows in a name.
    const base = label.replaceAll(".", "/").replace(/[^A-Za-z0-9_./\\-]/g, "_");
    let name = base;
    for (let at = 1; this.#taken.has(name); at++) name = `${base}_${at}`;
    this.#taken.add(name);
    return name;
  }
}

function nodeDef(
  name: string,
  op: string,
  inputs: readonly string[],
  outputs: readonly Tensor[],
): Message {
  const message = new Message().text(NODE.name, name).text(NODE.op, op);
  for (const input of inputs) message.text(NODE.input, input);
  const list = new Message();
  for (const { shape } of outputs) {
    const dimensions = new Message();
    for (const size of shape) dimensions.message(2, new Message().integer(1, size));
    list.message(LIST_SHAPE, dimensions);
  }
  const shapes = new Message().message(ATTRIBUTE.list, list);
  return message.message(NODE.attribute, entry("_output_shapes", shapes));
}

/** An entry of a map. */
function entry(key: string, value: Message): Message {
  return new Message().text(1, key).message(2, value);
}

function attribute(value: number | string | boolean): Message {
  const message = new Message();
  if (typeof value === "boolean") return message.integer(ATTRIBUTE.boolean, value ? 1 : 0);
  if (typeof value === "string") return message.text(ATTRIBUTE.text, value);
  return Number.isSafeInteger(value) && value >= 0
    ? message.integer(ATTRIBUTE.integer, value)
    : message.float(ATTRIBUTE.float, value);
}
