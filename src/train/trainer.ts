/**
 * The training step: network, loss, gradients, clipping and optimizer recorded as one program for
 * each shape of batch; all of them share parameters, memory and one history of losses.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { parameterGradients } from "../graph/autograd.ts";
import { Graph } from "../graph/graph.ts";
import { History } from "../graph/history.ts";
import type { LowerTarget } from "../graph/lower.ts";
import { MemoryPool, usableProgram } from "../graph/pool.ts";
import { compile, type Program } from "../graph/program.ts";
import { planProgram, type ProgramPlan } from "../graph/program_plan.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import type { Clipping, Optimizer } from "../nn/optimizers.ts";
import type { UNet } from "../nn/unet.ts";
import { crossEntropy } from "../ops/cross_entropy.ts";
import { imageInput } from "../ops/image_input.ts";
import { IGNORED } from "./metrics.ts";
import { gatherStatistics } from "./statistics.ts";

/** A batch of photos with the class of every pixel. */
export interface TrainingBatch extends BatchShape {
  /** RGBA bytes, photo after photo. */
  pixels: Uint8Array;
  /** Class ids, {@linkcode IGNORED} for pixels that count nowhere. */
  labels: Uint8Array;
}

/** Options of {@linkcode Trainer}. */
export interface TrainerOptions {
  /** Its state lies in the network's store, zero at first. */
  optimizer: Optimizer;
  /** The first rate; {@linkcode Trainer.learningRate} can be set between steps. */
  learningRate: number;
  /** Limits on the gradients; default none. */
  clipping?: Clipping;
  /** What a pixel of each class counts in the loss, by class id; default 1 each. */
  classWeights?: Float32Array | undefined;
}

const LOSSES_KEPT = 256;

/** Trains a network step by step. */
export class Trainer {
  /** Used from the next step on. */
  learningRate: number;
  /** Steps done. */
  step = 0;
  readonly #gpu: Gpu;
  readonly #net: UNet;
  readonly #optimizer: Optimizer;
  readonly #clipping: Clipping;
  readonly #classWeights: Float32Array | undefined;
  readonly #pool: MemoryPool;
  readonly #history = new History(LOSSES_KEPT);
  readonly #programs = new Map<string, Program>();
  #unread = 0;
  #frozen = false;
  /** Steps since the optimizer's state was zero. */
  #optimizerStep = 0;

  /** Trains `net` in place on `gpu`; programs are compiled when batches arrive. */
  constructor(gpu: Gpu, net: UNet, options: TrainerOptions) {
    this.#gpu = gpu;
    this.#net = net;
    this.#optimizer = options.optimizer;
    this.#clipping = options.clipping ?? {};
    this.#classWeights = options.classWeights;
    this.learningRate = options.learningRate;
    this.#pool = new MemoryPool(gpu);
  }

  /** Memory of the steps, for programs that never run at the same time, such as validation. */
  get pool(): MemoryPool {
    return this.#pool;
  }

  /** GPU memory of the largest program, parameters and optimizer state included. */
  get plannedBytes(): number {
    return Math.max(0, ...[...this.#programs.values()].map((p) => p.plannedBytes));
  }

  /** Compiles the program for a shape of batch; the largest first needs least memory. */
  async prepare(shape: BatchShape): Promise<Program> {
    const key = [shape.batch, shape.height, shape.width].join();
    let program = usableProgram(this.#programs, key);
    if (!program) {
      const settings = {
        clipping: this.#clipping,
        classWeights: this.#classWeights,
        training: !this.#frozen,
      };
      const { graph, loss } = recordStep(this.#net, this.#optimizer, shape, settings);
      program = await compile(this.#gpu, graph, {
        outputs: { loss },
        stores: [this.#net.store],
        historyOf: "loss",
        history: this.#history,
        pool: this.#pool,
      });
      this.#programs.set(key, program);
    }
    return program;
  }

  /**
   * Submits one step; waits only when several are unfinished already.
   * @throws {InputError} when the step does not fit the memory budget.
   */
  async train(batch: TrainingBatch): Promise<void> {
    const program = await this.prepare(batch);
    program.write("pixels", batch.pixels);
    program.write("labels", new Uint32Array(batch.labels));
    program.write("optimizer", this.#optimizer.stepState(this.learningRate, ++this.#optimizerStep));
    await program.runQueued();
    this.step++;
    if (!this.#frozen) this.#net.batchesTracked++;
    this.#unread++;
  }

  /** Whether {@linkcode losses} must be read before older ones are overwritten. */
  get lossesDue(): boolean {
    return this.#unread >= LOSSES_KEPT / 4;
  }

  /** The losses of the steps since the last call, in order. Waits for the device. */
  async losses(): Promise<Float32Array> {
    const count = this.#unread;
    this.#unread = 0;
    return count === 0 ? new Float32Array() : await this.#history.read(this.#gpu, count);
  }

  /**
   * Whether steps normalise by the running statistics, which then stay as they are, instead of by
   * the batch.
   */
  get frozenStatistics(): boolean {
    return this.#frozen;
  }

  /** From now on {@linkcode frozenStatistics}; the optimizer starts afresh. */
  freezeStatistics(): void {
    this.#frozen = true;
    this.#optimizerStep = 0;
    for (const name of this.#optimizer.companions) this.#net.store.clear(this.#gpu, name);
    for (const program of this.#programs.values()) program.destroy();
    this.#programs.clear();
  }

  /** Replaces the network's running statistics by those of all the batches together. */
  async gatherStatistics(batches: AsyncIterable<TrainingBatch>): Promise<void> {
    await gatherStatistics(this.#gpu, this.#net, batches, this.#pool);
  }

  /** Frees programs and activations; parameters stay. */
  destroy(): void {
    for (const program of this.#programs.values()) program.destroy();
    this.#programs.clear();
    this.#pool.destroy();
    this.#history.destroy();
  }

  /** Same as {@linkcode destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** What a training step would need, without a GPU. */
export function planStep(
  net: UNet,
  optimizer: Optimizer,
  shape: BatchShape,
  target: LowerTarget,
): ProgramPlan {
  const { graph, loss } = recordStep(net, optimizer, shape);
  return planProgram(graph, { loss }, target);
}

interface StepSettings {
  clipping?: Clipping;
  classWeights?: Float32Array | undefined;
  /** Whether batch norm normalises by the batch. */
  training: boolean;
}

function recordStep(
  net: UNet,
  optimizer: Optimizer,
  { batch, height, width }: BatchShape,
  { clipping, classWeights, training }: StepSettings = { training: true },
) {
  const graph = new Graph();
  const pixels = graph.input("pixels", { shape: [batch, height, width], dtype: "u32" });
  const labels = graph.input("labels", { shape: [batch, height, width], dtype: "u32" });
  const logits = net.forward(imageInput(pixels, net.config.channels), { training });
  const weight = classWeights &&
    graph.constant("classWeights", [classWeights.length], classWeights);
  const loss = crossEntropy(logits, labels, { ignoreIndex: IGNORED, weight });
  optimizer.record(graph, net.store, parameterGradients(loss, net.store), clipping);
  return { graph, loss };
}
