import { binarySoftDice, softDice } from "../../src/ops/soft_dice.ts";
import { fromValues, random, randomLabels } from "../reference/array.ts";
import * as reference from "../reference/soft_dice.ts";
import { type OpCase, testOps } from "./harness.ts";

function multiclass(
  name: string,
  shape: number[],
  labels: ArrayLike<number>,
  options: reference.SoftDiceOptions = {},
  scale = 3,
): OpCase {
  const [n = 1, , h = 1, w = 1] = shape;
  const logits = random(1, shape, scale);
  const target = fromValues([n, h, w], labels);
  return {
    name: `softDice ${name} [${shape}]`,
    inputs: { logits: { value: logits }, target: { value: target, dtype: "u32" } },
    record: ({ logits, target }) => softDice(logits!, target!, options),
    output: fromValues([1], [reference.softDice(logits, target, options)]),
    outputGradient: fromValues([1], [-0.5]),
    gradients: { logits: reference.softDiceBackward(-0.5, logits, target, options) },
  };
}

function binary(
  name: string,
  shape: number[],
  labels: ArrayLike<number>,
  options: reference.SoftDiceOptions = {},
): OpCase {
  const [n = 1, , h = 1, w = 1] = shape;
  const logits = random(2, shape, 3);
  const images = fromValues(shape, labels);
  return {
    name: `binarySoftDice ${name} [${shape}]`,
    inputs: {
      logits: { value: logits },
      target: { value: fromValues([n, h, w], labels), dtype: "u32" },
    },
    record: ({ logits, target }) => binarySoftDice(logits!, target!, options),
    output: fromValues([1], [reference.binarySoftDice(logits, images, options)]),
    outputGradient: fromValues([1], [1.5]),
    gradients: { logits: reference.binarySoftDiceBackward(1.5, logits, images, options) },
  };
}

function* cases(): Generator<OpCase> {
  for (const [n, k, h, w] of [[2, 3, 5, 7], [1, 4, 1, 33], [2, 23, 19, 30]] as const) {
    const shape = [n, k, h, w];
    yield multiclass("plain", shape, randomLabels(3, [n, h, w], k).data);
    yield multiclass("with an ignored class", shape, randomLabels(4, [n, h, w], k).data, {
      ignoreIndex: 1,
      eps: 1,
    });
  }
  // Class 0 alone: the others are absent, and leave the mean.
  yield multiclass("of one class present", [1, 5, 6, 9], new Uint8Array(54));
  yield multiclass("with everything ignored", [1, 5, 6, 9], new Uint8Array(54), { ignoreIndex: 0 });
  yield multiclass("of huge logits", [1, 6, 8, 20], randomLabels(5, [160], 6).data, {}, 1e3);

  for (const shape of [[1, 1, 1, 1], [2, 1, 5, 7], [3, 1, 40, 14]]) {
    const count = shape.reduce((a, b) => a * b, 1);
    yield binary("plain", shape, Array.from(randomLabels(6, [count], 2).data, (t) => 1 - t));
    const labels = Array.from(randomLabels(7, [count], 3).data, (t) => t === 2 ? 255 : t);
    yield binary("with ignored pixels", shape, labels, { ignoreIndex: 255 });
  }
  yield binary("without a positive pixel", [1, 1, 4, 5], new Uint8Array(20));
}

testOps(cases());
