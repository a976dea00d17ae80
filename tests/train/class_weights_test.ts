import { assertAlmostEquals, assertEquals } from "@std/assert";
import { requestGpu } from "../../src/gpu/device.ts";
import { sgd } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import { classWeights } from "../../src/train/class_weights.ts";
import { Trainer, type TrainingBatch } from "../../src/train/trainer.ts";

Deno.test("class weights: ratios follow the power, a pixel's mean weight is 1", () => {
  const pixels = [900, 100, 0];
  const root = classWeights(pixels);
  assertAlmostEquals(root[1]! / root[0]!, 3, 1e-6);
  assertAlmostEquals((900 * root[0]! + 100 * root[1]!) / 1000, 1, 1e-6);
  assertEquals(root[2], 1);
  assertEquals([...classWeights(pixels, 0)], [1, 1, 1]);
  const even = classWeights(pixels, 1);
  assertAlmostEquals(even[1]! / even[0]!, 9, 1e-6);
});

const [width, height] = [16, 12];
const batch: TrainingBatch = {
  batch: 1,
  height,
  width,
  pixels: Uint8Array.from({ length: width * height * 4 }, (_, i) => (i * 37) % 251),
  labels: Uint8Array.from({ length: width * height }, (_, i) => (i * 7) % 3),
};

Deno.test("a trainer's class weights are those of its loss", async () => {
  const gpu = await requestGpu();
  const firstLoss = async (labels: Uint8Array, weights?: number[]) => {
    const net = new UNet({ classes: 3, width: 4 }, 1);
    using trainer = new Trainer(gpu, net, {
      optimizer: sgd(),
      learningRate: 0,
      classWeights: weights && Float32Array.from(weights),
    });
    await trainer.train({ ...batch, labels });
    const [loss = NaN] = await trainer.losses();
    net.store.destroy();
    return loss;
  };
  try {
    const plain = await firstLoss(batch.labels);
    assertAlmostEquals(await firstLoss(batch.labels, [3, 3, 3]), plain, 1e-5);
    // A class that alone has a weight counts as if the pixels of all others were ignored.
    const alone = await firstLoss(batch.labels.map((id) => id === 1 ? 1 : 255));
    assertAlmostEquals(await firstLoss(batch.labels, [0, 2, 0]), alone, 1e-5);
    assertEquals(Math.abs(alone - plain) > 1e-3, true);
  } finally {
    gpu.destroy();
  }
});
