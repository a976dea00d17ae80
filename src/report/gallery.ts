/**
 * Scored images worth a look: those with the lowest scores and those with the highest, kept small.
 * @module
 */
import { resizeArea, resizeNearest } from "../data/resize.ts";
import { encodePng } from "../data/png_write.ts";
import { ConfusionMatrix, IGNORED } from "../train/metrics.ts";
import { encodeJpeg } from "./jpeg.ts";
import { classesPresent, type DrawnColours, type Picture } from "./overlay.ts";

/** An image with what is true and what was predicted. */
export interface ScoredImage {
  /** Path or name, as people read it. */
  readonly name: string;
  readonly photo: {
    readonly width: number;
    readonly height: number;
    /** RGBA bytes. */
    readonly pixels: Uint8Array;
  };
  /** Size of the class maps. */
  readonly width: number;
  readonly height: number;
  /** Class ids, 255 where ignored. */
  readonly truth: Uint8Array;
  /** Class ids. */
  readonly predicted: Uint8Array;
}

/** An image as a page shows it. */
export interface PageImage {
  readonly name: string;
  readonly meanIoU: number;
  readonly width: number;
  readonly height: number;
  /** A JPEG. */
  readonly photo: Uint8Array;
  /** PNGs to lay over the photo. */
  readonly truth: Uint8Array;
  readonly predicted: Uint8Array;
  /** Yellow where the prediction is wrong. */
  readonly errors: Uint8Array;
  /** Ids of the classes in truth or prediction. */
  readonly classes: readonly number[];
}

/** What a page shows of a {@linkcode Gallery}. */
export interface GalleryPictures {
  readonly worst: readonly PageImage[];
  readonly best: readonly PageImage[];
}

/** Longest side on a page, pixels. */
const PAGE_SIDE = 480;
const WORST = 6;
const BEST = 3;
/** Seen on dark and light, and seldom a class. */
const ERROR_COLOUR = [255, 220, 0] as const;

/** An image that is kept: no larger than a page shows it, the photo in RGB. */
export interface KeptImage {
  readonly name: string;
  readonly meanIoU: number;
  readonly photo: Picture;
  /** Class ids, 255 where ignored. */
  readonly truth: Uint8Array;
  /** Class ids. */
  readonly predicted: Uint8Array;
}

/** Collects images of one pass over a split. */
export class Gallery {
  readonly #classes: number;
  /** The lowest scores first. */
  readonly #images: KeptImage[];
  #count: number;

  /**
   * For ids 0 to `classes` - 1.
   * @param earlier What another gallery came to; default: nothing.
   */
  constructor(classes: number, earlier?: Pick<Gallery, "count" | "kept">) {
    this.#classes = classes;
    this.#images = [...earlier?.kept ?? []];
    this.#count = earlier?.count ?? 0;
  }

  /** Images offered so far. */
  get count(): number {
    return this.#count;
  }

  /** The images kept so far, the lowest scores first. */
  get kept(): readonly KeptImage[] {
    return this.#images;
  }

  /**
   * Scores an image, mean IoU over its own classes, and keeps it where it is among the extremes. One
   * whose truth is ignored everywhere has no score.
   */
  offer(image: ScoredImage): void {
    const matrix = new ConfusionMatrix(this.#classes);
    matrix.add(image.truth, image.predicted);
    this.#count++;
    if (!matrix.counts.some((pixels) => pixels > 0)) return;
    const { meanIoU } = matrix.scores();
    const after = this.#images.findIndex((kept) => kept.meanIoU > meanIoU);
    const at = after < 0 ? this.#images.length : after;
    const full = this.#images.length === WORST + BEST;
    if (full && at === WORST) return;
    this.#images.splice(at, 0, keep(image, meanIoU));
    if (full) this.#images.splice(WORST, 1);
  }

  /**
   * The images with the lowest scores, the lowest first, and those with the highest, the highest
   * first; no image twice.
   */
  pictures(colours: DrawnColours): GalleryPictures {
    const drawn = this.#images.map((kept) => pageImage(kept, colours));
    const first = Math.max(Math.ceil(drawn.length / 2), drawn.length - BEST);
    return { worst: drawn.slice(0, first), best: drawn.slice(first).reverse() };
  }
}

/** Copies of what may be windows of a batch's arrays, so that the batch is not kept with them. */
function keep(
  { name, photo, width, height, truth, predicted }: ScoredImage,
  meanIoU: number,
): KeptImage {
  const scale = Math.min(1, PAGE_SIDE / Math.max(width, height));
  const [w, h] = [Math.round(width * scale) || 1, Math.round(height * scale) || 1];
  const map = (data: Uint8Array) => resizeNearest({ width, height, data }, w, h).data.slice();
  const data = rgbOf(photo.pixels);
  return {
    name,
    meanIoU,
    photo: resizeArea({ width: photo.width, height: photo.height, data }, w, h),
    truth: map(truth),
    predicted: map(predicted),
  };
}

function pageImage({ name, meanIoU, photo, truth, predicted }: KeptImage, colours: DrawnColours) {
  const { width, height } = photo;
  const layer = (colourAt: (at: number) => DrawnColours[number]) => {
    const data = new Uint8Array(width * height * 4);
    for (let at = 0; at < width * height; at++) {
      const colour = colourAt(at);
      if (colour !== undefined) data.set([...colour, 255], 4 * at);
    }
    return encodePng({ width, height, channels: 4, data }, 9);
  };
  const wrong = (at: number) => truth[at] !== IGNORED && truth[at] !== predicted[at];
  const shown = new Set([truth, predicted].flatMap((data) => classesPresent({ ...photo, data })));
  return {
    name,
    meanIoU,
    width,
    height,
    photo: encodeJpeg(photo),
    truth: layer((at) => colours[truth[at] ?? IGNORED]),
    predicted: layer((at) => colours[predicted[at] ?? IGNORED]),
    errors: layer((at) => wrong(at) ? ERROR_COLOUR : undefined),
    classes: [...shown].filter((id) => id !== IGNORED && colours[id] !== undefined)
      .sort((a, b) => a - b),
  };
}

/** RGB of RGBA bytes. */
export function rgbOf(rgba: Uint8Array): Uint8Array {
  const pixels = rgba.length / 4;
  const rgb = new Uint8Array(pixels * 3);
  for (let i = 0, s = 0, t = 0; i < pixels; i++, s += 4, t += 3) {
    rgb[t] = rgba[s] ?? 0;
    rgb[t + 1] = rgba[s + 1] ?? 0;
    rgb[t + 2] = rgba[s + 2] ?? 0;
  }
  return rgb;
}
