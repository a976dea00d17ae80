/** Dynamic loss scaling: what it changes, what it must not change, and training in 16 bits. @module */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { parameterGradients } from "../../src/graph/autograd.ts";
import { Graph } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { ParameterStore } from "../../src/graph/store.ts";
import { LossScale } from "../../src/nn/loss_scale.ts";
import { adamw, type Clipping, type Optimizer, rmsprop, sgd } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import { mul } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reduce.ts";
import { Trainer, type TrainingBatch } from "../../src/train/trainer.ts";
import { Validator } from "../../src/train/validator.ts";
import { random } from "../reference/array.ts";
import { testGpu } from "../ops/harness.ts";

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });

const SIZE = 70;

/** Steps of loss = sum(w x), whose gradient is x; returns the weights after each. */
async function steps(
  optimizer: Optimizer,
  clipping: Clipping,
  gradients: readonly Float32Array[],
  lossScale?: LossScale,
) {
  const gpu = await testGpu();
  const store = new ParameterStore();
  const stored = store.add("w", [SIZE], Float32Array.from(random(1, [SIZE]).data));
  const graph = new Graph();
  const x = graph.input("x", { shape: [SIZE] });
  const loss = sum(mul(graph.parameter(stored), x));
  const all = parameterGradients(loss, store, lossScale?.seed(graph));
  const norm = optimizer.record(graph, store, all, clipping, lossScale);
  const outputs = { loss, ...(norm ? { norm } : {}) };
  const program = await compile(gpu, graph, { outputs, stores: [store] });
  const after: Float32Array[] = [];
  const norms: number[] = [];
  const scales: number[] = [];
  try {
    program.fill(NaN);
    lossScale?.upload(gpu);
    for (const [i, values] of gradients.entries()) {
      program.write("x", values);
      program.write("optimizer", optimizer.stepState(0.01, i + 1));
      program.run();
      after.push((await store.read(gpu)).get("w") ?? new Float32Array());
      if (norm) norms.push((await program.read("norm"))[0] ?? NaN);
      if (lossScale) scales.push((await lossScale.read(gpu)).scale);
    }
    return { after, norms, scales, state: await lossScale?.read(gpu) };
  } finally {
    program.destroy();
    store.destroy();
    lossScale?.destroy();
  }
}

const gradientsOf = (count: number) =>
  Array.from({ length: count }, (_, i) => Float32Array.from(random(10 + i, [SIZE]).data));

const RECIPES: [string, () => Optimizer, Clipping][] = [
  ["sgd", () => sgd({ momentum: 0.9, nesterov: true, weightDecay: 0.1 }), {}],
  ["rmsprop, values clipped", () => rmsprop({ momentum: 0.9 }), { clipValue: 0.1 }],
  ["adamw, norm clipped", () => adamw(), { clipNorm: 0.5 }],
];

for (const [name, optimizer, clipping] of RECIPES) {
  test(`loss scale: a power of two changes no update of ${name}`, async () => {
    const gradients = gradientsOf(4);
    const plain = await steps(optimizer(), clipping, gradients);
    const scaled = await steps(optimizer(), clipping, gradients, new LossScale());
    scaled.after.forEach((values, step) => {
      values.forEach((value, i) => {
        assertAlmostEquals(value, plain.after[step]?.[i] ?? NaN, 1e-6);
      });
    });
    gradients.forEach((g, i) => {
      const expected = Math.hypot(...g);
      assertAlmostEquals(scaled.norms[i] ?? NaN, expected, expected * 1e-5);
    });
    assertEquals(scaled.state, { scale: 65536, goodUpdates: 4, skipped: 0, skippedInRow: 0 });
  });

  test(`loss scale: an overflow leaves out the update of ${name} and halves the scale`, async () => {
    const good = gradientsOf(5);
    const bad = [Infinity, NaN].map((value) =>
      Float32Array.from({ length: SIZE }, (_, i) => i === 66 ? value : 1)
    );
    const mixed = [good[0], bad[0], good[1], bad[1], good[2], good[3]].flatMap((g) => g ? [g] : []);
    const { after, scales, state } = await steps(
      optimizer(),
      clipping,
      mixed,
      new LossScale({ growthInterval: 2 }),
    );
    assertEquals(after[1], after[0]);
    assertEquals(after[3], after[2]);
    assert(after.every((values) => values.every(Number.isFinite)));
    assert(after[2]?.some((value, i) => value !== after[1]?.[i]));
    assertEquals(scales, [65536, 32768, 32768, 16384, 16384, 32768]);
    assertEquals(state, { scale: 32768, goodUpdates: 0, skipped: 2, skippedInRow: 0 });
  });
}

test("loss scale: it can be set within its limits", async () => {
  const scale = new LossScale();
  scale.set({ scale: 1, goodUpdates: 7, skipped: 3, skippedInRow: 0 });
  const bad = Float32Array.from({ length: SIZE }, () => NaN);
  const { state } = await steps(sgd(), {}, [bad, bad], scale);
  // It never falls below 1.
  assertEquals(state, { scale: 1, goodUpdates: 0, skipped: 5, skippedInRow: 2 });
  for (const value of [0, 0.5, 2 ** 25, NaN, Infinity]) {
    const counts = { goodUpdates: 0, skipped: 0, skippedInRow: 0 };
    const set = () => new LossScale().set({ scale: value, ...counts });
    assertThrows(set, InputError, `loss scale of ${value}`);
  }
  assertThrows(() => new LossScale({ growthInterval: 0 }), InputError, "growth interval of 0");
});

const STEPS = 6;

const BATCH: TrainingBatch = {
  batch: 2,
  height: 40,
  width: 48,
  pixels: Uint8Array.from({ length: 2 * 40 * 48 * 4 }, (_, i) => (i * 37) % 251),
  labels: Uint8Array.from({ length: 2 * 40 * 48 }, (_, i) => (i * 7) % 3),
};

/** Losses of steps, and what the trainer knows afterwards. */
async function train(images: "f32" | "f16", kernels: "cpu" | "gpu", accumulate = 1) {
  using gpu = await requestGpu({ kernels });
  const net = new UNet({ classes: 3, width: 8 }, 1);
  using trainer = new Trainer(gpu, net, {
    // Unlike rules that divide by the gradients' size, it does not make much of roundings.
    optimizer: sgd({ momentum: 0.9 }),
    learningRate: 0.05,
    images,
  });
  for (let step = 0; step < STEPS; step++) {
    await trainer.train(BATCH, { index: step % accumulate, size: accumulate });
  }
  const losses = [...await trainer.losses()];
  const arrays = await trainer.optimizerArrays();
  const scale = await trainer.lossScale();
  const { plannedBytes } = trainer;
  net.store.destroy();
  return { losses, scale, plannedBytes, arrays };
}

for (const [kernels, accumulate] of [["cpu", 1], ["gpu", 3]] as const) {
  test(`16 bits: ${kernels} kernels train as in 32, groups of ${accumulate}`, async () => {
    if (!(await testGpu(kernels)).supportsF16) return;
    const [wide, narrow] = [
      await train("f32", kernels, accumulate),
      await train("f16", kernels, accumulate),
    ];
    narrow.losses.forEach((loss, i) => assertAlmostEquals(loss, wide.losses[i] ?? NaN, 0.003));
    assert((narrow.losses.at(-1) ?? NaN) < (narrow.losses[0] ?? NaN));
    const updates = STEPS / accumulate;
    const good = { scale: 65536, goodUpdates: updates, skipped: 0, skippedInRow: 0 };
    assertEquals(narrow.scale, good);
    assertEquals(wide.scale, undefined);
    assert(narrow.plannedBytes < wide.plannedBytes);
    assertEquals([...narrow.arrays.get("optimizer.loss_scale.state") ?? []], [
      65536,
      updates,
      0,
      0,
    ]);
    assert(!wide.arrays.has("optimizer.loss_scale.state"));
  });
}

/** One pixel counts, so that a scale of 2^18 is too much for its gradient. */
const LONELY: TrainingBatch = {
  ...BATCH,
  labels: BATCH.labels.map((label, i) => i === 1000 ? label : 255),
};

test("16 bits: a batch that overflows costs its group; rewinding and freezing keep the scale", async () => {
  using gpu = await requestGpu();
  if (!gpu.supportsF16) return;
  const net = new UNet({ classes: 3, width: 8 }, 1);
  const mean = new UNet({ classes: 3, width: 8 }, 1);
  using trainer = new Trainer(gpu, net, {
    optimizer: adamw(),
    learningRate: 0.001,
    images: "f16",
    clipping: { clipNorm: 1 },
    average: { net: mean, decay: 0.9 },
  });
  const weights = async (of: UNet) => {
    const all = await of.store.read(gpu);
    return of.store.trainable.map(({ name }) => Float32Array.from(all.get(name) ?? []));
  };
  const group = async (...batches: TrainingBatch[]) => {
    for (const [index, batch] of batches.entries()) {
      await trainer.train(batch, { index, size: batches.length });
    }
    return await weights(net);
  };
  const before = await group(BATCH, BATCH);
  const arrays = await trainer.optimizerArrays();
  arrays.set("optimizer.loss_scale.state", Float32Array.of(2 ** 18, 5, 0, 0));
  trainer.restore(trainer.state, arrays);

  assertEquals(await group(LONELY, BATCH), before);
  const halved = { scale: 2 ** 17, goodUpdates: 0, skipped: 1, skippedInRow: 1 };
  assertEquals(await trainer.lossScale(), halved);
  trainer.snapshot();
  const after = await group(BATCH, BATCH);
  assert(after.some((values, i) => values.some((value, k) => value !== before[i]?.[k])));
  assertEquals(await trainer.lossScale(), { ...halved, goodUpdates: 1, skippedInRow: 0 });
  assert(trainer.rewind());
  assertEquals(await trainer.lossScale(), halved);
  assertEquals(await group(BATCH, BATCH), after);

  trainer.freezeStatistics();
  assertEquals(await trainer.lossScale(), { ...halved, goodUpdates: 1, skippedInRow: 0 });
  const frozen = await group(BATCH);
  for (const values of [...frozen, ...await weights(mean), await trainer.losses()]) {
    assert(values.every(Number.isFinite));
  }
  assertEquals(await trainer.lossScale(), { ...halved, goodUpdates: 2, skippedInRow: 0 });
  net.store.destroy();
  mean.store.destroy();
});

test("16 bits: validation and statistics of the set fit into the memory of the steps", async () => {
  using gpu = await requestGpu();
  if (!gpu.supportsF16) return;
  const net = new UNet({ classes: 3, width: 8 }, 1);
  using trainer = new Trainer(gpu, net, { optimizer: sgd(), learningRate: 0.05, images: "f16" });
  await trainer.train(BATCH);
  const { pool } = trainer;
  const bytes = pool.sizeBytes;
  using validator = new Validator(gpu, net, { images: "f16", pool });
  const { loss } = await validator.score(BATCH);
  await trainer.gatherStatistics(async function* () {
    yield await Promise.resolve(BATCH);
  }());
  // Little besides may differ in shape.
  assert(pool.sizeBytes < 1.1 * bytes, `${pool.sizeBytes} instead of ${bytes}`);
  await trainer.finish();
  net.store.destroy();
  using roomy = await requestGpu();
  const again = new UNet({ classes: 3, width: 8 }, 1);
  using wide = new Trainer(roomy, again, { optimizer: sgd(), learningRate: 0.05 });
  await wide.train(BATCH);
  using exact = new Validator(roomy, again, { pool: wide.pool });
  assertAlmostEquals(loss, (await exact.score(BATCH)).loss, 0.003);
  again.store.destroy();
});
