/**
 * Which textures hold which images or other tensors, so that nodes in a row share what one of them
 * staged or copied.
 * @module
 */
import type { ImageType } from "./layout.ts";
import { type BufferMemory, type TextureMemory, wholeOf } from "./memory.ts";
import type { ImagePart } from "./staging.ts";

/**
 * Textures are shared by the nodes of a gradient, not kept for the whole step: so many steps after
 * they were last read. Five times as many saves a few copies more for a tenth more memory.
 */
const REUSE_STEPS = 12;

/** The textures that were staged or copied, by what they hold. */
export class StagedTextures {
  readonly #textures = new Map<string, TextureMemory>();
  /** The step behind the last one that reads or fills a texture. */
  readonly #usedAt = new Map<TextureMemory, number>();
  readonly #numbers = new Map<unknown, number>();
  #numbered = 0;

  /**
   * The texture of some memories that was used shortly before step `at`, else what `make` makes.
   * @param content a part of images, or all vec4s of this type in rows
   */
  take(
    memories: readonly BufferMemory[],
    content: ImagePart | ImageType,
    at: () => number,
    make: () => TextureMemory,
  ): TextureMemory {
    const key = JSON.stringify([memories.map((memory) => this.#keyOf(memory)), content]);
    const known = this.#textures.get(key);
    const usedAt = known && this.#usedAt.get(known);
    if (known && usedAt !== undefined && at() - usedAt <= REUSE_STEPS) return known;
    const texture = make();
    this.#textures.set(key, texture);
    this.used(texture, at());
    return texture;
  }

  /** Notes that the step before `at` reads a texture. */
  used(texture: TextureMemory, at: number): void {
    this.#usedAt.set(texture, at);
  }

  /** Forgets what was staged or copied from a memory that is written anew. */
  forget(memory: BufferMemory): void {
    this.#numbers.delete(wholeOf(memory));
  }

  /** Tells windows of different memories, or different windows of one, from each other. */
  #keyOf(memory: BufferMemory): string {
    const object = memory.home?.buffer ?? wholeOf(memory);
    const number = this.#numbers.get(object) ?? this.#numbered++;
    this.#numbers.set(object, number);
    const offsetBytes = memory.within?.offsetBytes ?? memory.home?.offsetBytes ?? 0;
    return `${number}+${offsetBytes}:${memory.sizeBytes}`;
  }
}
