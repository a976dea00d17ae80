/**
 * Training step by step: a program for each shape of batch; all of them share parameters, memory and
 * one history of losses.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { ImageType } from "../graph/layout.ts";
import { History } from "../graph/history.ts";
import { MemoryPool } from "../graph/pool.ts";
import { compile, type Program } from "../graph/program.ts";
import { ProgramCache } from "../graph/program_cache.ts";
import { Snapshot } from "../graph/snapshot.ts";
import { LossScale, type LossScaleState } from "../nn/loss_scale.ts";
import type { Clipping, Optimizer } from "../nn/optimizers.ts";
import type { UNet } from "../nn/unet.ts";
import type { LossName } from "./losses.ts";
import { RunClock } from "./run_clock.ts";
import { gatherStatistics } from "./statistics.ts";
import { recordStep, type StepKind, type StepShape } from "./step.ts";

/** A batch of photos with the class of every pixel. */
export interface TrainingBatch extends StepShape {
  /** RGBA bytes, photo after photo; each at the beginning of its slot where there are slots. */
  pixels: Uint8Array;
  /** Class ids in the same order, `IGNORED` (255) for pixels that count nowhere. */
  labels: Uint8Array;
  /** With slots: what `augment` is to make of them. */
  transforms?: Float32Array | undefined;
}

/** Options of {@linkcode Trainer}. */
export interface TrainerOptions {
  /** Its state lies in the network's store, zero at first. */
  optimizer: Optimizer;
  /** The first rate; {@linkcode Trainer.learningRate} can be set between steps. */
  learningRate: number;
  /** What is minimised; default `ce`, the cross-entropy. */
  loss?: LossName | undefined;
  /** Limits on the gradients; default none. */
  clipping?: Clipping | undefined;
  /** What a pixel of each class counts in the loss, by class id; default 1 each. */
  classWeights?: Float32Array | undefined;
  /** Where a running average of weights and statistics goes; default: none is made. */
  average?: { net: UNet; decay: number } | undefined;
  /**
   * How images are kept, such as activations and their gradients: `f16` halves their memory on
   * adapters with the feature `shader-f16`, and brings a {@linkcode LossScale}; default `f32`.
   */
  images?: ImageType | undefined;
}

/** Where a batch stands among those whose gradients are added up for one update. */
export interface GroupPosition {
  /** From 0. */
  index: number;
  /** Batches of the group. */
  size: number;
}

/** What a {@linkcode Trainer} has to know besides arrays to go on as if never stopped. */
export interface TrainerState {
  /** Steps done. */
  step: number;
  /** Updates since the optimizer's state was zero. */
  optimizerStep: number;
  /** See {@linkcode Trainer.frozenStatistics}. */
  frozen: boolean;
  /** Batches that batch norm has seen. */
  batchesTracked: number;
}

const LOSSES_KEPT = 256;
/** Steps that may be unfinished when another one is submitted; of short ones some more. */
const QUEUED_STEPS = 2;
/** Name of the loss scale's state among the optimizer's arrays. */
const LOSS_SCALE = "optimizer.loss_scale.state";
const ALONE: GroupPosition = { index: 0, size: 1 };

/** Trains a network step by step. */
export class Trainer {
  /** Used from the next step on. */
  learningRate: number;
  /** The network in training. */
  readonly net: UNet;
  readonly #gpu: Gpu;
  readonly #options: TrainerOptions;
  readonly #pool: MemoryPool;
  readonly #history = new History(LOSSES_KEPT);
  readonly #programs = new ProgramCache();
  readonly #lossScale: LossScale | undefined;
  #snapshot: { arrays: Snapshot; state: TrainerState } | undefined;
  #unread = 0;
  #step = 0;
  #optimizerStep = 0;
  #frozen = false;

  /** Trains `net` in place on `gpu`; programs are compiled when batches arrive. */
  constructor(gpu: Gpu, net: UNet, options: TrainerOptions) {
    this.net = net;
    this.#gpu = gpu;
    this.#options = options;
    this.learningRate = options.learningRate;
    this.#pool = new MemoryPool(gpu);
    if (options.images === "f16") this.#lossScale = new LossScale();
  }

  /** Memory of the steps, for programs that never run at the same time, such as validation. */
  get pool(): MemoryPool {
    return this.#pool;
  }

  /** GPU memory of the largest program, parameters and optimizer state included. */
  get plannedBytes(): number {
    return Math.max(0, ...this.#programs.programs.map((p) => p.plannedBytes));
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** The network to score and to keep: the running average where there is one. */
  get result(): UNet {
    return this.#options.average?.net ?? this.net;
  }

  /** Compiles the program for a shape of batch; the largest first needs least memory. */
  prepare(shape: StepShape, kind: StepKind = "whole"): Promise<Program> {
    const key = [shape.batch, shape.height, shape.width, shape.slotPixels, kind].join();
    return this.#programs.get(key, async () => {
      const { optimizer, clipping, classWeights, average, loss: name, images } = this.#options;
      const { graph, loss } = recordStep(this.net, optimizer, shape, {
        loss: name,
        clipping,
        classWeights,
        training: !this.#frozen,
        average: average?.net,
        kind,
        images,
        lossScale: this.#lossScale,
      });
      return await compile(this.#gpu, graph, {
        outputs: { loss },
        stores: [this.net.store, ...(average ? [average.net.store] : [])],
        historyOf: "loss",
        history: this.#history,
        pool: this.#pool,
      });
    });
  }

  /**
   * Submits one step; waits only when several are unfinished already.
   *
   * @param position in a group, gradients are averaged over the group and the weights change with
   *   its last batch; default: a group of its own
   * @param clock told what is waited for
   * @throws {InputError} when the step does not fit the memory budget.
   */
  async train(
    batch: TrainingBatch,
    position: GroupPosition = ALONE,
    clock: RunClock = new RunClock(),
  ): Promise<void> {
    await clock.wait("GPU, training", this.#gpu.throttle(QUEUED_STEPS));
    const upload = this.#load(batch, position);
    const program = await clock.wait("uploading and encoding", upload);
    const submit = clock.do("uploading and encoding", () => program.encode());
    clock.do("GPU, training", () => {
      // Where the device is the processor, this alone may take as long as a step.
      submit();
      this.#gpu.submitted();
    });
    this.#count(position);
  }

  /** Resolves when all steps are done. */
  async finish(): Promise<void> {
    await this.#gpu.throttle(0);
  }

  /** Like {@linkcode train}, but node by node, showing what each leaves; see `Program.inspect`. */
  async inspect(
    batch: TrainingBatch,
    position: GroupPosition,
    visit: Parameters<Program["inspect"]>[0],
  ): Promise<void> {
    const program = await this.#load(batch, position);
    await program.inspect(visit);
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

  /**
   * Whether steps with frozen statistics go no further than Adam's would ({@linkcode Optimizer}'s
   * `stride`): a trained network loses in RMSprop's first ones what it has learnt, one that has yet to
   * get used to the statistics needs them. Default false.
   */
  shortStrides = false;

  /** From now on {@linkcode frozenStatistics}; the optimizer starts afresh. */
  freezeStatistics(): void {
    this.#frozen = true;
    this.#optimizerStep = 0;
    for (const name of this.#options.optimizer.companions) this.net.store.clear(this.#gpu, name);
    this.#programs.destroy();
  }

  /** Replaces the network's running statistics by those of all the batches together. */
  async gatherStatistics(batches: AsyncIterable<TrainingBatch>): Promise<void> {
    await gatherStatistics(this.#gpu, this.net, batches, this.#pool, this.#options.images);
  }

  /** Where the loss scale of 16-bit images stands; `undefined` without. Waits for the device. */
  async lossScale(): Promise<LossScaleState | undefined> {
    return await this.#lossScale?.read(this.#gpu);
  }

  /** Weights and statistics as they are now, by name. Waits for the device. */
  async parameters(): Promise<Map<string, Float32Array>> {
    return await this.net.store.read(this.#gpu);
  }

  /** Counts and switches, for {@linkcode restore}. */
  get state(): TrainerState {
    return {
      step: this.#step,
      optimizerStep: this.#optimizerStep,
      frozen: this.#frozen,
      batchesTracked: this.net.batchesTracked,
    };
  }

  /** The optimizer's arrays by `ARENA.PARAMETER`, for {@linkcode restore}. */
  async optimizerArrays(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    const arrays = new Map<string, Float32Array<ArrayBuffer>>();
    for (const arena of this.#options.optimizer.companions) {
      const values = await this.net.store.readCompanion(this.#gpu, arena);
      for (const [name, array] of values) arrays.set(`${arena}.${name}`, Float32Array.from(array));
    }
    const scale = await this.lossScale();
    if (scale) {
      const { goodUpdates, skipped, skippedInRow } = scale;
      arrays.set(LOSS_SCALE, Float32Array.of(scale.scale, goodUpdates, skipped, skippedInRow));
    }
    return arrays;
  }

  /**
   * Goes on where another trainer of the same network and optimizer was; weights and statistics are
   * the caller's business.
   * @throws {InputError} when an array of the optimizer is missing or has another size.
   */
  restore(state: TrainerState, arrays: ReadonlyMap<string, Float32Array>): void {
    const { optimizer } = this.#options;
    for (const arena of optimizer.companions) {
      const values = this.net.store.trainable.map(({ name }): [string, Float32Array] => {
        const array = arrays.get(`${arena}.${name}`);
        if (array) return [name, array];
        throw new InputError(
          `Restoring ${optimizer.name}: its array ${arena}.${name} is missing; use a checkpoint ` +
            "of a run with this optimizer.",
        );
      });
      this.net.store.writeCompanion(this.#gpu, arena, new Map(values));
    }
    const [scale, goodUpdates = 0, skipped = 0, skippedInRow = 0] = arrays.get(LOSS_SCALE) ?? [];
    if (scale !== undefined) this.#lossScale?.set({ scale, goodUpdates, skipped, skippedInRow });
    if (state.frozen !== this.#frozen) this.#programs.destroy();
    this.#apply(state);
  }

  /**
   * Remembers the present state for {@linkcode rewind}. Where that much memory is not to be had,
   * nothing is remembered.
   */
  snapshot(): void {
    const { optimizer, average } = this.#options;
    const { store } = this.net;
    const arenas = [
      ...[store, ...(average ? [average.net.store] : [])].flatMap((s) => [
        s.parameters,
        s.statistics,
      ]),
      ...optimizer.companions.map((name) => store.companion(name)),
      ...(this.#lossScale ? [this.#lossScale.buffer] : []),
    ];
    const arrays = this.#snapshot?.arrays ?? new Snapshot(arenas);
    if (this.plannedBytes + arrays.sizeBytes > this.#gpu.memoryBudgetBytes) return;
    store.upload(this.#gpu);
    average?.net.store.upload(this.#gpu);
    this.#lossScale?.upload(this.#gpu);
    arrays.take(this.#gpu);
    this.#snapshot = { arrays, state: this.state };
  }

  /** Goes back to the last {@linkcode snapshot}; returns whether there was one. */
  rewind(): boolean {
    if (!this.#snapshot) return false;
    this.#snapshot.arrays.restore(this.#gpu);
    this.#apply(this.#snapshot.state);
    this.#unread = 0;
    return true;
  }

  /** Frees programs and activations; parameters stay. */
  destroy(): void {
    this.#programs.destroy();
    this.#snapshot?.arrays.destroy();
    this.#snapshot = undefined;
    this.#pool.destroy();
    this.#history.destroy();
    this.#lossScale?.destroy();
  }

  /** Same as {@linkcode destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** The program of a batch with all its inputs written. */
  async #load(batch: TrainingBatch, { index, size }: GroupPosition): Promise<Program> {
    const isLast = index + 1 === size;
    const kind = size === 1 ? "whole" : isLast ? "update" : "add";
    const program = await this.prepare(batch, kind);
    this.#lossScale?.upload(this.#gpu);
    writeImages(program, batch);
    if (kind === "add") program.write("accumulate", Float32Array.of(index === 0 ? 0 : 1, 1 / size));
    if (kind === "update") program.write("accumulate", Float32Array.of(1 / size, 1));
    if (!isLast) return program;
    const { optimizer, average } = this.#options;
    const update = this.#optimizerStep + 1;
    const stride = this.#frozen && this.shortStrides ? optimizer.stride(update) : 1;
    program.write("optimizer", optimizer.stepState(this.learningRate / stride, update));
    if (average) {
      // The first weights are far from what later ones average to, so the memory grows slowly.
      const keep = update === 1 ? 0 : Math.min(average.decay, update / (9 + update));
      program.write("average", Float32Array.of(keep, 1 - keep));
    }
    return program;
  }

  #count({ index, size }: GroupPosition): void {
    this.#step++;
    this.#unread++;
    if (index + 1 === size) this.#optimizerStep++;
    if (!this.#frozen) this.net.batchesTracked++;
  }

  #apply({ step, optimizerStep, frozen, batchesTracked }: TrainerState): void {
    this.#step = step;
    this.#optimizerStep = optimizerStep;
    this.#frozen = frozen;
    this.net.batchesTracked = batchesTracked;
  }
}

/** Writes the inputs that `recordInput` declares. */
export function writeImages(program: Program, batch: TrainingBatch): void {
  program.write("pixels", batch.pixels);
  if (batch.transforms) {
    program.write("transforms", batch.transforms);
    program.write("labels", batch.labels);
  } else program.write("labels", new Uint32Array(batch.labels));
}
