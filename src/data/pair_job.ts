/**
 * The heavy part of looking at a photo and its mask: reading, decoding, counting and scaling. It runs
 * in a worker or in the main thread, so what goes in and comes out is plain data.
 * @module
 */

import { createHash } from "node:crypto";
import { InputError } from "../errors.ts";
import { reasonOf } from "../io/atomic_file.ts";
import { readBytes, shownPath } from "./files.ts";
import { countValues, decodeMask, type StoredMask } from "./mask.ts";
import { decodePhoto, type Photo, photoHeader } from "./photo.ts";
import type { CacheEntry } from "./pixel_cache.ts";
import { encodePixels, type Pixels, writePixels } from "./pixel_file.ts";
import type { Rgb } from "./png.ts";
import type { Orientation } from "./exif.ts";
import { resizeArea, resizeNearest, scaledSize } from "./resize.ts";

/** What a photo holds. */
export interface PhotoFacts {
  /** As it is seen. */
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
  readonly format: "PNG" | "JPEG";
  /** Of the file's bytes. */
  readonly hash: string;
  /** Sum of red, green and blue, 0 to 255, over all pixels. */
  readonly sums: Rgb;
  /** Sum of their squares. */
  readonly squares: Rgb;
  /** Where the file has 16 bits a sample: the largest one, rounded to 8 bits like all of them. */
  readonly largest?: number;
}

/** What a mask holds. */
export interface MaskFacts {
  readonly width: number;
  readonly height: number;
  readonly kind: StoredMask["kind"];
  readonly hash: string;
  /** [value, pixels], as stored, ascending; colours as 0xRRGGBB. */
  readonly counts: readonly (readonly [number, number])[];
  readonly palette?: readonly Rgb[];
}

/** What to do with a photo and its mask. */
export interface PairJob {
  readonly photo: string;
  readonly mask?: string;
  /** Where to keep the scaled images. */
  readonly keep?: {
    readonly scale: number;
    readonly photo?: CacheEntry;
    readonly mask?: CacheEntry;
  };
}

/** What came of a job: facts, or why there are none. */
export interface PairResult {
  readonly photo: PhotoFacts | { readonly problem: string };
  readonly mask?: MaskFacts | { readonly problem: string };
  /** Bytes written for the scaled images. */
  readonly keptBytes: number;
  /** Why one of them could not be written. */
  readonly unkept?: string;
}

/** Does a job. Files that are no good are part of the result. */
export async function runPairJob({ photo, mask, keep }: PairJob): Promise<PairResult> {
  const kept: { keptBytes: number; unkept?: string } = { keptBytes: 0 };
  const write = async (entry: CacheEntry | undefined, pixels: Pixels) => {
    if (entry === undefined || kept.unkept !== undefined) return;
    const bytes = encodePixels(entry.key, pixels);
    try {
      await writePixels(entry.path, bytes);
      kept.keptBytes += bytes.length;
    } catch (error) {
      kept.unkept = reasonOf(error);
    }
  };
  const photoFacts = await orProblem(async () => {
    const bytes = await readBytes(photo);
    const decoded = await decodePhoto(bytes, shownPath(photo));
    if (keep?.photo !== undefined) {
      const { width, height } = scaledSize(decoded.width, decoded.height, keep.scale);
      await write(keep.photo, { ...resizeArea(decoded, width, height), kind: "photo" });
    }
    return factsOfPhoto(bytes, decoded, shownPath(photo));
  });
  if (mask === undefined) return { photo: photoFacts, ...kept };
  const maskFacts = await orProblem(async () => {
    const bytes = await readBytes(mask);
    const decoded = decodeMask(bytes, shownPath(mask));
    if (keep?.mask !== undefined) {
      const { width, height } = scaledSize(decoded.width, decoded.height, keep.scale);
      await write(keep.mask, resizeNearest<StoredMask>(decoded, width, height));
    }
    return factsOfMask(bytes, decoded, shownPath(mask));
  });
  return { photo: photoFacts, mask: maskFacts, ...kept };
}

async function orProblem<T>(work: () => Promise<T>): Promise<T | { problem: string }> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { problem: error.message };
  }
}

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function factsOfPhoto(bytes: Uint8Array, { width, height, data }: Photo, name: string): PhotoFacts {
  const { orientation, format, bitDepth } = photoHeader(bytes, name);
  let [red, green, blue, red2, green2, blue2] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < data.length; i += 3) {
    const [r, g, b] = [data[i]!, data[i + 1]!, data[i + 2]!];
    red += r;
    green += g;
    blue += b;
    red2 += r * r;
    green2 += g * g;
    blue2 += b * b;
  }
  return {
    width,
    height,
    orientation,
    format,
    hash: hashOf(bytes),
    sums: [red, green, blue],
    squares: [red2, green2, blue2],
    ...(bitDepth === 16 ? { largest: largestOf(data) } : {}),
  };
}

function largestOf(data: Uint8Array): number {
  let largest = 0;
  for (const sample of data) if (sample > largest) largest = sample;
  return largest;
}

function factsOfMask(bytes: Uint8Array, mask: StoredMask, name: string): MaskFacts {
  const { width, height, kind } = mask;
  return {
    width,
    height,
    kind,
    hash: hashOf(bytes),
    counts: [...countValues(mask, name)].sort(([a], [b]) => a - b),
    ...(kind === "palette" && mask.palette !== undefined ? { palette: mask.palette } : {}),
  };
}
