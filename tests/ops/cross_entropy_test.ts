import { assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { crossEntropy, focalLoss } from "../../src/ops/cross_entropy.ts";
import {
  type Array64,
  fromValues,
  type Labels,
  map,
  random,
  randomLabels,
} from "../reference/array.ts";
import * as reference from "../reference/cross_entropy.ts";
import { type OpCase, testOps } from "./harness.ts";

interface Setting {
  name: string;
  logits: Array64;
  target: Labels;
  /** Target of the reference, where ids that are no class must be spelt as ignored. */
  referenceTarget?: Labels;
  weight?: Array64;
  ignoreIndex?: number;
  /** Of the focal loss; else it is the cross-entropy. */
  gamma?: number;
}

function opCase(
  { name, logits, target, referenceTarget, weight, ignoreIndex, gamma }: Setting,
): OpCase {
  const options = {
    ...(gamma === undefined ? {} : { gamma }),
    ...(weight ? { weight: weight.data } : {}),
    ...(ignoreIndex === undefined ? {} : { ignoreIndex }),
  };
  const expected = referenceTarget ?? target;
  const dy = fromValues([1], [-0.75]);
  return {
    name: `${gamma ? `focalLoss ${gamma}` : "crossEntropy"} ${name} [${logits.shape}]`,
    inputs: {
      logits: { value: logits },
      target: { value: fromValues(target.shape, target.data), dtype: "u32" },
      ...(weight ? { weight: { value: weight } } : {}),
    },
    record: ({ logits, target, weight }) =>
      gamma === undefined
        ? crossEntropy(logits!, target!, { weight, ignoreIndex })
        : focalLoss(logits!, target!, { weight, ignoreIndex, gamma }),
    output: fromValues([1], [reference.crossEntropy(logits, expected, options)]),
    outputGradient: dy,
    gradients: {
      logits: reference.crossEntropyBackward(dy.data[0]!, logits, expected, options),
    },
  };
}

/** Each setting as it is and with the focal factor. */
function* cases(): Generator<OpCase> {
  for (const setting of settings()) {
    yield opCase(setting);
    yield opCase({ ...setting, gamma: 2 });
  }
  const logits = random(12, [2, 5, 9, 11], 3);
  const target = randomLabels(13, [2, 9, 11], 5);
  for (const gamma of [1, 1.5, 4]) yield opCase({ name: "plain", logits, target, gamma });
}

function* settings(): Generator<Setting> {
  for (
    const shape of [
      [1, 1, 1, 1],
      [2, 3, 5, 7],
      [1, 4, 1, 33],
      [2, 23, 19, 30],
      [1, 2, 70, 35],
    ] as const
  ) {
    const [n, k, h, w] = shape;
    const logits = random(1, [...shape], 4);
    yield { name: "plain", logits, target: randomLabels(2, [n, h, w], k) };
    if (k === 1) continue;
    const weight = map(random(3, [k]), (v) => Math.fround(1.5 + v));
    yield {
      name: "weighted, one class ignored",
      logits,
      target: randomLabels(4, [n, h, w], k),
      weight,
      ignoreIndex: 1,
    };
  }

  const logits = random(5, [2, 5, 9, 11]);
  const all = fromValues([2, 9, 11], new Float64Array(198).fill(2));
  yield { name: "everything ignored", logits, target: all, ignoreIndex: 2 };
  yield {
    name: "only weights of 0",
    logits,
    target: all,
    weight: fromValues([5], [1, 1, 0, 1, 1]),
  };

  // 255 is the ignored id, but 5 and 4294967295 are not classes either.
  const strange = randomLabels(6, [2, 9, 11], 8);
  yield {
    name: "ids that are no class",
    logits,
    target: {
      ...strange,
      data: Array.from(strange.data, (t) => [5, 255, 2 ** 32 - 1][t - 5] ?? t),
    },
    referenceTarget: { ...strange, data: Array.from(strange.data, (t) => t < 5 ? t : 255) },
    ignoreIndex: 255,
    weight: map(random(7, [5]), (v) => Math.fround(1.5 + v)),
  };

  yield {
    name: "huge logits",
    logits: random(8, [1, 6, 8, 20], 3e4),
    target: randomLabels(9, [1, 8, 20], 6),
  };
  const far = random(10, [1, 6, 8, 20], 2);
  yield {
    name: "logits far from 0",
    logits: map(far, (v) => Math.fround(v - 5000)),
    target: randomLabels(11, [1, 8, 20], 6),
  };
}

testOps(cases());

Deno.test("focalLoss refuses a gamma that is no focus", () => {
  const graph = new Graph();
  const logits = graph.input("logits", { shape: [1, 2, 4, 4], layout: "c4" });
  const target = graph.input("target", { shape: [1, 4, 4], dtype: "u32" });
  assertThrows(() => focalLoss(logits, target, { gamma: 0.5 }), ShapeError, "gamma of 0.5");
});
