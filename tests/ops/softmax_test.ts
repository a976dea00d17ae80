import { assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { map, random } from "../reference/array.ts";
import * as reference from "../reference/softmax.ts";
import { type OpCase, testOps } from "./harness.ts";

const shapes = [[1, 1, 1, 1], [2, 2, 5, 70], [2, 5, 3, 17], [3, 4, 16, 14], [1, 21, 9, 130]];

function* cases(): Generator<OpCase> {
  for (const shape of shapes) {
    // So far below zero that a zero of an unused lane as maximum leaves no sum, and far above, where
    // exp overflows.
    for (const offset of [0, -200, 200]) {
      const x = map(random(1, shape, 8), (v) => Math.fround(v + offset));
      const y = reference.softmax(x);
      const dy = random(2, shape);
      yield {
        name: `softmax [${shape}] around ${offset}`,
        inputs: { x: { value: x } },
        record: ({ x }) => softmax(x!),
        output: y,
        outputGradient: dy,
        gradients: { x: reference.softmaxBackward(dy, y) },
      };
    }
  }
}

testOps(cases());

Deno.test("softmax refuses a flat tensor by name", () => {
  const x = new Graph().input("logits", { shape: [2, 3] });
  assertThrows(() => softmax(x), ShapeError, "logits");
});
