/**
 * Bilinear resizing (PyTorch: `interpolate(mode="bilinear")`, coordinates as in ATen's
 * `area_pixel_compute_source_index`).
 * @module
 */
import { type Array64, dims4, type Pair, zeros } from "./array.ts";

export interface UpsampleBilinear2dOptions {
  /** The output's extents; this or `scaleFactor` is needed. */
  size?: Pair;
  /** Output extents are floor(input * scaleFactor), and coordinates use exactly 1 / scaleFactor. */
  scaleFactor?: Pair;
  /** Whether the corner pixels' centres coincide (true) or the images' outer edges (false). */
  alignCorners: boolean;
}

/** Where an output coordinate reads: (1 - weight) * x[first] + weight * x[second]. */
interface Tap {
  first: number;
  second: number;
  weight: number;
}

function taps(
  input: number,
  output: number,
  scaleFactor: number | undefined,
  alignCorners: boolean,
): Tap[] {
  return Array.from({ length: output }, (_, i) => {
    let source: number;
    if (alignCorners) {
      source = output > 1 ? i * ((input - 1) / (output - 1)) : 0;
    } else {
      const ratio = scaleFactor === undefined ? input / output : 1 / scaleFactor;
      source = Math.max(0, ratio * (i + 0.5) - 0.5);
    }
    const first = Math.min(Math.floor(source), input - 1);
    const second = Math.min(first + 1, input - 1);
    return { first, second, weight: Math.min(source - first, 1) };
  });
}

function plan(op: string, x: Array64, options: UpsampleBilinear2dOptions) {
  const [, , h, w] = dims4(op, x);
  const { scaleFactor, alignCorners } = options;
  const size = options.size ??
    (scaleFactor && [Math.floor(h * scaleFactor[0]), Math.floor(w * scaleFactor[1])] as const);
  if (size === undefined) throw new RangeError(`${op} was given neither size nor scaleFactor.`);
  const scales = options.size ? undefined : scaleFactor;
  return {
    rows: taps(h, size[0], scales?.[0], alignCorners),
    columns: taps(w, size[1], scales?.[1], alignCorners),
  };
}

/** Resizes `[N, C, H, W]` to `[N, C, H', W']`. */
export function upsampleBilinear2d(x: Array64, options: UpsampleBilinear2dOptions): Array64 {
  const [n, channels, h, w] = dims4("upsampleBilinear2d", x);
  const { rows, columns } = plan("upsampleBilinear2d", x, options);
  const y = zeros([n, channels, rows.length, columns.length]);
  let k = 0;
  for (let plane = 0; plane < n * channels; plane++) {
    const at = (row: number, column: number) => x.data[(plane * h + row) * w + column]!;
    for (const row of rows) {
      for (const column of columns) {
        const upper = (1 - column.weight) * at(row.first, column.first) +
          column.weight * at(row.first, column.second);
        const lower = (1 - column.weight) * at(row.second, column.first) +
          column.weight * at(row.second, column.second);
        y.data[k++] = (1 - row.weight) * upper + row.weight * lower;
      }
    }
  }
  return y;
}

/** The gradient of {@linkcode upsampleBilinear2d} for `x`, of which only the shape is read. */
export function upsampleBilinear2dBackward(
  gradOutput: Array64,
  x: Array64,
  options: UpsampleBilinear2dOptions,
): Array64 {
  const [n, channels, h, w] = dims4("upsampleBilinear2dBackward", x);
  const { rows, columns } = plan("upsampleBilinear2dBackward", x, options);
  const gradX = zeros(x.shape);
  let k = 0;
  for (let plane = 0; plane < n * channels; plane++) {
    const add = (row: number, column: number, value: number) => {
      gradX.data[(plane * h + row) * w + column]! += value;
    };
    for (const row of rows) {
      for (const column of columns) {
        const grad = gradOutput.data[k++]!;
        add(row.first, column.first, (1 - row.weight) * (1 - column.weight) * grad);
        add(row.first, column.second, (1 - row.weight) * column.weight * grad);
        add(row.second, column.first, row.weight * (1 - column.weight) * grad);
        add(row.second, column.second, row.weight * column.weight * grad);
      }
    }
  }
  return gradX;
}
