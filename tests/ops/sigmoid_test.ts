import { assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { sigmoid } from "../../src/ops/sigmoid.ts";
import { random } from "../reference/array.ts";
import * as reference from "../reference/sigmoid.ts";
import { type OpCase, testOps } from "./harness.ts";

const shapes = [[1, 1, 1, 1], [2, 5, 3, 17], [3, 4, 16, 80], [1], [7], [3, 70]];

function* cases(): Generator<OpCase> {
  for (const shape of shapes) {
    // Far enough for exp(|x|) to overflow float32.
    for (const scale of [3, 200]) {
      const x = random(1, shape, scale);
      const y = reference.sigmoid(x);
      const dy = random(2, shape);
      yield {
        name: `sigmoid [${shape}] of up to ${scale}`,
        inputs: { x: { value: x } },
        record: ({ x }) => sigmoid(x!),
        output: y,
        outputGradient: dy,
        // Near 1 the derivative y * (1 - y) keeps the absolute precision of y only.
        gradients: scale === 3 ? { x: reference.sigmoidBackward(dy, y) } : {},
      };
    }
  }
}

testOps(cases());

Deno.test("sigmoid refuses labels", () => {
  const labels = new Graph().input("labels", { shape: [1, 2, 2], dtype: "u32" });
  assertThrows(() => sigmoid(labels), ShapeError, "labels");
});
