/**
 * Textures that kernels fill by way of a small buffer, piece by piece. A store to a texture costs
 * llvmpipe twice one to a buffer, so what a kernel leaves for others to read as texels goes to a
 * buffer first. Where that is small, and the same for every piece, the processor's caches keep it:
 * stores that jump from row to row need not wait for memory, nor does the copy.
 * @module
 */
import type { LowerContext, TextureCopyStep } from "../graph/lower.ts";
import type { BufferMemory, TextureMemory } from "../graph/memory.ts";

/**
 * Bytes of a piece, at most, where they can be so few. With half of it kernels are as fast, but there
 * are twice as many dispatches to encode; with twice as much most of the gain is gone.
 */
export const PIECE_BYTES = 2 ** 21;

/** From the start of a buffer to a rectangle of a texture. */
type TexelCopy = Pick<
  TextureCopyStep,
  "bytesPerRow" | "x" | "y" | "width" | "height"
>;

/** Some of a texture: all dispatches, any order, then the copy. */
export interface Piece<Dispatches> {
  readonly dispatches: Dispatches;
  readonly copy: TexelCopy;
}

/** A texture, and what fills it. */
export interface PiecedTexture<Dispatches> {
  /** In texels. */
  readonly width: number;
  readonly height: number;
  /** One after the other; made only to fill it: gradients that share a texture all plan it. */
  pieces(): readonly Piece<Dispatches>[];
}

/** A texture that is filled at once. */
export function wholeTexture<Dispatches>(
  { width, height, bytesPerRow }: { width: number; height: number; bytesPerRow: number },
  dispatches: Dispatches,
): PiecedTexture<Dispatches> {
  const copy = { bytesPerRow, x: 0, y: 0, width, height };
  return { width, height, pieces: () => [{ dispatches, copy }] };
}

/**
 * Emits the steps that fill a texture.
 * @param fill emits the dispatches of a piece, which write to `buffer` from its start
 */
export function fillTexture<Dispatches>(
  context: LowerContext,
  label: string,
  texture: PiecedTexture<Dispatches>,
  fill: (dispatches: Dispatches, buffer: BufferMemory) => void,
): TextureMemory {
  const pieces = texture.pieces();
  const bytes = pieces.map(({ copy }) => copy.bytesPerRow * copy.height);
  const source = context.scratch(label, Math.max(...bytes));
  const target = context.scratchTexture(label, texture.width, texture.height);
  for (const { dispatches, copy } of pieces) {
    fill(dispatches, source);
    context.copyToTexture({ source, offsetBytes: 0, target, ...copy });
  }
  return target;
}
