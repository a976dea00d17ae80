/**
 * Soft Dice loss (Milletari et al., 2016, with sums in place of squares):
 * 1 - mean over classes of (2 * sum(p t) + eps) / (sum(p) + sum(t) + eps),
 * every sum over the batch and the pixels not ignored. Classes absent from the target are left out
 * of the mean: any prediction would be as far from them. With no class left, loss and gradient
 * are 0.
 * @module
 */
import { type Array64, dims4, type Labels, requireSameShape, zeros } from "./array.ts";
import { sigmoid, sigmoidBackward } from "./sigmoid.ts";
import { softmax, softmaxBackward } from "./softmax.ts";

export interface SoftDiceOptions {
  /** The target value of pixels left out; default none. */
  ignoreIndex?: number;
  /** Default 1e-6. */
  eps?: number;
}

/** Loss and gradient for the probabilities; `truth(pixel, class)` is undefined where ignored. */
function diceOfProbabilities(
  p: Array64,
  truth: (pixel: number, channel: number) => number | undefined,
  eps: number,
): { loss: number; grad: Array64 } {
  const [n, classes, h, w] = dims4("softDice", p);
  const at = (pixel: number, c: number) =>
    (Math.floor(pixel / (h * w)) * classes + c) * h * w + pixel % (h * w);
  const grad = zeros(p.shape);
  let present = 0;
  let total = 0;
  for (let c = 0; c < classes; c++) {
    let overlap = 0, sumP = 0, sumT = 0;
    for (let pixel = 0; pixel < n * h * w; pixel++) {
      const t = truth(pixel, c);
      if (t === undefined) continue;
      overlap += p.data[at(pixel, c)]! * t;
      sumP += p.data[at(pixel, c)]!;
      sumT += t;
    }
    if (sumT === 0) continue;
    present++;
    const numerator = 2 * overlap + eps;
    const denominator = sumP + sumT + eps;
    total += numerator / denominator;
    for (let pixel = 0; pixel < n * h * w; pixel++) {
      const t = truth(pixel, c);
      if (t === undefined) continue;
      grad.data[at(pixel, c)] = -(2 * t - numerator / denominator) / denominator;
    }
  }
  if (present === 0) return { loss: 0, grad };
  return { loss: 1 - total / present, grad: { ...grad, data: grad.data.map((g) => g / present) } };
}

function multiclass(logits: Array64, target: Labels, options: SoftDiceOptions) {
  const [n, , h, w] = dims4("softDice", logits);
  requireSameShape("softDice", target, { shape: [n, h, w] });
  const p = softmax(logits);
  const truth = (pixel: number, c: number) => {
    const id = target.data[pixel]!;
    return id === options.ignoreIndex ? undefined : id === c ? 1 : 0;
  };
  return { p, ...diceOfProbabilities(p, truth, options.eps ?? 1e-6) };
}

function binary(logits: Array64, target: Labels, options: SoftDiceOptions) {
  const [, channels] = dims4("binarySoftDice", logits);
  requireSameShape("binarySoftDice", logits, target);
  if (channels !== 1) {
    throw new RangeError(`binarySoftDice was given ${channels} channels, expected 1.`);
  }
  const p = sigmoid(logits);
  const truth = (pixel: number) => {
    const t = target.data[pixel]!;
    return t === options.ignoreIndex ? undefined : t;
  };
  return { p, ...diceOfProbabilities(p, truth, options.eps ?? 1e-6) };
}

/** The loss of softmax(`logits`) `[N, K, H, W]` against class ids `target` `[N, H, W]`. */
export function softDice(logits: Array64, target: Labels, options: SoftDiceOptions = {}): number {
  return multiclass(logits, target, options).loss;
}

/** The gradient of {@linkcode softDice} for the logits. */
export function softDiceBackward(
  gradOutput: number,
  logits: Array64,
  target: Labels,
  options: SoftDiceOptions = {},
): Array64 {
  const { p, grad } = multiclass(logits, target, options);
  return softmaxBackward({ ...grad, data: grad.data.map((g) => g * gradOutput) }, p);
}

/** The loss of sigmoid(`logits`) against `target` in [0, 1], both `[N, 1, H, W]`. */
export function binarySoftDice(
  logits: Array64,
  target: Labels,
  options: SoftDiceOptions = {},
): number {
  return binary(logits, target, options).loss;
}

/** The gradient of {@linkcode binarySoftDice} for the logits. */
export function binarySoftDiceBackward(
  gradOutput: number,
  logits: Array64,
  target: Labels,
  options: SoftDiceOptions = {},
): Array64 {
  const { p, grad } = binary(logits, target, options);
  return sigmoidBackward({ ...grad, data: grad.data.map((g) => g * gradOutput) }, p);
}
