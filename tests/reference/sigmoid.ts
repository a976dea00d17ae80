/** 1 / (1 + exp(-x)) (PyTorch: `sigmoid`). @module */
import { type Array64, map } from "./array.ts";

export function sigmoid(x: Array64): Array64 {
  return map(x, (value) => 1 / (1 + Math.exp(-value)));
}

/** The gradient of {@linkcode sigmoid}, from its output `y`: dy * y * (1 - y). */
export function sigmoidBackward(gradOutput: Array64, y: Array64): Array64 {
  return map(gradOutput, (grad, i) => grad * y.data[i]! * (1 - y.data[i]!));
}
