/**
 * Scoring labelled photos: what the network makes of every pixel, and how large the loss is.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { Graph, type Tensor } from "../graph/graph.ts";
import type { ImageType } from "../graph/layout.ts";
import type { MemoryPool } from "../graph/pool.ts";
import { compile, type Program } from "../graph/program.ts";
import { ProgramCache } from "../graph/program_cache.ts";
import { lowerTarget, planProgram } from "../graph/program_plan.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import type { UNet } from "../nn/unet.ts";
import { resizeArgmax, unpackIds } from "../ops/resize_argmax.ts";
import { bytesWithin, largestFitting } from "./fit.ts";
import { type LossName, recordLoss } from "./losses.ts";
import { recordInput } from "./step.ts";
import { type TrainingBatch, writeImages } from "./trainer.ts";

/** Options of {@linkcode Validator}. */
export interface ValidatorOptions {
  /** Default `ce`, the cross-entropy. */
  loss?: LossName | undefined;
  /** What a pixel of each class counts in the loss, by class id; default 1 each. */
  classWeights?: Float32Array | undefined;
  /**
   * How activations are kept, default `f32`. Of another type than the trainer's they hardly fit its
   * memory, and the pool grows by as much again.
   */
  images?: ImageType | undefined;
  /** Memory shared with programs that never run at the same time, such as the trainer's. */
  pool: MemoryPool;
}

/** What decides the program of a batch besides its shape. */
type Scoring = Omit<ValidatorOptions, "pool">;

/** What came of a batch. */
export interface BatchScore {
  /** Class ids [batch * H * W]. */
  predicted: Uint8Array;
  /** Of all pixels of the batch together; 0 where none counts. */
  loss: number;
}

/** Programs are light, their memory is shared; a validation split may have many batch shapes. */
const CACHED_PROGRAMS = 32;

/**
 * A network in inference, by its running statistics, on photos whose truth is known. The loss comes
 * out of the same pass as the classes, at the size that the network sees.
 */
export class Validator {
  readonly #gpu: Gpu;
  readonly #net: UNet;
  readonly #options: ValidatorOptions;
  readonly #programs = new ProgramCache(CACHED_PROGRAMS);

  /** Uses the parameters that `net` has at each call; compiles nothing yet. */
  constructor(gpu: Gpu, net: UNet, options: ValidatorOptions) {
    this.#gpu = gpu;
    this.#net = net;
    this.#options = options;
  }

  /**
   * Predicts a batch as it lies on disk, one call after the other.
   * @throws {InputError} when the plan does not fit the memory budget.
   * @throws {ShapeError} when the photos are too small for the network.
   */
  async score(photos: TrainingBatch): Promise<BatchScore> {
    return await (await this.begin(photos)).scored;
  }

  /**
   * Like {@linkcode score}, but resolves when the device has the batch: what comes of it may be
   * waited for after the next ones have begun, since reading takes 10 ms more than it waits for.
   */
  async begin(photos: TrainingBatch): Promise<{ readonly scored: Promise<BatchScore> }> {
    const { batch, height, width } = photos;
    const key = [batch, height, width].join();
    const program = await this.#programs.get(key, () => this.#compile(photos));
    writeImages(program, photos);
    program.run();
    const read = Promise.all([program.readInts("ids"), program.read("loss")]);
    const scored = read.then(([words, loss]) => ({
      predicted: unpackIds(words, height, width),
      loss: loss[0] ?? NaN,
    }));
    // Where the run ends before anybody waits for it, its failure is nobody's.
    scored.catch(() => {});
    return { scored };
  }

  /** See {@linkcode largestScored}. */
  largestBatch(sizes: readonly Omit<BatchShape, "batch">[], most: number): number {
    return largestScored(this.#gpu, this.#net, sizes, most, this.#options);
  }

  /** Frees the programs; the network and the pool stay. */
  destroy(): void {
    this.#programs.destroy();
  }

  /** Same as {@linkcode destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #compile({ batch, height, width }: BatchShape): Promise<Program> {
    const shape = { batch, height, width };
    const { graph, outputs } = recordScoring(this.#net, shape, this.#options);
    return compile(this.#gpu, graph, {
      outputs,
      stores: [this.#net.store],
      pool: this.#options.pool,
    });
  }
}

/**
 * How many images of `sizes`, at most `most`, {@linkcode Validator.score} can take at once without going
 * over the memory budget; 0 where one alone does. A step of training may well take more, since its
 * crops are smaller or its images have 16 bits.
 */
export function largestScored(
  gpu: Gpu,
  net: UNet,
  sizes: readonly Omit<BatchShape, "batch">[],
  most: number,
  how: Scoring = {},
): number {
  const largest = sizes.reduce<Omit<BatchShape, "batch"> | undefined>(
    (a, b) => a && a.width * a.height >= b.width * b.height ? a : b,
    undefined,
  );
  if (!largest) return most;
  const plan = (batch: number) => {
    const { graph, outputs } = recordScoring(net, { ...largest, batch }, how);
    return planProgram(graph, outputs, lowerTarget(gpu));
  };
  const bytesOf = (batch: number) => bytesWithin(gpu.memoryBudgetBytes, () => plan(batch));
  return largestFitting(Math.min(most, sizes.length), bytesOf)?.size ?? 0;
}

function recordScoring(
  net: UNet,
  shape: BatchShape,
  { loss: name = "ce", classWeights, images = "f32" }: Scoring,
): { graph: Graph; outputs: { ids: Tensor; loss: Tensor } } {
  const graph = new Graph({ images });
  const { image, ids } = recordInput(graph, net.config.channels, shape);
  const logits = net.forward(image, { training: false });
  const outputs = {
    ids: resizeArgmax(logits, { size: [shape.height, shape.width] }),
    loss: recordLoss(name, logits, ids, classWeights),
  };
  return { graph, outputs };
}
