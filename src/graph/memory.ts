/**
 * Memory as programs see it: persistent buffers that outlive a run, and the symbolic memories that
 * a plan maps onto slots.
 * @module
 */
import { DeviceError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { type ImageType, vectorBytesOf } from "./layout.ts";

/** A GPU buffer that outlives single runs: an input, or the arena of a parameter store. */
export class PersistentBuffer {
  /** Name in errors and of the GPUBuffer. */
  readonly label: string;
  #sizeBytes: number;
  #buffer: GPUBuffer | undefined;
  #gpu: Gpu | undefined;
  #users = 0;

  /** Reserves `sizeBytes` at offset 0; allocates nothing until {@linkcode on} is called. */
  constructor(label: string, sizeBytes = 0) {
    this.label = label;
    this.#sizeBytes = sizeBytes;
  }

  /** Bytes reserved so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Reserves a window aligned to 256 bytes and returns its offset; impossible once in use. */
  reserve(sizeBytes: number): number {
    if (this.#buffer) {
      throw new DeviceError(
        `Tried to add to "${this.label}" after a program was compiled; declare every parameter first.`,
      );
    }
    const offsetBytes = this.#sizeBytes;
    this.#sizeBytes = Math.ceil((offsetBytes + sizeBytes) / 256) * 256;
    return offsetBytes;
  }

  /**
   * The buffer on `gpu`, created zeroed on first use.
   * @throws {DeviceError} when it lies on another device already.
   */
  on(gpu: Gpu): GPUBuffer {
    if (this.#buffer && this.#gpu !== gpu) {
      throw new DeviceError(
        `Tried to use "${this.label}" on a second GPU device; record a graph and make a parameter ` +
          "store for each device.",
      );
    }
    this.#gpu = gpu;
    this.#buffer ??= gpu.createBuffer(
      this.label,
      this.#sizeBytes,
      GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    );
    return this.#buffer;
  }

  /** The buffer if it exists already. */
  get existing(): GPUBuffer | undefined {
    return this.#buffer;
  }

  /** Counts a user; see {@linkcode release}. */
  retain(): void {
    this.#users++;
  }

  /** Uncounts a user and frees the GPU memory after the last one. */
  release(): void {
    this.#users--;
    if (this.#users <= 0) this.destroy();
  }

  /** Frees the GPU memory. */
  destroy(): void {
    this.#buffer?.destroy();
    this.#buffer = undefined;
  }
}

/** Where a tensor lives when it is not planned: a window of a persistent buffer. */
export interface Home {
  /** The buffer that outlives runs. */
  buffer: PersistentBuffer;
  /** Start of the window, a multiple of 256 as bindings demand. */
  offsetBytes: number;
}

/** A buffer range that steps read or write; without `home` the planner finds it a slot. */
export interface BufferMemory {
  /** Tells it from a {@linkcode TextureMemory}. */
  readonly kind: "buffer";
  /** Name in errors: the tensor's, or the node's and the scratch buffer's. */
  readonly label: string;
  /** Bytes that are bound. */
  readonly sizeBytes: number;
  /** Window of a persistent buffer; such memory is not planned. */
  readonly home?: Home;
  /** Window of a planned memory, which the planner finds a slot for instead. */
  readonly within?: { readonly memory: BufferMemory; readonly offsetBytes: number };
}

/** What the offset of a storage binding must be a multiple of on every adapter. */
export const ALIGNMENT_BYTES = 256;

/**
 * A window of `memory`, for kernels that work on a part of it, or on all of it in parts.
 * @param offsetBytes a multiple of {@linkcode ALIGNMENT_BYTES}
 */
export function windowOf(
  memory: BufferMemory,
  offsetBytes: number,
  sizeBytes: number,
): BufferMemory {
  const end = offsetBytes + sizeBytes;
  if (offsetBytes % ALIGNMENT_BYTES !== 0 || end > memory.sizeBytes) {
    throw new RangeError(
      `bytes ${offsetBytes} to ${end} are no window of "${memory.label}" of ${memory.sizeBytes}`,
    );
  }
  if (sizeBytes === memory.sizeBytes) return memory;
  const { label, home, within } = memory;
  const window = { kind: "buffer" as const, label, sizeBytes };
  if (home) return { ...window, home: { ...home, offsetBytes: home.offsetBytes + offsetBytes } };
  const whole = within?.memory ?? memory;
  return {
    ...window,
    within: { memory: whole, offsetBytes: (within?.offsetBytes ?? 0) + offsetBytes },
  };
}

/** The memory that a window lies in; other memories themselves. */
export function wholeOf(memory: Memory): Memory {
  return memory.kind === "buffer" ? memory.within?.memory ?? memory : memory;
}

/** An rgba32float or rgba16float texture that steps read; always planned. */
export interface TextureMemory {
  /** Tells it from a {@linkcode BufferMemory}. */
  readonly kind: "texture";
  /** The node's label and the texture's name, in errors. */
  readonly label: string;
  /** Texels. */
  readonly width: number;
  /** Rows of texels. */
  readonly height: number;
  /** Element type of the texels. */
  readonly type: ImageType;
}

/**
 * A texture for `width` x `height` texels. Where they can be longer its sides are no powers of two:
 * llvmpipe compiles a kernel once more for textures that differ from others in that.
 */
export function textureMemory(
  { label, width, height, type }: Omit<TextureMemory, "kind">,
  maxTextureDimension: number,
): TextureMemory {
  const sideFor = (texels: number) => {
    let side = texels;
    while (Number.isInteger(Math.log2(side)) && side < maxTextureDimension) side++;
    return side;
  };
  return { kind: "texture", label, width: sideFor(width), height: sideFor(height), type };
}

/** Anything a step touches. */
export type Memory = BufferMemory | TextureMemory;

/** Bytes of a memory. */
export function memoryBytes(memory: Memory): number {
  return memory.kind === "buffer" ? memory.sizeBytes : textureBytes(memory);
}

/** Bytes of a texture. */
export function textureBytes(
  { width, height, type }: Pick<TextureMemory, "width" | "height" | "type">,
): number {
  return width * height * vectorBytesOf(type);
}

/** Bytes for people, in messages: `117 MiB`. */
export function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
