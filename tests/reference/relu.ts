/** max(x, 0) (PyTorch: `relu`); the gradient at 0 is 0. @module */
import { type Array64, map } from "./array.ts";

export function relu(x: Array64): Array64 {
  return map(x, (value) => Math.max(value, 0));
}

/** The gradient of {@linkcode relu}; `x` may be its input or its output. */
export function reluBackward(gradOutput: Array64, x: Array64): Array64 {
  return map(gradOutput, (grad, i) => x.data[i]! > 0 ? grad : 0);
}
