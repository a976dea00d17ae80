/** Sums of gradients and running averages of weights, through recorded programs. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { parameterGradients } from "../../src/graph/autograd.ts";
import { Graph } from "../../src/graph/graph.ts";
import { PersistentBuffer } from "../../src/graph/memory.ts";
import { compile } from "../../src/graph/program.ts";
import { planProgram } from "../../src/graph/program_plan.ts";
import { ParameterStore } from "../../src/graph/store.ts";
import { sgd } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import { arenaBlend } from "../../src/ops/arena_blend.ts";
import { mul } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reduce.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { random } from "../reference/array.ts";
import { testGpu } from "../ops/harness.ts";

const shared = { sanitizeOps: false, sanitizeResources: false };

Deno.test({
  ...shared,
  name: "arenaBlend: target = k0 target + k1 source, and a k0 of 0 forgets even NaN",
  async fn() {
    const gpu = await testGpu();
    const store = new ParameterStore();
    const shapes = { a: [3], b: [65], c: [7, 3, 3, 3] };
    for (const [i, [name, shape]] of Object.entries(shapes).entries()) {
      store.add(name, shape, Float32Array.from(random(i, shape).data));
    }
    const graph = new Graph();
    const k = graph.input("k", { shape: [2] });
    arenaBlend("blend", store.companion("target"), store.parameters, k);
    const program = await compile(gpu, graph, { outputs: {}, stores: [store] });
    try {
      const expected = new Map(
        store.trainable.map(({ name, shape }) => [name, new Float64Array(random(9, shape).data)]),
      );
      const source = await store.read(gpu);
      store.writeCompanion(
        gpu,
        "target",
        new Map([...expected].map(([name, values]) => [name, Float32Array.from(values)])),
      );
      for (const [k0, k1] of [[0.9, 0.1], [1, -0.5], [0, 2]] as const) {
        if (k0 === 0) {
          store.writeCompanion(gpu, "target", new Map([["a", new Float32Array(3).fill(NaN)]]));
        }
        program.write("k", Float32Array.of(k0, k1));
        program.run();
        const actual = await store.readCompanion(gpu, "target");
        for (const [name, values] of expected) {
          for (let i = 0; i < values.length; i++) {
            const old = k0 === 0 ? 0 : k0 * values[i]!;
            values[i] = old + k1 * source.get(name)![i]!;
            assertAlmostEquals(actual.get(name)![i]!, values[i]!, 1e-6);
          }
        }
      }
    } finally {
      program.destroy();
      store.destroy();
    }
  },
});

Deno.test("arenaBlend works in windows that a binding can hold, and refuses other sizes", () => {
  const graph = new Graph();
  const k = graph.input("k", { shape: [2] });
  const [a, b] = [new PersistentBuffer("a", 2560), new PersistentBuffer("b", 2560)];
  arenaBlend("blend", a, b, k);
  const target = { kernelFamily: "gpu" as const, maxTextureDimension: 8192, maxBindingBytes: 1100 };
  const { steps } = planProgram(graph, {}, target);
  const windows = steps.map((step) =>
    step.kind === "dispatch" && step.operands[0]?.kind === "buffer" && step.operands[0].home
      ? [step.operands[0].home.offsetBytes, step.operands[0].sizeBytes]
      : []
  );
  assertEquals(windows, [[0, 1024], [1024, 1024], [2048, 512]]);
  assertThrows(() => arenaBlend("blend", a, new PersistentBuffer("c", 256), k), ShapeError, "2560");
});

const photo = (level: number) => ({
  batch: 2,
  height: 12,
  width: 9,
  pixels: Uint8Array.from({ length: 2 * 12 * 9 * 4 }, (_, i) => level + (i * 37) % 90),
  labels: Uint8Array.from({ length: 2 * 12 * 9 }, (_, i) => i % 7 === 0 ? 255 : i % 3),
});

Deno.test({
  ...shared,
  name: "trainer: a group's update is that of its mean gradient; the average follows the weights",
  async fn() {
    const gpu = await testGpu();
    const rate = 0.5;
    const decay = 0.75;
    const net = new UNet({ classes: 3, width: 4 }, 5);
    const average = { net: new UNet({ classes: 3, width: 4 }, 6), decay };
    using trainer = new Trainer(gpu, net, { optimizer: sgd(), learningRate: rate, average });
    const gradientOf = async (level: number) => {
      const alone = new UNet({ classes: 3, width: 4 });
      alone.load(await net.store.read(gpu));
      using single = new Trainer(gpu, alone, { optimizer: sgd(), learningRate: 0 });
      await single.train(photo(level));
      return await alone.store.readCompanion(gpu, "gradients");
    };
    const groups = [[10, 60, 110], [30, 90], [70]];
    const mean = new Map<string, Float64Array>();
    for (const [update, levels] of groups.entries()) {
      const before = await net.store.read(gpu);
      const gradients: Map<string, Float32Array>[] = [];
      for (const level of levels) gradients.push(await gradientOf(level));
      for (const [index, level] of levels.entries()) {
        await trainer.train(photo(level), { index, size: levels.length });
      }
      const after = await net.store.read(gpu);
      const averaged = await average.net.store.read(gpu);
      for (const { name } of net.store.trainable) {
        const values = mean.get(name) ?? new Float64Array(before.get(name)!.length);
        mean.set(name, values);
        const keep = update === 0 ? 0 : Math.min(decay, (update + 1) / (10 + update));
        after.get(name)!.forEach((value, i) => {
          const g = gradients.reduce((total, map) => total + map.get(name)![i]!, 0) / levels.length;
          assertAlmostEquals(value, before.get(name)![i]! - rate * g, 2e-5, name);
          values[i] = keep * values[i]! + (1 - keep) * value;
          assertAlmostEquals(averaged.get(name)![i]!, values[i]!, 1e-6, `average of ${name}`);
        });
      }
    }
    assertEquals(trainer.state, { step: 6, optimizerStep: 3, frozen: false, batchesTracked: 6 });
    assertEquals((await trainer.losses()).length, 6);
    net.store.destroy();
  },
});

Deno.test({
  ...shared,
  name: "trainer: steps after a rewind are the steps after the snapshot, bit for bit",
  async fn() {
    const gpu = await testGpu();
    const net = new UNet({ classes: 3, width: 4 }, 5);
    using trainer = new Trainer(gpu, net, { optimizer: sgd({ momentum: 0.9 }), learningRate: 0.1 });
    assert(!trainer.rewind());
    await trainer.train(photo(10));
    await trainer.losses();
    trainer.snapshot();
    const rounds = [];
    for (let round = 0; round < 2; round++) {
      trainer.rewind();
      for (const level of [50, 90, 20]) await trainer.train(photo(level));
      rounds.push({ losses: await trainer.losses(), state: trainer.state });
    }
    assertEquals(rounds[0], rounds[1]);
    net.store.destroy();
  },
});

Deno.test({
  ...shared,
  name: "a parameter that nobody reads has no gradient to add up",
  async fn() {
    const gpu = await testGpu();
    const store = new ParameterStore();
    const used = store.add("used", [4], Float32Array.of(1, 2, 3, 4));
    store.add("idle", [4], new Float32Array(4));
    const graph = new Graph();
    const x = graph.input("x", { shape: [4] });
    const gradients = parameterGradients(sum(mul(graph.parameter(used), x)), store);
    const k = graph.input("k", { shape: [2] });
    const after = gradients.map(({ gradient }) => gradient);
    arenaBlend("sum", store.companion("sum"), store.companion("gradients"), k, after);
    using program = await compile(gpu, graph, { outputs: {}, stores: [store] });
    program.write("k", Float32Array.of(1, 0.5));
    program.write("x", Float32Array.of(2, 4, 6, 8));
    program.run();
    program.run();
    const sums = await store.readCompanion(gpu, "sum");
    assertEquals(sums.get("used"), Float32Array.of(2, 4, 6, 8));
    assertEquals(sums.get("idle"), new Float32Array(4));
    store.destroy();
  },
});
