/**
 * Pictures of validation images for TensorBoard: a few side by side, the same ones every time.
 * @module
 */
import type { EventImage } from "../io/tfevents.ts";
import { rgbOf } from "../report/gallery.ts";
import { encodeJpeg } from "../report/jpeg.ts";
import { encodePng } from "../data/png_write.ts";
import { colourMask, type Colours } from "../report/overlay.ts";
import type { ScoredBatch } from "./run_events.ts";

/** Images of one size below each other in memory. */
export interface Strip {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  /** RGBA. */
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
  readonly predicted: Uint8Array;
}

const MOST = 4;

/** The first images of a batch, copied. */
export function stripOf({ batch, width, height, pixels, labels, predicted }: ScoredBatch): Strip {
  const count = Math.min(MOST, batch);
  const area = count * width * height;
  return {
    ...{ count, width, height },
    pixels: pixels.slice(0, area * 4),
    labels: labels.slice(0, area),
    predicted: predicted.slice(0, area),
  };
}

/** The photos, a JPEG. */
export function photoStrip(strip: Strip): EventImage {
  const picture = sideBySide(strip, rgbOf(strip.pixels));
  return { ...picture, bytes: encodeJpeg(picture) };
}

/** Class maps in their colours, a PNG. */
export function maskStrip(strip: Strip, data: Uint8Array, colours: Colours): EventImage {
  const { width, height, count } = strip;
  const drawn = colourMask({ width, height: height * count, data }, colours);
  const picture = sideBySide(strip, drawn.data);
  return { ...picture, bytes: encodePng({ ...picture, channels: 3 }) };
}

function sideBySide({ count, width, height }: Strip, rgb: Uint8Array) {
  const data = new Uint8Array(rgb.length);
  const row = width * 3;
  for (let image = 0; image < count; image++) {
    for (let y = 0; y < height; y++) {
      const from = (image * height + y) * row;
      data.set(rgb.subarray(from, from + row), (y * count + image) * row);
    }
  }
  return { width: width * count, height, data };
}
