/** Elementwise arithmetic on arrays of one shape (PyTorch: `add`, `mul`). @module */
import { type Array64, map, requireSameShape } from "./array.ts";

/** a + b; its gradient for either is the output's own. */
export function add(a: Array64, b: Array64): Array64 {
  requireSameShape("add", a, b);
  return map(a, (value, i) => value + b.data[i]!);
}

/** The gradients of {@linkcode add}. */
export function addBackward(gradOutput: Array64): { a: Array64; b: Array64 } {
  return { a: map(gradOutput, (grad) => grad), b: map(gradOutput, (grad) => grad) };
}

/** a * b, elementwise. */
export function mul(a: Array64, b: Array64): Array64 {
  requireSameShape("mul", a, b);
  return map(a, (value, i) => value * b.data[i]!);
}

/** The gradients of {@linkcode mul}. */
export function mulBackward(
  gradOutput: Array64,
  a: Array64,
  b: Array64,
): { a: Array64; b: Array64 } {
  return { a: mul(gradOutput, b), b: mul(gradOutput, a) };
}

/** x * factor, for a constant factor. */
export function scale(x: Array64, factor: number): Array64 {
  return map(x, (value) => value * factor);
}

/** The gradient of {@linkcode scale}. */
export function scaleBackward(gradOutput: Array64, factor: number): Array64 {
  return scale(gradOutput, factor);
}
