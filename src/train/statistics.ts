/**
 * Batch-norm statistics of a whole training set.
 *
 * Sets of mixed sizes are batched by size, and size often goes with the kind of photo (one
 * microscope, one drone). A batch is then no sample of the set: normalised by its own statistics it
 * looks different from what the network sees later, when one image is normalised by the running
 * ones. So the statistics are gathered over the set once, and training goes on with them.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { Graph } from "../graph/graph.ts";
import type { ImageType } from "../graph/layout.ts";
import type { MemoryPool } from "../graph/pool.ts";
import { compile, type Program } from "../graph/program.ts";
import { ProgramCache } from "../graph/program_cache.ts";
import type { UNet } from "../nn/unet.ts";
import { imageInput } from "../ops/image_input.ts";
import type { BatchShape } from "../nn/batch_shape.ts";

/** A batch of photos as {@linkcode gatherStatistics} needs it. */
export interface PhotosOfBatch extends BatchShape {
  /** RGBA bytes, photo after photo. */
  pixels: Uint8Array;
}

const MEAN = ".running_mean";
const VARIANCE = ".running_var";

/**
 * Replaces the running means and variances of `net` by those of all `batches` together: the mean of
 * the batches' means, and the mean of their variances plus the variance of their means (law of
 * total variance), weighted by pixels. The weights stay as they are.
 *
 * @param images how activations are kept
 */
export async function gatherStatistics(
  gpu: Gpu,
  net: UNet,
  batches: AsyncIterable<PhotosOfBatch>,
  pool: MemoryPool,
  images: ImageType = "f32",
): Promise<void> {
  using programs = new ProgramCache();
  const sums = new Map<string, Sums>();
  let total = 0;
  for await (const batch of batches) {
    const key = [batch.batch, batch.height, batch.width].join();
    const program = await programs.get(key, () => statisticsProgram(gpu, net, batch, pool, images));
    program.write("pixels", batch.pixels);
    program.run();
    const weight = batch.batch * batch.height * batch.width;
    total += weight;
    addBatch(sums, await net.store.read(gpu), weight);
  }
  if (total === 0) return;
  for (const [layer, { mean, square, variance }] of sums) {
    const means = mean.map((sum) => sum / total);
    const variances = variance.map((sum, c) =>
      sum / total + Math.max(0, (square[c] ?? 0) / total - (means[c] ?? 0) ** 2)
    );
    net.store.set(layer + MEAN, Float32Array.from(means));
    net.store.set(layer + VARIANCE, Float32Array.from(variances));
  }
}

/** Weighted sums over batches, a value a channel. */
interface Sums {
  mean: Float64Array;
  /** Of squared means. */
  square: Float64Array;
  variance: Float64Array;
}

function addBatch(sums: Map<string, Sums>, values: Map<string, Float32Array>, weight: number) {
  for (const [name, mean] of values) {
    if (!name.endsWith(MEAN)) continue;
    const layer = name.slice(0, -MEAN.length);
    const variance = values.get(layer + VARIANCE) ?? new Float32Array(mean.length);
    const zeros = () => new Float64Array(mean.length);
    const sum = sums.get(layer) ?? { mean: zeros(), square: zeros(), variance: zeros() };
    sums.set(layer, sum);
    for (let c = 0; c < mean.length; c++) {
      const m = mean[c] ?? 0;
      sum.mean[c] = (sum.mean[c] ?? 0) + weight * m;
      sum.square[c] = (sum.square[c] ?? 0) + weight * m * m;
      sum.variance[c] = (sum.variance[c] ?? 0) + weight * (variance[c] ?? 0);
    }
  }
}

/** With momentum 1 the running statistics become those of the batch. */
function statisticsProgram(
  gpu: Gpu,
  net: UNet,
  { batch, height, width }: BatchShape,
  pool: MemoryPool,
  images: ImageType,
): Promise<Program> {
  const graph = new Graph({ images });
  const pixels = graph.input("pixels", { shape: [batch, height, width], dtype: "u32" });
  net.forward(imageInput(pixels, net.config.channels), { training: true, momentum: 1 });
  return compile(gpu, graph, { outputs: {}, stores: [net.store], pool });
}
