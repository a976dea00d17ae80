import { assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { bceWithLogits, type BceWithLogitsOptions } from "../../src/ops/bce_with_logits.ts";
import { type Array64, fromValues, random, randomLabels } from "../reference/array.ts";
import * as reference from "../reference/bce_with_logits.ts";
import { type OpCase, testOps } from "./harness.ts";

function opCase(
  name: string,
  logits: Array64,
  labels: ArrayLike<number>,
  options: BceWithLogitsOptions = {},
): OpCase {
  const [n = 1, , h = 1, w = 1] = logits.shape;
  const target = fromValues([n, h, w], labels);
  const images = fromValues(logits.shape, labels);
  const { posWeight = 1, ignoreIndex } = options;
  const settings = { posWeight, ...(ignoreIndex === undefined ? {} : { ignoreIndex }) };
  return {
    name: `bceWithLogits ${name} [${logits.shape}]`,
    inputs: { logits: { value: logits }, target: { value: target, dtype: "u32" } },
    record: ({ logits, target }) => bceWithLogits(logits!, target!, options),
    output: fromValues([1], [reference.bceWithLogits(logits, images, settings)]),
    outputGradient: fromValues([1], [1.25]),
    gradients: { logits: reference.bceWithLogitsBackward(1.25, logits, images, settings) },
  };
}

function* cases(): Generator<OpCase> {
  for (const shape of [[1, 1, 1, 1], [2, 1, 5, 7], [1, 1, 19, 33], [3, 1, 40, 14]]) {
    const logits = random(1, shape, 5);
    const count = logits.data.length;
    yield opCase("plain", logits, randomLabels(2, [count], 2).data);
    const labels = Array.from(randomLabels(3, [count], 3).data, (t) => t === 2 ? 255 : t);
    yield opCase("weighted, some ignored", logits, labels, { posWeight: 2.5, ignoreIndex: 255 });
  }
  const large = random(4, [1, 1, 9, 20], 500);
  yield opCase("huge logits", large, randomLabels(5, [180], 2).data, { posWeight: 0.25 });
  const far = fromValues([1, 1, 1, 4], [-30, -20, -12, -9]);
  yield opCase("confident and right", far, [0, 0, 0, 0]);
  yield opCase("everything ignored", far, [1, 1, 1, 1], { ignoreIndex: 1 });
}

testOps(cases());

Deno.test("bceWithLogits wants one channel", () => {
  const graph = new Graph();
  const logits = graph.input("logits", { shape: [1, 2, 4, 5], layout: "c4" });
  const target = graph.input("target", { shape: [1, 4, 5], dtype: "u32" });
  assertThrows(() => bceWithLogits(logits, target), ShapeError, "one channel");
});
