/**
 * Pairs as training reads them: photos scaled by an area filter to RGBA, masks scaled by nearest
 * neighbour to labels; decoded once, kept on disk for later runs and in memory while they fit.
 * @module
 */
import { InputError } from "../errors.ts";
import type { TrainingBatch } from "../train/trainer.ts";
import type { Batch, ImageSize } from "../train/batches.ts";
import { dataCommand, type Sample, type ValueMap } from "./dataset.ts";
import { readBytes, readHead, shownPath } from "./files.ts";
import { decodeMask } from "./mask.ts";
import { decodePhoto, imageSize, type Photo } from "./photo.ts";
import type { PixelCache } from "./pixel_cache.ts";
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

const DEFAULT_MEMORY_BYTES = 2 * 2 ** 30;

/** Where a {@linkcode SampleSource} keeps scaled pairs. */
export interface SampleOptions {
  /** Scaled pairs of earlier runs, of the same scale. */
  readonly disk?: PixelCache;
  /** Most bytes of scaled pairs in memory; default 2 GiB. */
  readonly memoryBytes?: number;
  /** The data folder that they belong to, for advice. */
  readonly folder?: string;
}

/** Photos and labels of a split at a scale. */
export class SampleSource {
  /** Scaled size of each sample, in order. */
  readonly sizes: readonly ImageSize[];
  readonly #samples: readonly Sample[];
  readonly #scale: number;
  readonly #values: ValueMap;
  readonly #cache = new Map<number, Promise<ScaledPair>>();
  readonly #disk: PixelCache | undefined;
  readonly #folder: string | undefined;
  #room: number;

  private constructor(
    samples: readonly Sample[],
    sizes: readonly ImageSize[],
    scale: number,
    values: ValueMap,
    { disk, memoryBytes = DEFAULT_MEMORY_BYTES, folder }: SampleOptions,
  ) {
    this.#samples = samples;
    this.sizes = sizes;
    this.#scale = scale;
    this.#values = values;
    this.#disk = disk;
    this.#folder = folder;
    this.#room = memoryBytes;
  }

  /**
   * Looks at the headers of all photos.
   * @throws {InputError} naming the file for one that cannot be read.
   */
  static async open(
    samples: readonly Sample[],
    scale: number,
    values: ValueMap,
    options: SampleOptions = {},
  ): Promise<SampleSource> {
    const sizes: ImageSize[] = [];
    for (const { image } of samples) {
      const { width, height } = await sizeOf(image);
      sizes.push(scaledSize(width, height, scale));
    }
    return new SampleSource(samples, sizes, scale, values, options);
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
    const photo = await this.#photo(sample.image, size);
    const pixels = rgbToRgba(photo);
    if (sample.mask === undefined) return { ...size, pixels, labels: new Uint8Array() };
    return { ...size, pixels, labels: await this.#labels(sample.image, sample.mask, size) };
  }

  /** RGB of a photo at its scaled size. */
  async #photo(path: string, { width, height }: ImageSize): Promise<Uint8Array> {
    const photo = await scaledPhoto(path, this.#scale, this.#disk);
    if (photo.width === width && photo.height === height) return photo.data;
    throw new InputError(
      `${shownPath(path)} is ${photo.width} x ${photo.height} once scaled, but was ${width} x ` +
        `${height} when this run began; leave the photos alone while a run reads them, start again`,
    );
  }

  /** Labels of a mask at the scaled size of its photo. */
  async #labels(image: string, path: string, { width, height }: ImageSize): Promise<Uint8Array> {
    const name = shownPath(path);
    const entry = await this.#disk?.entry(path);
    const kept = await this.#disk?.read(entry);
    if (kept && kept.kind !== "photo" && kept.width === width && kept.height === height) {
      return this.#values.labelsOf(kept, name);
    }
    const mask = decodeMask(await readBytes(path), name);
    await checkMaskFits(image, mask, name, this.#folder);
    const small = resizeNearest(mask, width, height);
    await this.#disk?.write(entry, small);
    return this.#values.labelsOf(small, name);
  }
}

/**
 * A photo scaled by an area filter: as it is kept on disk, else decoded, and kept from then on.
 * @param disk of the same scale
 * @throws {InputError} naming the file that cannot be read.
 */
export async function scaledPhoto(
  path: string,
  scale: number,
  disk: PixelCache | undefined,
): Promise<Photo> {
  const entry = await disk?.entry(path);
  const kept = await disk?.read(entry);
  if (kept?.kind === "photo") return kept;
  const photo = await decodePhoto(await readBytes(path), shownPath(path));
  const { width, height } = scaledSize(photo.width, photo.height, scale);
  const scaled = resizeArea(photo, width, height);
  await disk?.write(entry, { ...scaled, kind: "photo" });
  return scaled;
}

/**
 * Either may have been replaced since `deno task data` compared them.
 * @param image looked at by its header only
 * @param mask as stored, not scaled
 * @param folder the data folder that they belong to, for advice
 * @throws {InputError} naming both where their sizes differ.
 */
export async function checkMaskFits(
  image: string,
  mask: ImageSize,
  name: string,
  folder = "data",
): Promise<void> {
  const photo = await sizeOf(image);
  if (mask.width === photo.width && mask.height === photo.height) return;
  throw new InputError(
    `${shownPath(image)} is ${photo.width} x ${photo.height}, but its mask ${name} is ` +
      `${mask.width} x ${mask.height}; both must have one size, run ${dataCommand(folder)} again`,
  );
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
