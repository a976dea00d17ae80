import { assert, assertAlmostEquals } from "@std/assert";
import { MemoryPool } from "../../src/graph/pool.ts";
import { UNet } from "../../src/nn/unet.ts";
import { gatherStatistics, type PhotosOfBatch } from "../../src/train/statistics.ts";
import { conv2d, fromValues } from "../reference/mod.ts";
import { testGpu } from "../ops/harness.ts";

/** Photos of a brightness of their own, so that batches differ as kinds of photos do. */
function photos(batch: number, height: number, width: number, level: number): PhotosOfBatch {
  const pixels = Uint8Array.from(
    { length: batch * height * width * 4 },
    (_, i) => level + (i * 37 + (i >> 3)) % 40,
  );
  return { batch, height, width, pixels };
}

/** The first convolution's outputs of one channel, over all batches, in float64. */
function firstLayer(net: UNet, weights: Map<string, Float32Array>, batches: PhotosOfBatch[]) {
  const name = "inc.double_conv.0";
  const { shape } = net.store.get(`${name}.weight`);
  const weight = fromValues(shape, weights.get(`${name}.weight`) ?? []);
  const bias = fromValues([shape[0] ?? 0], weights.get(`${name}.bias`) ?? []);
  return batches.map(({ batch, height, width, pixels }) => {
    const area = height * width;
    const image = new Float64Array(batch * 3 * area);
    for (let n = 0; n < batch; n++) {
      for (let c = 0; c < 3; c++) {
        for (let p = 0; p < area; p++) {
          image[(n * 3 + c) * area + p] = (pixels[(n * area + p) * 4 + c] ?? 0) / 255;
        }
      }
    }
    const x = fromValues([batch, 3, height, width], image);
    return conv2d([x], weight, bias, { padding: [1, 1] });
  });
}

Deno.test({
  name: "statistics of the set are those of all its pixels together",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const gpu = await testGpu();
    const net = new UNet({ classes: 2, width: 4 }, 3);
    const before = await net.store.read(gpu);
    const batches = [photos(3, 20, 17, 200), photos(1, 12, 30, 10), photos(2, 20, 17, 90)];
    const pool = new MemoryPool(gpu);
    await gatherStatistics(
      gpu,
      net,
      (async function* () {
        yield* batches;
      })(),
      pool,
    );
    pool.destroy();
    const after = await net.store.read(gpu);

    const outputs = firstLayer(net, before, batches);
    for (let c = 0; c < 4; c++) {
      const values = outputs.flatMap(({ shape: [n = 0, channels = 0, h = 0, w = 0], data }) =>
        Array.from({ length: n }, (_, i) => {
          const start = (i * channels + c) * h * w;
          return Array.from(data.subarray(start, start + h * w));
        }).flat()
      );
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
      const at = (leaf: string) => after.get(`inc.double_conv.1.${leaf}`)?.[c] ?? NaN;
      assertAlmostEquals(at("running_mean"), mean, 1e-5);
      // A batch's variance is the unbiased one, larger by 1 / (pixels - 1).
      assertAlmostEquals(at("running_var"), variance, variance * 5e-3);
    }
    for (const { name, trainable } of net.store.tensors) {
      const changed = before.get(name)?.join() !== after.get(name)?.join();
      assert(changed !== trainable, `${name} ${changed ? "changed" : "did not change"}`);
    }
  },
});
