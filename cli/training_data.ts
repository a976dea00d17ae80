/**
 * What a training run works on, and with: settings, photos that were found to fit into memory, and a
 * trainer for them.
 * @module
 */

import { dataCommand, type Dataset, type Sample, valueToClass } from "../src/data/dataset.ts";
import { shownPath, tablePath } from "../src/data/files.ts";
import { PixelCache } from "../src/data/pixel_cache.ts";
import { SampleSource } from "../src/data/samples.ts";
import { DeviceError, InputError } from "../src/errors.ts";
import type { Gpu } from "../src/gpu/device.ts";
import type { ImageType } from "../src/graph/layout.ts";
import { mib } from "../src/graph/memory.ts";
import { lowerTarget } from "../src/graph/program_plan.ts";
import { checkWritable } from "../src/io/atomic_file.ts";
import type { CheckpointInfo } from "../src/io/checkpoint.ts";
import type { Clipping, Optimizer } from "../src/nn/optimizers.ts";
import { UNet } from "../src/nn/unet.ts";
import { smallestSize } from "../src/nn/unet_spec.ts";
import type { AugmentStrength } from "../src/train/augmentation.ts";
import type { ImageSize } from "../src/train/batches.ts";
import { type FitQuestion, largestBatch, suggestFit } from "../src/train/fit.ts";
import type { LossName } from "../src/train/losses.ts";
import type { Schedule } from "../src/train/schedule.ts";
import { planStep } from "../src/train/step.ts";
import { Trainer } from "../src/train/trainer.ts";
import { type PairSource, TrainingBatches } from "../src/train/training_batches.ts";
import { largestScored } from "../src/train/validator.ts";
import { checkPrecision } from "./gpu.ts";
import type { RunLogSettings } from "./run_log.ts";
import type { SavedRun } from "./resume.ts";
import { keepScaled } from "./scaled_photos.ts";

/** What a training run is made of. */
export interface TrainingSettings {
  readonly dataset: Dataset;
  readonly net: UNet;
  readonly optimizer: Optimizer;
  /** Makes the schedule of a run of so many batches, `perEpoch` an epoch. */
  readonly schedule: (batches: number, perEpoch: number) => Schedule;
  readonly clipping?: Clipping;
  /** What is minimised; default `ce`. */
  readonly loss?: LossName;
  /** What a pixel of each class counts in the loss; default 1 each. */
  readonly classWeights?: Float32Array;
  /** Scale of the photos. */
  readonly scale: number;
  readonly batchSize: number;
  /** Default `none`. */
  readonly augment?: AugmentStrength;
  /** Size of random parts to train on; default: whole images. */
  readonly crop?: ImageSize | undefined;
  /** Of shuffling and augmentation. */
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
  /** How images are kept on the GPU; default `f32`. */
  readonly precision?: ImageType;
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

/**
 * Settings of which the batch size is to be found, as large as memory allows; what the logs say of
 * the run is not known before.
 */
export type OpenTrainingSettings = Omit<TrainingSettings, "batchSize" | "logs"> & {
  readonly batchSize: number | "auto";
  readonly logs?: Pick<RunLogSettings, "runs">;
};

/** The photos of a run, opened and found to fit into memory. */
export interface TrainingData {
  readonly train: SampleSource;
  readonly valid: SampleSource;
  /** As asked for, or as found. */
  readonly batchSize: number;
}

/** What `auto` takes at most: larger batches learn less from as many images. */
const LARGEST_AUTO_BATCH = 32;

/** One photo that the network cannot take would end the run at its first batch, or its last. */
function checkSizes(
  { sizes }: SampleSource,
  samples: readonly Sample[],
  { dataset, net: { config: { model } }, scale }: Pick<
    TrainingSettings,
    "dataset" | "net" | "scale"
  >,
): void {
  const smallest = smallestSize(model);
  const at = sizes.findIndex(({ width, height }) => Math.min(width, height) < smallest);
  const [size, sample] = [sizes[at], samples[at]];
  if (size === undefined || sample === undefined) return;
  throw new InputError(
    `${shownPath(sample.image)} is ${size.width} x ${size.height} pixels at scale ${scale}, but ` +
      `${model} needs at least ${smallest} x ${smallest}; ` +
      (scale < 1 ? "use a larger scale (-s), or " : "") +
      `remove the photo and its mask and run ${dataCommand(dataset.folder)} again`,
  );
}

/** What trains in crops may not fit as a whole, which validation would find after an epoch. */
function checkValidation(gpu: Gpu, settings: OpenTrainingSettings, { sizes }: SampleSource): void {
  const { net, loss, scale, precision: images } = settings;
  if (largestScored(gpu, net, sizes, 1, { loss, images }) > 0) return;
  const { width, height } = sizes.reduce((a, b) =>
    a.width * a.height >= b.width * b.height ? a : b
  );
  throw new InputError(
    `A validation image of ${width} x ${height} pixels at scale ${scale} does not fit into the ` +
      `${mib(gpu.memoryBudgetBytes)} of GPU memory that may be used; use a smaller scale (-s) or ` +
      "width (--width)",
  );
}

/**
 * Crops may be larger than a photo, but not smaller than the network bears, nor so large that every
 * photo would be a whole one in an empty frame.
 */
function checkCrop(
  { crop, scale, resume, net: { config: { model } } }: OpenTrainingSettings,
  { sizes }: SampleSource,
): void {
  if (!crop) return;
  const asked = `--crop ${crop.height}x${crop.width}`;
  const smallest = smallestSize(model);
  if (Math.min(crop.width, crop.height) < smallest) {
    throw new InputError(
      `${asked} is too small: ${model} needs at least ${smallest} x ${smallest} pixels`,
    );
  }
  // A run that goes on is on what it began with.
  if (resume) return;
  const height = sizes.reduce((most, size) => Math.max(most, size.height), 0);
  const width = sizes.reduce((most, size) => Math.max(most, size.width), 0);
  if (crop.height < height || crop.width < width) return;
  if (crop.height === height && crop.width === width) return;
  throw new InputError(
    `${asked} (height x width) is larger than every photo: none is above ${height}x${width} at ` +
      `scale ${scale}; use a smaller crop, or leave it out to train on whole photos`,
  );
}

/**
 * Opens the photos of both splits.
 * @throws {InputError} naming a file that cannot be read or a feature that the adapter lacks, or saying
 *   what would fit when a step is too large for the GPU's memory.
 */
export async function openTrainingData(
  gpu: Gpu,
  settings: OpenTrainingSettings,
): Promise<TrainingData> {
  const { dataset, scale, checkpoints, crop, logs } = settings;
  // Decoding and scaling all photos can take long; what is certain to fail afterwards fails here.
  checkPrecision(gpu, settings.precision ?? "f32");
  // Hours of training are no time to find out that nothing can be saved.
  await checkWritable(checkpoints, "--checkpoints");
  if (logs) await checkWritable(logs.runs, "--runs");
  const values = valueToClass(dataset.info);
  const disk = await PixelCache.open(dataset.folder, scale);
  const { folder } = dataset;
  const train = await SampleSource.open(dataset.train, scale, values, { disk, folder });
  const valid = await SampleSource.open(dataset.valid, scale, values, { disk, folder });
  if (!crop) checkSizes(train, dataset.train, settings);
  checkSizes(valid, dataset.valid, settings);
  checkCrop(settings, train);
  const most = Math.min(LARGEST_AUTO_BATCH, train.length);
  const auto = settings.batchSize === "auto";
  const wanted = settings.batchSize === "auto" ? most : settings.batchSize;
  const question = fitQuestion(gpu, { ...settings, batchSize: wanted }, train);
  const found = auto && question ? largestBatch(question, most) : undefined;
  const batchSize = found?.size ?? (auto ? 1 : wanted);
  const last = question && { ...question, shape: { ...question.shape, batch: batchSize } };
  const problem = last && suggestFit(auto ? last : question, { scale, crop: crop !== undefined });
  if (problem !== undefined) throw new InputError(problem);
  checkValidation(gpu, settings, valid);
  await keepScaled(disk, [...dataset.train, ...dataset.valid]);
  return { train, valid, batchSize };
}

/** What decides how much memory a step needs. */
export type StepChoices = Pick<
  TrainingSettings,
  | "net"
  | "optimizer"
  | "clipping"
  | "loss"
  | "accumulate"
  | "emaDecay"
  | "precision"
  | "batchSize"
  | "seed"
  | "augment"
  | "crop"
  | "scale"
>;

/** The largest step of a run, to be judged. */
export function fitQuestion(
  gpu: Gpu,
  settings: StepChoices,
  train: PairSource,
): FitQuestion | undefined {
  const { net, optimizer, clipping, loss, accumulate = 1, emaDecay, precision } = settings;
  const [shape] = trainingBatches(settings, train).shapes(0);
  return shape && {
    net,
    optimizer,
    shape,
    step: {
      clipping,
      loss,
      kind: accumulate > 1 ? "update" : "whole",
      average: emaDecay ? net : undefined,
      images: precision,
    },
    target: lowerTarget(gpu),
    budgetBytes: gpu.memoryBudgetBytes,
    supportsF16: gpu.supportsF16,
  };
}

/** The batches of a run. */
export function trainingBatches(
  { batchSize, seed, augment, crop }: StepChoices,
  train: PairSource,
): TrainingBatches {
  return new TrainingBatches(train, { batchSize, seed, augment, crop });
}

/** The trainer of a run, before its first step; a run that goes on is restored. */
export function openTrainer(gpu: Gpu, settings: TrainingSettings, learningRate: number): Trainer {
  const { net, optimizer, clipping, classWeights, loss, emaDecay, seed, resume } = settings;
  const average = emaDecay ? { net: new UNet(net.config, seed), decay: emaDecay } : undefined;
  const trainer = new Trainer(gpu, net, {
    optimizer,
    learningRate,
    clipping,
    classWeights,
    loss,
    average,
    images: settings.precision,
  });
  if (resume) {
    average?.net.load(resume.checkpoint.tensors, shownPath(resume.file));
    trainer.restore(resume.state.trainer, resume.arrays);
  }
  return trainer;
}

/** Of what a device could not give: a step of this share is worth trying. */
const AFTER_FAILURE = 0.7;

/** Memory that a device has run out of, though the plan was within the budget: says what to try. */
export async function explainMemory<T>(
  gpu: Gpu,
  settings: StepChoices,
  train: PairSource,
  body: () => Promise<T>,
): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof DeviceError) || !/memory/i.test(error.message)) throw error;
    const question = fitQuestion(gpu, settings, train);
    if (!question) throw error;
    const { plannedBytes } = planStep(
      question.net,
      question.optimizer,
      question.shape,
      question.target,
      question.step,
    );
    const advice = suggestFit({ ...question, budgetBytes: plannedBytes * AFTER_FAILURE }, {
      scale: settings.scale,
      crop: settings.crop !== undefined,
    });
    throw new DeviceError(
      `The device ran out of memory (${error.message.replace(/[;.][^;.]*\.?$/, "")}); ` +
        (advice?.replace(/^.*; /, "") ?? "use a smaller batch"),
    );
  }
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

/** What checkpoints of a run say besides epoch, step and scores. */
export function checkpointInfo(
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
