/** `deno task train`: trains a U-Net on the prepared data. @module */

import { type Dataset, loadDataset, valueToClass } from "../src/data/dataset.ts";
import { shownPath } from "../src/data/files.ts";
import { SampleSource } from "../src/data/samples.ts";
import { InputError } from "../src/errors.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { lowerTarget } from "../src/graph/program_plan.ts";
import { type CheckpointInfo, encodeCheckpoint } from "../src/io/checkpoint.ts";
import { readCheckpointFile, writeCheckpointFile } from "../src/io/checkpoint_file.ts";
import { adamw, type Optimizer, rmsprop, sgd } from "../src/nn/optimizers.ts";
import { Segmenter } from "../src/nn/segmenter.ts";
import { UNet } from "../src/nn/unet.ts";
import { describe, type UnetConfig } from "../src/nn/unet_spec.ts";
import { batchShapes, planBatches } from "../src/train/batches.ts";
import { suggestFit, suggestWidth } from "../src/train/fit.ts";
import { type EpochResult, runTraining } from "../src/train/run.ts";
import { ReduceOnPlateau } from "../src/train/schedule.ts";
import { Trainer } from "../src/train/trainer.ts";
import { choice, float, int, list, path, text, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { openGpu } from "./gpu.ts";
import { duration, Progress } from "./progress.ts";

/** The original clips every gradient value to this. */
const CLIP_VALUE = 0.1;
/** Besides the last one, every tenth epoch keeps a checkpoint of its own. */
const SAVE_EVERY = 10;

const options = {
  epochs: int("epochs to train", { short: "e", default: 2, min: 1 }),
  "batch-size": int("images in a batch", { short: "b", default: 2, min: 1 }),
  "learning-rate": float("learning rate (default: 0.01; adamw 0.001)", {
    short: "l",
    min: 0,
    open: true,
  }),
  load: path("start from the weights of this checkpoint", { short: "f" }),
  scale: float("scale of the photos", { short: "s", default: 0.1, min: 0, max: 1 }),
  model: choice("network (default: the checkpoint's, else unet-small)", ["unet-small", "unet"]),
  width: int("channels of the first level (default: the checkpoint's, else 64)", { min: 1 }),
  upsample: choice("upsampling (default: the checkpoint's, else bilinear)", [
    "bilinear",
    "transposed",
  ]),
  optimizer: choice("optimizer", ["rmsprop", "sgd", "adamw"], { default: "rmsprop" }),
  seed: int("seed of initial weights and shuffling", { default: 42, min: 0, max: 2 ** 32 - 1 }),
  data: path("data folder", { default: "data", placeholder: "DIR" }),
  checkpoints: path("where checkpoints go", { default: "checkpoints", placeholder: "DIR" }),
  loss: text("loss", { unavailable: true }),
  crop: text("size of random crops", { unavailable: true }),
  augment: text("augmentation", { unavailable: true }),
  resume: path("continue a run", { unavailable: true }),
  runs: path("where logs of runs go", { unavailable: true, placeholder: "DIR" }),
  name: text("name of the run", { unavailable: true }),
  // Listed so that it is refused by name rather than as unknown.
  "class-weights": list("weights of the classes", { unavailable: true }),
};

type Options = Values<typeof options>;

/** Trains and saves checkpoints. */
export async function run(o: Options, context: Context): Promise<number> {
  const { log } = context;
  if (o.scale === 0) throw new InputError("--scale must be above 0 and at most 1, got 0");
  const dataset = await loadDataset(o.data);
  using gpu = await openGpu(context);
  const loaded = o.load === undefined ? undefined : await readCheckpointFile(o.load);
  const config = chooseConfig(o, dataset, loaded?.config);
  const tooWide = suggestWidth(config, gpu.memoryBudgetBytes);
  if (tooWide !== undefined) throw new InputError(tooWide);
  const net = new UNet(config, o.seed);
  if (loaded && o.load !== undefined) net.load(loaded.tensors, shownPath(o.load));
  const firstEpoch = loaded?.info.epoch ?? 0;
  const learningRate = o.learningRate ?? (o.optimizer === "adamw" ? 0.001 : 0.01);
  const optimizer = makeOptimizer(o.optimizer);

  const values = valueToClass(dataset.info);
  const train = await SampleSource.open(dataset.train, o.scale, values);
  const valid = await SampleSource.open(dataset.valid, o.scale, values);
  refuseWhatDoesNotFit(gpu, net, optimizer, train, o);

  logSettings(o, context, { config, train, valid, learningRate, firstEpoch });
  using trainer = new Trainer(gpu, net, {
    optimizer,
    learningRate,
    clipping: { clipValue: CLIP_VALUE },
  });
  using segmenter = new Segmenter(gpu, net);
  const started = performance.now();
  let bar: Progress | undefined;
  await runTraining({
    trainer,
    segmenter,
    train,
    valid,
    schedule: new ReduceOnPlateau(learningRate),
    classes: config.classes,
    batchSize: o.batchSize,
    seed: o.seed,
    firstEpoch,
    epochs: o.epochs,
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
      const label = `Epoch ${epoch}/${firstEpoch + o.epochs} ${phase}`;
      bar = new Progress({ label, total: images, unit: "img" });
    },
    advance(_phase, images, loss) {
      bar?.advance(images, loss === undefined ? "" : `loss ${loss.toFixed(4)}`);
    },
    async epoch(result) {
      bar?.finish();
      bar = undefined;
      const { scores } = result;
      const rate = train.length / (result.trainMs / 1000);
      log.info(
        `Epoch ${result.epoch}: loss ${result.loss.toFixed(4)}, validation mean IoU ` +
          `${scores.meanIoU.toFixed(4)}, Dice ${scores.meanDice.toFixed(4)}, pixel accuracy ` +
          `${scores.pixelAccuracy.toFixed(4)} (${duration(result.trainMs / 1000)} training, ` +
          `${rate.toFixed(1)} img/s, learning rate ${result.learningRate.toPrecision(3)})` +
          (result.best ? ", best so far" : ""),
      );
      await save(gpu, net, trainer, dataset, o, loaded?.info, result);
    },
  });
  log.info(
    `Trained ${o.epochs} epochs in ${duration((performance.now() - started) / 1000)}, ` +
      `${mib(trainer.plannedBytes)} of GPU memory planned`,
  );
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

function refuseWhatDoesNotFit(
  gpu: Gpu,
  net: UNet,
  optimizer: Optimizer,
  train: SampleSource,
  o: Options,
): void {
  const [largest] = batchShapes(planBatches(train.sizes, o.batchSize, 0, 0));
  if (!largest) return;
  const problem = suggestFit(net, optimizer, largest, lowerTarget(gpu), gpu.memoryBudgetBytes, {
    scale: o.scale,
  });
  if (problem !== undefined) throw new InputError(problem);
}

async function save(
  gpu: Gpu,
  net: UNet,
  trainer: Trainer,
  dataset: Dataset,
  o: Options,
  before: Pick<CheckpointInfo, "epoch" | "step"> = { epoch: 0, step: 0 },
  { epoch, loss, scores, best }: EpochResult,
): Promise<void> {
  const { classes, ignore } = dataset.info;
  const bytes = await encodeCheckpoint(gpu, net, {
    classes: classes.map(({ name, color, value }) => ({ name, color, value })),
    scale: o.scale,
    normalization: "divide by 255",
    ignore,
    epoch,
    step: before.step + trainer.step,
    metrics: {
      loss,
      meanIoU: scores.meanIoU,
      meanDice: scores.meanDice,
      pixelAccuracy: scores.pixelAccuracy,
    },
    training: {
      optimizer: o.optimizer,
      learningRate: trainer.learningRate,
      batchSize: o.batchSize,
      seed: o.seed,
    },
  });
  const names = ["last"];
  if (best) names.push("best");
  if (epoch % SAVE_EVERY === 0 || epoch === before.epoch + o.epochs) names.push(`CP_epoch${epoch}`);
  for (const name of names) {
    await writeCheckpointFile(`${o.checkpoints}/${name}.safetensors`, bytes);
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
      `    Optimizer:       ${o.optimizer}`,
      `    Training size:   ${train.length}`,
      `    Validation size: ${valid.length}`,
      `    Images scaling:  ${o.scale} (${size?.width} x ${size?.height}` +
      `${sizes > 1 ? ` and ${sizes - 1} other sizes` : ""})`,
      `    Checkpoints:     ${shownPath(o.checkpoints)}`,
      `    Seed:            ${o.seed}`,
    ].join("\n"),
  );
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
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
