/** Sums and means (PyTorch: `sum`, `mean`, `sum(dim=(0, 2, 3))`). @module */
import { type Array64, dims4, zeros } from "./array.ts";

/** The sum of all elements. */
export function sum(x: Array64): number {
  return x.data.reduce((total, value) => total + value, 0);
}

/** The gradient of {@linkcode sum} for an input of `shape`. */
export function sumBackward(gradOutput: number, shape: readonly number[]): Array64 {
  const gradX = zeros(shape);
  gradX.data.fill(gradOutput);
  return gradX;
}

/** The mean of all elements. */
export function mean(x: Array64): number {
  return sum(x) / x.data.length;
}

/** The gradient of {@linkcode mean} for an input of `shape`. */
export function meanBackward(gradOutput: number, shape: readonly number[]): Array64 {
  const gradX = zeros(shape);
  gradX.data.fill(gradOutput / gradX.data.length);
  return gradX;
}

/** Sums `[N, C, H, W]` over N, H and W to `[C]`. */
export function sumPerChannel(x: Array64): Array64 {
  const [, channels, h, w] = dims4("sumPerChannel", x);
  const y = zeros([channels]);
  x.data.forEach((value, i) => y.data[Math.floor(i / (h * w)) % channels]! += value);
  return y;
}

/** The gradient of {@linkcode sumPerChannel} for an input of `shape` `[N, C, H, W]`. */
export function sumPerChannelBackward(gradOutput: Array64, shape: readonly number[]): Array64 {
  const gradX = zeros(shape);
  const [, channels, h, w] = dims4("sumPerChannelBackward", gradX);
  gradX.data.forEach((_, i) => {
    gradX.data[i] = gradOutput.data[Math.floor(i / (h * w)) % channels]!;
  });
  return gradX;
}
