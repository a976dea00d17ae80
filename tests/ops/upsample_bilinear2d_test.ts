import { assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { planProgram } from "../../src/graph/program_plan.ts";
import {
  upsampleBilinear2d,
  type UpsampleBilinear2dOptions,
} from "../../src/ops/upsample_bilinear2d.ts";
import { random } from "../reference/array.ts";
import * as reference from "../reference/upsample_bilinear2d.ts";
import { type OpCase, testOps } from "./harness.ts";

type Setting = { shape: number[] } & Omit<UpsampleBilinear2dOptions, "alignCorners">;

const settings: Setting[] = [
  { shape: [1, 1, 1, 1], scaleFactor: 2 },
  { shape: [2, 5, 3, 4], scaleFactor: 2 },
  { shape: [1, 4, 17, 33], scaleFactor: 2 },
  { shape: [2, 6, 9, 150], scaleFactor: 2 },
  { shape: [1, 4, 70, 6], scaleFactor: 2 },
  { shape: [1, 3, 5, 7], scaleFactor: 2.3 },
  { shape: [1, 3, 1, 5], size: [20, 3] },
  { shape: [1, 2, 3, 2], size: [50, 90] },
  { shape: [1, 5, 31, 40], size: [11, 13] },
  { shape: [1, 5, 40, 31], size: [5, 1] },
  { shape: [1, 4, 6, 6], size: [6, 6] },
];

function* cases(): Generator<OpCase> {
  for (const [index, { shape, size, scaleFactor }] of settings.entries()) {
    for (const alignCorners of [true, false]) {
      const x = random(index, shape);
      const resize = size ? { size } : { scaleFactor: scaleFactor! };
      const options = size
        ? { size, alignCorners }
        : { scaleFactor: [scaleFactor!, scaleFactor!] as const, alignCorners };
      const y = reference.upsampleBilinear2d(x, options);
      const dy = random(index + 100, y.shape);
      yield {
        name: `upsampleBilinear2d [${shape}] ${
          JSON.stringify(resize)
        } alignCorners ${alignCorners}`,
        inputs: { x: { value: x } },
        record: ({ x }) => upsampleBilinear2d(x!, { ...resize, alignCorners }),
        output: y,
        outputGradient: dy,
        gradients: { x: reference.upsampleBilinear2dBackward(dy, x, options) },
      };
    }
  }
}

testOps(cases());

Deno.test("upsampleBilinear2d wants either a size or a factor", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 3, 4, 5], layout: "c4" });
  assertThrows(() => upsampleBilinear2d(x, { alignCorners: true }), ShapeError, "one of them");
  assertThrows(
    () => upsampleBilinear2d(x, { scaleFactor: 0.1, alignCorners: true }),
    ShapeError,
    "[1,3,0,0]",
  );
});

Deno.test("upsampleBilinear2d takes images of more rows than four for each workgroup of a grid", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 4, 131072, 5], layout: "c4" });
  const y = upsampleBilinear2d(x, { scaleFactor: 2, alignCorners: true });
  const target = { maxTextureDimension: 16384, maxBindingBytes: 2 ** 27 };
  for (const kernelFamily of ["cpu", "gpu"] as const) {
    assertEquals(planProgram(graph, { y }, { ...target, kernelFamily }).dispatches, 1);
  }
});
