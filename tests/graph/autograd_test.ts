import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { backpropagate, differentiate, parameterGradients } from "../../src/graph/autograd.ts";
import { Graph, type NodeSpec, type Tensor } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { ParameterStore } from "../../src/graph/store.ts";
import { add, mul, scale } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reduce.ts";

/** An op that is never lowered. */
function fake(inputs: Tensor[], backward?: NodeSpec["backward"], outputs = 1): Tensor[] {
  const [x] = inputs;
  assert(x);
  const spec = { op: "fake", inputs, outputs: Array(outputs).fill({ shape: x.shape }) };
  return [...x.graph.record({ ...spec, lower() {}, ...(backward ? { backward } : {}) }).outputs];
}

Deno.test("gradients of a tensor that is used several times add up", async () => {
  using gpu = await requestGpu();
  const graph = new Graph();
  const x = graph.input("x", { shape: [3] });
  // y = 2 x + x * x + x, so dy/dx = 3 + 2 x.
  const y = add(add(scale(x, 2), mul(x, x)), x);
  const dx = differentiate(sum(y), [x]).get(x);
  assert(dx);
  using program = await compile(gpu, graph, { outputs: { dx } });
  program.fill(NaN);
  program.write("x", Float32Array.of(1, -2, 0.5));
  program.run();
  assertEquals(await program.read("dx"), Float32Array.of(5, -1, 4));
});

Deno.test("a tensor that the result does not depend on has no gradient", () => {
  const graph = new Graph();
  const [x, other] = ["x", "other"].map((label) => graph.input(label, { shape: [3] }));
  assert(x && other);
  mul(x, other);
  const y = scale(x, 2);
  const dy = graph.input("dy", { shape: [3] });
  const gradients = backpropagate(y, dy, [x, other]);
  assertEquals([...gradients.keys()], [x]);
});

Deno.test("nothing is recorded for what nobody wants", () => {
  const graph = new Graph();
  const [x, w] = ["x", "w"].map((label) => graph.input(label, { shape: [3] }));
  assert(x && w);
  let asked: boolean[] | undefined;
  // Its input depends on x alone: the walk has to stop here when w is wanted.
  const [a] = fake([x], () => {
    throw new Error("asked for the gradient of an input that nobody wants");
  });
  assert(a);
  const [y] = fake([a, w], ([dy], needs) => {
    asked = needs;
    return [undefined, dy];
  });
  assert(y);
  const dy = graph.input("dy", { shape: [3] });
  assertEquals(backpropagate(y, dy, [w]).get(w), dy);
  assertEquals(asked, [false, true]);
});

Deno.test("an op of two outputs gets the gradients of those that were used", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [3] });
  let got: (Tensor | undefined)[] = [];
  const [, second] = fake([x], (gradients) => {
    got = gradients;
    return [gradients[1]];
  }, 2);
  assert(second);
  const dy = graph.input("dy", { shape: [3] });
  assertEquals(backpropagate(second, dy, [x]).get(x), dy);
  assertEquals(got, [undefined, dy]);
});

Deno.test("a loss that is no scalar is refused", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [2, 3] });
  const y = scale(x, 2);
  assertThrows(() => differentiate(y, [x]), ShapeError, "of shape [2,3]");
});

Deno.test("an op without gradient is named, but only where it is in the way", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1] });
  const [y] = graph.scope("head", () => fake([x]));
  assert(y);
  assertThrows(() => differentiate(y, [x]), ShapeError, "head.fake");
  const other = graph.input("other", { shape: [1] });
  assertEquals(differentiate(add(y, other), [other]).size, 1);
});

Deno.test("the gradient of the result itself is what flows in", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1] });
  const seed = differentiate(x, [x]).get(x);
  assertEquals(seed?.label, "grad.seed");
});

Deno.test("parameter gradients lie at their parameters' offsets, shared and chained ones too", async () => {
  using gpu = await requestGpu();
  const store = new ParameterStore();
  const values = [[1, 2, 3, 4, 5], [2, 0, 1, -1, 1], [1, 1, 2, 2, 3], [3, 1, 4, 1, 5]];
  const names = ["a", "b", "c", "d"];
  names.forEach((name, i) => store.add(name, [5], Float32Array.from(values[i] ?? [])));
  store.add("unused", [2], new Float32Array(2));
  store.add("statistic", [5], new Float32Array(5), false);
  const graph = new Graph();
  const [a, b, c, d] = names.map((name) => graph.parameter(store.get(name)));
  assert(a && b && c && d);
  // The gradients of a and b are one tensor, that of c is computed from it, and a * d reads a.
  const y = add(add(add(a, b), c, 1, 0.5), mul(a, d));
  const found = parameterGradients(sum(y), store);
  assertEquals(found.map(({ stored }) => stored.name), names);
  for (const { stored, gradient } of found) {
    assertEquals(gradient.home?.offsetBytes, stored.home.offsetBytes);
    assertEquals(gradient.home?.buffer, store.companion("gradients"));
  }
  const outputs = Object.fromEntries(found.map((g) => [g.stored.name, g.gradient]));
  using program = await compile(gpu, graph, { outputs, stores: [store] });
  program.fill(NaN);
  program.run();
  await gpu.idle();
  const gradients = await store.readCompanion(gpu, "gradients");
  assertEquals(gradients.get("a"), Float32Array.of(4, 2, 5, 2, 6));
  assertEquals(gradients.get("b"), Float32Array.of(1, 1, 1, 1, 1));
  assertEquals(gradients.get("c"), new Float32Array(5).fill(0.5));
  assertEquals(gradients.get("d"), Float32Array.of(1, 2, 3, 4, 5));
  assertEquals(gradients.get("unused"), new Float32Array(2));
  assertAlmostEquals((await program.read("c"))[4] ?? NaN, 0.5);
  store.destroy();
});

Deno.test("a parameter that is the loss itself has gradient 1", async () => {
  using gpu = await requestGpu();
  const store = new ParameterStore();
  store.add("w", [1], Float32Array.of(7));
  const graph = new Graph();
  const [found] = parameterGradients(graph.parameter(store.get("w")), store);
  assert(found);
  using program = await compile(gpu, graph, { outputs: { g: found.gradient }, stores: [store] });
  program.run();
  assertEquals(await program.read("g"), Float32Array.of(1));
  store.destroy();
});
