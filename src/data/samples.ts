/**
 * Pairs as training reads them: photos scaled by an area filter to RGBA, masks scaled by nearest
 * neighbour to labels, decoded once and kept in memory while they fit.
 * @module
 */
import { InputError } from "../errors.ts";
import type { TrainingBatch } from "../train/trainer.ts";
import type { Batch, ImageSize } from "../train/batches.ts";
import type { Sample, ValueMap } from "./dataset.ts";
import { readBytes, readHead, shownPath } from "./files.ts";
import { readMask } from "./mask.ts";
import { decodePhoto, imageSize } from "./photo.ts";
import { resizeArea, resizeNearest, scaledSize } from "./resize.ts";

/** A scaled pair. */
export interface ScaledPair extends ImageSize {
  /** RGBA, 4 bytes a pixel. */
  pixels: Uint8Array;
  /** Class ids, 255 where ignored; empty when the sample has no mask. */
  labels: Uint8Array;
}

/** Enough for the headers of all but odd photos. */
const HEADER_BYTES = 2 ** 18;

const DEFAULT_CACHE_BYTES = 2 * 2 ** 30;

/** Photos and labels of a split at a scale. */
export class SampleSource {
  /** Scaled size of each sample, in order. */
  readonly sizes: readonly ImageSize[];
  readonly #samples: readonly Sample[];
  readonly #values: ValueMap;
  readonly #cache = new Map<number, Promise<ScaledPair>>();
  #room: number;

  private constructor(
    samples: readonly Sample[],
    sizes: readonly ImageSize[],
    values: ValueMap,
    cacheBytes: number,
  ) {
    this.#samples = samples;
    this.sizes = sizes;
    this.#values = values;
    this.#room = cacheBytes;
  }

  /**
   * Looks at the headers of all photos.
   * @throws {InputError} naming the file for one that cannot be read.
   */
  static async open(
    samples: readonly Sample[],
    scale: number,
    values: ValueMap,
    cacheBytes: number = DEFAULT_CACHE_BYTES,
  ): Promise<SampleSource> {
    const sizes: ImageSize[] = [];
    for (const { image } of samples) {
      const { width, height } = await sizeOf(image);
      sizes.push(scaledSize(width, height, scale));
    }
    return new SampleSource(samples, sizes, values, cacheBytes);
  }

  /** Number of samples. */
  get length(): number {
    return this.#samples.length;
  }

  /** One scaled pair. */
  pair(index: number): Promise<ScaledPair> {
    const known = this.#cache.get(index);
    if (known) return known;
    const loading = this.#load(index);
    const size = this.sizes[index];
    const bytes = size ? size.width * size.height * 5 : 0;
    if (bytes <= this.#room) {
      this.#room -= bytes;
      this.#cache.set(index, loading);
    }
    return loading;
  }

  /** The photos and labels of a batch, one after the other. */
  async batch({ indices, height, width }: Batch): Promise<TrainingBatch> {
    const pairs = await Promise.all(indices.map((i) => this.pair(i)));
    const area = height * width;
    const pixels = new Uint8Array(pairs.length * area * 4);
    const labels = new Uint8Array(pairs.length * area);
    pairs.forEach((pair, i) => {
      pixels.set(pair.pixels, i * area * 4);
      labels.set(pair.labels, i * area);
    });
    return { batch: pairs.length, height, width, pixels, labels };
  }

  async #load(index: number): Promise<ScaledPair> {
    const sample = this.#samples[index];
    const size = this.sizes[index];
    if (!sample || !size) throw new RangeError(`no sample ${index}`);
    const name = shownPath(sample.image);
    const photo = await decodePhoto(await readBytes(sample.image), name);
    const scaled = resizeArea(photo, size.width, size.height);
    const pixels = rgbToRgba(scaled.data);
    if (sample.mask === undefined) return { ...size, pixels, labels: new Uint8Array() };
    const maskName = shownPath(sample.mask);
    const mask = readMask(await readBytes(sample.mask), maskName);
    if (mask.width !== photo.width || mask.height !== photo.height) {
      throw new InputError(
        `${name} is ${photo.width} x ${photo.height}, but its mask ${maskName} is ${mask.width} x ` +
          `${mask.height}; both must have one size, run deno task data again.`,
      );
    }
    const small = resizeNearest(mask, size.width, size.height);
    return { ...size, pixels, labels: this.#values.toLabels(small.data, maskName) };
  }
}

/** Size of a photo, from its first bytes where they tell; EXIF thumbnails may push it further. */
async function sizeOf(path: string): Promise<ImageSize> {
  const name = shownPath(path);
  try {
    return imageSize(await readHead(path, HEADER_BYTES), name);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return imageSize(await readBytes(path), name);
  }
}

/** Opaque RGBA of RGB bytes. */
export function rgbToRgba(rgb: Uint8Array): Uint8Array {
  const pixels = rgb.length / 3;
  const rgba = new Uint8Array(pixels * 4);
  for (let i = 0, s = 0, t = 0; i < pixels; i++, s += 3, t += 4) {
    rgba[t] = rgb[s] ?? 0;
    rgba[t + 1] = rgb[s + 1] ?? 0;
    rgba[t + 2] = rgb[s + 2] ?? 0;
    rgba[t + 3] = 255;
  }
  return rgba;
}
