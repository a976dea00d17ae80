/**
 * What a prediction is given, checked before anything runs: by windows, wrong pixels or options would
 * end in a wrong class map instead of an error.
 * @module
 */
import { checkChoice } from "../choices.ts";
import { InputError } from "../errors.ts";
import type { PhotoBatch, PredictOptions } from "./segmenter.ts";
import { FLIPS } from "./window_plan.ts";

/**
 * Refuses photos with too few or too many bytes and options out of range.
 * @throws {InputError} naming what is wrong.
 */
export function checkPrediction(photos: PhotoBatch, options: PredictOptions): void {
  const { threshold, window, flips = "none", alsoAt = [] } = options;
  for (const view of [photos, ...alsoAt]) checkPixels(view);
  expect("threshold", threshold, "a number from 0 to 1", (t) => t >= 0 && t <= 1);
  expect("window.side", window?.side, "a whole number of pixels, or 0", isSide);
  expect("window.overlap", window?.overlap, "a number from 0 to below 1", (o) => o >= 0 && o < 1);
  checkChoice("flips", flips, Object.keys(FLIPS));
}

const isSide = (side: number) => Number.isInteger(side) && side >= 0;

function checkPixels({ batch, height, width, pixels }: PhotoBatch): void {
  const bytes = batch * height * width * 4;
  if (pixels.length === bytes && pixels.BYTES_PER_ELEMENT === 1) return;
  throw new InputError(
    `Predicting ${batch} photo${batch === 1 ? "" : "s"} of ${height} x ${width} pixels got ` +
      `${pixels.length} values, expected ${bytes} bytes in a Uint8Array or Uint8ClampedArray, four ` +
      "(RGBA) a pixel.",
  );
}

function expect<T>(
  name: string,
  value: T | undefined,
  expected: string,
  isRight: (value: T) => boolean,
): void {
  if (value === undefined || isRight(value)) return;
  throw new InputError(`Predicting got ${name} ${String(value)}, expected ${expected}.`);
}
