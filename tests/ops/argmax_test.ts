import { assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { argmax, argmaxThreshold } from "../../src/ops/argmax.ts";
import { type Array64, fromValues, map, random } from "../reference/array.ts";
import { sigmoid } from "../reference/sigmoid.ts";
import * as reference from "../reference/softmax.ts";
import { type OpCase, testOps } from "./harness.ts";

const shapes = [[1, 1, 1, 1], [2, 2, 5, 70], [2, 5, 3, 17], [3, 4, 16, 14], [1, 21, 9, 130]];

function ids(x: Array64): Array64 {
  const { shape, data } = reference.argmax(x);
  return fromValues(shape, data);
}

function* cases(): Generator<OpCase> {
  for (const shape of shapes) {
    // Few different values, so that many pixels have ties; negative, so that unused lanes would win.
    const tied = map(random(1, shape, 2), (v) => Math.floor(v) - 3);
    for (const [kind, x] of [["distinct", random(1, shape)], ["tied", tied]] as const) {
      yield {
        name: `argmax [${shape}], ${kind} values`,
        inputs: { x: { value: x } },
        record: ({ x }) => argmax(x!),
        output: ids(x),
      };
    }
  }
  for (const threshold of [0, 0.3, 0.5, 0.9, 1]) {
    const one = random(2, [2, 1, 5, 70], 3);
    yield {
      name: `argmaxThreshold of one channel, ${threshold}`,
      inputs: { x: { value: one } },
      record: ({ x }) => argmaxThreshold(x!, threshold),
      output: { ...map(sigmoid(one), (p) => p > threshold ? 1 : 0), shape: [2, 5, 70] },
    };
    const two = random(3, [1, 2, 5, 70], 3);
    const positive = reference.softmax(two).data.slice(5 * 70);
    yield {
      name: `argmaxThreshold of two channels, ${threshold}`,
      inputs: { x: { value: two } },
      record: ({ x }) => argmaxThreshold(x!, threshold),
      output: fromValues([1, 5, 70], positive.map((p) => p > threshold ? 1 : 0)),
    };
  }
}

testOps(cases());

Deno.test("argmax and its threshold name what does not fit", () => {
  const graph = new Graph();
  const flat = graph.input("scores", { shape: [2, 3] });
  const three = graph.input("three", { shape: [1, 3, 2, 2], layout: "c4" });
  assertThrows(() => argmax(flat), ShapeError, "scores");
  assertThrows(() => argmaxThreshold(three, 0.5), ShapeError, "three");
  assertThrows(() => argmaxThreshold(three, 50), ShapeError, "50");
});
