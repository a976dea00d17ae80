/**
 * A training run: epochs of shuffled batches, validation, schedule and checkpoints.
 * @module
 */
import type { SampleSource } from "../data/samples.ts";
import { InputError } from "../errors.ts";
import type { Segmenter } from "../nn/segmenter.ts";
import { batchShapes, type ImageSize, planBatches } from "./batches.ts";
import { ConfusionMatrix, type Scores } from "./metrics.ts";
import type { Schedule } from "./schedule.ts";
import type { RunLog } from "./run_log.ts";
import type { Trainer } from "./trainer.ts";

/** How often the screen gets a fresh loss. */
const LOSS_EVERY_MS = 3000;

/** What the learning rate is multiplied with where training goes on with frozen statistics. */
const FROZEN_RATE_FACTOR = 0.1;

/** What a run works on and with. */
export interface RunOptions {
  trainer: Trainer;
  segmenter: Segmenter;
  train: SampleSource;
  valid: SampleSource;
  schedule: Schedule;
  classes: number;
  batchSize: number;
  seed: number;
  /** Epochs done before, by a loaded checkpoint. */
  firstEpoch: number;
  epochs: number;
  /** Mean IoU that an epoch must pass to be the best; default: the first one is. */
  bestScore?: number | undefined;
  /** Epochs that would not end within this time are left out, all but the first; default: none. */
  timeLimitMs?: number | undefined;
  /** Told of every step and of every image of the validation split. */
  log?: Pick<RunLog, "stepDone" | "imagesScored"> | undefined;
}

/** What an epoch came to. */
export interface EpochResult {
  /** Counted from 1, over all runs that led here. */
  epoch: number;
  /** Mean loss over the epoch's batches. */
  loss: number;
  /** Steps done in this run when the epoch ended. */
  step: number;
  /** The epoch that ends the run. */
  lastEpoch: number;
  scores: Scores;
  /** What the scores come from. */
  matrix: ConfusionMatrix;
  learningRate: number;
  /** Whether the mean IoU is the best so far. */
  best: boolean;
  /** Whether the run ends here. */
  last: boolean;
  trainMs: number;
  validMs: number;
}

/** What a run tells while it goes on. */
export interface RunEvents {
  /** Programs are being compiled; the first time takes seconds. */
  compiling(shapes: number): void;
  /** `images` more were trained or, in validation, predicted. */
  advance(phase: "train" | "valid", images: number, loss: number | undefined): void;
  phase(phase: "train" | "valid", epoch: number, images: number): void;
  /** Sizes are mixed: batch norm uses statistics of the whole set. */
  freezing(): void;
  /** An epoch is complete: the time to save. */
  epoch(result: EpochResult): Promise<void>;
}

/**
 * Trains for `options.epochs` epochs.
 * @throws {InputError} when the loss stops being a number, naming the step.
 */
export async function runTraining(options: RunOptions, events: RunEvents): Promise<void> {
  const { trainer, train, batchSize, seed, schedule } = options;
  let { bestScore = -1 } = options;
  const shapes = batchShapes(planBatches(train.sizes, batchSize, seed, options.firstEpoch));
  events.compiling(shapes.length);
  for (const shape of shapes) await trainer.prepare(shape);
  const freezeAt = epochToFreeze(options, shapes);
  const begun = performance.now();
  let { epochs } = options;
  for (let i = 0; i < epochs; i++) {
    const epoch = options.firstEpoch + i + 1;
    const started = performance.now();
    if (i === freezeAt) await freezeStatistics(options, events);
    const learningRate = schedule.learningRate;
    events.phase("train", epoch, train.length);
    const losses = await trainEpoch(options, epoch, events);
    const trained = performance.now();
    events.phase("valid", epoch, options.valid.length);
    const matrix = await validate(options, events);
    const scores = matrix.scores();
    // Before that, the running statistics and with them these scores say little.
    if (trainer.frozenStatistics || freezeAt === undefined) schedule.step?.(scores.meanIoU);
    const best = scores.meanIoU > bestScore;
    if (best) bestScore = scores.meanIoU;
    const now = performance.now();
    epochs = epochsWithin(options, epochs, i + 1, {
      elapsedMs: now - begun,
      lastMs: now - started,
    });
    await events.epoch({
      epoch,
      step: trainer.step,
      lastEpoch: options.firstEpoch + epochs,
      loss: losses.reduce((a, b) => a + b, 0) / Math.max(1, losses.length),
      scores,
      matrix,
      learningRate,
      best,
      last: i + 1 >= epochs,
      trainMs: trained - started,
      validMs: performance.now() - trained,
    });
  }
}

/**
 * How many epochs the run is to have, those done included, when all go on to take as long as the
 * last one; where that is another number than so far, the schedule is told.
 */
function epochsWithin(
  { timeLimitMs = Infinity, epochs: most, schedule, train, batchSize, seed }: RunOptions,
  planned: number,
  done: number,
  { elapsedMs, lastMs }: { elapsedMs: number; lastMs: number },
): number {
  const more = Math.max(0, Math.floor((timeLimitMs - elapsedMs) / lastMs));
  const epochs = Math.min(most, done + more);
  if (epochs !== planned) {
    schedule.resize?.(epochs * planBatches(train.sizes, batchSize, seed, 0).length);
  }
  return epochs;
}

/**
 * The epoch of this run, counted from 0, from which sets of mixed sizes train with batch-norm
 * statistics of the whole set (see statistics.ts); `undefined` for sets of one size. The batches'
 * own statistics come first because they make learning fast.
 */
function epochToFreeze(options: RunOptions, shapes: readonly ImageSize[]): number | undefined {
  if (new Set(shapes.map((s) => `${s.height}x${s.width}`)).size < 2) return undefined;
  return options.firstEpoch > 0 ? 0 : Math.ceil(options.epochs / 2);
}

/**
 * Goes on with the statistics of the whole set. That changes what every layer sees, and the
 * optimizer's running moments no longer fit: it starts afresh, with small steps.
 */
async function freezeStatistics(
  { trainer, train, batchSize, seed, firstEpoch, schedule }: RunOptions,
  events: RunEvents,
): Promise<void> {
  events.freezing();
  // Loaded weights bring the statistics that they were trained with.
  if (firstEpoch > 0) {
    trainer.freezeStatistics();
    return;
  }
  const plans = planBatches(train.sizes, batchSize, seed, 0);
  await trainer.gatherStatistics(async function* () {
    for (const plan of plans) yield await train.batch(plan);
  }());
  trainer.freezeStatistics();
  schedule.restart?.(FROZEN_RATE_FACTOR);
}

async function trainEpoch(
  { trainer, train, batchSize, seed, schedule, log }: RunOptions,
  epoch: number,
  events: RunEvents,
): Promise<number[]> {
  const losses: number[] = [];
  const rates: number[] = [];
  const firstStep = trainer.step + 1;
  const collect = async () => {
    for (const loss of await trainer.losses()) {
      const at = losses.push(loss) - 1;
      log?.stepDone({ step: firstStep + at, epoch, loss, learningRate: rates[at] ?? NaN });
      if (!Number.isFinite(loss)) {
        throw new InputError(
          `Training stopped in epoch ${epoch} at batch ${losses.length}: the loss became ${loss}; ` +
            "start again from the last checkpoint (-f) with a lower learning rate (-l).",
        );
      }
    }
  };
  const batches = planBatches(train.sizes, batchSize, seed, epoch);
  let read = performance.now();
  let next = batches[0] && train.batch(batches[0]);
  for (let i = 0; i < batches.length && next; i++) {
    const batch = await next;
    const following = batches[i + 1];
    // Decoding the next batch overlaps with the GPU's work on this one.
    next = following && train.batch(following);
    next?.catch(() => {});
    trainer.learningRate = schedule.learningRate;
    rates.push(trainer.learningRate);
    await trainer.train(batch);
    schedule.stepBatch?.();
    // Reading waits for the device, so only now and then.
    if (trainer.lossesDue || performance.now() - read > LOSS_EVERY_MS) {
      await collect();
      read = performance.now();
    }
    events.advance("train", batch.batch, losses.at(-1));
  }
  await collect();
  return losses;
}

/** The validation split at the training scale. */
async function validate(
  { segmenter, valid, classes, batchSize, log }: RunOptions,
  events: RunEvents,
): Promise<ConfusionMatrix> {
  const matrix = new ConfusionMatrix(classes);
  for (const plan of planBatches(valid.sizes, batchSize, 0, 0)) {
    const batch = await valid.batch(plan);
    const predicted = await segmenter.predict(batch);
    matrix.add(batch.labels, predicted);
    log?.imagesScored({ ...batch, indices: plan.indices, predicted });
    events.advance("valid", batch.batch, undefined);
  }
  return matrix;
}
