import { assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { maxPool2d } from "../../src/ops/max_pool2d.ts";
import { map, type Pair, random } from "../reference/array.ts";
import * as reference from "../reference/max_pool2d.ts";
import { type OpCase, testOps } from "./harness.ts";

interface Setting {
  shape: number[];
  kernel: Pair;
  stride?: Pair;
  padding?: Pair;
}

const settings: Setting[] = [
  { shape: [1, 1, 2, 2], kernel: [2, 2] },
  { shape: [2, 5, 6, 8], kernel: [2, 2] },
  { shape: [1, 3, 7, 9], kernel: [2, 2] },
  { shape: [2, 6, 15, 30], kernel: [2, 2] },
  { shape: [1, 8, 33, 66], kernel: [2, 2] },
  { shape: [1, 1, 1, 1], kernel: [1, 1] },
  { shape: [2, 5, 9, 11], kernel: [3, 3], stride: [2, 2], padding: [1, 1] },
  { shape: [1, 6, 8, 13], kernel: [2, 3], stride: [1, 2], padding: [1, 0] },
  { shape: [1, 2, 17, 40], kernel: [5, 4], stride: [1, 1], padding: [2, 2] },
  { shape: [1, 4, 12, 20], kernel: [2, 2], stride: [3, 4] },
];

function* cases(): Generator<OpCase> {
  for (const [index, { shape, ...options }] of settings.entries()) {
    // Few different values make ties, negative ones would lose against padding of zeros.
    for (const ties of [false, true]) {
      const raw = random(index, shape);
      const x = ties ? map(raw, (v) => Math.floor(v * 2) - 2) : raw;
      const { y } = reference.maxPool2d(x, options);
      const dy = random(index + 100, y.shape);
      yield {
        name: `maxPool2d [${shape}] ${JSON.stringify(options)}${ties ? " with ties" : ""}`,
        inputs: { x: { value: x } },
        record: ({ x }) => maxPool2d(x!, options.kernel, options),
        output: y,
        outputGradient: dy,
        gradients: { x: reference.maxPool2dBackward(dy, x, options) },
      };
    }
  }
}

testOps(cases());

Deno.test("maxPool2d refuses windows that do not fit", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 3, 4, 1], layout: "c4" });
  assertThrows(() => maxPool2d(x, 2), ShapeError, "max_pool2d");
  assertThrows(() => maxPool2d(x, 1, { padding: 1 }), ShapeError, "padding [1,1]");
});
