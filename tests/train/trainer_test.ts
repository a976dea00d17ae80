import { assert, assertEquals } from "@std/assert";
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
