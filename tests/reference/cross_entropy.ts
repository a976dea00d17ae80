/**
 * Cross-entropy of logits against class ids (PyTorch: `cross_entropy`, reduction "mean"):
 * sum of weight[t] * -log softmax(logits)[t] / sum of weight[t], over the pixels not ignored.
 *
 * Where nothing counts (all pixels ignored or of weight 0) PyTorch gives NaN; here the loss is 0
 * and so is its gradient, because one unlabelled batch must not destroy a training run.
 *
 * The focal loss (Lin et al., 2017) has (1 - p)^gamma as a factor of each pixel's loss, p being the
 * probability of its class, and the same sum of weights below.
 * @module
 */
import { type Array64, dims4, type Labels, requireSameShape, zeros } from "./array.ts";

export interface CrossEntropyOptions {
  /** Weights of the classes, `[K]`; default 1 each. */
  weight?: ArrayLike<number>;
  /** The class id of pixels left out, default -100. */
  ignoreIndex?: number;
  /** Of the focal loss; default 0, which is the cross-entropy. */
  gamma?: number;
}

/** Loss and gradient for `logits` `[N, K, H, W]` and `target` `[N, H, W]`. */
function lossAndGradient(
  logits: Array64,
  target: Labels,
  { weight, ignoreIndex = -100, gamma = 0 }: CrossEntropyOptions,
): { loss: number; grad: Array64 } {
  const [n, classes, h, w] = dims4("crossEntropy", logits);
  requireSameShape("crossEntropy", target, { shape: [n, h, w] });
  const grad = zeros(logits.shape);
  let loss = 0;
  let totalWeight = 0;
  for (let pixel = 0; pixel < n * h * w; pixel++) {
    const id = target.data[pixel]!;
    if (id === ignoreIndex) continue;
    if (!(id >= 0 && id < classes)) {
      throw new RangeError(`crossEntropy was given class ${id}, expected one below ${classes}.`);
    }
    const first = Math.floor(pixel / (h * w)) * classes * h * w + pixel % (h * w);
    const values = Array.from({ length: classes }, (_, c) => logits.data[first + c * h * w]!);
    const max = Math.max(...values);
    const logSumExp = max + Math.log(values.reduce((sum, v) => sum + Math.exp(v - max), 0));
    const weightOfId = weight?.[id] ?? 1;
    totalWeight += weightOfId;
    const surprise = logSumExp - values[id]!;
    const p = Math.exp(-surprise);
    // Written so that it keeps its digits where p is close to 1.
    const miss = -Math.expm1(-surprise);
    loss += weightOfId * miss ** gamma * surprise;
    const slope = miss ** gamma +
      (gamma && miss > 0 ? gamma * p * miss ** (gamma - 1) * surprise : 0);
    values.forEach((value, c) => {
      const probability = Math.exp(value - logSumExp);
      grad.data[first + c * h * w] = weightOfId * slope * (probability - (c === id ? 1 : 0));
    });
  }
  if (totalWeight === 0) return { loss: 0, grad: zeros(logits.shape) };
  return {
    loss: loss / totalWeight,
    grad: { ...grad, data: grad.data.map((g) => g / totalWeight) },
  };
}

/** The loss of `logits` `[N, K, H, W]` against `target` `[N, H, W]`. */
export function crossEntropy(
  logits: Array64,
  target: Labels,
  options: CrossEntropyOptions = {},
): number {
  return lossAndGradient(logits, target, options).loss;
}

/** The gradient of {@linkcode crossEntropy} for the logits. */
export function crossEntropyBackward(
  gradOutput: number,
  logits: Array64,
  target: Labels,
  options: CrossEntropyOptions = {},
): Array64 {
  const { grad } = lossAndGradient(logits, target, options);
  return { ...grad, data: grad.data.map((g) => g * gradOutput) };
}
