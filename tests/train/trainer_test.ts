import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { requestGpu } from "../../src/gpu/device.ts";
import { rmsprop } from "../../src/nn/optimizers.ts";
import { Segmenter } from "../../src/nn/segmenter.ts";
import { UNet } from "../../src/nn/unet.ts";
import { Trainer, type TrainingBatch } from "../../src/train/trainer.ts";

function batchOf(width: number, height: number): TrainingBatch {
  return {
    batch: 2,
    height,
    width,
    pixels: Uint8Array.from({ length: 2 * width * height * 4 }, (_, i) => (i * 37) % 251),
    labels: Uint8Array.from({ length: 2 * width * height }, (_, i) => (i * 7) % 3),
  };
}

/** Two epochs of a step and a prediction. */
async function epochs(
  { shared, memoryBudgetBytes }: { shared: boolean; memoryBudgetBytes?: number },
) {
  using gpu = await requestGpu(memoryBudgetBytes === undefined ? {} : { memoryBudgetBytes });
  const net = new UNet({ classes: 3, width: 8 }, 1);
  using trainer = new Trainer(gpu, net, { optimizer: rmsprop(), learningRate: 0.01 });
  using segmenter = new Segmenter(gpu, net, shared ? { pool: trainer.pool } : {});
  const [batch, photo] = [batchOf(48, 40), batchOf(40, 48)];
  const results: unknown[] = [];
  for (let epoch = 0; epoch < 2; epoch++) {
    await trainer.train(batch);
    results.push([...await trainer.losses()], [...await segmenter.predict(photo)]);
  }
  const heldBytes = shared ? trainer.pool.sizeBytes : trainer.pool.sizeBytes + segmenter.poolBytes;
  net.store.destroy();
  return { results, heldBytes, plannedBytes: trainer.plannedBytes };
}

Deno.test("validation shares the memory of training, and both keep to one budget", async () => {
  const apart = await epochs({ shared: false });
  const together = await epochs({ shared: true });
  assertEquals(together.results, apart.results);
  assert(together.heldBytes < apart.heldBytes, `${together.heldBytes} of ${apart.heldBytes} bytes`);
  // No more than the step alone: upright photos do not fit the memory of lying ones, so each phase
  // has to make room for the other.
  const tight = await epochs({ shared: true, memoryBudgetBytes: apart.plannedBytes });
  assertEquals(tight.results, apart.results);
  assert(tight.heldBytes < apart.plannedBytes, `${tight.heldBytes} of ${apart.plannedBytes} bytes`);
});

Deno.test("with frozen statistics RMSprop starts with steps no larger than Adam's where asked to", async () => {
  using gpu = await requestGpu();
  const net = new UNet({ classes: 3, width: 4 }, 1);
  const [learningRate, momentum] = [0.01, 0.9];
  using trainer = new Trainer(gpu, net, { optimizer: rmsprop({ momentum }), learningRate });
  const largestMove = async () => {
    const before = await trainer.parameters();
    await trainer.train(batchOf(16, 16));
    const after = await trainer.parameters();
    const moves = net.store.trainable.flatMap(({ name }) => {
      const values = before.get(name) ?? new Float32Array();
      return Array.from(after.get(name) ?? [], (value, i) => Math.abs(value - (values[i] ?? NaN)));
    });
    return Math.max(...moves);
  };
  // Ten times the rate, since the mean of squares holds a hundredth of the first one.
  assertAlmostEquals(await largestMove(), 10 * learningRate, 1e-4);
  for (const shortStrides of [false, true]) {
    trainer.freezeStatistics();
    trainer.shortStrides = shortStrides;
    const strides = shortStrides ? 1 - momentum : 10;
    assertAlmostEquals(await largestMove(), strides * learningRate, 1e-4);
  }
  net.store.destroy();
});
