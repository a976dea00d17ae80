/**
 * Scaled photos and masks kept on disk between epochs and runs, in `interim/cache` of the data
 * folder. An entry is known by its source's path, size and time of change, the scale and the format's
 * version, so a changed source is noticed. The folder may be deleted at any time.
 *
 * It holds {@linkcode CACHE_BYTES} at most: when that is reached, the scales that were not used for
 * longest go first; what still finds no room is decoded whenever it is needed. (Workers may overstep
 * it by the images they are at.)
 * @module
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { reasonOf } from "../io/atomic_file.ts";
import { tablePath } from "./files.ts";
import {
  encodePixels,
  holdsKey,
  PIXEL_FORMAT,
  type Pixels,
  readPixels,
  writePixels,
} from "./pixel_file.ts";

/** Most bytes that the scaled images of a data folder take on disk. */
export const CACHE_BYTES = 4 * 2 ** 30;

/** Where an image's pixels are kept, and what they must say they were made from. */
export interface CacheEntry {
  readonly path: string;
  readonly key: string;
}

interface Stored {
  readonly path: string;
  readonly bytes: number;
}

/** The scaled images of one data folder at one scale. */
export class PixelCache {
  #used: number;
  #others: { path: string; bytes: number; usedMs: number }[];
  #refusal: string | undefined;
  #failed = false;

  private constructor(
    readonly data: string,
    readonly scale: number,
    readonly limitBytes: number,
    stored: { used: number; others: { path: string; bytes: number; usedMs: number }[] },
  ) {
    this.#used = stored.used;
    this.#others = stored.others;
  }

  /** Looks at what is there. A folder that cannot be written to makes a cache that only reads. */
  static async open(
    data: string,
    scale: number,
    limitBytes: number = CACHE_BYTES,
  ): Promise<PixelCache> {
    const root = cacheFolder(data);
    const own = scaleFolder(data, scale);
    const others: { path: string; bytes: number; usedMs: number }[] = [];
    let used = 0;
    for (const path of await folders(root)) {
      const bytes = (await filesOf(path)).reduce((sum, file) => sum + file.bytes, 0);
      if (path === own) used = bytes;
      else others.push({ path, bytes, usedMs: (await Deno.stat(path)).mtime?.getTime() ?? 0 });
    }
    others.sort((a, b) => a.usedMs - b.usedMs);
    const now = new Date();
    // The folder's time says when its scale was last used.
    await Deno.mkdir(own, { recursive: true }).then(() => Deno.utime(own, now, now))
      .catch(() => undefined);
    return new PixelCache(data, scale, limitBytes, { used, others });
  }

  /** Bytes that the entries of this scale take. */
  get usedBytes(): number {
    return this.#used;
  }

  /** Whether some image found no room or could not be written. */
  get full(): boolean {
    return this.#refusal !== undefined;
  }

  /** Whether some image could not be written, though there was room within the limit. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Why some image is not kept. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** The entry of a source file as it is now; `undefined` where it is gone. */
  async entry(source: string): Promise<CacheEntry | undefined> {
    try {
      const { size, mtime } = await Deno.stat(source);
      const name = tablePath(source, this.data);
      const id = createHash("sha256").update(name).digest("hex").slice(0, 24);
      return {
        path: join(scaleFolder(this.data, this.scale), `${id}.pixels`),
        key: [PIXEL_FORMAT, name, size, mtime?.getTime() ?? 0, this.scale].join(" "),
      };
    } catch {
      return undefined;
    }
  }

  /** The image of an entry, where it is there and sound. */
  async read(entry: CacheEntry | undefined): Promise<Pixels | undefined> {
    return entry === undefined ? undefined : await readPixels(entry.path, entry.key);
  }

  /** Whether the image of an entry is there; its samples are not looked at. */
  async has(entry: CacheEntry | undefined): Promise<boolean> {
    return entry !== undefined && await holdsKey(entry.path, entry.key);
  }

  /** Keeps an image while there is room. */
  async write(entry: CacheEntry | undefined, pixels: Pixels): Promise<void> {
    if (entry === undefined) return;
    const bytes = encodePixels(entry.key, pixels);
    if (!await this.hasRoom(bytes.length)) return;
    try {
      await writePixels(entry.path, bytes);
      this.grow(bytes.length);
    } catch (error) {
      // A full or write-protected disk: training goes on without.
      this.fail(reasonOf(error));
    }
  }

  /** Counts bytes that somebody else (a worker) wrote. */
  grow(bytes: number): void {
    this.#used += bytes;
  }

  /** Notes why an image could not be written; no more are. */
  fail(reason: string): void {
    this.#failed = true;
    this.#refusal ??= reason;
  }

  /** Whether `bytes` more may be written, after dropping other scales if need be. */
  async hasRoom(bytes: number): Promise<boolean> {
    if (this.full) return false;
    const total = () => this.#used + this.#others.reduce((sum, other) => sum + other.bytes, 0);
    while (total() + bytes > this.limitBytes) {
      const oldest = this.#others.shift();
      if (oldest === undefined) {
        const most = Number((this.limitBytes / 2 ** 30).toPrecision(2));
        this.#refusal = `it holds ${most} GiB at most, a smaller scale (-s) would fit`;
        return false;
      }
      await Deno.remove(oldest.path, { recursive: true }).catch(() => undefined);
    }
    return true;
  }

  /** Removes what belongs to none of the given entries: sources that are gone, stopped writers. */
  async keepOnly(entries: readonly (CacheEntry | undefined)[]): Promise<void> {
    const kept = new Set(entries.map((entry) => entry?.path));
    for (const { path, bytes } of await filesOf(scaleFolder(this.data, this.scale))) {
      if (kept.has(path)) continue;
      await Deno.remove(path).catch(() => undefined);
      this.#used -= bytes;
    }
  }
}

const cacheFolder = (data: string): string => join(data, "interim", "cache");
const scaleFolder = (data: string, scale: number): string =>
  join(cacheFolder(data), `scale-${scale}`);

async function folders(root: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(root)) {
      if (isDirectory) found.push(join(root, name));
    }
  } catch {
    // None yet.
  }
  return found;
}

async function filesOf(folder: string): Promise<Stored[]> {
  const found: Stored[] = [];
  try {
    for await (const { name, isFile } of Deno.readDir(folder)) {
      if (!isFile) continue;
      const path = join(folder, name);
      found.push({ path, bytes: (await Deno.stat(path)).size });
    }
  } catch {
    // None yet, or gone meanwhile.
  }
  return found;
}
