/**
 * The losses that training can minimise.
 * @module
 */
import { checkChoice } from "../choices.ts";
import type { Tensor } from "../graph/graph.ts";
import { crossEntropy, focalLoss } from "../ops/cross_entropy.ts";
import { add } from "../ops/elementwise.ts";
import { softDice } from "../ops/soft_dice.ts";
import { IGNORED } from "./metrics.ts";

/** Names of losses: cross-entropy, soft Dice, the sum of both, focal loss (gamma 2). */
export const LOSSES = ["ce", "dice", "ce+dice", "focal"] as const;

/** One of {@linkcode LOSSES}. */
export type LossName = typeof LOSSES[number];

/**
 * Records a loss; pixels whose id is 255 count nowhere. Dice is the mean over the classes that occur
 * in the batch.
 *
 * @param logits c4 [N, K, H, W]
 * @param ids flat u32 [N, H, W]
 * @param classWeights by class id; Dice, which weighs classes alike already, has none
 * @returns flat [1]
 * @throws {InputError} for an unknown name.
 */
export function recordLoss(
  name: LossName,
  logits: Tensor,
  ids: Tensor,
  classWeights?: Float32Array,
): Tensor {
  checkChoice("loss", name, LOSSES);
  const weight = classWeights &&
    logits.graph.constant("classWeights", [classWeights.length], classWeights);
  const options = { ignoreIndex: IGNORED, weight };
  switch (name) {
    case "ce":
      return crossEntropy(logits, ids, options);
    case "focal":
      return focalLoss(logits, ids, options);
    case "dice":
      return softDice(logits, ids, { ignoreIndex: IGNORED });
    case "ce+dice":
      return add(
        crossEntropy(logits, ids, options),
        softDice(logits, ids, { ignoreIndex: IGNORED }),
      );
  }
}
