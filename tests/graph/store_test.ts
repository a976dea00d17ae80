import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DeviceError, InputError } from "../../src/errors.ts";
import { type Gpu, requestGpu } from "../../src/gpu/device.ts";
import { Graph } from "../../src/graph/graph.ts";
import { compile, type Program } from "../../src/graph/program.ts";
import { ParameterStore } from "../../src/graph/store.ts";
import { batchNorm2d } from "../../src/ops/batch_norm2d.ts";
import { scale } from "../../src/ops/elementwise.ts";

function smallStore(): ParameterStore {
  const store = new ParameterStore();
  store.add("weight", [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
  store.add("running", [5], Float32Array.of(1, 1, 1, 1, 1), false);
  store.add("bias", [65], new Float32Array(65).fill(9));
  store.add("last", [], Float32Array.of(7));
  return store;
}

/** A program that reads parameter `name`. */
async function doubling(gpu: Gpu, store: ParameterStore, name: string): Promise<Program> {
  const graph = new Graph();
  const y = scale(graph.parameter(store.get(name)), 2);
  return await compile(gpu, graph, { outputs: { y }, stores: [store] });
}

Deno.test("store: offsets are multiples of 256 bytes, without overlap, in an arena by kind", () => {
  const store = smallStore();
  const offsets = store.tensors.map(({ home }) => [home.buffer.label, home.offsetBytes]);
  assertEquals(offsets, [
    ["parameters", 0],
    ["statistics", 0],
    ["parameters", 256],
    ["parameters", 768],
  ]);
  assertEquals([store.parameters.sizeBytes, store.statistics.sizeBytes], [1024, 256]);
  assertEquals(store.trainable.map(({ name }) => name), ["weight", "bias", "last"]);
  assertEquals(store.parameterCount, 6 + 65 + 1);
});

Deno.test("store: names are unique and values have the size of their shape", () => {
  const store = smallStore();
  assertThrows(() => store.add("bias", [1], Float32Array.of(1)), InputError, '"bias" twice');
  assertThrows(() => store.add("x", [2], Float32Array.of(1)), InputError, "got 1 values");
  assertThrows(() => store.set("bias", new Float32Array(3)), InputError, "expected 65");
  assertThrows(() => store.set("other", new Float32Array(3)), InputError, '"other"');
  assertThrows(() => store.get("other"), InputError, '"other"');
});

Deno.test("store: companions are as large as the parameters, also those added later", async () => {
  using gpu = await requestGpu();
  const store = smallStore();
  const momentum = store.companion("momentum");
  assertEquals(store.companion("momentum"), momentum);
  store.add("late", [100], new Float32Array(100));
  assertEquals(momentum.sizeBytes, store.parameters.sizeBytes);
  assertEquals(store.companions, ["momentum"]);
  const values = await store.readCompanion(gpu, "momentum");
  assertEquals([...values.keys()], ["weight", "bias", "last", "late"]);
  assertEquals(values.get("late"), new Float32Array(100));
  store.destroy();
});

Deno.test("store: values can be set before and after they are on the GPU", async () => {
  using gpu = await requestGpu();
  const store = smallStore();
  using program = await doubling(gpu, store, "weight");
  program.run();
  assertEquals(await program.read("y"), Float32Array.of(2, 4, 6, 8, 10, 12));
  store.set("weight", Float32Array.of(0, 1, 0, 1, 0, 1));
  store.set("running", Float32Array.of(5, 4, 3, 2, 1));
  program.run();
  assertEquals(await program.read("y"), Float32Array.of(0, 2, 0, 2, 0, 2));
  store.set("weight", Float32Array.of(3, 3, 3, 3, 3, 3));
  const values = await store.read(gpu);
  assertEquals([...values.keys()], ["weight", "running", "bias", "last"]);
  assertEquals(values.get("weight"), new Float32Array(6).fill(3));
  assertEquals(values.get("running"), Float32Array.of(5, 4, 3, 2, 1));
  assertEquals(values.get("bias"), new Float32Array(65).fill(9));
  assertEquals(values.get("last"), Float32Array.of(7));
  store.destroy();
});

Deno.test("store: what programs write into a store stays until it is set again", async () => {
  using gpu = await requestGpu();
  const store = new ParameterStore();
  for (const [name, value] of Object.entries({ weight: 1, bias: 0, mean: 0, variance: 1 })) {
    store.add(name, [1], Float32Array.of(value), false);
  }
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 1, 2, 2], layout: "c4" });
  const [weight, bias, runningMean, runningVar] = store.tensors.map((t) => graph.parameter(t));
  assert(weight && bias && runningMean && runningVar);
  const y = batchNorm2d(x, { weight, bias, runningMean, runningVar }, { training: true });
  using program = await compile(gpu, graph, { outputs: { y }, stores: [store] });
  program.write("x", Float32Array.of(2, 2, 2, 2));
  const means: number[] = [];
  for (let i = 0; i < 4; i++) {
    if (i === 2) store.set("mean", Float32Array.of(1));
    program.run();
    means.push((await store.read(gpu)).get("mean")?.[0] ?? NaN);
  }
  // A tenth of the way to 2 each time.
  for (const [i, expected] of [0.2, 0.38, 1.1, 1.19].entries()) {
    assertAlmostEquals(means[i] ?? NaN, expected, 1e-6);
  }
  store.destroy();
});

Deno.test("store: a store without statistics, or without parameters, can be read", async () => {
  using gpu = await requestGpu();
  for (const trainable of [true, false]) {
    const store = new ParameterStore();
    store.add("only", [1], Float32Array.of(4), trainable);
    assertEquals(await store.read(gpu), new Map([["only", Float32Array.of(4)]]));
    store.destroy();
  }
});

Deno.test("store: nothing can be added once a program uses it", async () => {
  using gpu = await requestGpu();
  const store = smallStore();
  using _program = await doubling(gpu, store, "bias");
  const add = () => store.add("late", [1], Float32Array.of(1));
  assertThrows(add, DeviceError, "declare every parameter first");
  assert(!store.tensors.some(({ name }) => name === "late"));
  store.destroy();
});

Deno.test("store: two programs share values, two devices do not", async () => {
  using gpu = await requestGpu();
  using other = await requestGpu();
  const store = smallStore();
  using first = await doubling(gpu, store, "weight");
  using second = await doubling(gpu, store, "weight");
  store.set("weight", new Float32Array(6).fill(2));
  for (const program of [first, second]) {
    program.run();
    assertEquals(await program.read("y"), new Float32Array(6).fill(4));
  }
  await assertRejects(
    () => doubling(other, store, "weight"),
    DeviceError,
    '"parameters" on a second GPU device',
  );
  store.destroy();
});
