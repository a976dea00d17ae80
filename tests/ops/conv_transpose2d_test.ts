import { assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { convTranspose2d } from "../../src/ops/conv_transpose2d.ts";
import { type Array64, type Pair, random } from "../reference/array.ts";
import * as reference from "../reference/conv_transpose2d.ts";
import { checkOp, type OpCase, testEveryWay, testGpu } from "./harness.ts";

interface Sizes {
  input: [number, number, number, number];
  out: number;
  kernel: Pair;
  options?: reference.ConvTranspose2dOptions;
  bias?: boolean;
}

function transposeCase(s: Sizes, seed: number): OpCase {
  const x = random(seed, s.input);
  const weight = random(seed + 1, [s.input[1], s.out, ...s.kernel]);
  const bias = s.bias ?? true ? random(seed + 2, [s.out]) : undefined;
  const output = reference.convTranspose2d(x, weight, bias, s.options);
  const dy = random(seed + 3, output.shape);
  const expected = reference.convTranspose2dBackward(dy, x, weight, s.options);
  const gradients: Record<string, Array64> = { x: expected.x, weight: expected.weight };
  if (bias) gradients.bias = expected.bias;
  return {
    name: `convTranspose2d [${s.input}] -> ${s.out}, kernel ${s.kernel}, ` +
      `${JSON.stringify(s.options ?? {})}${bias ? ", bias" : ""}`,
    inputs: {
      x: { value: x },
      weight: { value: weight, layout: "flat" },
      ...(bias ? { bias: { value: bias } } : {}),
    },
    record: (t) => convTranspose2d(t.x!, t.weight!, t.bias, s.options),
    output,
    outputGradient: dy,
    gradients,
    partsReorderSums: true,
  };
}

const sizes: Sizes[] = [
  { input: [2, 6, 5, 7], out: 3, kernel: [2, 2], options: { stride: [2, 2] } },
  { input: [1, 16, 9, 20], out: 8, kernel: [2, 2], options: { stride: [2, 2] } },
  { input: [1, 1, 1, 1], out: 1, kernel: [2, 2], options: { stride: [2, 2] }, bias: false },
  {
    input: [2, 5, 4, 6],
    out: 9,
    kernel: [3, 3],
    options: { stride: [2, 2], padding: [1, 1], outputPadding: [1, 1] },
  },
  {
    input: [1, 3, 6, 5],
    out: 4,
    kernel: [3, 4],
    options: { stride: [3, 1], padding: [2, 0], outputPadding: [2, 0], dilation: [2, 2] },
  },
  { input: [1, 4, 5, 5], out: 5, kernel: [1, 1], options: { stride: [2, 2] } },
  { input: [2, 5, 6, 6], out: 7, kernel: [3, 3], options: { padding: [1, 1] } },
  { input: [2, 5, 6, 6], out: 7, kernel: [3, 3], options: { padding: [1, 1] }, bias: false },
  { input: [3, 2, 3, 4], out: 3, kernel: [4, 4], options: { stride: [2, 2], padding: [1, 1] } },
];

/** With a bias through Winograd's F(4x4,3x3), which input gradients of other layers do not have. */
const wide: Sizes = {
  input: [1, 61, 37, 39],
  out: 66,
  kernel: [3, 3],
  options: { padding: [1, 1] },
};

for (const family of ["cpu", "gpu"] as const) {
  const cases = family === "cpu" ? [...sizes, wide] : sizes;
  cases.forEach((s, i) => {
    const opCase = transposeCase(s, i * 10 + 1);
    Deno.test({
      name: `${opCase.name} (${family} kernels)`,
      // The device is shared, so leak checks cannot apply.
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => await checkOp(await testGpu(family), opCase),
    });
  });
}

testEveryWay();

Deno.test("convTranspose2d refuses shapes that do not fit", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 3, 4, 4], layout: "c4" });
  const weight = graph.input("w", { shape: [3, 8, 2, 2] });
  const other = graph.input("other", { shape: [4, 8, 2, 2] });
  assertThrows(() => convTranspose2d(x, other), ShapeError, "other");
  assertThrows(
    () => convTranspose2d(x, weight, undefined, { stride: 2, outputPadding: 2 }),
    ShapeError,
    "outputPadding",
  );
});
