/** Zero padding of H and W (PyTorch: `pad`, mode "constant"); negative amounts crop. @module */
import { type Array64, dims4, zeros } from "./array.ts";

export interface Pad2dOptions {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Takes `[N, C, H, W]` to `[N, C, top + H + bottom, left + W + right]`. */
export function pad2d(x: Array64, { left, right, top, bottom }: Pad2dOptions): Array64 {
  const [n, channels, h, w] = dims4("pad2d", x);
  const oh = top + h + bottom;
  const ow = left + w + right;
  if (oh < 1 || ow < 1) {
    throw new RangeError(`pad2d would crop [${x.shape}] to ${oh}x${ow}, expected at least 1x1.`);
  }
  const y = zeros([n, channels, oh, ow]);
  for (let plane = 0; plane < n * channels; plane++) {
    for (let i = 0; i < oh; i++) {
      for (let j = 0; j < ow; j++) {
        const row = i - top;
        const column = j - left;
        if (row < 0 || row >= h || column < 0 || column >= w) continue;
        y.data[(plane * oh + i) * ow + j] = x.data[(plane * h + row) * w + column]!;
      }
    }
  }
  return y;
}

/** The gradient of {@linkcode pad2d}: the opposite padding. */
export function pad2dBackward(
  gradOutput: Array64,
  { left, right, top, bottom }: Pad2dOptions,
): Array64 {
  return pad2d(gradOutput, { left: -left, right: -right, top: -top, bottom: -bottom });
}
