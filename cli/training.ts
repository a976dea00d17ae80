/**
 * What every command that trains does: reads the prepared data, trains, shows how far it is and saves
 * checkpoints.
 * @module
 */

import { fillCache } from "../src/data/check.ts";
import { type Dataset, type Sample, valueToClass } from "../src/data/dataset.ts";
import { isFile, shownPath } from "../src/data/files.ts";
import { PixelCache } from "../src/data/pixel_cache.ts";
import { SampleSource } from "../src/data/samples.ts";
import { InputError } from "../src/errors.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { lowerTarget } from "../src/graph/program_plan.ts";
import { type CheckpointInfo, encodeCheckpoint } from "../src/io/checkpoint.ts";
import { readCheckpointFile, writeCheckpointFile } from "../src/io/checkpoint_file.ts";
import type { Clipping, Optimizer } from "../src/nn/optimizers.ts";
import { Segmenter } from "../src/nn/segmenter.ts";
import type { UNet } from "../src/nn/unet.ts";
import { describe, smallestSize } from "../src/nn/unet_spec.ts";
import { batchShapes, planBatches } from "../src/train/batches.ts";
import { suggestFit } from "../src/train/fit.ts";
import { type EpochResult, runTraining } from "../src/train/run.ts";
import type { Schedule } from "../src/train/schedule.ts";
import { Trainer } from "../src/train/trainer.ts";
import type { Log } from "./log.ts";
import { openRunLog, type RunLogSettings } from "./run_log.ts";
import { duration, Progress } from "./progress.ts";

/** Besides the last one, every tenth epoch keeps a checkpoint of its own. */
const SAVE_EVERY = 10;

/** What a training run is made of. */
export interface TrainingSettings {
  readonly dataset: Dataset;
  readonly net: UNet;
  readonly optimizer: Optimizer;
  /** Makes the schedule of a run of so many batches. */
  readonly schedule: (batches: number) => Schedule;
  readonly clipping?: Clipping;
  /** What a pixel of each class counts in the loss; default 1 each. */
  readonly classWeights?: Float32Array;
  /** Scale of the photos. */
  readonly scale: number;
  readonly batchSize: number;
  /** Of the shuffling. */
  readonly seed: number;
  readonly epochs: number;
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
  const [largest] = batchShapes(planBatches(train.sizes, batchSize, 0, 0));
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

/**
 * Trains `settings.net` in place and saves a checkpoint after every epoch: `last`, `best` (by the
 * validation split's mean IoU) and, now and then, `CP_epochN`.
 * @throws {InputError} when a file cannot be read or written or the loss stops being a number.
 */
export async function trainAndSave(
  gpu: Gpu,
  settings: TrainingSettings,
  { train, valid }: TrainingData,
  log: Log,
): Promise<void> {
  const { net, batchSize, seed, epochs, before } = settings;
  const firstEpoch = before?.epoch ?? 0;
  const batches = epochs * planBatches(train.sizes, batchSize, seed, 0).length;
  const schedule = settings.schedule(batches);
  using trainer = new Trainer(gpu, net, {
    optimizer: settings.optimizer,
    learningRate: schedule.learningRate,
    clipping: settings.clipping ?? {},
    classWeights: settings.classWeights,
  });
  using segmenter = new Segmenter(gpu, net);
  const started = performance.now();
  let trained = 0;
  let bar: Progress | undefined;
  const bestScore = await scoreToBeat(settings);
  await using runLog = await openRunLog(gpu, settings);
  await runTraining({
    trainer,
    segmenter,
    train,
    valid,
    schedule,
    classes: net.config.classes,
    batchSize,
    seed,
    firstEpoch,
    epochs,
    bestScore,
    timeLimitMs: settings.timeLimitMs,
    log: runLog,
  }, {
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
    phase(phase, epoch, images) {
      bar?.finish();
      const label = `Epoch ${epoch}/${firstEpoch + epochs} ${phase}`;
      bar = new Progress({ label, total: images, unit: "img" });
    },
    advance(_phase, images, loss) {
      bar?.advance(images, loss === undefined ? "" : `loss ${loss.toFixed(4)}`);
    },
    async epoch(result) {
      bar?.finish();
      bar = undefined;
      trained++;
      log.info(epochLine(result, train.length));
      if (result.last && trained < epochs) {
        log.info(`Ending after ${trained} of ${epochs} epochs: more would take too long`);
      }
      if (trained === 1 && bestScore === undefined) {
        await keepEarlierBest(settings.checkpoints, log);
      }
      await runLog?.epochScored(result);
      await save(gpu, trainer, settings, result, runLog?.run);
    },
  });
  await runLog?.ended({ reason: "done" });
  if (runLog) log.info(`Curves, scores and images of this run: ${shownPath(runLog.reportPath)}`);
  log.info(
    `Trained ${trained} epoch${trained === 1 ? "" : "s"} in ${
      duration((performance.now() - started) / 1000)
    }, ` +
      `${Math.round(trainer.plannedBytes / 2 ** 20)} MiB of GPU memory planned`,
  );
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

/** A run with no score to beat has a best of its own; an earlier one is kept under another name. */
async function keepEarlierBest(checkpoints: string, log: Log): Promise<void> {
  if (!await isFile(bestFile(checkpoints))) return;
  const kept = `${checkpoints}/best.backup.safetensors`;
  await Deno.rename(bestFile(checkpoints), kept);
  log.info(`The best checkpoint of an earlier run is kept as ${shownPath(kept)}`);
}

const bestFile = (checkpoints: string): string => `${checkpoints}/best.safetensors`;

function epochLine(result: EpochResult, images: number): string {
  const { scores } = result;
  const rate = images / (result.trainMs / 1000);
  return `Epoch ${result.epoch}: loss ${result.loss.toFixed(4)}, validation mean IoU ` +
    `${scores.meanIoU.toFixed(4)}, Dice ${scores.meanDice.toFixed(4)}, pixel accuracy ` +
    `${scores.pixelAccuracy.toFixed(4)} (${duration(result.trainMs / 1000)} training, ` +
    `${rate.toFixed(1)} img/s, learning rate ${result.learningRate.toPrecision(3)})` +
    (result.best ? ", best so far" : "");
}

async function save(
  gpu: Gpu,
  trainer: Trainer,
  settings: TrainingSettings,
  { epoch, loss, scores, best, last }: EpochResult,
  run: string | undefined,
): Promise<void> {
  const { classes, ignore } = settings.dataset.info;
  const bytes = await encodeCheckpoint(gpu, settings.net, {
    classes: classes.map(({ name, color, value }) => ({ name, color, value })),
    scale: settings.scale,
    normalization: "divide by 255",
    ignore,
    epoch,
    step: (settings.before?.step ?? 0) + trainer.step,
    metrics: {
      loss,
      meanIoU: scores.meanIoU,
      meanDice: scores.meanDice,
      pixelAccuracy: scores.pixelAccuracy,
    },
    training: {
      optimizer: settings.optimizer.name,
      learningRate: trainer.learningRate,
      batchSize: settings.batchSize,
      seed: settings.seed,
      ...(run === undefined ? {} : { run }),
    },
  });
  const names = ["last"];
  if (best) names.push("best");
  if (epoch % SAVE_EVERY === 0 || last) names.push(`CP_epoch${epoch}`);
  for (const name of names) {
    await writeCheckpointFile(`${settings.checkpoints}/${name}.safetensors`, bytes);
  }
}
