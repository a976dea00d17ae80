/**
 * The symbolic program: tensors and the nodes that make them. Recording checks shapes and runs
 * nothing; see `compile` for what happens next.
 * @module
 */
import { ShapeError } from "../errors.ts";
import { type DType, elementCount, type ImageType, type Layout, storageBytes } from "./layout.ts";
import type { LowerContext, LowerTarget } from "./lower.ts";
import { type Home, PersistentBuffer } from "./memory.ts";
import type { StoredTensor } from "./store.ts";

/** A symbolic array: shape, element type and memory layout, no data. */
export class Tensor {
  /** Graph this tensor belongs to. */
  readonly graph: Graph;
  /** Number within the graph, in recording order. */
  readonly id: number;
  /** Name in errors, plans and profiles. */
  readonly label: string;
  /** Dimensions, NCHW for images. */
  readonly shape: readonly number[];
  /** Element type. */
  readonly dtype: DType;
  /** Memory layout. */
  readonly layout: Layout;
  /** Node that computes it; none for inputs and parameters. */
  producer: Node | undefined;
  /** Persistent memory, for inputs, parameters and pinned gradients. */
  home: Home | undefined;

  /** Use the methods of {@linkcode Graph}. */
  constructor(graph: Graph, id: number, label: string, spec: TensorSpec) {
    this.graph = graph;
    this.id = id;
    this.label = label;
    this.shape = [...spec.shape];
    this.layout = spec.layout ?? "flat";
    this.dtype = spec.dtype ?? (this.layout === "c4" ? graph.images : "f32");
  }

  /** Bytes on the GPU. */
  get sizeBytes(): number {
    return storageBytes(this.shape, this.layout, this.dtype);
  }

  /** For example `f32[2,64,400,600]`. */
  describe(): string {
    return `${this.dtype}[${this.shape.join(",")}]`;
  }
}

/** Shape, element type and layout of a tensor to be made. */
export interface TensorSpec {
  /** Sizes of at least 1, outermost first; [N, C, H, W] for images, empty for a scalar. */
  shape: readonly number[];
  /** Default `f32`; for images the graph's. */
  dtype?: DType;
  /** Default `flat`. */
  layout?: Layout;
}

/** Structural settings of a node, shown when a graph is printed. */
export type Attributes = Record<string, number | string | boolean>;

/** Gradients of a node's inputs, `undefined` where there is none or none is needed. */
export type InputGradients = (Tensor | undefined)[];

/** What several nodes have in common, so that they may be computed together. */
export interface Joint {
  /**
   * Which of the nodes, in order of execution, a device should compute together, each lot where its
   * first node stands; nodes that are in no lot stay alone. Parts of lots must do as well: some nodes
   * may need what is not there yet.
   */
  lots(nodes: readonly Node[], target: LowerTarget): readonly Node[][];
  /** Emits the steps that compute the outputs of a lot. */
  lower(context: LowerContext, lot: readonly Node[]): void;
}

/** What an op gives to {@linkcode Graph.record}. */
export interface NodeSpec {
  /** Name in labels, errors and graph listings, for example `conv2d`. */
  op: string;
  /** Tensors of the same graph that the op reads. */
  inputs: readonly Tensor[];
  /** Tensors to be made, in the order `backward` gets their gradients. */
  outputs: readonly TensorSpec[];
  /** Read by `lower` and shown when a graph is printed; default none. */
  attributes?: Attributes;
  /** Set for nodes that change persistent memory: they are never dropped. */
  effect?: boolean;
  /** Set where computing the outputs again costs little beside a convolution. */
  isCheap?: boolean;
  /** Set for nodes that some devices compute together. */
  joint?: Joint;
  /** Set for a node that stands for several: these, in order. */
  members?: readonly Node[];
  /**
   * Whether a device can apply a batch normalisation and a ReLU to the first input as it is read: what
   * `rewrite_conv_input.ts` asks.
   */
  takesPrologue?(node: Node, target: LowerTarget): boolean;
  /** Emits the steps that compute the outputs. */
  lower(context: LowerContext, node: Node): void;
  /**
   * Records the gradient of each input from the gradients of the outputs; `needs[i]` says whether
   * anybody wants that of input i.
   */
  backward?(outputGradients: (Tensor | undefined)[], needs: boolean[], node: Node): InputGradients;
  /** Floating-point operations, multiply and add counted as two. */
  flops?: number;
}

/** A recorded op. */
export class Node {
  /** Position in {@linkcode Graph.nodes}. */
  readonly id: number;
  /** Scopes and op, joined by dots, for example `inc.double_conv.0.conv2d`. */
  readonly label: string;
  /** How it is computed and differentiated. */
  readonly spec: NodeSpec;
  /** Tensors it reads. */
  readonly inputs: readonly Tensor[];
  /** Tensors it makes; empty when its only effect is on persistent memory. */
  readonly outputs: readonly Tensor[];
  /** Those of the spec, and what rewrites add, such as `relu` for a fused ReLU. */
  readonly attributes: Attributes;

  /** Use {@linkcode Graph.record}. */
  constructor(id: number, label: string, spec: NodeSpec, outputs: Tensor[]) {
    this.id = id;
    this.label = label;
    this.spec = spec;
    this.inputs = spec.inputs;
    this.outputs = outputs;
    this.attributes = { ...spec.attributes };
  }

  /** The op's name, for example `conv2d`. */
  get op(): string {
    return this.spec.op;
  }

  /** The only output of a node that has one. */
  get output(): Tensor {
    const [tensor] = this.outputs;
    if (!tensor) throw new Error(`Node ${this.label} has no output`);
    return tensor;
  }
}

/** An input that carries initial values, so that nobody has to write it. */
export interface ConstantInput {
  /** The input, `flat`. */
  tensor: Tensor;
  /** Row-major, one for each element; programs upload them when they are compiled. */
  values: Float32Array | Uint32Array;
}

/** A recording of ops. */
export class Graph {
  /** Nodes in recording order, which is execution order. */
  readonly nodes: Node[] = [];
  /** Inputs by label. */
  readonly inputs: Map<string, Tensor> = new Map();
  /** Inputs with fixed values. */
  readonly constants: ConstantInput[] = [];
  #parameters = new Map<StoredTensor, Tensor>();
  #scope: string[] = [];
  #nextId = 0;
  /** Element type of its images. */
  readonly images: ImageType;

  /**
   * Starts empty.
   * @param options.images how images are kept: `f16` halves their memory, on adapters with the
   * feature `shader-f16`; sums and everything that is no image stay f32
   */
  constructor(options: { images?: ImageType } = {}) {
    this.images = options.images ?? "f32";
  }

  /** Declares an input that the host writes before a run. */
  input(label: string, spec: TensorSpec): Tensor {
    if (this.inputs.has(label)) {
      throw new ShapeError(`Declared input "${label}" twice; give each input its own label.`);
    }
    checkShape(label, spec.shape);
    const tensor = this.#tensor(label, spec);
    tensor.home = { buffer: new PersistentBuffer(label, tensor.sizeBytes), offsetBytes: 0 };
    this.inputs.set(label, tensor);
    return tensor;
  }

  /** Declares a tensor of fixed values in `flat` layout. */
  constant(label: string, shape: readonly number[], values: Float32Array | Uint32Array): Tensor {
    let unique = label;
    for (let i = 2; this.inputs.has(unique); i++) unique = `${label}.${i}`;
    const dtype = values instanceof Uint32Array ? "u32" : "f32";
    const tensor = this.input(unique, { shape, dtype });
    if (values.length !== elementCount(shape)) {
      throw new ShapeError(
        `Constant "${label}" of shape [${shape.join(",")}] got ${values.length} values, expected ` +
          `${elementCount(shape)}.`,
      );
    }
    this.constants.push({ tensor, values });
    return tensor;
  }

  /** The stored parameters and buffers that it uses. */
  get parameters(): StoredTensor[] {
    return [...this.#parameters.keys()];
  }

  /** The tensor of a stored parameter or buffer; the same one every time. */
  parameter(stored: StoredTensor): Tensor {
    let tensor = this.#parameters.get(stored);
    if (!tensor) {
      tensor = this.#tensor(stored.name, { shape: stored.shape });
      tensor.home = stored.home;
      this.#parameters.set(stored, tensor);
    }
    return tensor;
  }

  /** Records a node and returns it. */
  record(spec: NodeSpec): Node {
    for (const input of spec.inputs) {
      if (input.graph !== this) {
        throw new ShapeError(
          `Op ${spec.op} got tensor "${input.label}" of another graph; record both in one graph.`,
        );
      }
    }
    const id = this.nodes.length;
    const label = [...this.#scope, spec.op].join(".");
    const outputs = spec.outputs.map((output, i) => {
      checkShape(label, output.shape);
      return this.#tensor(spec.outputs.length > 1 ? `${label}#${i}` : label, output);
    });
    const node = new Node(id, label, spec, outputs);
    for (const output of outputs) output.producer = node;
    this.nodes.push(node);
    return node;
  }

  /** Runs `body` with `name` in front of the labels of what it records. */
  scope<T>(name: string, body: () => T): T {
    this.#scope.push(name);
    try {
      return body();
    } finally {
      this.#scope.pop();
    }
  }

  /** One line a node: what it computes from what. */
  toString(): string {
    return this.nodes.map((node) => {
      const outputs = node.outputs.map((t) => `%${t.id}:${t.describe()}`).join(", ");
      const inputs = node.inputs.map((t) => (t.producer ? `%${t.id}` : t.label)).join(", ");
      const attributes = Object.entries(node.attributes).map(([k, v]) => `${k}=${v}`).join(" ");
      return `${outputs || "-"} = ${node.op}(${inputs}) ${attributes} # ${node.label}`;
    }).join("\n");
  }

  #tensor(label: string, spec: TensorSpec): Tensor {
    return new Tensor(this, this.#nextId++, label, spec);
  }
}

function checkShape(label: string, shape: readonly number[]): void {
  if (shape.some((size) => !Number.isInteger(size) || size < 1)) {
    throw new ShapeError(
      `${label} would have shape [${
        shape.join(",")
      }]; every dimension must be a whole number of at ` +
        "least 1, so use a larger image or a smaller network.",
    );
  }
}
