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

/** Square photos; image after image takes the next of `sides`. */
function source(...sides: number[]): PairSource {
  const sizes = Array.from({ length: IMAGES }, (_, i) => {
    const side = sides[i % sides.length] ?? 0;
    return { width: side, height: side };
  });
  const batch = (indices: readonly number[]) => {
    const { width, height } = sizes[indices[0] ?? 0] ?? { width: 0, height: 0 };
    const length = indices.length * width * height;
    return {
      ...{ batch: indices.length, width, height },
      pixels: Uint8Array.from({ length: length * 4 }, (_, i) => (i * 37) % 251),
      labels: Uint8Array.from({ length }, (_, i) => (i * 7) % 3),
    };
  };
  return {
    sizes,
    length: IMAGES,
    pair: (index) => Promise.resolve(batch([index])),
    batch: ({ indices }) => Promise.resolve(batch(indices)),
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

Deno.test({
  name: "mixed sizes: statistics are gathered half-way, but a loaded network keeps its own",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    using gpu = await requestGpu();
    const told = async (loaded: boolean, ...sides: number[]) => {
      const net = new UNet({ classes: 3, width: 4 }, 1);
      const train = source(...sides);
      using trainer = new Trainer(gpu, net, { optimizer: sgd(), learningRate: 0.1 });
      using validator = new Validator(gpu, net, { pool: trainer.pool });
      const events: unknown[] = [];
      const state = newRunState({ firstEpoch: 3, epochs: 2 });
      const statistics = async () =>
        [...await trainer.parameters()].filter(([name]) => name.includes(".running_")).join();
      const before = await statistics();
      await runTraining({
        ...{ trainer, validator, valid: train, classes: 3, state, loaded },
        batches: new TrainingBatches(train, { batchSize: IMAGES, seed: 1 }),
        schedule: new ReduceOnPlateau(0.1),
        saver: { epoch: () => Promise.resolve([]), interrupted: () => Promise.resolve([]) },
      }, {
        freezing: ({ gathering }) => events.push({ gathering }),
        epochScored: ({ epoch, learningRate }) => {
          events.push([epoch, Number(learningRate.toPrecision(6))]);
        },
      });
      const kept = await statistics() === before;
      net.store.destroy();
      return { events, kept, short: trainer.shortStrides };
    };
    const [half, own] = [{ gathering: true }, { gathering: false }];
    const [fresh, loaded] = [{ kept: false, short: false }, { kept: true, short: true }];
    assertEquals(await told(false, 16, 24), { events: [[4, 0.1], half, [5, 0.01]], ...fresh });
    assertEquals(await told(true, 16, 24), { events: [own, [4, 0.01], [5, 0.01]], ...loaded });
    assertEquals(await told(true, 16), { events: [[4, 0.1], [5, 0.1]], ...fresh });
  },
});
