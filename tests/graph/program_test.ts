import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DeviceError, InputError, ShapeError } from "../../src/errors.ts";
import { type Gpu, requestGpu } from "../../src/gpu/device.ts";
import { Graph, type TensorSpec } from "../../src/graph/graph.ts";
import { History } from "../../src/graph/history.ts";
import type { HostValues } from "../../src/graph/host_values.ts";
import { compile, type CompileOptions, type Program } from "../../src/graph/program.ts";
import { ParameterStore } from "../../src/graph/store.ts";
import { crossEntropy } from "../../src/ops/cross_entropy.ts";
import { add, scale } from "../../src/ops/elementwise.ts";

/** y = 2 x. */
async function doubling(
  gpu: Gpu,
  spec: TensorSpec,
  options: Partial<CompileOptions> = {},
): Promise<Program> {
  const graph = new Graph();
  const y = scale(graph.input("x", spec), 2);
  return await compile(gpu, graph, { outputs: { y }, ...options });
}

Deno.test("program: inputs go in and outputs come out row by row, in either layout", async () => {
  using gpu = await requestGpu();
  for (const layout of ["flat", "c4"] as const) {
    using program = await doubling(gpu, { shape: [2, 3, 2, 5], layout });
    program.fill(NaN);
    const values = Float32Array.from({ length: 60 }, (_, i) => i - 20);
    program.write("x", values);
    program.run();
    assertEquals(await program.read("y"), values.map((v) => 2 * v));
    assertEquals((await program.readRaw("y")).byteLength, layout === "flat" ? 240 : 2 * 64 * 16);
    assertEquals([program.runs, program.dispatches], [1, 1]);
  }
});

Deno.test("program: an input is an output too, words and bytes alike", async () => {
  using gpu = await requestGpu();
  const graph = new Graph();
  const ids = graph.input("ids", { shape: [3], dtype: "u32" });
  using program = await compile(gpu, graph, { outputs: { ids } });
  program.write("ids", Uint32Array.of(7, 2 ** 31, 0));
  program.run();
  assertEquals(await program.readInts("ids"), Uint32Array.of(7, 2 ** 31, 0));
  program.write("ids", Uint8Array.of(1, 0, 0, 0, 0, 1, 0, 0, 255, 255, 255, 255));
  assertEquals(await program.readInts("ids"), Uint32Array.of(1, 256, 2 ** 32 - 1));
  // What a canvas gives.
  program.write("ids", Uint8ClampedArray.of(2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0));
  assertEquals(await program.readInts("ids"), Uint32Array.of(2, 512, 0));
});

Deno.test("program: constants are there without being written", async () => {
  using gpu = await requestGpu();
  const graph = new Graph();
  const x = graph.input("x", { shape: [5] });
  const c = graph.constant("c", [5], Float32Array.of(1, 2, 3, 4, 5));
  using program = await compile(gpu, graph, { outputs: { y: add(x, c) } });
  program.write("x", new Float32Array(5).fill(10));
  program.run();
  assertEquals(await program.read("y"), Float32Array.of(11, 12, 13, 14, 15));
});

Deno.test("program: wrong names and counts are refused with what would be right", async () => {
  using gpu = await requestGpu();
  using program = await doubling(gpu, { shape: [1, 3, 2, 2], layout: "c4" });
  const wrong = (label: string, values: HostValues, text: string) =>
    assertThrows(() => program.write(label, values), InputError, text);
  wrong("z", new Float32Array(12), 'input "z", but this program has x');
  wrong("x", new Float32Array(11), "got 11 values, expected 12 for shape [1,3,2,2]");
  wrong("x", new Uint32Array(12), "write a Float32Array");
  await assertRejects(() => program.read("z"), InputError, 'output "z", but this program has y');
  await assertRejects(() => program.readInts("z"), InputError, '"z"');
  await assertRejects(() => program.readInts("y"), InputError, "holds floats; use read.");
  const graph = new Graph();
  const ids = graph.input("ids", { shape: [3], dtype: "u32" });
  using words = await compile(gpu, graph, { outputs: { ids } });
  assertThrows(
    () => words.write("ids", new Uint8Array(13)),
    InputError,
    "got 13 bytes, expected 12, four a value,",
  );
  await assertRejects(() => words.read("ids"), InputError, "holds whole numbers; use readInts");
  assertThrows(() => words.write("ids", new Float32Array(3)), InputError, "Uint32Array or Uint8");
  using flat = await doubling(gpu, { shape: [3] });
  assertThrows(() => flat.write("x", new Uint32Array(3)), InputError, "write a Float32Array");
});

Deno.test("program: a store that nobody named is missed, its parameters would be zero", async () => {
  using gpu = await requestGpu();
  const [store, other] = [new ParameterStore(), new ParameterStore()];
  const graph = new Graph();
  const y = scale(graph.parameter(store.add("w", [2], Float32Array.of(1, 2))), 10);
  for (const stores of [undefined, [other]]) {
    const options = { outputs: { y }, ...(stores ? { stores } : {}) };
    await assertRejects(
      () => compile(gpu, graph, options),
      InputError,
      'parameter "w" got no store',
    );
  }
  using program = await compile(gpu, graph, { outputs: { y }, stores: [other, store] });
  program.run();
  assertEquals(await program.read("y"), Float32Array.of(10, 20));
  store.destroy();
});

Deno.test("program: outputs of another graph and histories of no scalar are refused", async () => {
  using gpu = await requestGpu();
  const other = scale(new Graph().input("x", { shape: [1] }), 2);
  await assertRejects(
    () => compile(gpu, new Graph(), { outputs: { y: other } }),
    ShapeError,
    'output "y", tensor "scale" of another graph',
  );
  await assertRejects(
    () => doubling(gpu, { shape: [2] }, { historyOf: "y" }),
    InputError,
    'history of output "y" f32[2]',
  );
  // The only value of an image lies behind its border.
  await assertRejects(
    () => doubling(gpu, { shape: [1, 1, 1, 1], layout: "c4" }, { historyOf: "y" }),
    InputError,
    "f32[1,1,1,1] (c4)",
  );
  await assertRejects(
    () => doubling(gpu, { shape: [1] }, { historyOf: "loss" }),
    InputError,
    '"loss", but this program has y',
  );
  // The failed attempts must leave the device as it was.
  using program = await doubling(gpu, { shape: [1] }, { historyOf: "y" });
  program.run();
  await gpu.idle();
});

Deno.test("program: nothing works after destroy, which may be called twice", async () => {
  using gpu = await requestGpu();
  const program = await doubling(gpu, { shape: [1] }, { historyOf: "y" });
  program.run();
  program.destroy();
  program.destroy();
  const text = "program after it was destroyed";
  assertThrows(() => program.run(), DeviceError, text);
  assertThrows(() => program.write("x", Float32Array.of(1)), DeviceError, text);
  assertThrows(() => program.fill(0), DeviceError, text);
  await assertRejects(() => program.runQueued(), DeviceError, text);
  await assertRejects(() => program.read("y"), DeviceError, text);
  await assertRejects(() => program.history(1), DeviceError, text);
  await gpu.idle();
});

Deno.test("program: two programs of one graph share inputs until the last is destroyed", async () => {
  using gpu = await requestGpu();
  const graph = new Graph();
  const x = graph.input("x", { shape: [2] });
  const [y, z] = [scale(x, 2), scale(x, 3)];
  const first = await compile(gpu, graph, { outputs: { y } });
  using second = await compile(gpu, graph, { outputs: { z } });
  first.write("x", Float32Array.of(1, -1));
  first.run();
  assertEquals(await first.read("y"), Float32Array.of(2, -2));
  first.destroy();
  second.run();
  assertEquals(await second.read("z"), Float32Array.of(3, -3));
});

Deno.test("program: history keeps the last values in order", async () => {
  using gpu = await requestGpu();
  using program = await doubling(gpu, { shape: [1] }, { historyOf: "y", historyLength: 4 });
  await assertRejects(() => program.history(1), InputError, "0 runs were made");
  for (let i = 1; i <= 6; i++) {
    program.write("x", Float32Array.of(i));
    program.run();
    if (i === 3) assertEquals(await program.history(3), Float32Array.of(2, 4, 6));
  }
  assertEquals(await program.history(4), Float32Array.of(6, 8, 10, 12));
  assertEquals(await program.history(2), Float32Array.of(10, 12));
  assertEquals(await program.history(0), new Float32Array());
  await assertRejects(() => program.history(5), InputError, "4 are kept");
});

Deno.test("program: programs that take turns keep one history and leave it alone", async () => {
  using gpu = await requestGpu();
  const history = new History(8);
  const options = { historyOf: "y", history };
  const programs = [
    await doubling(gpu, { shape: [1] }, options),
    await doubling(gpu, { shape: [] }, options),
  ];
  for (const [i, program] of [0, 1, 1, 0].entries()) {
    programs[program]?.write("x", Float32Array.of(i));
    programs[program]?.run();
  }
  for (const program of programs) program.destroy();
  assertEquals(history.count, 4);
  const values = await history.read(gpu, 4);
  history.destroy();
  assertEquals(values, Float32Array.of(0, 2, 4, 6));
});

Deno.test("program: queued runs happen in order, at any depth", async () => {
  using gpu = await requestGpu();
  for (const depth of [0, 1, 3]) {
    using program = await doubling(gpu, { shape: [1] }, { historyOf: "y" });
    for (let i = 0; i < 10; i++) {
      program.write("x", Float32Array.of(i));
      await program.runQueued(depth);
    }
    assertEquals(program.runs, 10);
    assertEquals(await program.history(10), Float32Array.from({ length: 10 }, (_, i) => 2 * i));
  }
});

Deno.test("program: a plan over the memory budget is refused with what to do", async () => {
  using gpu = await requestGpu({ memoryBudgetBytes: 2 ** 20, textureReadBytes: Infinity });
  const error = await assertRejects(
    () => doubling(gpu, { shape: [1, 4, 254, 254], layout: "c4" }),
    InputError,
  );
  // Input and output of 256 x 256 vec4s each, and the params.
  assertEquals(
    error.message,
    "The program plans 2 MiB of GPU memory, but the budget is 1 MiB; use a smaller batch, scale " +
      "or width.",
  );
  using program = await doubling(gpu, { shape: [1, 4, 100, 100], layout: "c4" });
  assert(program.plannedBytes < 2 ** 20);
});

Deno.test("inspecting shows values, not what an earlier run left behind them", async () => {
  using gpu = await requestGpu();
  const graph = new Graph();
  const logits = graph.input("logits", { shape: [1, 2, 1, 1], layout: "c4" });
  const target = graph.input("target", { shape: [1, 1, 1], dtype: "u32" });
  const loss = crossEntropy(logits, target);
  using program = await compile(gpu, graph, { outputs: { loss } });
  program.fill(NaN);
  program.write("logits", Float32Array.of(0, 0));
  program.write("target", Uint32Array.of(1));
  const seen: number[][] = [];
  await program.inspect((_node, _memory, values) => {
    seen.push([...values]);
    return true;
  });
  // Loss and weight; the third output, which nobody reads, may be overwritten by then.
  assertEquals(seen.slice(0, 2), [[Math.fround(Math.LN2)], [1]]);
  assertEquals(seen.map(({ length }) => length), [1, 1, 2]);
});

Deno.test("program: one that cannot be made frees what it had taken", async () => {
  using gpu = await requestGpu();
  using other = await requestGpu();
  const store = new ParameterStore();
  const stored = store.add("w", [5], new Float32Array(5));
  store.upload(other);
  const alive = new Set<string>();
  const create = gpu.createBuffer.bind(gpu);
  gpu.createBuffer = (label, sizeBytes, usage) => {
    const buffer = create(label, sizeBytes, usage);
    const destroy = buffer.destroy.bind(buffer);
    alive.add(label);
    buffer.destroy = () => {
      alive.delete(label);
      destroy();
    };
    return buffer;
  };
  const graph = new Graph();
  const x = scale(graph.input("x", { shape: [5] }), 2);
  const outputs = { y: add(x, graph.parameter(stored)) };
  await assertRejects(
    () => compile(gpu, graph, { outputs, stores: [store] }),
    DeviceError,
    "second GPU device",
  );
  assertEquals([...alive], []);
  store.destroy();
});
