/**
 * GPU memory for the slots of plans. Programs that never run at the same time (a network at several
 * image sizes, training and validation) can share one pool: it holds what the largest needs.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { IMAGE_CONSTANTS, type ImageType } from "../gpu/kernel_spec.ts";
import { textureBytes } from "./memory.ts";
import { type Slot, slotBytes } from "./plan.ts";

function bytesOf({ width, height, format }: Texture): number {
  return textureBytes({
    width,
    height,
    type: format === IMAGE_CONSTANTS.f16.TEXEL ? "f16" : "f32",
  });
}

/** Buffers and textures that programs borrow for their slots. */
export class MemoryPool {
  readonly #gpu: Gpu;
  readonly #buffers: GPUBuffer[] = [];
  readonly #textures: GPUTexture[] = [];
  #generation = 0;

  /** Starts empty; memory is allocated on `gpu` when programs are compiled. */
  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** How often everything was freed; programs that borrowed before must not run any more. */
  get generation(): number {
    return this.#generation;
  }

  /** Bytes allocated so far. */
  get sizeBytes(): number {
    return this.#buffers.reduce((sum, b) => sum + b.size, 0) +
      this.#textures.reduce((sum, t) => sum + bytesOf(t), 0);
  }

  /**
   * A buffer or texture for each slot, different ones for different slots of one call; allocates
   * where nothing fits. Compile the largest program first to allocate least.
   */
  take(slots: readonly Slot[]): Map<Slot, GPUBuffer | GPUTexture> {
    return new Map(
      fit(slots, this.#buffers, this.#textures).map(([slot, known]) => [
        slot,
        known ??
          (slot.kind === "buffer"
            ? this.#newBuffer(slot.sizeBytes)
            : this.#newTexture(slot.width, slot.height, slot.type)),
      ]),
    );
  }

  /** Bytes that {@linkcode MemoryPool.take} would allocate for the slots of `programs`, in order. */
  lackingBytes(...programs: readonly (readonly Slot[])[]): number {
    const buffers: { size: number }[] = [...this.#buffers];
    const textures: Texture[] = [...this.#textures];
    let bytes = 0;
    for (const slots of programs) {
      for (const [slot, known] of fit(slots, buffers, textures)) {
        if (known) continue;
        bytes += slotBytes(slot);
        if (slot.kind === "buffer") buffers.push({ size: slot.sizeBytes });
        else textures.push({ ...slot, format: IMAGE_CONSTANTS[slot.type].TEXEL });
      }
    }
    return bytes;
  }

  /** Frees everything where {@linkcode MemoryPool.take} would make the pool larger than `mostBytes`. */
  makeRoom(slots: readonly Slot[], mostBytes: number): void {
    if (this.sizeBytes + this.lackingBytes(slots) > mostBytes) this.destroy();
  }

  /** Frees everything; programs that borrowed from it must not run any more. */
  destroy(): void {
    this.#generation++;
    for (const buffer of this.#buffers.splice(0)) buffer.destroy();
    for (const texture of this.#textures.splice(0)) texture.destroy();
  }

  #newBuffer(sizeBytes: number): GPUBuffer {
    const buffer = this.#gpu.createBuffer(
      `pool buffer ${this.#buffers.length}`,
      sizeBytes,
      GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    );
    this.#buffers.push(buffer);
    return buffer;
  }

  #newTexture(width: number, height: number, type: ImageType): GPUTexture {
    const texture = this.#gpu.device.createTexture({
      label: `pool texture ${this.#textures.length}`,
      size: [width, height],
      format: IMAGE_CONSTANTS[type].TEXEL,
      usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
    });
    this.#textures.push(texture);
    return texture;
  }
}

type Texture = Pick<GPUTexture, "width" | "height" | "format">;

/** The smallest free memory for each slot, the largest slots first. */
function fit<B extends { size: number }, T extends Texture>(
  slots: readonly Slot[],
  buffers: readonly B[],
  textures: readonly T[],
): [Slot, B | T | undefined][] {
  const freeBuffers = [...buffers].sort((a, b) => a.size - b.size);
  const freeTextures = [...textures].sort((a, b) => bytesOf(a) - bytesOf(b));
  return [...slots].sort((a, b) => slotBytes(b) - slotBytes(a)).map((slot) => [
    slot,
    slot.kind === "buffer"
      ? takeFirst(freeBuffers, (b) => b.size >= slot.sizeBytes)
      : takeFirst(freeTextures, (t) =>
        t.format === IMAGE_CONSTANTS[slot.type].TEXEL && t.width >= slot.width &&
        t.height >= slot.height),
  ]);
}

function takeFirst<T>(items: T[], fits: (item: T) => boolean): T | undefined {
  const index = items.findIndex(fits);
  return index < 0 ? undefined : items.splice(index, 1)[0];
}
