/**
 * The batches of a training run: which images of which epoch, as the network is to see them.
 * @module
 */
import type { SampleSource } from "../data/samples.ts";
import { TRANSFORM_FLOATS } from "../ops/augment.ts";
import {
  type AugmentStrength,
  copyWindow,
  drawView,
  imageStream,
  slotPixels,
} from "./augmentation.ts";
import { type Batch, batchShapes, type ImageSize, planBatches } from "./batches.ts";
import { IGNORED } from "./metrics.ts";
import type { StepShape } from "./step.ts";
import type { TrainingBatch } from "./trainer.ts";

/** Settings of {@linkcode TrainingBatches}. */
export interface BatchOptions {
  /** Images of a batch at most. */
  batchSize: number;
  /** Of shuffling and augmentation. */
  seed: number;
  /** Default `none`. */
  augment?: AugmentStrength | undefined;
  /** Size that the network sees of every image; default: the image's own. */
  crop?: ImageSize | undefined;
}

/** What batches need of a split. */
export type PairSource = Pick<SampleSource, "sizes" | "pair" | "batch" | "length">;

/** Plans and loads the batches of a split. */
export class TrainingBatches {
  /** Images of a batch at most. */
  readonly batchSize: number;
  readonly #source: PairSource;
  readonly #options: BatchOptions;
  readonly #strength: AugmentStrength;
  readonly #sizes: readonly ImageSize[];

  /** Batches of `source`. */
  constructor(source: PairSource, options: BatchOptions) {
    this.batchSize = options.batchSize;
    this.#source = source;
    this.#options = options;
    this.#strength = options.augment ?? "none";
    const { crop } = options;
    this.#sizes = crop ? source.sizes.map(() => crop) : source.sizes;
  }

  /** Images of the split. */
  get images(): number {
    return this.#source.length;
  }

  /** The batches of an epoch, in order; sizes are those that the network sees. */
  plan(epoch: number): Batch[] {
    return planBatches(this.#sizes, this.batchSize, this.#options.seed, epoch);
  }

  /** The different shapes of steps, most pixels first. */
  shapes(epoch: number): StepShape[] {
    return batchShapes(this.plan(epoch)).map((shape) => ({ ...shape, ...this.#slot(shape) }));
  }

  /** A batch of an epoch as the network is to see it. */
  async load(plan: Batch, epoch: number): Promise<TrainingBatch> {
    const { slotPixels: slot } = this.#slot(plan);
    if (slot === undefined) return await this.#source.batch(plan);
    const { indices, height, width } = plan;
    const batch = indices.length;
    const pixels = new Uint8Array(batch * slot * 4);
    const labels = new Uint8Array(batch * slot).fill(IGNORED);
    const transforms = new Float32Array(batch * TRANSFORM_FLOATS);
    const pairs = await Promise.all(indices.map((index) => this.#source.pair(index)));
    pairs.forEach((pair, i) => {
      const random = imageStream(this.#options.seed, epoch, indices[i] ?? 0);
      const { window, transform } = drawView(this.#strength, pair, plan, random);
      copyWindow(pair.pixels, pair.width, window, 4, pixels, i * slot * 4);
      copyWindow(pair.labels, pair.width, window, 1, labels, i * slot);
      transforms.set(transform, i * TRANSFORM_FLOATS);
    });
    return { batch, height, width, pixels, labels, slotPixels: slot, transforms };
  }

  /** A batch as it lies on disk, for batches of images' own sizes. */
  plain(plan: Batch): Promise<TrainingBatch> {
    return this.#source.batch(plan);
  }

  /** Room for an image where batches are augmented or cropped. */
  #slot(size: ImageSize): { slotPixels?: number } {
    if (this.#strength === "none" && !this.#options.crop) return {};
    const sources = this.#options.crop ? this.#source.sizes : [size];
    return { slotPixels: slotPixels(this.#strength, sources, size) };
  }
}
