/**
 * What is known of files from an earlier look at them, in `interim/cache/facts.json` of the data
 * folder: a file whose size and time of change are the same is not decoded again.
 * @module
 */

import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic_file.ts";
import { tablePath } from "./files.ts";
import type { MaskFacts, PhotoFacts } from "./pair_job.ts";

/** Changes whenever what is found in a file, or what counts as damaged, does. */
const FACTS_VERSION = 2;

interface Known {
  readonly size: number;
  readonly timeMs: number;
  readonly photo?: PhotoFacts;
  readonly mask?: MaskFacts;
}

/** Facts by file. */
export class FactStore {
  readonly #files: Map<string, Known>;
  readonly #used = new Set<string>();
  #changed = false;

  private constructor(readonly data: string, known: Readonly<Record<string, Known>>) {
    this.#files = new Map(Object.entries(known));
  }

  /** Reads what is there; nothing of it where it is of another version or damaged. */
  static async open(data: string): Promise<FactStore> {
    try {
      const stored: { version: number; files: Record<string, Known> } = JSON.parse(
        await Deno.readTextFile(factsFile(data)),
      );
      return new FactStore(data, stored.version === FACTS_VERSION ? stored.files : {});
    } catch {
      return new FactStore(data, {});
    }
  }

  /** The facts of a photo that has not changed. */
  async photo(file: string): Promise<PhotoFacts | undefined> {
    return (await this.#known(file))?.photo;
  }

  /** The facts of a mask that has not changed. */
  async mask(file: string): Promise<MaskFacts | undefined> {
    return (await this.#known(file))?.mask;
  }

  /** Keeps what was found in a file. */
  async set(file: string, facts: Pick<Known, "photo" | "mask">): Promise<void> {
    const stamp = await stampOf(file);
    if (stamp === undefined) return;
    const name = tablePath(file, this.data);
    this.#files.set(name, { ...stamp, ...facts });
    this.#used.add(name);
    this.#changed = true;
  }

  /** Forgets the files that were neither asked for nor set since this was opened. */
  forgetOthers(): void {
    for (const name of [...this.#files.keys()].filter((name) => !this.#used.has(name))) {
      this.#files.delete(name);
      this.#changed = true;
    }
  }

  /** Writes what is known where that has changed. What cannot be written is lost. */
  async save(): Promise<void> {
    if (!this.#changed) return;
    const files = Object.fromEntries(this.#files);
    const text = JSON.stringify({ version: FACTS_VERSION, files });
    await writeFileAtomic(factsFile(this.data), new TextEncoder().encode(text))
      .then(() => this.#changed = false, () => undefined);
  }

  async #known(file: string): Promise<Known | undefined> {
    const name = tablePath(file, this.data);
    const known = this.#files.get(name);
    const stamp = known && await stampOf(file);
    if (!stamp || stamp.size !== known?.size || stamp.timeMs !== known.timeMs) return undefined;
    this.#used.add(name);
    return known;
  }
}

const factsFile = (data: string): string => join(data, "interim", "cache", "facts.json");

async function stampOf(file: string): Promise<{ size: number; timeMs: number } | undefined> {
  try {
    const { size, mtime } = await Deno.stat(file);
    return { size, timeMs: mtime?.getTime() ?? 0 };
  } catch {
    return undefined;
  }
}
