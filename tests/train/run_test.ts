/** Training runs, on photos in memory. @module */
import { assert, assertEquals } from "@std/assert";
import { requestGpu } from "../../src/gpu/device.ts";
import { sgd } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import { runTraining } from "../../src/train/run.ts";
import { newRunState } from "../../src/train/run_state.ts";
import { ReduceOnPlateau } from "../../src/train/schedule.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { type PairSource, TrainingBatches } from "../../src/train/training_batches.ts";
import { largestScored, Validator } from "../../src/train/validator.ts";

const IMAGES = 4;

function source(side: number): PairSource {
  const batch = (images: number) => ({
    ...{ batch: images, width: side, height: side },
    pixels: Uint8Array.from({ length: images * side * side * 4 }, (_, i) => (i * 37) % 251),
    labels: Uint8Array.from({ length: images * side * side }, (_, i) => (i * 7) % 3),
  });
  return {
    sizes: Array.from({ length: IMAGES }, () => ({ width: side, height: side })),
    length: IMAGES,
    pair: () => Promise.resolve(batch(1)),
    batch: ({ indices }) => Promise.resolve(batch(indices.length)),
  };
}

Deno.test({
  name: "a run validates as many images at once as fit, though its steps take more",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    using gpu = await requestGpu();
    const net = new UNet({ classes: 3, width: 4 }, 1);
    const [train, valid] = [source(16), source(96)];
    assertEquals(largestScored(gpu, net, valid.sizes, IMAGES), IMAGES);
    assertEquals(largestScored(gpu, net, valid.sizes, 3), 3);
    const limit = (bytes: number) =>
      Object.defineProperty(gpu, "memoryBudgetBytes", { value: bytes, configurable: true });
    let budgetBytes = 2 ** 16;
    limit(budgetBytes);
    assertEquals(largestScored(gpu, net, valid.sizes, IMAGES), 0);
    while (largestScored(gpu, net, valid.sizes, IMAGES) === 0) limit(budgetBytes *= 1.1);
    const fitting = largestScored(gpu, net, valid.sizes, IMAGES);
    assert(fitting < IMAGES);

    using trainer = new Trainer(gpu, net, { optimizer: sgd(), learningRate: 0.1 });
    using validator = new Validator(gpu, net, { pool: trainer.pool });
    const scored: number[] = [];
    const end = await runTraining({
      ...{ trainer, validator, valid, classes: 3 },
      batches: new TrainingBatches(train, { batchSize: IMAGES, seed: 1 }),
      schedule: new ReduceOnPlateau(0.1),
      state: newRunState({ firstEpoch: 0, epochs: 1 }),
      saver: { epoch: () => Promise.resolve([]), interrupted: () => Promise.resolve([]) },
    }, { imagesScored: ({ batch }) => scored.push(batch) });
    assertEquals(end.reason, "done");
    assertEquals(scored, Array.from({ length: IMAGES / fitting }, () => fitting));
    net.store.destroy();
  },
});
