/** A map [1, C, H, W] as the weighted sum of windows. @module */
import { type Array64, dims4, zeros } from "./array.ts";

/** A window of the map and its weights. */
export interface Window64 {
  left: number;
  top: number;
  values: Array64;
  /** One a column, one a row. */
  columns: ArrayLike<number>;
  rows: ArrayLike<number>;
}

/** Sums column weight * row weight * value over all windows. */
export function windowBlend(shape: readonly number[], windows: readonly Window64[]): Array64 {
  const map = zeros(shape);
  const [, channels, height, width] = dims4("windowBlend", map);
  for (const { left, top, values, columns, rows } of windows) {
    const [, , h, w] = dims4("windowBlend", values);
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < h; y++) {
        for (let x = 0; x < w; x++) {
          const value = columns[x]! * rows[y]! * values.data[(c * h + y) * w + x]!;
          map.data[(c * height + top + y) * width + left + x]! += value;
        }
      }
    }
  }
  return map;
}

/** `[1, C, H, W]` mirrored left to right, top to bottom. */
export function flip(x: Array64, [mirrored, upsideDown]: readonly [boolean, boolean]): Array64 {
  const [n, channels, h, w] = dims4("flip", x);
  const y = zeros(x.shape);
  for (let i = 0; i < n * channels * h * w; i++) {
    const [column, row, plane] = [i % w, Math.floor(i / w) % h, Math.floor(i / (w * h))];
    const from = [upsideDown ? h - 1 - row : row, mirrored ? w - 1 - column : column];
    y.data[i] = x.data[(plane * h + from[0]!) * w + from[1]!]!;
  }
  return y;
}
