import { resizeArgmax, unpackIds } from "../../src/ops/resize_argmax.ts";
import { argmax } from "../reference/softmax.ts";
import { softmax } from "../reference/softmax.ts";
import { type Array64, fromValues, random } from "../reference/array.ts";
import { upsampleBilinear2d } from "../reference/upsample_bilinear2d.ts";
import { assertEquals } from "@std/assert";
import { Graph } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { testGpu } from "./harness.ts";

async function predict(logits: Array64, size: [number, number], threshold?: number) {
  const graph = new Graph();
  const x = graph.input("x", { shape: logits.shape, layout: "c4" });
  const y = resizeArgmax(x, { size, ...(threshold === undefined ? {} : { threshold }) });
  const run = async (textureReadBytes: number) => {
    const target = { textureReadBytes };
    using program = await compile(await testGpu(), graph, { outputs: { y }, target });
    program.fill(NaN);
    program.write("x", Float32Array.from(logits.data));
    program.run();
    return unpackIds(await program.readInts("y"), ...size);
  };
  const ids = await run(Infinity);
  assertEquals(await run(1), ids, "read through textures");
  return ids;
}

/** Pixels whose two best classes are closer than float32 can tell are no test of the choice. */
function decided(resized: Array64, pixel: number, margin = 1e-5): boolean {
  const [, classes = 0, h = 0, w = 0] = resized.shape;
  const n = Math.floor(pixel / (h * w));
  const values = Array.from(
    { length: classes },
    (_, k) => resized.data[(n * classes + k) * h * w + (pixel % (h * w))] ?? 0,
  ).sort((a, b) => b - a);
  return classes < 2 || values[0]! - values[1]! > margin;
}

const cases: [number[], [number, number]][] = [
  [[2, 5, 7, 9], [7, 9]],
  [[1, 23, 6, 11], [31, 50]],
  [[3, 2, 16, 14], [5, 3]],
  [[1, 1, 1, 1], [4, 6]],
];

for (const [shape, size] of cases) {
  Deno.test({
    name: `resize_argmax [${shape}] to ${size}`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const logits = random(5, shape);
      const resized = upsampleBilinear2d(logits, { size, alignCorners: false });
      const expected = Array.from(argmax(resized).data);
      const actual = Array.from(await predict(logits, size));
      assertEquals(actual.length, expected.length);
      const keep = (_: number, i: number) => decided(resized, i);
      assertEquals(actual.filter(keep), expected.filter(keep));
    },
  });
}

Deno.test({
  name: "resize_argmax with a threshold",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const logits = random(6, [1, 2, 8, 9], 3);
    const p1 = softmax(logits).data.subarray(72);
    const actual = await predict(logits, [8, 9], 0.8);
    assertEquals(Array.from(actual), Array.from(p1, (p) => (p > 0.8 ? 1 : 0)));
    assertEquals(fromValues([72], actual).data.some((id) => id === 1), true);
  },
});
