/// <reference lib="dom" />
/**
 * Photos: decoded by the browser, turned as their EXIF says, and scaled as the command line does.
 * @module
 */
import { resizeArea, scaledSize } from "../data/resize.ts";
import { InputError, type PhotoBatch } from "../mod.ts";
import { drawn, type Report } from "./elements.ts";

/** A photo that was read. */
export interface Photo {
  /** The file's name. */
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** `[height, width, 3]`: red, green, blue, 0 to 255. */
  readonly data: Uint8Array;
  /** The photo as it is shown, made smaller where it is large. */
  readonly shown: HTMLCanvasElement;
}

/** Longest side of what is shown, in pixels: more than most screens have. */
const SHOWN_SIDE = 2560;

/** Pixels read at once: some browsers refuse canvases of a whole photo (16.7 million in Safari). */
const STRIP_PIXELS = 2 ** 21;

/** Photos beyond this would take more memory than a tab gets; the command line's bound too. */
const MOST_PIXELS = 2 ** 28;

/**
 * Decodes a photo.
 * @throws {InputError} naming it, where the browser cannot decode it or give its pixels.
 */
export async function readPhoto(file: Blob, name: string, report: Report): Promise<Photo> {
  report(`Reading ${name}`);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      // The numbers of the file are what the network was trained on.
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new InputError(
      `${name} could not be read as a photo: this browser decodes no such image; ` +
        "use a JPEG, PNG or WebP, or copy it again if it was cut off",
    );
  }
  try {
    const { width, height } = bitmap;
    if (width * height > MOST_PIXELS) {
      throw new InputError(
        `${name} has ${width} x ${height} pixels, more than the ${MOST_PIXELS} that are supported; ` +
          "cut it into tiles",
      );
    }
    const shown = shownCopy(bitmap);
    const data = await rgbOf(bitmap, name, report);
    return { name, width, height, data, shown };
  } finally {
    bitmap.close();
  }
}

/** The pixels without alpha, strip by strip. */
async function rgbOf(bitmap: ImageBitmap, name: string, report: Report): Promise<Uint8Array> {
  const { width, height } = bitmap;
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const strip = new OffscreenCanvas(width, rows);
  const context = strip.getContext("2d", { willReadFrequently: true });
  if (!context) throw noPixels(name, width, height);
  const data = new Uint8Array(width * height * 3);
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    let pixels: Uint8ClampedArray;
    try {
      pixels = context.getImageData(0, 0, width, count).data;
    } catch {
      throw noPixels(name, width, height);
    }
    for (let from = 0, to = top * width * 3; from < pixels.length; from += 4) {
      data[to++] = pixels[from] ?? 0;
      data[to++] = pixels[from + 1] ?? 0;
      data[to++] = pixels[from + 2] ?? 0;
    }
    report(`Reading ${name}`, (top + count) / height);
    await drawn();
  }
  return data;
}

function noPixels(name: string, width: number, height: number): InputError {
  return new InputError(
    `${name} could not be read: this browser gives no pixels of ${width} x ${height} photos; ` +
      "use a smaller one",
  );
}

function shownCopy(bitmap: ImageBitmap): HTMLCanvasElement {
  const factor = Math.min(1, SHOWN_SIDE / Math.max(bitmap.width, bitmap.height));
  const { width, height } = scaledSize(bitmap.width, bitmap.height, factor);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  if (context) {
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, width, height);
  }
  return canvas;
}

/** The photo as the network sees it: scaled by an area filter, RGBA. */
export function scalePhoto(photo: Photo, scale: number): PhotoBatch {
  const { width, height } = scaledSize(photo.width, photo.height, scale);
  const { data } = resizeArea(photo, width, height);
  const pixels = new Uint8Array(width * height * 4);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    pixels[to] = data[from] ?? 0;
    pixels[to + 1] = data[from + 1] ?? 0;
    pixels[to + 2] = data[from + 2] ?? 0;
    pixels[to + 3] = 255;
  }
  return { batch: 1, width, height, pixels };
}
