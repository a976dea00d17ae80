/**
 * The formulas of the losses in double precision.
 * @module
 */
import type { Node } from "../graph/graph.ts";
import { at, type Formula, meanOver, once, sumOver, type Values } from "./spot_arrays.ts";

/** Of cross-entropy, focal loss and soft Dice, with their gradients; none has class weights. */
export const LOSS_FORMULAS: Readonly<Record<string, Formula>> = {
  cross_entropy: ([logits, target]) => {
    const pixels = target?.data.length ?? 0;
    const loss = once(() =>
      meanOver(
        logits,
        (n, i, j) => logSumExp(logits, n, i, j) - at(logits, n, at(target, n, i, j), i, j),
      )
    );
    return [loss, () => pixels, undefined];
  },
  cross_entropy_grad: ([dy, logits, , total, target]) => [
    ([n = 0, c = 0, i = 0, j = 0]) => {
      const share = Math.exp(at(logits, n, c, i, j) - logSumExp(logits, n, i, j));
      const truth = at(target, n, i, j) === c ? 1 : 0;
      return (share - truth) * at(dy, 0) / at(total, 0);
    },
  ],
  focal_loss: ([logits, target], node) => {
    const counted = once(() => sumOver(logits, (n, i, j) => counts(logits, target, n, i, j)));
    const sum = once(() =>
      sumOver(logits, (n, i, j) => {
        if (counts(logits, target, n, i, j) === 0) return 0;
        const { surprise, miss } = surpriseOf(logits, target, n, i, j);
        return miss ** gammaOf(node) * surprise;
      })
    );
    return [() => sum() / counted(), counted, undefined];
  },
  focal_loss_grad: ([dy, logits, , total, target], { inputs: [, , normaliser] }) => {
    const gamma = gammaOf(normaliser?.producer);
    return [([n = 0, c = 0, i = 0, j = 0]) => {
      if (counts(logits, target, n, i, j) === 0) return 0;
      const { surprise, miss } = surpriseOf(logits, target, n, i, j);
      const slope = miss ** gamma + gamma * (1 - miss) * miss ** (gamma - 1) * surprise;
      const share = Math.exp(at(logits, n, c, i, j) - logSumExp(logits, n, i, j));
      const truth = at(target, n, i, j) === c ? 1 : 0;
      return slope * (share - truth) * at(dy, 0) / at(total, 0);
    }];
  },
  soft_dice: ([logits, target], { attributes: { eps } }) => {
    const [, classes = 0] = logits?.shape ?? [];
    const ratios = once(() => {
      const [overlap, shares, truths] = diceSums(logits, target);
      return Array.from({ length: classes }, (_, c) => ({
        isPresent: (truths[c] ?? 0) > 0,
        numerator: 2 * (overlap[c] ?? NaN) + Number(eps),
        denominator: (shares[c] ?? NaN) + (truths[c] ?? NaN) + Number(eps),
      }));
    });
    const present = once(() => ratios().filter(({ isPresent }) => isPresent));
    return [
      () =>
        1 -
        present().reduce((sum, { numerator, denominator }) => sum + numerator / denominator, 0) /
          present().length,
      ([block = 0, which = 0, lane = 0]) => {
        const ratio = ratios()[4 * block + lane];
        if (!ratio?.isPresent) return 0;
        const { numerator, denominator } = ratio;
        const factor = which === 0 ? -2 : numerator / denominator;
        return factor / denominator / present().length;
      },
      undefined,
    ];
  },
  soft_dice_grad: ([dy, logits, target, coefficients]) => {
    const [, classes = 0] = logits?.shape ?? [];
    return [([n = 0, c = 0, i = 0, j = 0]) => {
      if (counts(logits, target, n, i, j) === 0) return 0;
      const sum = logSumExp(logits, n, i, j);
      const share = (k: number) => Math.exp(at(logits, n, k, i, j) - sum);
      const slope = (k: number) =>
        at(coefficients, k >> 2, 1, k & 3) +
        (at(target, n, i, j) === k ? at(coefficients, k >> 2, 0, k & 3) : 0);
      let mean = 0;
      for (let k = 0; k < classes; k++) mean += share(k) * slope(k);
      return share(c) * (slope(c) - mean) * at(dy, 0);
    }];
  },
};

function logSumExp(logits: Values | undefined, n: number, i: number, j: number): number {
  const [, classes = 0] = logits?.shape ?? [];
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += Math.exp(at(logits, n, c, i, j));
  return Math.log(sum);
}

/** 1 for a pixel whose target is a class, else 0. */
function counts(
  logits: Values | undefined,
  target: Values | undefined,
  n: number,
  i: number,
  j: number,
): number {
  const [, classes = 0] = logits?.shape ?? [];
  return at(target, n, i, j) < classes ? 1 : 0;
}

/** -log p and 1 - p of a pixel's class. */
function surpriseOf(
  logits: Values | undefined,
  target: Values | undefined,
  n: number,
  i: number,
  j: number,
): { surprise: number; miss: number } {
  const own = at(logits, n, at(target, n, i, j), i, j);
  const surprise = logSumExp(logits, n, i, j) - own;
  return { surprise, miss: -Math.expm1(-surprise) };
}

function gammaOf(node: Node | undefined): number {
  return Number(node?.attributes.gamma);
}

/** By class, over the pixels that count: probability where it is true, probability, truth. */
function diceSums(
  logits: Values | undefined,
  target: Values | undefined,
): [number[], number[], number[]] {
  const [, classes = 0] = logits?.shape ?? [];
  const zeros = () => new Array<number>(classes).fill(0);
  const [overlap, shares, truths] = [zeros(), zeros(), zeros()];
  sumOver(logits, (n, i, j) => {
    if (counts(logits, target, n, i, j) === 0) return 0;
    const id = at(target, n, i, j);
    const sum = logSumExp(logits, n, i, j);
    for (let c = 0; c < classes; c++) {
      const share = Math.exp(at(logits, n, c, i, j) - sum);
      shares[c] = (shares[c] ?? 0) + share;
      if (c === id) overlap[c] = (overlap[c] ?? 0) + share;
    }
    truths[id] = (truths[id] ?? 0) + 1;
    return 0;
  });
  return [overlap, shares, truths];
}
