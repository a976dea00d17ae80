/** The norm of gradients where weights fill no whole number of vec4s. @module */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { parameterGradients } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { ParameterStore } from "../../src/graph/store.ts";
import { Stream } from "../../src/nn/random.ts";
import { gradientNorm } from "../../src/ops/clip.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { mul } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reduce.ts";
import { testGpu } from "../ops/harness.ts";

/** Checks that the nine values of the weight's gradient are all that its arena holds. */
async function checkNorm(
  shape: number[],
  net: (x: Tensor, weight: Tensor) => Tensor,
  kernels: "cpu" | "gpu",
  maxBindingBytes?: number,
): Promise<void> {
  const gpu = await testGpu(kernels);
  const noise = new Stream(1);
  const store = new ParameterStore();
  const weight = store.add("weight", [1, 1, 3, 3], noise.uniform(9, 1));
  const graph = new Graph();
  const x = graph.input("x", { shape, layout: "c4" });
  const y = net(x, graph.parameter(weight));
  const direction = graph.input("direction", { shape, layout: "c4" });
  const loss = sum(mul(y, direction));
  const gradients = parameterGradients(loss, store);
  const norm = gradientNorm(graph, store, gradients, 1);
  const program = await compile(gpu, graph, {
    outputs: { loss, norm },
    stores: [store],
    target: maxBindingBytes === undefined ? {} : { maxBindingBytes },
  });
  try {
    program.fill(NaN);
    const size = shape.reduce((a, b) => a * b, 1);
    program.write("x", noise.uniform(size, 1));
    program.write("direction", noise.uniform(size, 1));
    program.run();
    const [length = NaN] = await program.read("norm");
    const values = (await store.readCompanion(gpu, "gradients")).get("weight") ?? [];
    const expected = Math.hypot(...values);
    assertAlmostEquals(length, expected, expected * 1e-5);
    const arena = store.companion("gradients");
    const all = new Float32Array(await gpu.readBuffer(arena.on(gpu), 0, arena.sizeBytes));
    assertEquals([...all.slice(9)], new Array(all.length - 9).fill(0));
  } finally {
    program.destroy();
    store.destroy();
  }
}

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });

test("gradient norm: sums over windows of images add nothing behind the weight", async () => {
  const conv = (x: Tensor, weight: Tensor) => conv2d(x, weight, undefined, { padding: 1 });
  await checkNorm([4, 1, 9, 9], conv, "gpu", 4096);
});

test("gradient norm: sums over uses of a weight add nothing behind it", async () => {
  const twice = (x: Tensor, weight: Tensor) =>
    conv2d(conv2d(x, weight, undefined, { padding: 1 }), weight, undefined, { padding: 1 });
  await checkNorm([2, 1, 30, 30], twice, "cpu");
});
