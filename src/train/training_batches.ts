/**
 * The batches of a training run: which images of which epoch, as the network is to see them.
 * @module
 */
import type { SampleSource } from "../data/samples.ts";
import { type Batch, batchShapes, planBatches } from "./batches.ts";
import type { TrainingBatch } from "./trainer.ts";

/** Settings of {@linkcode TrainingBatches}. */
export interface BatchOptions {
  /** Images of a batch at most. */
  batchSize: number;
  /** Of the shuffling. */
  seed: number;
}

/** Plans and loads the batches of a split. */
export class TrainingBatches {
  /** Images of a batch at most. */
  readonly batchSize: number;
  readonly #source: SampleSource;
  readonly #options: BatchOptions;

  /** Batches of `source`. */
  constructor(source: SampleSource, options: BatchOptions) {
    this.batchSize = options.batchSize;
    this.#source = source;
    this.#options = options;
  }

  /** The batches of an epoch, in order. */
  plan(epoch: number): Batch[] {
    return planBatches(this.#source.sizes, this.batchSize, this.#options.seed, epoch);
  }

  /** The different shapes of batches that the network sees, most pixels first. */
  shapes(epoch: number): ReturnType<typeof batchShapes> {
    return batchShapes(this.plan(epoch));
  }

  /** A batch of an epoch as the network is to see it. */
  load(plan: Batch, _epoch: number): Promise<TrainingBatch> {
    return this.#source.batch(plan);
  }

  /** A batch as it lies on disk. */
  plain(plan: Batch): Promise<TrainingBatch> {
    return this.#source.batch(plan);
  }
}
