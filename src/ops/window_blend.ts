/**
 * Whole maps from overlapping windows: each is added with its weights to a ring of rows, so that a
 * map of any height takes the memory of one row of windows.
 * @module
 */
import code from "../../shaders/window_blend.wgsl" with { type: "text" };
import { InputError, ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";
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
  firstBlock: number;
  blocks: number;
}

/** The rows of a map [channels, height, width] that windows are being added to. */
export class BlendArea {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
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

/** Where a window goes, for {@linkcode windowBlend}; 5 words by {@linkcode placementWords}. */
export interface WindowPlacement {
  left: number;
  top: number;
  /** Columns before this one hold earlier windows' sums, which are added to. */
  keepX: number;
  /** Rows before this one do, too; everything else is overwritten. */
  keepY: number;
  /** The values are mirrored: left to right, top to bottom. */
  flip?: readonly [boolean, boolean];
}

/** The values of the input `placement` of {@linkcode windowBlend}. */
export function placementWords({ left, top, keepX, keepY, flip }: WindowPlacement): Uint32Array {
  return Uint32Array.of(left, top, keepX, keepY, (flip?.[0] ? 1 : 0) + (flip?.[1] ? 2 : 0));
}

/**
 * Adds a window to `area`, each value times its column's and its row's weight; see the shader for
 * what is added to and what overwritten.
 *
 * @param values f32 [1, C, h, w], C as the area has.
 * @param weights flat [w + h]: of the columns, then of the rows.
 * @param placement u32 [5], see {@linkcode placementWords}; the window must lie inside the map.
 */
export function windowBlend(
  values: Tensor,
  weights: Tensor,
  placement: Tensor,
  area: BlendArea,
): void {
  const [batch = 0, channels = 0, height = 0, width = 0] = values.shape;
  const [count = 0] = weights.shape;
  if (
    values.layout !== "c4" || batch !== 1 || channels !== area.channels ||
    count !== width + height || placement.dtype !== "u32" || placement.shape[0] !== 5 ||
    height > area.rows || width > area.width
  ) {
    throw new ShapeError(
      `window_blend got "${values.label}" ${values.describe()}, weights ${weights.describe()} and ` +
        `placement ${placement.describe()}, expected a window [1, ${area.channels}, h, w] of at ` +
        `most ${area.rows} x ${area.width} pixels, [w + h] weights and u32[5].`,
    );
  }
  values.graph.record({
    op: "window_blend",
    inputs: [values, weights, placement],
    outputs: [],
    effect: true,
    lower(context) {
      const { pitch } = c4Geometry(values.shape);
      for (const { memory, firstBlock, blocks } of area.chunks) {
        context.dispatch({
          kernel: { name: "window_blend", source: code, constants: {} },
          params: [width, height, pitch, firstBlock, area.rows, area.width],
          grid: [Math.ceil(width / 64), height, blocks],
        }, [values, weights, placement, memory]);
      }
    },
  });
}
