/** Softmax and argmax over the channels of `[N, K, H, W]` (PyTorch: `dim=1`). @module */
import { type Array64, dims4, type Labels, zeros } from "./array.ts";

/** Calls `visit` for every pixel with the index of each of its channels. */
function forEachPixel(
  op: string,
  x: Array64,
  visit: (channels: readonly number[], pixel: number) => void,
): void {
  const [n, channels, h, w] = dims4(op, x);
  for (let image = 0; image < n; image++) {
    for (let p = 0; p < h * w; p++) {
      const indices = Array.from(
        { length: channels },
        (_, c) => (image * channels + c) * h * w + p,
      );
      visit(indices, image * h * w + p);
    }
  }
}

/** exp(x_c) / sum over k of exp(x_k), at every pixel. */
export function softmax(x: Array64): Array64 {
  const y = zeros(x.shape);
  forEachPixel("softmax", x, (channels) => {
    const max = Math.max(...channels.map((i) => x.data[i]!));
    let total = 0;
    for (const i of channels) total += y.data[i] = Math.exp(x.data[i]! - max);
    for (const i of channels) y.data[i]! /= total;
  });
  return y;
}

/** The gradient of {@linkcode softmax}, from its output `y`: y_c * (dy_c - sum over k of dy_k y_k). */
export function softmaxBackward(gradOutput: Array64, y: Array64): Array64 {
  const gradX = zeros(y.shape);
  forEachPixel("softmaxBackward", y, (channels) => {
    const inner = channels.reduce((sum, i) => sum + gradOutput.data[i]! * y.data[i]!, 0);
    for (const i of channels) gradX.data[i] = y.data[i]! * (gradOutput.data[i]! - inner);
  });
  return gradX;
}

/** The channel of the maximum at every pixel, `[N, H, W]`; of equal ones the first. */
export function argmax(x: Array64): Labels {
  const [n, , h, w] = dims4("argmax", x);
  const data = new Int32Array(n * h * w);
  forEachPixel("argmax", x, (channels, pixel) => {
    let best = 0;
    channels.forEach((i, c) => {
      if (x.data[i]! > x.data[channels[best]!]!) best = c;
    });
    data[pixel] = best;
  });
  return { shape: [n, h, w], data };
}
