/**
 * Lowering: every node says which dispatches and copies compute it. The result is plain data: it
 * can be planned, counted and printed without a GPU.
 * @module
 */
import { type DispatchSpec, IMAGE_CONSTANTS } from "../gpu/kernel_spec.ts";
import type { TuningTarget } from "../gpu/tuning.ts";
import { checkDispatch } from "./dispatch_checks.ts";
import type { Node, Tensor } from "./graph.ts";
import { type DType, elementCount, type ImageType, vectorBytesOf } from "./layout.ts";
import {
  type BufferMemory,
  type Memory,
  type PersistentBuffer,
  type TextureMemory,
  textureMemory,
  wholeOf,
} from "./memory.ts";
import { StagedTextures } from "./staged_textures.ts";
import { type ImagePart, stackPlanes, stageBands, type Staged } from "./staging.ts";
import {
  areCopied,
  canBeCopied,
  checkInputs,
  copiesInto,
  partBytes,
  type Reading,
  textureFor,
} from "./texture_reads.ts";
import {
  type Divisible,
  mostUnits,
  rangesOf,
  type UnitRange,
  unitTooLarge,
  windowOfUnits,
} from "./windows.ts";

/** What lowering needs to know of the device. */
export interface LowerTarget extends TuningTarget {
  /** Convolution kernels for software adapters (`cpu`) or real GPUs (`gpu`). */
  kernelFamily: "gpu" | "cpu";
  /** Largest width and height of a texture, in texels. */
  maxTextureDimension: number;
  /** Bytes of the largest buffer range that one binding can hold. */
  maxBindingBytes: number;
  /** Width of the processor's vectors as a software adapter uses them, in bits; default 256. */
  vectorBits?: number;
  /** Bytes of the largest buffer; default: no limit. */
  maxBufferBytes?: number;
  /** Storage buffers that a kernel may bind; default: no limit. */
  maxStorageBuffers?: number;
  /** Storage textures that a kernel may bind; default: no limit. */
  maxStorageTextures?: number;
  /**
   * Kernels whose inputs take at least so many bytes read them through textures, see
   * `texture_reads.ts`; tiles of Winograd's kernels depend on whether any do. Default: none.
   */
  textureReadBytes?: number;
  /** Texels of a part of images that convolutions of few channels stage; default 2^19. */
  stagedPartTexels?: number;
  /** Compute cheap tensors again instead of keeping them, where that saves memory; default true. */
  recompute?: boolean;
}

/** Images in a memory of their own or a window of one: what a part of a convolution works on. */
export interface ImageView {
  /** Exactly the images, `c4`. */
  readonly memory: BufferMemory;
  /** [N, C, H, W]. */
  readonly shape: readonly number[];
}

/** A part of tensors that consist of equally many units. */
export interface TensorWindow extends UnitRange {
  /** The memory of the units of a tensor. */
  of(tensor: Tensor): BufferMemory;
  /** 32-bit words before the first value of the window of a `flat` tensor; 0 for images. */
  skip(tensor: Tensor): number;
}

/** A compute dispatch and the memories bound after its params, in order. */
export interface DispatchStep {
  /** Tells it from a {@linkcode TextureCopyStep}. */
  readonly kind: "dispatch";
  /** Label of the node that emitted it. */
  readonly label: string;
  /** Kernel, params and grid. */
  readonly spec: DispatchSpec;
  /** Bindings 1, 2, ... of the kernel. */
  readonly operands: readonly Memory[];
}

/** A copy of rows of vec4s from a buffer into a texture. */
export interface TextureCopyStep {
  /** Tells it from a {@linkcode DispatchStep}. */
  readonly kind: "copy-to-texture";
  /** Label of the node that emitted it. */
  readonly label: string;
  /** Buffer of vec4s of the texture's element type. */
  readonly source: BufferMemory;
  /** Start of the first row within `source`. */
  readonly offsetBytes: number;
  /** From one row to the next in `source`, a multiple of 256 as WebGPU demands. */
  readonly bytesPerRow: number;
  /** Texture that receives the rows. */
  readonly target: TextureMemory;
  /** Texel rectangle in the target. */
  readonly x: number;
  /** Top row of the rectangle, in texels. */
  readonly y: number;
  /** Texels of a row. */
  readonly width: number;
  /** Rows copied. */
  readonly height: number;
}

/** A step of a program, in execution order. */
export type Step = DispatchStep | TextureCopyStep;

/** A part of tensors of one size and type as rows of vec4s. */
export interface VectorWindow extends Pick<TensorWindow, "of"> {
  /** vec4s of the part. */
  readonly vectors: number;
  /** Values among them; the last vec4 of a `flat` tensor may hold fewer than four. */
  readonly values: number;
}

/** Bytes of a unit of {@linkcode LowerContext.splitVectors}. */
const VECTOR_UNIT_BYTES = 256;

/** Collects the steps of the nodes. */
export class LowerContext {
  /** Limits and kernel family the steps are made for. */
  readonly target: LowerTarget;
  /** Steps emitted so far, in execution order. */
  readonly steps: Step[] = [];
  readonly #lastUses: ReadonlyMap<Tensor, Node>;
  #memories = new Map<Tensor, BufferMemory>();
  /** Of tensors that nodes have computed: they change only where another tensor takes them over. */
  readonly #complete = new Set<Memory>();
  readonly #staged = new StagedTextures();
  /** Of inputs that the node being lowered overwrites. */
  readonly #overwritten: BufferMemory[] = [];
  #node = "";

  /**
   * Starts without steps; a program's nodes share one context, in execution order.
   * @param lastUses the last node that reads each tensor which is needed no longer after it
   */
  constructor(target: LowerTarget, lastUses: ReadonlyMap<Tensor, Node> = new Map()) {
    this.target = target;
    this.#lastUses = lastUses;
  }

  /** Element type of images. */
  get images(): ImageType {
    return this.target.images ?? "f32";
  }

  /** Emits the steps of `node`. */
  lower(node: Node): void {
    this.#node = node.label;
    node.spec.lower(this, node);
    // A texture that holds what was overwritten must not pass for the output.
    for (const memory of this.#overwritten.splice(0)) this.#staged.forget(memory);
    for (const output of node.outputs) if (!output.home) this.#complete.add(this.memory(output));
  }

  /**
   * Lets the output of `node` take the memory of `input`, one of its inputs of the same size, if
   * nobody else needs that any more. A kernel must then bind that memory once, to read and write, or
   * read a copy of it, which is the input's for the whole node: no part is read once it is written.
   * @returns whether it does
   */
  overwrite(node: Node, input: Tensor): boolean {
    const { output } = node;
    const mayTake = this.#lastUses.get(input) === node && !input.home && !output.home;
    if (!mayTake || input.sizeBytes !== output.sizeBytes) return false;
    const memory = this.memory(input);
    this.#memories.set(output, memory);
    this.#overwritten.push(memory);
    return true;
  }

  /** The memory of a tensor. */
  memory(tensor: Tensor): BufferMemory {
    let memory = this.#memories.get(tensor);
    if (!memory) {
      const { label, sizeBytes, home } = tensor;
      memory = { kind: "buffer", label, sizeBytes, ...(home ? { home } : {}) };
      this.#memories.set(tensor, memory);
    }
    return memory;
  }

  /** A temporary buffer for this node's steps. */
  scratch(label: string, sizeBytes: number): BufferMemory {
    return { kind: "buffer", label: `${this.#node}.${label}`, sizeBytes };
  }

  /** A temporary texture for this node's steps. */
  scratchTexture(
    label: string,
    width: number,
    height: number,
    type: ImageType = "f32",
  ): TextureMemory {
    const name = `${this.#node}.${label}`;
    return textureMemory({ label: name, width, height, type }, this.target.maxTextureDimension);
  }

  /** A tensor as a view. */
  view(tensor: Tensor): ImageView {
    return { memory: this.memory(tensor), shape: tensor.shape };
  }

  /**
   * Calls `emit` for windows of tensors that consist of `units` equal parts each (images, planes of
   * images): once for all units where everything can be bound, else for as many as can.
   * @throws {InputError} when a single unit is too large.
   */
  split(units: number, tensors: readonly Tensor[], emit: (window: TensorWindow) => void): void {
    this.#split(units, new Map(tensors.map((t) => [t, this.#divide(t, units)])), emit);
  }

  /** How many of the `units` equal parts of each tensor can be bound at once; maybe none. */
  mostUnits(units: number, tensors: readonly Tensor[]): number {
    return mostUnits(tensors.map((t) => this.#divide(t, units)), this.target.maxBindingBytes);
  }

  /** The memory of some of the `units` equal parts of a tensor; {@linkcode TensorWindow.skip}. */
  part(tensor: Tensor, units: number, range: UnitRange): { memory: BufferMemory; skip: number } {
    return windowOfUnits(this.#divide(tensor, units), range);
  }

  #divide(tensor: Tensor, units: number): Divisible {
    const bytes = tensor.layout === "flat" ? elementCount(tensor.shape) * 4 : tensor.sizeBytes;
    return { memory: this.memory(tensor), unitBytes: bytes / units };
  }

  /** The same for tensors of one size, layout and type that a kernel takes as rows of vec4s. */
  splitVectors(
    tensors: readonly [Tensor, ...Tensor[]],
    emit: (window: VectorWindow) => void,
  ): void {
    const [{ shape, layout, dtype, sizeBytes }] = tensors;
    const vectorBytes = vectorBytesOf(dtype);
    const values = layout === "flat" ? elementCount(shape) : sizeBytes / vectorBytes * 4;
    const divisible = new Map(
      tensors.map((t) => [t, { memory: this.memory(t), unitBytes: VECTOR_UNIT_BYTES }]),
    );
    this.#split(Math.ceil(sizeBytes / VECTOR_UNIT_BYTES), divisible, ({ first, of }) => {
      const vectors = of(tensors[0]).sizeBytes / vectorBytes;
      const before = first * VECTOR_UNIT_BYTES / vectorBytes * 4;
      emit({ of, vectors, values: Math.min(vectors * 4, values - before) });
    });
  }

  #split(
    units: number,
    divisible: ReadonlyMap<Tensor, Divisible>,
    emit: (window: TensorWindow) => void,
  ): void {
    const limit = this.target.maxBindingBytes;
    const most = mostUnits([...divisible.values()], limit);
    if (most < 1) throw unitTooLarge(this.#node, [...divisible.values()], limit);
    const part = (tensor: Tensor, range: UnitRange) => {
      const found = divisible.get(tensor);
      if (!found) throw new Error(`${tensor.label} is not split by ${this.#node}`);
      return windowOfUnits(found, range);
    };
    const wise = Math.max(1, mostUnits([...divisible.values()], partBytes(this.target)));
    for (const range of rangesOf(units, Math.min(most, wise))) {
      emit({
        ...range,
        of: (tensor) => part(tensor, range).memory,
        skip: (tensor) => part(tensor, range).skip,
      });
    }
  }

  /** A window of a persistent buffer, for ops that work on whole arenas. */
  window(buffer: PersistentBuffer, offsetBytes: number, sizeBytes: number): BufferMemory {
    return { kind: "buffer", label: buffer.label, sizeBytes, home: { buffer, offsetBytes } };
  }

  /** A memory as the `//@input` of that name of the template that is dispatched next. */
  reading(name: string, read: Tensor | BufferMemory, dtype: DType = this.images): Reading {
    const memory = "kind" in read ? read : this.memory(read);
    return { kind: "reading", name, memory, type: dtype === "f16" ? "f16" : "f32" };
  }

  /** The same for several memories, by the names in order. */
  readings(
    names: readonly string[],
    read: readonly (Tensor | BufferMemory)[],
    dtype: DType = this.images,
  ): Reading[] {
    return read.map((memory, i) => this.reading(names[i] ?? "", memory, dtype));
  }

  /**
   * Whether a kernel that reads all these, and nothing else of that kind, reads copies of them.
   * @param textures that it binds anyway
   */
  copies(readings: readonly Reading[], textures = 0): boolean {
    return areCopied(readings, this.target, textures);
  }

  /**
   * The same readings with copies that are made here, for several dispatches that copy anyway.
   * @param textures that those bind beside
   */
  copied(readings: readonly Reading[], textures: number): readonly Reading[] {
    return canBeCopied(readings, this.target, textures)
      ? readings.map((reading) => ({ ...reading, copy: this.#copyOf(reading) }))
      : readings;
  }

  /** A texture with a copy of a buffer; one of a tensor may have been made for another node. */
  #copyOf(reading: Reading): TextureMemory {
    const { memory, type } = reading;
    const make = () => {
      const texture = textureFor(reading, this.target.maxTextureDimension);
      for (const copy of copiesInto(texture, reading)) this.copyToTexture(copy);
      return texture;
    };
    return this.#complete.has(wholeOf(memory))
      ? this.#staged.take([memory], type, () => this.steps.length, make)
      : make();
  }

  /**
   * Emits a dispatch. Binding 0 is the params of `spec`, then `operands` in order.
   * @throws {InputError} when the device cannot bind the operands or run the grid.
   */
  dispatch(spec: DispatchSpec, operands: readonly (Tensor | Memory | Reading)[]): void {
    const readings = operands.flatMap((o) => "kind" in o && o.kind === "reading" ? o : []);
    const textures = operands.filter((o) => "kind" in o && o.kind === "texture").length;
    const copied = this.copies(readings, textures);
    if (copied) checkInputs(spec.kernel.source, readings);
    const memories = operands.map((operand) => {
      if (!("kind" in operand)) return this.memory(operand);
      if (operand.kind !== "reading") return operand;
      return copied ? operand.copy ?? this.#copyOf(operand) : operand.memory;
    });
    checkDispatch(this.#node, spec, memories, this.target);
    const constants = {
      ...this.images === "f16" ? IMAGE_CONSTANTS.f16 : {},
      ...spec.kernel.constants,
      ...copied ? { TEXTURES: readings.map(({ name }) => name).join(" ") } : {},
    };
    const step = { ...spec, kernel: { ...spec.kernel, constants } };
    this.steps.push({ kind: "dispatch", label: this.#node, spec: step, operands: memories });
    for (const memory of memories) {
      if (memory.kind === "texture") this.#staged.used(memory, this.steps.length);
    }
  }

  /** Emits a copy of `height` rows of `width` texels. */
  copyToTexture(copy: Omit<TextureCopyStep, "kind" | "label">): void {
    this.steps.push({ kind: "copy-to-texture", label: this.#node, ...copy });
  }

  /**
   * A texture that holds a part of the planes of `images` (all `c4`, same batch and size), image by
   * image, one below the other; see `stackPlanes`.
   */
  stage(images: readonly (Tensor | ImageView)[], part: ImagePart): TextureMemory {
    const views = images.map((image) => "memory" in image ? image : this.view(image));
    const { maxTextureDimension } = this.target;
    return this.#staged.take(
      views.map(({ memory }) => memory),
      part,
      () => this.steps.length,
      () => this.#fill(stackPlanes(views, part, this.images, maxTextureDimension)),
    );
  }

  /**
   * A texture of some rows of all planes of `images`, see {@linkcode BandGeometry}; made anew every
   * time, for kernels that go through large images in parts.
   */
  stageRows(images: readonly ImageView[], rows: UnitRange): TextureMemory {
    return this.#fill(stageBands(images, rows, this.images, this.target.maxTextureDimension));
  }

  #fill({ width, height, copies }: Staged): TextureMemory {
    const target = this.scratchTexture("staged", width, height, this.images);
    for (const copy of copies) this.copyToTexture({ ...copy, target });
    return target;
  }
}
