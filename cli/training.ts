/**
 * What every command that trains does: reads the prepared data, trains, shows how far it is and saves
 * checkpoints.
 * @module
 */

import { fillCache } from "../src/data/check.ts";
import { type Dataset, type Sample, valueToClass } from "../src/data/dataset.ts";
import { isFile, shownPath, tablePath } from "../src/data/files.ts";
import { PixelCache } from "../src/data/pixel_cache.ts";
import { SampleSource } from "../src/data/samples.ts";
import { InputError } from "../src/errors.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { lowerTarget } from "../src/graph/program_plan.ts";
import type { CheckpointInfo } from "../src/io/checkpoint.ts";
import { removeStaleTemporaries } from "../src/io/atomic_file.ts";
import { readCheckpointFile } from "../src/io/checkpoint_file.ts";
import type { Clipping, Optimizer } from "../src/nn/optimizers.ts";
import { Segmenter } from "../src/nn/segmenter.ts";
import { UNet } from "../src/nn/unet.ts";
import { describe, smallestSize } from "../src/nn/unet_spec.ts";
import { suggestFit } from "../src/train/fit.ts";
import {
  type EpochResult,
  observeAll,
  type RunEnd,
  type RunObserver,
  runTraining,
} from "../src/train/run.ts";
import { CheckpointSaver } from "../src/train/run_saver.ts";
import { newRunState } from "../src/train/run_state.ts";
import type { Schedule } from "../src/train/schedule.ts";
import { Trainer } from "../src/train/trainer.ts";
import { TrainingBatches } from "../src/train/training_batches.ts";
import { keepEarlierBest } from "./earlier_best.ts";
import type { Log } from "./log.ts";
import { openRunLog, type RunLogSettings } from "./run_log.ts";
import { duration, Progress } from "./progress.ts";
import type { SavedRun } from "./resume.ts";

/** Besides the last one, every tenth epoch keeps a checkpoint of its own. */
const SAVE_EVERY = 10;

/** What a training run is made of. */
export interface TrainingSettings {
  readonly dataset: Dataset;
  readonly net: UNet;
  readonly optimizer: Optimizer;
  /** Makes the schedule of a run of so many batches, `perEpoch` an epoch. */
  readonly schedule: (batches: number, perEpoch: number) => Schedule;
  readonly clipping?: Clipping;
  /** What a pixel of each class counts in the loss; default 1 each. */
  readonly classWeights?: Float32Array;
  /** Scale of the photos. */
  readonly scale: number;
  readonly batchSize: number;
  /** Of the shuffling. */
  readonly seed: number;
  /** Epochs to add to those before; a run that goes on knows its own. */
  readonly epochs: number;
  /** Batches whose gradients are averaged for one update; default 1. */
  readonly accumulate?: number;
  /** Decay of a running average of the weights; default: none is made. */
  readonly emaDecay?: number;
  /** Epochs without gain that end the run; default: any number is borne. */
  readonly patience?: number | undefined;
  /** Every so many epochs keeps a checkpoint of its own; default 10. */
  readonly saveEvery?: number;
  /** What a run that goes on from the checkpoints needs to know, fit for JSON. */
  readonly recipe?: object;
  /** The run that goes on. */
  readonly resume?: SavedRun | undefined;
  /** What the weights had been through before this run. */
  readonly before?: Pick<CheckpointInfo, "epoch" | "step"> | undefined;
  /** See `RunOptions.timeLimitMs`. */
  readonly timeLimitMs?: number;
  /** Folder of the checkpoints, absolute. */
  readonly checkpoints: string;
  /** What the run leaves behind besides them; default nothing. */
  readonly logs?: RunLogSettings;
}

/** The photos of a run, opened and found to fit into memory. */
export interface TrainingData {
  readonly train: SampleSource;
  readonly valid: SampleSource;
}

/** Hours of training are no time to find out that nothing can be saved. */
async function ensureFolder(folder: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    throw new InputError(
      `cannot make the folder ${shownPath(folder)} for checkpoints: ` +
        `${error instanceof Error ? error.message : error}; choose another with --checkpoints`,
    );
  }
}

/** One photo that the network cannot take would end the run at its first batch, or its last. */
function checkSizes(
  { sizes }: SampleSource,
  samples: readonly Sample[],
  { net: { config: { model } }, scale }: TrainingSettings,
): void {
  const smallest = smallestSize(model);
  const at = sizes.findIndex(({ width, height }) => Math.min(width, height) < smallest);
  const [size, sample] = [sizes[at], samples[at]];
  if (size === undefined || sample === undefined) return;
  throw new InputError(
    `${shownPath(sample.image)} is ${size.width} x ${size.height} pixels at scale ${scale}, but ` +
      `${model} needs at least ${smallest} x ${smallest}; ` +
      (scale < 1 ? "use a larger scale (-s), or " : "") +
      "remove the photo and its mask and run deno task data again",
  );
}

/**
 * Opens the photos of both splits.
 * @throws {InputError} naming a file that cannot be read, or saying what would fit when a step is too
 *   large for the GPU's memory.
 */
export async function openTrainingData(
  gpu: Gpu,
  settings: TrainingSettings,
): Promise<TrainingData> {
  const { dataset, net, optimizer, scale, batchSize, checkpoints } = settings;
  const values = valueToClass(dataset.info);
  const disk = await PixelCache.open(dataset.folder, scale);
  const train = await SampleSource.open(dataset.train, scale, values, { disk });
  const valid = await SampleSource.open(dataset.valid, scale, values, { disk });
  checkSizes(train, dataset.train, settings);
  checkSizes(valid, dataset.valid, settings);
  const [largest] = new TrainingBatches(train, { batchSize, seed: 0 }).shapes(0);
  const problem = largest &&
    suggestFit(net, optimizer, largest, lowerTarget(gpu), gpu.memoryBudgetBytes, { scale });
  if (problem !== undefined) throw new InputError(problem);
  await ensureFolder(checkpoints);
  const pairs = [...dataset.train, ...dataset.valid].map(({ image, mask }) => ({
    photo: image,
    mask,
  }));
  using bar = new Progress({ label: `Scaling photos to ${scale}`, total: pairs.length });
  await fillCache(pairs, disk, () => bar.advance(1));
  return { train, valid };
}

/** Switches and listeners of {@linkcode trainAndSave}. */
export interface TrainingHooks {
  readonly log: Log;
  /** Asked between updates. */
  readonly stopRequested?: () => boolean;
  /** Told everything that the screen is told. */
  readonly observers?: readonly RunObserver[];
}

/**
 * Trains `settings.net` in place and saves a checkpoint after every epoch: `last`, `best` (by the
 * validation split's mean IoU) and, now and then, `CP_epochN`; `INTERRUPTED` where it is stopped.
 * @throws {InputError} when a file cannot be read or written or the loss stops being a number.
 */
export async function trainAndSave(
  gpu: Gpu,
  settings: TrainingSettings,
  { train, valid }: TrainingData,
  { log, stopRequested, observers = [] }: TrainingHooks,
): Promise<RunEnd> {
  const { dataset, net, batchSize, seed, before, resume, checkpoints } = settings;
  const bestScore = resume ? undefined : await scoreToBeat(settings);
  const state = resume?.state ??
    newRunState({ firstEpoch: before?.epoch ?? 0, epochs: settings.epochs, bestScore });
  const batches = new TrainingBatches(train, { batchSize, seed });
  const perEpoch = batches.plan(0).length;
  const schedule = settings.schedule((state.lastEpoch - state.firstEpoch) * perEpoch, perEpoch);
  const average = settings.emaDecay
    ? { net: new UNet(net.config, seed), decay: settings.emaDecay }
    : undefined;
  using trainer = new Trainer(gpu, net, {
    optimizer: settings.optimizer,
    learningRate: schedule.learningRate,
    clipping: settings.clipping ?? {},
    classWeights: settings.classWeights,
    average,
  });
  if (resume) {
    average?.net.load(resume.checkpoint.tensors, shownPath(resume.file));
    trainer.restore(state.trainer, resume.arrays);
    schedule.restore(state.schedule);
  }
  using segmenter = new Segmenter(gpu, trainer.result, { pool: trainer.pool });
  await using runLog = await openRunLog(gpu, settings, trainer.result, state);
  const stepsBefore = resume ? resume.checkpoint.info.step - state.trainer.step : before?.step ?? 0;
  const isFirstOfItsOwn = !resume && bestScore === undefined;
  const saver = new CheckpointSaver({
    gpu,
    trainer,
    folder: checkpoints,
    info: checkpointInfo(settings),
    stepsBefore,
    settings: {
      recipe: settings.recipe ?? {},
      adapter: gpu.description,
      kernels: gpu.kernelFamily,
      data: dataKey(dataset, train, valid),
      ...(runLog ? { run: runLog.run } : {}),
    },
    saveEvery: settings.saveEvery ?? SAVE_EVERY,
    beforeBest: isFirstOfItsOwn ? () => keepEarlierBest(checkpoints, log) : undefined,
  });
  await removeStaleTemporaries(checkpoints);
  const started = performance.now();
  const firstEpoch = state.epoch;
  const end = await runTraining({
    trainer,
    segmenter,
    batches,
    valid,
    schedule,
    classes: net.config.classes,
    state,
    saver,
    accumulate: settings.accumulate,
    patience: settings.patience,
    timeLimitMs: settings.timeLimitMs,
    stopRequested,
  }, observeAll(screen(log), ...observers, ...(runLog ? [runLog] : [])));
  const trained = state.epoch - firstEpoch;
  log.info(
    `Trained ${trained} epoch${trained === 1 ? "" : "s"} in ${
      duration((performance.now() - started) / 1000)
    }, ` +
      `${Math.round(trainer.plannedBytes / 2 ** 20)} MiB of GPU memory planned`,
  );
  if (runLog) log.info(`Curves, scores and images of this run: ${shownPath(runLog.reportPath)}`);
  return end;
}

/** Progress bars and a line an epoch. */
function screen(log: Log): RunObserver {
  let bar: Progress | undefined;
  const begin =
    (what: string) =>
    ({ epoch, lastEpoch, images }: { epoch: number; lastEpoch: number; images: number }) => {
      bar?.finish();
      bar = new Progress({
        label: `Epoch ${epoch}/${lastEpoch} ${what}`,
        total: images,
        unit: "img",
      });
    };
  return {
    compiling(shapes) {
      log.info(
        `Compiling shaders for ${shapes} batch shape${shapes > 1 ? "s" : ""} ` +
          "(some seconds the first time, cached by the driver later)",
      );
    },
    freezing() {
      log.info(
        "Images have several sizes, so a batch is no fair sample of them: from here on batch norm " +
          "uses the statistics of the whole training set",
      );
    },
    epochBegun: begin("train"),
    validationBegun: begin("valid"),
    advance(_phase, images, loss) {
      bar?.advance(images, loss === undefined ? "" : `loss ${loss.toFixed(4)}`);
    },
    epochScored(result) {
      bar?.finish();
      bar = undefined;
      log.info(epochLine(result));
    },
    ended({ reason, state }) {
      bar?.finish();
      if (reason === "patience") {
        log.info(`Ending after epoch ${state.epoch}: ${state.sinceBest} epochs without a gain`);
      }
      if (reason === "time") {
        log.info(`Ending after epoch ${state.epoch}: more would take too long`);
      }
    },
  };
}

/** Stands for the photos, masks and sizes of a set: two that differ have different keys. */
export function dataKey(dataset: Dataset, train: SampleSource, valid: SampleSource): string {
  let hash = 0x811c9dc5;
  const add = (text: string) => {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  };
  for (const [samples, { sizes }] of [[dataset.train, train], [dataset.valid, valid]] as const) {
    samples.forEach(({ image, mask = "" }, i) => {
      const paths = [image, mask].map((path) => tablePath(path, dataset.folder));
      add(`${paths.join()},${sizes[i]?.width}x${sizes[i]?.height};`);
    });
  }
  return `${dataset.train.length}+${dataset.valid.length}-${(hash >>> 0).toString(16)}`;
}

/**
 * A run that goes on from a checkpoint must not replace `best` by something worse, where `best` is
 * the same network for the same classes.
 */
async function scoreToBeat(
  { before, checkpoints, net, dataset }: TrainingSettings,
): Promise<number | undefined> {
  if (before === undefined || !await isFile(bestFile(checkpoints))) return undefined;
  const { config, info } = await readCheckpointFile(bestFile(checkpoints));
  const same = describe(config) === describe(net.config) &&
    info.classes.every(({ name, value }, id) => {
      const known = dataset.info.classes[id];
      return name === known?.name && value === known.value;
    });
  return same ? info.metrics?.meanIoU : undefined;
}

const bestFile = (checkpoints: string): string => `${checkpoints}/best.safetensors`;

function epochLine(result: EpochResult): string {
  const { scores } = result;
  const rate = result.trainImages / (result.trainMs / 1000);
  return `Epoch ${result.epoch}: loss ${result.loss.toFixed(4)}, validation mean IoU ` +
    `${scores.meanIoU.toFixed(4)}, Dice ${scores.meanDice.toFixed(4)}, pixel accuracy ` +
    `${scores.pixelAccuracy.toFixed(4)} (${duration(result.trainMs / 1000)} training, ` +
    `${rate.toFixed(1)} img/s, learning rate ${result.learningRate.toPrecision(3)})` +
    (result.best ? ", best so far" : "");
}

function checkpointInfo(
  { dataset, scale, optimizer, batchSize, seed }: TrainingSettings,
): Omit<CheckpointInfo, "epoch" | "step" | "metrics"> {
  const { classes, ignore } = dataset.info;
  return {
    classes: classes.map(({ name, color, value }) => ({ name, color, value })),
    scale,
    normalization: "divide by 255",
    ignore,
    training: { optimizer: optimizer.name, batchSize, seed },
  };
}
