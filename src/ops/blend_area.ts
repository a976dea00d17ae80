/**
 * Memory for a map that is put together from windows: some of its rows at a time, in a ring.
 * @module
 */
import { InputError } from "../errors.ts";
import { type BufferMemory, mib, PersistentBuffer } from "../graph/memory.ts";

/** Sizes of a {@linkcode BlendArea}. */
export interface BlendAreaOptions {
  /** Channels of the map. */
  channels: number;
  /** Height of the map. */
  height: number;
  /** Width of the map. */
  width: number;
  /** Rows of the map that are held at a time: row y lies at y mod `rows`. */
  rows: number;
  /** Bytes of the largest buffer range that one binding can hold. */
  maxBindingBytes: number;
}

/** Some blocks of four channels of a {@linkcode BlendArea}, in a buffer of their own. */
export interface BlendChunk {
  /** vec4s [blocks, rows, width]. */
  memory: BufferMemory;
  /** First block of four channels. */
  firstBlock: number;
  /** Blocks of four channels. */
  blocks: number;
}

/** The rows of a map [channels, height, width] that windows are being added to. */
export class BlendArea {
  /** Channels of the map. */
  readonly channels: number;
  /** Rows of the map. */
  readonly height: number;
  /** Pixels of a row of the map. */
  readonly width: number;
  /** Rows that are held at a time. */
  readonly rows: number;
  /** All blocks of channels, in order. */
  readonly chunks: readonly BlendChunk[];
  readonly #buffers: PersistentBuffer[] = [];

  /**
   * Allocates nothing before a program that uses it is compiled.
   * @throws {InputError} when the rows of four channels exceed a binding.
   */
  constructor({ channels, height, width, rows, maxBindingBytes }: BlendAreaOptions) {
    this.channels = channels;
    this.height = height;
    this.width = width;
    this.rows = Math.min(rows, height);
    const blocks = Math.ceil(channels / 4);
    const blockBytes = this.rows * width * 16;
    const blocksPerChunk = Math.floor(maxBindingBytes / blockBytes);
    if (blocksPerChunk < 1) {
      throw new InputError(
        `Blending ${this.rows} rows of ${width} pixels takes ${
          mib(blockBytes)
        } for four classes, ` +
          `but this adapter binds at most ${mib(maxBindingBytes)} at once; use a smaller tile.`,
      );
    }
    this.chunks = Array.from({ length: Math.ceil(blocks / blocksPerChunk) }, (_, i) => {
      const firstBlock = i * blocksPerChunk;
      const count = Math.min(blocksPerChunk, blocks - firstBlock);
      const sizeBytes = count * blockBytes;
      const buffer = new PersistentBuffer(`blend area ${i}`, sizeBytes);
      this.#buffers.push(buffer);
      const home = { buffer, offsetBytes: 0 };
      return {
        memory: { kind: "buffer", label: buffer.label, sizeBytes, home },
        firstBlock,
        blocks: count,
      };
    });
  }

  /** GPU memory it takes. */
  get sizeBytes(): number {
    return this.#buffers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /** Frees its memory; programs that use it must not run any more. */
  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}
