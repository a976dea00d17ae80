/**
 * ONNX messages, as far as a network of ours needs them: a graph that is built node by node, and the
 * model around it.
 *
 * Source: https://github.com/onnx/onnx/blob/v1.12.0/onnx/onnx.proto
 * @module
 */
import { Message } from "./protobuf.ts";

/** A size of an input or output: a number, or the name of a size that each run decides. */
export type Dimension = number | string;

/** A value of a node's attribute: text, a whole number, a list of them, or a float. */
export type Attribute = string | number | readonly number[] | { readonly float: number };

/** IR version 8 came with opset 17 (ONNX 1.12). */
const IR_VERSION = 8;
const OPSET = 17;

/** TensorProto.DataType. */
const FLOAT = 1;
const INT64 = 7;

/** AttributeProto.AttributeType. */
const ATTRIBUTE = { float: 1, integer: 2, text: 3, integers: 7 } as const;

/** A graph being built; tensors go by name. */
export class OnnxGraph {
  readonly #nodes: Message[] = [];
  readonly #initializers: Message[] = [];
  readonly #inputs: Message[] = [];
  readonly #outputs: Message[] = [];
  readonly #known = new Set<string>();

  /** Adds a node of one output. @returns the output's name, which is also the node's. */
  node(
    op: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    const node = new Message();
    for (const input of inputs) node.text(1, input);
    node.text(2, output).text(3, output).text(4, op);
    for (const [name, value] of Object.entries(attributes)) {
      node.message(5, attribute(name, value));
    }
    this.#nodes.push(node);
    return output;
  }

  /** Adds a tensor of float32. @returns its name. */
  floats(name: string, shape: readonly number[], values: Float32Array<ArrayBuffer>): string {
    return this.#initializer(name, shape, FLOAT, values);
  }

  /** Adds a list of int64 with its values, once for each name. @returns its name. */
  integers(name: string, values: readonly number[]): string {
    return this.#initializer(name, [values.length], INT64, BigInt64Array.from(values, BigInt));
  }

  /** Declares an input of float32. @returns its name. */
  input(name: string, shape: readonly Dimension[]): string {
    this.#inputs.push(valueInfo(name, shape));
    return name;
  }

  /** Declares that the tensor of this name is an output. */
  output(name: string, shape: readonly Dimension[]): void {
    this.#outputs.push(valueInfo(name, shape));
  }

  /**
   * The model around the graph.
   * @param name Of the graph.
   * @param metadata For `metadata_props`.
   */
  model(name: string, doc: string, metadata: Readonly<Record<string, string>>): Message {
    const graph = new Message();
    for (const node of this.#nodes) graph.message(1, node);
    graph.text(2, name);
    for (const tensor of this.#initializers) graph.message(5, tensor);
    graph.text(10, doc);
    for (const input of this.#inputs) graph.message(11, input);
    for (const output of this.#outputs) graph.message(12, output);

    const model = new Message()
      .integer(1, IR_VERSION)
      .text(2, "webgpu-unet")
      .message(7, graph)
      .message(8, new Message().text(1, "").integer(2, OPSET));
    for (const [key, value] of Object.entries(metadata)) {
      model.message(14, new Message().text(1, key).text(2, value));
    }
    return model;
  }

  #initializer(
    name: string,
    shape: readonly number[],
    type: number,
    values: Float32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>,
  ): string {
    if (this.#known.has(name)) return name;
    this.#known.add(name);
    this.#initializers.push(
      new Message()
        .integers(1, shape)
        .integer(2, type)
        .text(8, name)
        .raw(9, new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
    );
    return name;
  }
}

function attribute(name: string, value: Attribute): Message {
  const made = new Message().text(1, name);
  if (typeof value === "string") return made.text(4, value).integer(20, ATTRIBUTE.text);
  if (typeof value === "number") return made.integer(3, value).integer(20, ATTRIBUTE.integer);
  if ("float" in value) return made.float(2, value.float).integer(20, ATTRIBUTE.float);
  return made.integers(8, value).integer(20, ATTRIBUTE.integers);
}

function valueInfo(name: string, shape: readonly Dimension[]): Message {
  const dimensions = new Message();
  for (const size of shape) {
    const dimension = new Message();
    if (typeof size === "number") dimension.integer(1, size);
    else dimension.text(2, size);
    dimensions.message(1, dimension);
  }
  const tensor = new Message().integer(1, FLOAT).message(2, dimensions);
  return new Message().text(1, name).message(2, new Message().message(1, tensor));
}
