/** `deno task demo`: everything in one go on a generated sample set. @module */

import { join } from "node:path";
import { type Dataset, loadDataset, valueToClass } from "../src/data/dataset.ts";
import { shownPath } from "../src/data/files.ts";
import { prepareDataset } from "../src/data/prepare.ts";
import { claimFolder, RUN_NAME } from "../src/demo/folder.ts";
import { writeSamples } from "../src/demo/samples.ts";
import { adamw } from "../src/nn/optimizers.ts";
import { UNet } from "../src/nn/unet.ts";
import { describe, type UnetConfig } from "../src/nn/unet_spec.ts";
import { classWeights } from "../src/train/class_weights.ts";
import { evaluateSamples, type Evaluation } from "../src/train/evaluate.ts";
import { OneCycle } from "../src/train/schedule.ts";
import { int, resolveUserPath, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { summaryText, writePictures } from "./demo_report.ts";
import { openGpu } from "./gpu.ts";
import { Model, readModel } from "./model.ts";
import { duration, Progress } from "./progress.ts";
import { trainAndSave } from "./training.ts";
import { openTrainingData, type TrainingSettings } from "./training_data.ts";

const FOLDER = "demo";

/** Half the size of the drawn photos: four times as many can be looked at in the same time. */
const SCALE = 0.5;

/** Narrow but deep: it sees far enough to tell grey roofs from paving, and trains in a minute. */
const NETWORK: Omit<UnetConfig, "channels" | "classes"> = {
  model: "unet",
  width: 8,
  upsample: "bilinear",
};

const LEARNING_RATE = 0.01;
const BATCH_SIZE = 2;
const CLIP_VALUE = 0.1;
const TRAINING_SHARE = 0.9;

/** On a slow machine training ends about here, so that the whole demo stays within three minutes. */
const TRAINING_ENDS_MS = 140_000;

const options = {
  epochs: int("epochs to train at most; fewer on a machine that would take too long", {
    short: "e",
    default: 12,
    min: 1,
  }),
  scenes: int("photos to draw, one in ten of them for testing", {
    default: 120,
    min: 8,
    max: 9999,
  }),
  seed: int("seed of the scenes, of the initial weights and of the shuffling", {
    default: 42,
    min: 0,
    max: 100_000,
  }),
};

/** Draws, prepares, trains, scores, predicts and tells what came out. */
export async function run(
  { epochs, scenes, seed }: Values<typeof options>,
  context: Context,
): Promise<number> {
  const { log } = context;
  const startMs = performance.now();
  const folder = resolveUserPath(FOLDER);
  const data = join(folder, "data");
  const checkpoints = join(folder, "checkpoints");
  await claimFolder(folder);

  log.info(`Step 1 of 5: drawing ${scenes} photos with their masks`);
  {
    using bar = new Progress({ label: "Draw", total: scenes });
    const raw = join(data, "raw");
    await writeSamples({ raw, scenes, seed, onProgress: () => bar.advance(1) });
  }

  log.info("Step 2 of 5: checking and splitting them, as deno task data does");
  await prepareDataset({ data, ratio: TRAINING_SHARE, seed }, {
    info: (message) => log.info(message),
    warn: (message) => log.warn(message),
    progress: (label, total) => new Progress({ label, total }),
  });
  const dataset = await loadDataset(data, ["train", "valid", "test"]);

  const timeLimitMs = Math.max(1, TRAINING_ENDS_MS - (performance.now() - startMs));
  const runs = join(folder, "runs");
  const asked = { scenes, epochs, seed };
  const network = await train(dataset, { asked, timeLimitMs, checkpoints, runs }, context);

  const best = join(checkpoints, "best.safetensors");
  const checkpoint = await readModel(best);
  using model = await Model.open(checkpoint, best, context);
  log.info(`Step 4 of 5: scoring ${dataset.test.length} test photos, as deno task evaluate does`);
  const evaluation = await score(model, dataset);

  log.info("Step 5 of 5: predicting them, as deno task predict does, and drawing the pictures");
  const trained = { network, epochs: checkpoint.info.epoch, photos: dataset.train.length };
  const result = { folder, dataset, evaluation, trained };
  await writePictures(result, model.segmenter, SCALE);
  log.info(`Done in ${duration((performance.now() - startMs) / 1000)}`);
  console.log(summaryText(result));
  return 0;
}

/** Trains and saves checkpoints. @returns the network in words */
async function train(
  dataset: Dataset,
  { asked, timeLimitMs, checkpoints, runs }: {
    asked: Values<typeof options>;
    timeLimitMs: number;
    checkpoints: string;
    runs: string;
  },
  context: Context,
): Promise<string> {
  const { log } = context;
  const { classes, channels } = dataset.info;
  const config: UnetConfig = { ...NETWORK, channels, classes: classes.length };
  log.info(`Step 3 of 5: training a ${describe(config)}, as deno task train does`);
  using gpu = await openGpu(context);
  const { epochs, seed } = asked;
  const settings: TrainingSettings = {
    dataset,
    net: new UNet(config, seed),
    optimizer: adamw(),
    schedule: (batches) => new OneCycle(LEARNING_RATE, batches),
    clipping: { clipValue: CLIP_VALUE },
    classWeights: classWeights(classes.map(({ trainPixels }) => trainPixels)),
    scale: SCALE,
    batchSize: BATCH_SIZE,
    seed,
    epochs,
    timeLimitMs,
    checkpoints,
    logs: {
      runs,
      name: RUN_NAME,
      options: {
        ...asked,
        ...{ batchSize: BATCH_SIZE, learningRate: LEARNING_RATE, scale: SCALE },
        ...{ optimizer: "adamw", schedule: "cosine", loss: "ce", classWeights: "auto" },
        clipValue: CLIP_VALUE,
      },
    },
  };
  await trainAndSave(gpu, settings, await openTrainingData(gpu, settings), { log });
  log.info(`Checkpoints in ${shownPath(checkpoints)}`);
  return describe(config);
}

async function score(model: Model, { info, test }: Dataset): Promise<Evaluation> {
  using bar = new Progress({ label: "Score", total: test.length });
  return await evaluateSamples(model.segmenter, test, {
    scale: SCALE,
    valueMap: valueToClass(info),
    classes: info.classes.length,
    onProgress: () => bar.advance(1),
  });
}

/** The command. */
export const command: Command = defineCommand({
  name: "demo",
  summary: "Shows the whole way in at most three minutes, GPU or not: draws photos of a made-up " +
    "neighbourhood with masks that fit to the pixel, prepares them, trains a small U-Net, scores " +
    `it on photos it has never seen and predicts these. Everything goes to ${FOLDER} in the ` +
    `folder you stand in: ${FOLDER}/summary.png shows what came out. A folder of that name that ` +
    "is not the demo's own is left alone.",
  options,
  gpu: true,
  examples: ["deno task demo", "deno task demo --scenes 40 --epochs 3 --seed 7"],
  run,
});
