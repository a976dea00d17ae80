/**
 * Geometric and colour augmentation: each pixel of the result looks up one place of the source, the
 * photo bilinearly (clamped at the edge, 0 outside), the mask at the nearest pixel (`ignoreIndex`
 * outside).
 * @module
 */
import { type Array64, zeros } from "./array.ts";

export interface AugmentSource {
  width: number;
  height: number;
  /** RGBA bytes, row by row. */
  pixels: ArrayLike<number>;
  /** Class ids. */
  labels: ArrayLike<number>;
  /** (a, b, c), (d, e, f): where a pixel of the result comes from. */
  affine: readonly (readonly [number, number, number])[];
  /** Rows of (M, o) for red, green and blue. */
  colour: readonly (readonly [number, number, number, number])[];
}

/** Image `[N, channels, height, width]` and ids `[N, height, width]`. */
export function augment(
  sources: readonly AugmentSource[],
  { height, width, channels, ignoreIndex }: {
    height: number;
    width: number;
    channels: number;
    ignoreIndex: number;
  },
): { image: Array64; ids: Array64 } {
  const image = zeros([sources.length, channels, height, width]);
  const ids = zeros([sources.length, height, width]);
  sources.forEach((source, n) => {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [u = 0, v = 0] = source.affine.map(([p, q, r]) => p * x + q * y + r);
        const inside = u > -0.5 && v > -0.5 && u < source.width - 0.5 && v < source.height - 0.5;
        const [row, column] = [Math.floor(v + 0.5), Math.floor(u + 0.5)];
        ids.data[(n * height + y) * width + x] = inside
          ? source.labels[row * source.width + column]!
          : ignoreIndex;
        if (!inside) continue;
        const rgba = [0, 1, 2, 3].map((c) => bilinear(source, u, v, c) / 255);
        const colours = source.colour.map(([r, g, b, o]) =>
          Math.min(1, Math.max(0, r * rgba[0]! + g * rgba[1]! + b * rgba[2]! + o))
        );
        [...colours, rgba[3]!].slice(0, channels).forEach((value, c) => {
          image.data[((n * channels + c) * height + y) * width + x] = value;
        });
      }
    }
  });
  return { image, ids };
}

function bilinear(
  { width, height, pixels }: AugmentSource,
  u: number,
  v: number,
  c: number,
): number {
  const [x, y] = [Math.floor(u), Math.floor(v)];
  const at = (column: number, row: number) => {
    const i = Math.min(width - 1, Math.max(0, column));
    const j = Math.min(height - 1, Math.max(0, row));
    return pixels[(j * width + i) * 4 + c]!;
  };
  const [fx, fy] = [u - x, v - y];
  const top = at(x, y) * (1 - fx) + at(x + 1, y) * fx;
  const bottom = at(x, y + 1) * (1 - fx) + at(x + 1, y + 1) * fx;
  return top * (1 - fy) + bottom * fy;
}
