/** Gradients by central differences, against which the reference's backward is held. @module */
import { type Array64, zeros } from "./array.ts";

/**
 * (f(x + h) - f(x - h)) / 2h for every element of `x`, which is changed and restored while `f` is
 * called. In float64, h = 1e-4 leaves about 1e-8 of truncation and 1e-12 of rounding error.
 */
export function numericalGradient(f: () => number, x: Array64, h = 1e-4): Array64 {
  const grad = zeros(x.shape);
  for (let i = 0; i < x.data.length; i++) {
    const value = x.data[i]!;
    x.data[i] = value + h;
    const above = f();
    x.data[i] = value - h;
    const below = f();
    x.data[i] = value;
    grad.data[i] = (above - below) / (2 * h);
  }
  return grad;
}
