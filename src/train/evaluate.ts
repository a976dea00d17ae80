/**
 * Scores of a network on photos with masks, at the masks' own resolution: photos are scaled as in
 * training, the logits are brought back to the mask's size, and the mask is never resized.
 * @module
 */
import type { Sample, ValueMap } from "../data/dataset.ts";
import { readBytes, shownPath } from "../data/files.ts";
import { decodeMask } from "../data/mask.ts";
import { decodePhoto, type Photo } from "../data/photo.ts";
import type { PixelCache } from "../data/pixel_cache.ts";
import { prefetch } from "../data/prefetch.ts";
import { resizeArea, scaledSize } from "../data/resize.ts";
import { checkMaskFits, rgbToRgba, scaledPhoto } from "../data/samples.ts";
import { InputError, ShapeError } from "../errors.ts";
import type { PhotoBatch, PredictOptions, Segmenter } from "../nn/segmenter.ts";
import type { Flips } from "../nn/window_plan.ts";
import type { ProbabilityRows } from "../nn/window_program.ts";
import type { ScoredImage } from "../report/gallery.ts";
import { ConfusionMatrix, type Scores } from "./metrics.ts";

/** Photos as a network sees them. */
export interface ScaledPhotos {
  /** Photos are scaled by this before the network sees them. */
  readonly scale: number;
  /** Keeps photos of this scale; default: every photo is decoded. */
  readonly disk?: PixelCache;
}

/** What {@linkcode evaluateSamples} needs to know. */
export interface EvaluateOptions extends ScaledPhotos {
  /** More scales, whose probabilities are averaged with those of the first; default none. */
  readonly alsoAt?: readonly ScaledPhotos[];
  /** From the masks' values to class ids. */
  readonly valueMap: ValueMap;
  /** Classes of the network. */
  readonly classes: number;
  /** The data folder that the samples belong to, for advice; default `data`. */
  readonly folder?: string;
  /** Average the probabilities of each photo and its flips; default none. */
  readonly flips?: Flips;
  /** Called after each image. */
  readonly onProgress?: (image: ImageScore) => void;
  /** Called with each image and its prediction. */
  readonly onPrediction?: ((image: ScoredImage) => void) | undefined;
}

/** The score of one image by itself. */
export interface ImageScore {
  /** Path of the photo. */
  readonly image: string;
  /** Mean over the classes that occur in its truth or prediction; null where all truth is ignored. */
  readonly meanIoU: number | null;
}

/** Scores of a set of images. */
export interface Evaluation {
  /** From one confusion matrix over all pixels. */
  readonly scores: Scores;
  readonly matrix: ConfusionMatrix;
  /** In the order of the samples. */
  readonly images: readonly ImageScore[];
}

/** What predicts; tests use less than a whole segmenter. */
export type Predictor = Pick<Segmenter, "predict"> & Partial<Pick<Segmenter, "largestFit">>;

/** A photo that was read and scaled here. */
type ScaledPhoto = PhotoBatch & { pixels: Uint8Array };

/** Class ids of a photo or mask. */
interface Truth {
  readonly height: number;
  readonly width: number;
  /** 255 where ignored. */
  readonly labels: Uint8Array;
}

/**
 * Predicts every sample and compares it with its mask.
 * @throws {InputError} naming the file that cannot be read, has no mask or one of another size,
 *   holds a value that is no class, or does not fit the network or memory.
 */
export async function evaluateSamples(
  segmenter: Predictor,
  samples: readonly Sample[],
  options: EvaluateOptions,
): Promise<Evaluation> {
  const { alsoAt = [], classes, flips = "none", onProgress, onPrediction } = options;
  // Masks are scored at their own size; what is kept of them at other scales is for training.
  const masks = [options, ...alsoAt].find(({ disk }) => disk?.scale === 1)?.disk;
  const matrix = new ConfusionMatrix(classes);
  const images: ImageScore[] = [];
  const load = async ({ image, mask }: Sample) => {
    return {
      image,
      photo: await scaled(image, options),
      alsoAt: await Promise.all(alsoAt.map((photos) => scaled(image, photos))),
      truth: await readTruth({ image, mask }, options, masks),
    };
  };
  for await (const { image, photo, alsoAt, truth } of prefetch(samples, load)) {
    const { height, width, labels } = truth;
    const how = { size: [height, width], flips, alsoAt } as const;
    const ids = await predictPhoto(segmenter, photo, image, how);
    const own = new ConfusionMatrix(classes);
    own.add(labels, ids);
    own.counts.forEach((count, cell) => matrix.counts[cell] = (matrix.counts[cell] ?? 0) + count);
    const isLabelled = own.counts.some((count) => count > 0);
    const score = { image, meanIoU: isLabelled ? own.scores().meanIoU : null };
    images.push(score);
    onPrediction?.({ name: image, photo, ...{ width, height }, truth: labels, predicted: ids });
    onProgress?.(score);
  }
  return { scores: matrix.scores(), matrix, images };
}

async function scaled(image: string, { scale, disk }: ScaledPhotos): Promise<ScaledPhoto> {
  const { width, height, data } = await scaledPhoto(image, scale, disk);
  return { batch: 1, width, height, pixels: rgbToRgba(data) };
}

/**
 * Reads and decodes a photo.
 * @param flag The option that named it, for the message.
 * @throws {InputError} naming it.
 */
export async function readPhoto(path: string, flag?: string): Promise<Photo> {
  return await decodePhoto(await readBytes(path, flag), shownPath(path));
}

/** A photo as the network sees it: scaled by an area filter, RGBA. */
export function scalePhoto(photo: Photo, scale: number): ScaledPhoto {
  const { width, height } = scaledSize(photo.width, photo.height, scale);
  return { batch: 1, width, height, pixels: rgbToRgba(resizeArea(photo, width, height).data) };
}

/**
 * The class of every pixel of one photo.
 * @param path Named in errors.
 * @throws {InputError} when the scaled photo is too small for the network or too large for memory.
 */
export async function predictPhoto(
  segmenter: Predictor,
  photo: PhotoBatch,
  path: string,
  options: PredictOptions,
): Promise<Uint8Array> {
  const { onProbabilities } = options;
  let unwritten: unknown;
  const watched = onProbabilities && {
    onProbabilities: async (rows: ProbabilityRows) => {
      try {
        await onProbabilities(rows);
      } catch (error) {
        unwritten = error;
        throw error;
      }
    },
  };
  try {
    return await segmenter.predict(photo, { ...options, ...watched });
  } catch (error) {
    // Where rows could not be written, another scale would not help.
    if (!(error instanceof InputError) || error === unwritten) throw error;
    const sizes = [photo, ...options.alsoAt ?? []].map(({ width, height }) =>
      `${width} x ${height}`
    );
    throw new InputError(
      `cannot predict ${shownPath(path)} at ${sizes.join(", ")} pixels: ` +
        inTermsOfScale(segmenter, photo, options, error),
    );
  }
}

/**
 * The engine's message with the advice that this caller can give: which scale would do. The class
 * map has the photo's own size, so the scale in use follows from it.
 */
function inTermsOfScale(
  segmenter: Predictor,
  photo: PhotoBatch,
  options: PredictOptions,
  error: InputError,
): string {
  const scale = photo.width / (options.size?.[1] ?? photo.width);
  const message = error.message.replace(/\.$/, "");
  if (error instanceof ShapeError) {
    const isScaled = scale < 1 || options.alsoAt?.some(({ width }) => width < photo.width);
    const todo = isScaled ? "use a larger scale (-s)" : "remove this photo, or leave it out";
    return `${message}; ${todo}`;
  }
  const tile = options.window?.side ? "a smaller tile (--tile)" : "";
  if (options.alsoAt?.length) {
    const first = tile && `${tile}, `;
    return `${message.replace(/;[^;]*$/, "")}; use ${first}fewer or smaller scales (-s)`;
  }
  const factor = segmenter.largestFit?.(photo, options);
  if (factor === undefined) return message;
  const fits = Number((scale * factor).toPrecision(2));
  return `${message.replace(/;[^;]*$/, "")}; ${tile && `use ${tile}; `}what would fit: -s ${fits}`;
}

async function readTruth(
  { image, mask }: Pick<Sample, "image" | "mask">,
  { valueMap, folder }: EvaluateOptions,
  masks: PixelCache | undefined,
): Promise<Truth> {
  if (mask === undefined) {
    throw new InputError(`${shownPath(image)} has no mask to compare its prediction with`);
  }
  const name = shownPath(mask);
  const kept = await masks?.read(await masks.entry(mask));
  const stored = kept && kept.kind !== "photo" ? kept : decodeMask(await readBytes(mask), name);
  const { width, height } = stored;
  await checkMaskFits(image, { width, height }, name, folder);
  return { width, height, labels: valueMap.labelsOf(stored, name) };
}
