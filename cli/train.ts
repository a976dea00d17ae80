/** `deno task train`: trains a U-Net on the prepared data. @module */

import { type Dataset, loadDataset } from "../src/data/dataset.ts";
import { shownPath } from "../src/data/files.ts";
import type { SampleSource } from "../src/data/samples.ts";
import { InputError } from "../src/errors.ts";
import { readCheckpointFile } from "../src/io/checkpoint_file.ts";
import { adamw, type Optimizer, rmsprop, sgd } from "../src/nn/optimizers.ts";
import { UNet } from "../src/nn/unet.ts";
import { describe, type UnetConfig } from "../src/nn/unet_spec.ts";
import { suggestWidth } from "../src/train/fit.ts";
import { classWeights } from "../src/train/class_weights.ts";
import { OneCycle, ReduceOnPlateau } from "../src/train/schedule.ts";
import { choice, float, int, path, text, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { openGpu } from "./gpu.ts";
import { openTrainingData, trainAndSave, type TrainingSettings } from "./training.ts";

/** Share of the batches in which a cosine schedule first rises. */
const WARM_UP = 0.1;
/** The original clips every gradient value to this. */
const CLIP_VALUE = 0.1;

const options = {
  epochs: int("epochs to train", { short: "e", default: 2, min: 1 }),
  "batch-size": int("images in a batch", { short: "b", default: 2, min: 1 }),
  "learning-rate": float("learning rate (default: 0.01; adamw 0.001)", {
    short: "l",
    min: 0,
    open: true,
  }),
  load: path("start from these weights, .safetensors or PyTorch's .pth", { short: "f" }),
  scale: float("scale of the photos", { short: "s", default: 0.1, min: 0.001, max: 1 }),
  model: choice("network (default: the checkpoint's, else unet-small)", ["unet-small", "unet"]),
  width: int("channels of the first level (default: the checkpoint's, else 64)", { min: 1 }),
  upsample: choice("upsampling (default: the checkpoint's, else bilinear)", [
    "bilinear",
    "transposed",
  ]),
  optimizer: choice("optimizer", ["rmsprop", "sgd", "adamw"], { default: "rmsprop" }),
  schedule: choice(
    "learning rate: a tenth of it after 2 epochs without gain, or a short rise and a cosine to 0",
    ["plateau", "cosine"],
    { default: "plateau" },
  ),
  "class-weights": choice("weights of the classes in the loss; auto: frequency^-0.5", [
    "none",
    "auto",
  ], { default: "none" }),
  seed: int("seed of initial weights and shuffling", { default: 42, min: 0, max: 2 ** 32 - 1 }),
  data: path("data folder", { default: "data", placeholder: "DIR" }),
  checkpoints: path("where checkpoints go", { default: "checkpoints", placeholder: "DIR" }),
  loss: text("loss", { unavailable: true }),
  crop: text("size of random crops", { unavailable: true }),
  augment: text("augmentation", { unavailable: true }),
  resume: path("continue a run", { unavailable: true }),
  runs: path("where the folder of the run goes: curves, scores, images, report.html", {
    default: "runs",
    placeholder: "DIR",
  }),
  name: text("name of the run; its folder is called TIME_NAME (default: the network)"),
};

type Options = Values<typeof options>;

/** Trains and saves checkpoints. */
export async function run(o: Options, context: Context): Promise<number> {
  const { log } = context;
  const dataset = await loadDataset(o.data);
  using gpu = await openGpu(context);
  const loaded = o.load === undefined ? undefined : await readCheckpointFile(o.load);
  const config = chooseConfig(o, dataset, loaded?.config);
  const tooWide = suggestWidth(config, gpu.memoryBudgetBytes);
  if (tooWide !== undefined) throw new InputError(tooWide);
  const net = new UNet(config, o.seed);
  if (loaded && o.load !== undefined) net.load(loaded.tensors, shownPath(o.load));
  const learningRate = o.learningRate ?? (o.optimizer === "adamw" ? 0.001 : 0.01);
  const settings: TrainingSettings = {
    dataset,
    net,
    optimizer: makeOptimizer(o.optimizer),
    schedule: (batches) =>
      o.schedule === "plateau"
        ? new ReduceOnPlateau(learningRate)
        : new OneCycle(learningRate, batches, { rising: WARM_UP }),
    ...(o.classWeights === "auto"
      ? { classWeights: classWeights(dataset.info.classes.map(({ trainPixels }) => trainPixels)) }
      : {}),
    clipping: { clipValue: CLIP_VALUE },
    scale: o.scale,
    batchSize: o.batchSize,
    seed: o.seed,
    epochs: o.epochs,
    before: loaded?.info,
    checkpoints: o.checkpoints,
    logs: { runs: o.runs, name: o.name, options: { ...o, learningRate } },
  };
  const trainingData = await openTrainingData(gpu, settings);
  const firstEpoch = loaded?.info.epoch ?? 0;
  logSettings(o, context, { config, ...trainingData, learningRate, firstEpoch });
  await trainAndSave(gpu, settings, trainingData, log);
  log.info(
    `Checkpoints in ${shownPath(o.checkpoints)}: best.safetensors (by mean IoU), ` +
      "last.safetensors. Next: deno task evaluate, deno task predict",
  );
  return 0;
}

/** The network: what was asked for, else what the checkpoint holds, else the original's. */
function chooseConfig(o: Options, dataset: Dataset, loaded: UnetConfig | undefined): UnetConfig {
  const { classes, channels } = dataset.info;
  const config: UnetConfig = {
    model: o.model ?? loaded?.model ?? "unet-small",
    width: o.width ?? loaded?.width ?? 64,
    upsample: o.upsample ?? loaded?.upsample ?? "bilinear",
    channels,
    classes: classes.length,
  };
  if (loaded && JSON.stringify(loaded) !== JSON.stringify({ ...loaded, ...config })) {
    throw new InputError(
      `${shownPath(o.load ?? "")} holds a ${describe(loaded)}, but training was asked for a ` +
        `${describe(config)}; leave out the options that differ, or start without -f`,
    );
  }
  return config;
}

function makeOptimizer(name: Options["optimizer"]): Optimizer {
  switch (name) {
    case "rmsprop":
      return rmsprop({ momentum: 0.9, weightDecay: 1e-8 });
    case "sgd":
      return sgd({ momentum: 0.9, weightDecay: 1e-8 });
    case "adamw":
      return adamw();
  }
}

function logSettings(
  o: Options,
  { log }: Context,
  { config, train, valid, learningRate, firstEpoch }: {
    config: UnetConfig;
    train: SampleSource;
    valid: SampleSource;
    learningRate: number;
    firstEpoch: number;
  },
): void {
  const [size] = train.sizes;
  const sizes = new Set(train.sizes.map((s) => `${s.width} x ${s.height}`)).size;
  log.info(
    [
      "Starting training:",
      `    Network:         ${describe(config)}`,
      `    Epochs:          ${o.epochs}${firstEpoch > 0 ? ` after ${firstEpoch}` : ""}`,
      `    Batch size:      ${o.batchSize}`,
      `    Learning rate:   ${learningRate}`,
      `    Optimizer:       ${o.optimizer}, ${o.schedule} schedule`,
      `    Class weights:   ${o.classWeights}`,
      `    Training size:   ${train.length}`,
      `    Validation size: ${valid.length}`,
      `    Images scaling:  ${o.scale} (${size?.width} x ${size?.height}` +
      `${sizes > 1 ? ` and ${sizes - 1} other sizes` : ""})`,
      `    Checkpoints:     ${shownPath(o.checkpoints)}`,
      `    Seed:            ${o.seed}`,
    ].join("\n"),
  );
}

/** The command. */
export const command: Command = defineCommand({
  name: "train",
  summary: "Trains a U-Net on the data that deno task data prepared, checks it on the validation " +
    "split after every epoch and saves checkpoints. With -f, epochs are added to the loaded " +
    "weights; the optimizer starts fresh.",
  options,
  examples: [
    "deno task train -e 20 -b 4 -s 0.5 --width 16 --optimizer adamw",
    "deno task train -f checkpoints/CP_epoch10.safetensors -b 4 -e 200 -s 0.1",
  ],
  run,
});
