/** Training runs in 16 bits that overflow: which go on, which stop, and what is said. @module */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { valueToClass } from "../../src/data/dataset.ts";
import { SampleSource } from "../../src/data/samples.ts";
import { InputError } from "../../src/errors.ts";
import { sgd } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import { runTraining } from "../../src/train/run.ts";
import { newRunState, parseRunState } from "../../src/train/run_state.ts";
import { ReduceOnPlateau } from "../../src/train/schedule.ts";
import { Trainer, type TrainingBatch } from "../../src/train/trainer.ts";
import { type PairSource, TrainingBatches } from "../../src/train/training_batches.ts";
import { Validator } from "../../src/train/validator.ts";
import { testGpu } from "../ops/harness.ts";

const [WIDTH, HEIGHT, IMAGES] = [20, 16, 3];

/** Photos of which one pixel counts, so that its gradient is large. */
const photo: TrainingBatch = {
  batch: 1,
  width: WIDTH,
  height: HEIGHT,
  pixels: Uint8Array.from({ length: WIDTH * HEIGHT * 4 }, (_, i) => (i * 37) % 251),
  labels: Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => i === 150 ? 0 : 255),
};

const train: PairSource = {
  sizes: Array.from({ length: IMAGES }, () => ({ width: WIDTH, height: HEIGHT })),
  length: IMAGES,
  pair: () => Promise.resolve(photo),
  batch: () => Promise.resolve(photo),
};

/** All is class 1 or 2 to it. That class 0 costs it twice 60000 is more than 16 bits hold. */
function steepNet(): UNet {
  const net = new UNet({ classes: 3, width: 4 }, 1);
  const rows = [-60000, 60000, 60000].flatMap((value) => [value, value, value, value]);
  net.store.set("up4.conv.double_conv.4.weight", new Float32Array(4));
  net.store.set("up4.conv.double_conv.4.bias", new Float32Array(4).fill(1e-5));
  net.store.set("outc.conv.weight", Float32Array.from(rows));
  return net;
}

/** An epoch whose validation has no images; where training stays silent, that ends it. */
async function epochOf(net: UNet, skippedInRow: number, source = train) {
  const gpu = await testGpu();
  const images = "f16" as const;
  using trainer = new Trainer(gpu, net, { optimizer: sgd(), learningRate: 0.1, images });
  const state = newRunState({ firstEpoch: 0, epochs: 1 });
  const arrays = new Map([
    ["optimizer.loss_scale.state", Float32Array.of(1, 0, skippedInRow, skippedInRow)],
  ]);
  trainer.restore(state.trainer, arrays);
  const before = await trainer.parameters();
  const losses: number[] = [];
  const valid = await SampleSource.open([], 1, valueToClass({ classes: [], ignore: null }));
  using validator = new Validator(gpu, net, { pool: trainer.pool });
  const { message } = await assertRejects(() =>
    runTraining({
      trainer,
      validator,
      batches: new TrainingBatches(source, { batchSize: 1, seed: 1 }),
      valid,
      schedule: new ReduceOnPlateau(0.1),
      classes: 3,
      state,
      saver: { epoch: () => Promise.resolve([]), interrupted: () => Promise.resolve([]) },
    }, { stepDone: ({ loss }) => losses.push(loss) }), InputError);
  const after = await trainer.parameters();
  const lossScale = await trainer.lossScale();
  net.store.destroy();
  return { message, before, after, lossScale, losses, state };
}

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      if ((await testGpu()).supportsF16) await fn();
    },
  });

test("16 bits: updates left out at the smallest scale do not end a run, many in a row do", async () => {
  const young = await epochOf(steepNet(), 0);
  assertMatch(young.message, /^Validation found no pixel/);
  const counts = { goodUpdates: 0, skipped: IMAGES, skippedInRow: IMAGES };
  assertEquals(young.lossScale, { scale: 1, ...counts });
  const old = await epochOf(steepNet(), 27);
  assertMatch(
    old.message,
    /^Training stopped in epoch 1 \(step 3\): .* 16 bits .* last 30 updates .* --precision f32 or /,
  );
});

test("16 bits: a batch that overflows leaves weights and running statistics as they were", async () => {
  const net = new UNet({ classes: 3, width: 4 }, 1);
  const first = "inc.double_conv.0.weight";
  const { shape } = net.store.get(first);
  net.store.set(first, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1e6));
  const { before, after, lossScale } = await epochOf(net, 0);
  assertEquals(lossScale?.skipped, IMAGES);
  for (const name of ["running_mean", "running_var"]) {
    const statistics = `inc.double_conv.1.${name}`;
    assertEquals(after.get(statistics), before.get(statistics));
  }
  for (const { name } of net.store.trainable) assertEquals(after.get(name), before.get(name));
  assert([...after.values()].every((values) => values.every(Number.isFinite)));
});

test("16 bits: a loss that overflows is left out of the epoch's, and the run goes on", async () => {
  const net = new UNet({ classes: 3, width: 4 }, 1);
  // Black photos have no features, and so no logits that are too large.
  const head = Float32Array.from({ length: 12 }, (_, i) => i < 4 ? -1e6 : 1e6);
  net.store.set("outc.conv.weight", head);
  const black = { ...photo, pixels: new Uint8Array(photo.pixels.length) };
  const mixed: PairSource = {
    ...train,
    batch: ({ indices }) => Promise.resolve(indices[0] === 1 ? photo : black),
  };
  const { message, after, losses, state, lossScale } = await epochOf(net, 0, mixed);
  assertMatch(message, /^Validation found no pixel/);
  assertEquals([losses.length, state.lossCount, state.batch], [2, 2, 3]);
  assert(losses.every(Number.isFinite));
  assertEquals(state.lossSum, losses[0]! + losses[1]!);
  assertEquals(lossScale?.skipped, 1);
  assert([...after.values()].every((values) => values.every(Number.isFinite)));

  // Eleven of twelve are bright: five of them in a row end the epoch early.
  const most: PairSource = {
    ...{ sizes: Array.from({ length: 12 }, () => ({ width: WIDTH, height: HEIGHT })), length: 12 },
    pair: () => Promise.resolve(photo),
    batch: ({ indices }) => Promise.resolve(indices[0] === 1 ? black : photo),
  };
  const again = new UNet({ classes: 3, width: 4 }, 1);
  again.store.set("outc.conv.weight", head);
  const early = await epochOf(again, 0, most);
  const [, batch] = /at batch (\d+) .* the loss became/.exec(early.message) ?? [];
  assert(Number(batch) >= 5 && Number(batch) <= 10, early.message);
});

/** An epoch of so many batches, of which those at these places (from 1) overflow. */
async function epochLosing(lost: readonly number[], length: number) {
  const net = new UNet({ classes: 3, width: 4 }, 1);
  net.store.set(
    "outc.conv.weight",
    Float32Array.from({ length: 12 }, (_, i) => i < 4 ? -1e6 : 1e6),
  );
  const source: PairSource = {
    ...train,
    ...{ sizes: Array.from({ length }, () => ({ width: WIDTH, height: HEIGHT })), length },
    batch: ({ indices }) => {
      const place = order.indexOf(indices[0]!) + 1;
      return Promise.resolve(lost.includes(place) ? photo : black);
    },
  };
  const black = { ...photo, pixels: new Uint8Array(photo.pixels.length) };
  const plans = new TrainingBatches(source, { batchSize: 1, seed: 1 }).plan(1);
  const order = plans.map(({ indices }) => indices[0]);
  return await epochOf(net, 0, source);
}

test("16 bits: half of an epoch's losses may overflow, wherever they are, more end it", async () => {
  for (const lost of [[1], [2]]) {
    const { message, losses } = await epochLosing(lost, 2);
    assertMatch(message, /^Validation found no pixel/, `lost ${lost}`);
    assertEquals(losses.length, 1);
  }
  assertMatch((await epochLosing([1, 2], 2)).message, /at batch 2 .* the loss became NaN/);
  // Never many in a row, and the last one is fine.
  const { message } = await epochLosing([1, 2, 4, 5, 7, 8], 9);
  assertMatch(message, /at batch 7 .* the loss became NaN/);
});

test("16 bits: losses that are never a number may be due to them", async () => {
  const net = new UNet({ classes: 3, width: 4 }, 1);
  net.store.set("outc.conv.bias", Float32Array.of(1e6, 0, -1e6));
  const { message } = await epochOf(net, 0);
  assertMatch(message, /the loss became .* outc.* --precision f32 or a lower learning rate/);
});

Deno.test("run state: older ones, of runs that lost no losses, count them by their batches", () => {
  const state = {
    ...newRunState({ firstEpoch: 2, epochs: 3 }),
    batch: 7,
    lossSum: 9,
    lossCount: 5,
  };
  assertEquals(parseRunState(state, "last"), state);
  const { lossCount: _, ...older } = state;
  assertEquals(parseRunState(older, "last").lossCount, 7);
  for (const lossCount of [-1, null, "5"]) {
    const damaged = () => parseRunState({ ...state, lossCount }, "last");
    assertThrows(damaged, InputError, "last: its state of training cannot be used (lossCount is");
  }
});
