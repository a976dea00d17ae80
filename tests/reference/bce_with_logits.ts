/**
 * Binary cross-entropy of logits x against targets t in [0, 1] (PyTorch:
 * `binary_cross_entropy_with_logits`, reduction "mean"), with softplus(x) = log(1 + exp(x)):
 * mean of posWeight * t * softplus(-x) + (1 - t) * softplus(x), over the elements not ignored.
 * PyTorch has no ignored elements here; with all ignored, loss and gradient are 0.
 * @module
 */
import { type Array64, type Labels, map, requireSameShape } from "./array.ts";

export interface BceWithLogitsOptions {
  /** The weight of positive targets, default 1. */
  posWeight?: number;
  /** The target value of elements left out; default none. */
  ignoreIndex?: number;
}

/** log(1 + exp(x)), without overflow. */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

function countOf(target: Labels, ignoreIndex: number | undefined): number {
  return Array.from(target.data).filter((t) => t !== ignoreIndex).length;
}

/** The loss of `logits` against `target`, of one shape. */
export function bceWithLogits(
  logits: Array64,
  target: Labels,
  { posWeight = 1, ignoreIndex }: BceWithLogitsOptions = {},
): number {
  requireSameShape("bceWithLogits", logits, target);
  const count = countOf(target, ignoreIndex);
  let total = 0;
  logits.data.forEach((x, i) => {
    const t = target.data[i]!;
    if (t !== ignoreIndex) total += posWeight * t * softplus(-x) + (1 - t) * softplus(x);
  });
  return count === 0 ? 0 : total / count;
}

/** The gradient of {@linkcode bceWithLogits} for the logits. */
export function bceWithLogitsBackward(
  gradOutput: number,
  logits: Array64,
  target: Labels,
  { posWeight = 1, ignoreIndex }: BceWithLogitsOptions = {},
): Array64 {
  const count = countOf(target, ignoreIndex);
  return map(logits, (x, i) => {
    const t = target.data[i]!;
    if (t === ignoreIndex) return 0;
    const p = 1 / (1 + Math.exp(-x));
    return gradOutput * ((1 - t) * p - posWeight * t * (1 - p)) / count;
  });
}
