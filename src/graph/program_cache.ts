/**
 * Programs that are compiled when they are needed first and kept for the next time.
 * @module
 */
import type { Program } from "./program.ts";

/** Programs by what they were compiled for. */
export class ProgramCache {
  readonly #most: number;
  /** The one that was used last comes last. */
  readonly #programs = new Map<string, Program>();

  /** @param most Programs kept; what was used longest ago goes. Default: all. */
  constructor(most = Infinity) {
    this.#most = most;
  }

  /** The programs at hand. */
  get programs(): Program[] {
    return [...this.#programs.values()];
  }

  /** Whether there is a program for `key`, be its memory gone by now or not. */
  has(key: string): boolean {
    return this.#programs.has(key);
  }

  /**
   * The program for `key`; makes it where it is not there, or where its pool gave its memory to
   * another one.
   */
  async get(key: string, make: () => Promise<Program>): Promise<Program> {
    let program = this.#programs.get(key);
    this.#programs.delete(key);
    if (program?.isEvicted) {
      program.destroy();
      program = undefined;
    }
    program ??= await make();
    this.#programs.set(key, program);
    for (const [oldest, old] of this.#programs) {
      if (this.#programs.size <= this.#most) break;
      old.destroy();
      this.#programs.delete(oldest);
    }
    return program;
  }

  /** Frees all programs; the cache can be used again. */
  destroy(): void {
    for (const program of this.#programs.values()) program.destroy();
    this.#programs.clear();
  }

  /** Same as {@linkcode destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}
