/**
 * What `predict` does around the GPU: decoding photos and writing what came out. Plain functions of
 * plain data, so that they run in worker threads.
 * @module
 */

import type { Photo } from "../src/data/photo.ts";
import { encodePng } from "../src/data/png_write.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import type { PhotoBatch } from "../src/nn/segmenter.ts";
import { colourMask, type Colours, overlay } from "../src/report/overlay.ts";
import { readPhoto, scalePhoto } from "../src/train/evaluate.ts";
import { preview, writeFigures } from "./predict_figures.ts";
import type { Outputs } from "./predict_files.ts";

/** Names and colours of classes, by id. */
export interface ClassLook {
  readonly names: readonly string[];
  readonly colours: Colours;
}

const OVERLAY_OPACITY = 0.5;

/** A photo to decode. */
export interface LoadRequest {
  readonly input: string;
  readonly scales: readonly [number, ...number[]];
  /** Whether the photo itself and its preview will be drawn upon. */
  readonly photo: boolean;
  readonly preview: boolean;
}

/** A photo ready for the network. */
export interface LoadedPhoto {
  readonly width: number;
  readonly height: number;
  readonly batch: PhotoBatch;
  /** The same at further scales. */
  readonly alsoAt: readonly PhotoBatch[];
  readonly photo: Photo | undefined;
  readonly preview: Photo | undefined;
  /** Time that decoding and scaling took. */
  readonly spentMs: number;
}

/** A class map to write. */
export interface SaveRequest {
  readonly width: number;
  readonly height: number;
  readonly ids: Uint8Array;
  readonly photo: Photo | undefined;
  readonly preview: Photo | undefined;
  readonly outputs: Outputs;
  readonly look: ClassLook;
}

/** Reads, decodes and scales. @throws {InputError} naming a photo that cannot be read. */
export async function loadPhoto(request: LoadRequest): Promise<LoadedPhoto> {
  const startMs = performance.now();
  const photo = await readPhoto(request.input, "--input");
  const { width, height } = photo;
  const [first, ...more] = request.scales;
  return {
    width,
    height,
    batch: scalePhoto(photo, first),
    alsoAt: more.map((scale) => scalePhoto(photo, scale)),
    photo: request.photo ? photo : undefined,
    preview: request.preview ? preview(photo) : undefined,
    spentMs: performance.now() - startMs,
  };
}

/**
 * Writes the outputs of a photo, except for its probabilities; the mask last, since it stands for
 * the rest. @returns the time it took, in ms.
 * @throws {InputError} naming a file that cannot be written.
 */
export async function savePhoto(request: SaveRequest): Promise<number> {
  const startMs = performance.now();
  const { width, height, ids, photo, preview, outputs, look } = request;
  const { colours } = look;
  const mask = { width, height, data: ids };
  if (outputs.overlay !== undefined && photo) {
    const blended = overlay(photo, mask, colours, OVERLAY_OPACITY);
    await writeFileAtomic(outputs.overlay, encodePng({ ...blended, channels: 3 }));
  }
  if (outputs.color !== undefined) {
    const coloured = colourMask(mask, colours);
    await writeFileAtomic(outputs.color, encodePng({ ...coloured, channels: 3 }));
  }
  if (outputs.pair !== undefined && outputs.sample !== undefined && preview) {
    await writeFigures(preview, mask, look, { pair: outputs.pair, sample: outputs.sample });
  }
  if (outputs.mask !== undefined) {
    await writeFileAtomic(outputs.mask, encodePng({ ...mask, channels: 1, palette: colours }));
  }
  return performance.now() - startMs;
}
