/**
 * The formula of augmentation in double precision.
 * @module
 */
import { at, type Formula, type Values } from "./spot_arrays.ts";

/** Image and class ids of `augment`. */
export const AUGMENT_FORMULAS: Readonly<Record<string, Formula>> = {
  augment: ([pixels, labels, transforms], { attributes: { ignoreIndex } }) => [
    ([n = 0, c = 0, i = 0, j = 0]) => {
      const place = placeOf(transforms, n, i, j);
      if (!place.isInside) return 0;
      const channel = (k: number) => bilinear(pixels, n, place, k) / 255;
      if (c === 3) return channel(3);
      const row = [0, 1, 2, 3].map((k) => at(transforms, n, 8 + 4 * c + k));
      const colour = [channel(0), channel(1), channel(2), 1];
      return Math.min(1, Math.max(0, row.reduce((sum, m, k) => sum + m * (colour[k] ?? 0), 0)));
    },
    ([n = 0, i = 0, j = 0]) => {
      const { x, y, width, isInside } = placeOf(transforms, n, i, j);
      if (!isInside) return Number(ignoreIndex);
      const pixel = Math.round(y) * width + Math.round(x);
      return at(labels, n, pixel >> 2) >>> 8 * (pixel & 3) & 255;
    },
  ],
};

interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly isInside: boolean;
}

/** Where pixel (i, j) of image n comes from in its source. */
function placeOf(transforms: Values | undefined, n: number, i: number, j: number): Place {
  const value = (k: number) => at(transforms, n, k);
  const x = value(0) * j + value(1) * i + value(2);
  const y = value(4) * j + value(5) * i + value(6);
  const [width, height] = [value(3), value(7)];
  const isInside = x > -0.5 && y > -0.5 && x < width - 0.5 && y < height - 0.5;
  return { x, y, width, height, isInside };
}

/** A byte of the source between its pixels, those at the edge repeated. */
function bilinear(
  pixels: Values | undefined,
  n: number,
  { x, y, width, height }: Place,
  channel: number,
): number {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const clamped = (k: number, size: number) => Math.min(size - 1, Math.max(0, k));
  let sum = 0;
  for (const [row, down] of [[top, 1 - (y - top)], [top + 1, y - top]] as const) {
    for (const [column, across] of [[left, 1 - (x - left)], [left + 1, x - left]] as const) {
      const word = at(pixels, n, clamped(row, height) * width + clamped(column, width));
      sum += down * across * (word >>> 8 * channel & 255);
    }
  }
  return sum;
}
