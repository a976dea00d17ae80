import { assert, assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { pad2d } from "../../src/ops/pad2d.ts";
import { random } from "../reference/array.ts";
import * as reference from "../reference/pad2d.ts";
import { type OpCase, testOps } from "./harness.ts";

const settings = [
  { shape: [1, 1, 1, 1], pad: { left: 2, right: 0, top: 0, bottom: 1 } },
  { shape: [2, 5, 7, 13], pad: { left: 0, right: 1, top: 1, bottom: 0 } },
  { shape: [2, 6, 9, 15], pad: { left: -2, right: -3, top: -1, bottom: -4 } },
  { shape: [1, 4, 6, 30], pad: { left: 3, right: -5, top: -2, bottom: 20 } },
  { shape: [1, 3, 4, 5], pad: { left: 20, right: -17, top: 0, bottom: 0 } },
  { shape: [1, 3, 4, 5], pad: { left: -7, right: 9, top: -5, bottom: 6 } },
];

function* cases(): Generator<OpCase> {
  for (const { shape, pad } of settings) {
    const x = random(1, shape);
    const y = reference.pad2d(x, pad);
    const dy = random(2, y.shape);
    yield {
      name: `pad2d [${shape}] ${JSON.stringify(pad)}`,
      inputs: { x: { value: x } },
      record: ({ x }) => pad2d(x!, pad),
      output: y,
      outputGradient: dy,
      gradients: { x: reference.pad2dBackward(dy, pad) },
    };
  }
}

testOps(cases());

Deno.test("pad2d by nothing is its input, and never leaves less than a pixel", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 3, 4, 5], layout: "c4" });
  assert(pad2d(x, { left: 0, right: 0, top: 0, bottom: 0 }) === x);
  assertThrows(
    () => pad2d(x, { left: -2, right: -3, top: 0, bottom: 0 }),
    ShapeError,
    "[1,3,4,0]",
  );
});
