/**
 * Maximum over windows (PyTorch: `max_pool2d`, `ceil_mode=False`); padding never wins, and of equal
 * values the first in row-major order of the window does. NaN is not provided for.
 * @module
 */
import { type Array64, dims4, type Pair, zeros } from "./array.ts";
import { convOutputSize } from "./conv2d.ts";

export interface MaxPool2dOptions {
  kernel: Pair;
  /** Default: `kernel`. */
  stride?: Pair;
  /** At most half of `kernel`, default [0, 0]. */
  padding?: Pair;
}

/**
 * Pools `[N, C, H, W]`. `indices` has the output's length and holds the position `row * W + column`
 * of every maximum in its input plane, as PyTorch's `return_indices` gives it.
 */
export function maxPool2d(
  x: Array64,
  { kernel: [kh, kw], stride: [sh, sw] = [kh, kw], padding: [ph, pw] = [0, 0] }: MaxPool2dOptions,
): { y: Array64; indices: Int32Array } {
  if (2 * ph > kh || 2 * pw > kw) {
    throw new RangeError(
      `maxPool2d was given padding [${ph},${pw}], expected at most half of kernel [${kh},${kw}].`,
    );
  }
  const [n, channels, h, w] = dims4("maxPool2d", x);
  const oh = convOutputSize(h, kh, sh, ph, 1);
  const ow = convOutputSize(w, kw, sw, pw, 1);
  const y = zeros([n, channels, oh, ow]);
  const indices = new Int32Array(y.data.length);
  for (let plane = 0; plane < n * channels; plane++) {
    for (let i = 0; i < oh; i++) {
      for (let j = 0; j < ow; j++) {
        let best = -Infinity;
        let bestIndex = -1;
        for (let row = i * sh - ph; row < i * sh - ph + kh; row++) {
          if (row < 0 || row >= h) continue;
          for (let column = j * sw - pw; column < j * sw - pw + kw; column++) {
            if (column < 0 || column >= w) continue;
            const value = x.data[(plane * h + row) * w + column]!;
            if (bestIndex < 0 || value > best) {
              best = value;
              bestIndex = row * w + column;
            }
          }
        }
        y.data[(plane * oh + i) * ow + j] = best;
        indices[(plane * oh + i) * ow + j] = bestIndex;
      }
    }
  }
  return { y, indices };
}

/** The gradient of {@linkcode maxPool2d}: every output's goes to its maximum; overlaps add up. */
export function maxPool2dBackward(
  gradOutput: Array64,
  x: Array64,
  options: MaxPool2dOptions,
): Array64 {
  const { indices } = maxPool2d(x, options);
  const [n, channels, h, w] = dims4("maxPool2dBackward", x);
  const outputs = gradOutput.data.length / (n * channels);
  const gradX = zeros(x.shape);
  gradOutput.data.forEach((grad, k) => {
    gradX.data[Math.floor(k / outputs) * h * w + indices[k]!]! += grad;
  });
  return gradX;
}
