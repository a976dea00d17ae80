/** `deno task train`: trains a U-Net on the prepared data. @module */

import { dataCommand, type Dataset, loadDataset } from "../src/data/dataset.ts";
import { resolveUserPath, shownPath } from "../src/data/files.ts";
import { InputError, UsageError } from "../src/errors.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { readCheckpointFile } from "../src/io/checkpoint_file.ts";
import { UNet } from "../src/nn/unet.ts";
import { describe, MODELS, type UnetConfig } from "../src/nn/unet_spec.ts";
import { suggestWidth } from "../src/train/fit.ts";
import type { RunEnd } from "../src/train/run.ts";
import { isRunName } from "../src/train/run_folder.ts";
import { choice, flag, int, optionalPath, path, quote, text, type Values } from "./args.ts";
import { weightsOf } from "./class_weights_file.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { openGpu } from "./gpu.ts";
import { INTERRUPTED_STATUS, Interrupts } from "./interrupt.ts";
import { readSavedRun, type SavedRun } from "./resume.ts";
import {
  clippingOf,
  cropSize,
  makeOptimizer,
  makeSchedule,
  type Recipe,
  recipeOptions,
  resolveRecipe,
} from "./train_recipe.ts";
import { dryRun, overfitOneBatch } from "./train_checks.ts";
import { trainAndSave } from "./training.ts";
import {
  dataKey,
  openTrainingData,
  type OpenTrainingSettings,
  type TrainingData,
  type TrainingSettings,
} from "./training_data.ts";

const EPOCHS = 2;

/** The picture of a dry run, in the folder the user stands in. */
const SAMPLES = "reports/figures/training_samples.png";

const options = {
  epochs: int("epochs to train (default: 2); with --resume the run's total", {
    short: "e",
    min: 1,
  }),
  load: path("start from these weights, .safetensors or PyTorch's .pth", { short: "f" }),
  resume: optionalPath(
    "go on with a run as if it had never stopped (default: from last or INTERRUPTED, the newer)",
  ),
  model: choice("network (default: the checkpoint's, else unet-small)", MODELS),
  width: int("channels of the first level (default: the checkpoint's, else 64)", { min: 1 }),
  upsample: choice("upsampling (default: the checkpoint's, else bilinear)", [
    "bilinear",
    "transposed",
  ]),
  ...recipeOptions,
  "dry-run": flag(
    "put one batch through everything, show the memory plan, draw what the network " +
      "sees, and save nothing",
  ),
  "overfit-one-batch": flag(
    "check that one batch can be learnt by heart: its loss must fall to nearly nothing",
  ),
  profile: flag("say after each epoch where its time went"),
  data: path("data folder", { default: "data", placeholder: "DIR" }),
  checkpoints: path("where checkpoints go", { default: "checkpoints", placeholder: "DIR" }),
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
  checkName(o.name);
  const dataset = await loadDataset(o.data);
  checkLabelled(dataset);
  if (o.resume !== undefined && o.load !== undefined) {
    throw new InputError(
      "--resume goes on with a run and -f starts one from weights; use one of them",
    );
  }
  const saved = o.resume === undefined ? undefined : await readSavedRun(o.resume, o.checkpoints);
  const loaded = o.load === undefined ? undefined : await readCheckpointFile(o.load, "--load");
  const source = saved?.file ?? o.load ?? "";
  // Other kernels and tiles round otherwise.
  const same = saved && {
    kernels: saved.settings.kernels,
    tuning: saved.checkpoint.info.kernels?.tuning ?? {},
  };
  using gpu = await openGpu({ ...context, ...same });
  const config = chooseConfig(o, dataset, saved?.checkpoint.config ?? loaded?.config, source);
  const tooWide = suggestWidth(config, gpu.memoryBudgetBytes);
  if (tooWide !== undefined) throw new InputError(tooWide);
  const open = resolveRecipe(o, saved && { recipe: saved.settings.recipe, file: saved.file });
  const classWeightValues = open.classWeightValues !== undefined
    ? open.classWeightValues
    : await weightsOf(open.classWeights, dataset.info.classes);
  const net = new UNet(config, open.seed);
  const weights = saved?.weights ?? loaded?.tensors;
  if (weights) net.load(weights, shownPath(source));
  if (saved) extend(saved, o.epochs);
  const asked: OpenTrainingSettings = {
    dataset,
    net,
    optimizer: makeOptimizer(open),
    schedule: (batches, perEpoch) => makeSchedule(open, batches, perEpoch),
    loss: open.loss,
    ...(classWeightValues ? { classWeights: Float32Array.from(classWeightValues) } : {}),
    clipping: clippingOf(open),
    scale: open.scale,
    batchSize: open.batchSize,
    augment: open.augment,
    crop: cropSize(open),
    seed: open.seed,
    epochs: o.epochs ?? EPOCHS,
    accumulate: open.accumulate,
    emaDecay: open.ema,
    patience: open.patience || undefined,
    saveEvery: open.saveEvery,
    precision: open.precision,
    before: loaded?.info,
    resume: saved,
    checkpoints: o.checkpoints,
    logs: { runs: o.runs },
  };
  const data = await openTrainingData(gpu, asked);
  const recipe: Recipe = { ...open, batchSize: data.batchSize, classWeightValues };
  const settings: TrainingSettings = {
    ...asked,
    batchSize: data.batchSize,
    recipe,
    logs: {
      runs: o.runs,
      name: o.name,
      run: saved?.settings.run,
      options: { ...o, epochs: saved?.state.lastEpoch ?? o.epochs ?? EPOCHS, ...recipe },
    },
  };
  if (saved) warnOfChanges(saved, { gpu, dataset, data }, context);
  logSettings(context, settings, recipe, data);
  if (o.dryRun) await dryRun(gpu, settings, data, resolveUserPath(SAMPLES), context);
  if (o.overfitOneBatch) {
    await overfitOneBatch(gpu, settings, data, recipe.learningRate, context);
  }
  if (o.dryRun || o.overfitOneBatch) return 0;
  using interrupts = new Interrupts(
    log,
    "Stopping after this step and saving; Ctrl-C again ends at once, without saving",
  );
  const end = await trainAndSave(gpu, settings, data, {
    log,
    stopRequested: () => interrupts.requested,
    profile: o.profile,
  });
  return conclude(end, o, context);
}

/** The folder of a run is made only when all else is ready. */
function checkName(name: string | undefined): void {
  if (name === undefined || isRunName(name)) return;
  throw new UsageError(
    "--name becomes a part of a folder's name, so it must be letters, digits, - and _, a letter " +
      `first, got ${quote(name)}`,
  );
}

/** What comes next. */
function conclude({ reason, state }: RunEnd, o: Options, { log }: Context): number {
  const folder = shownPath(o.checkpoints);
  if (reason === "interrupted") {
    log.info(
      `Interrupted in epoch ${state.epoch + 1} after batch ${state.batch}; saved ` +
        `${folder}/INTERRUPTED.safetensors. Go on with: ` +
        resumeCommand(o),
    );
    return INTERRUPTED_STATUS;
  }
  log.info(
    `Checkpoints in ${folder}: best.safetensors (by mean IoU), last.safetensors. ` +
      "Next: deno task evaluate, deno task predict",
  );
  return 0;
}

/** What goes on with a run: the folders that the command would not look into by itself are named. */
export function resumeCommand(folders: Pick<Options, "checkpoints" | "data" | "runs">): string {
  const flags = (["checkpoints", "data", "runs"] as const)
    .filter((name) => folders[name] !== resolveUserPath(name))
    .map((name) => `--${name} ${shownPath(folders[name])}`);
  return ["deno task train --resume", ...flags].join(" ");
}

/** A split without a labelled pixel would train on, and score, nothing. */
function checkLabelled({ info: { classes }, folder }: Dataset): void {
  const sum = (of: (pixels: number, trainPixels: number) => number) =>
    classes.reduce((total, c) => total + of(c.pixels, c.trainPixels), 0);
  const counts = [
    ["training", sum((_, train) => train)],
    ["validation", sum((all, train) => all - train)],
  ] as const;
  for (const [split, count] of counts) {
    if (count > 0) continue;
    throw new InputError(
      `${
        shownPath(folder)
      }: every pixel of the ${split} masks is ignored, so there is nothing to ` +
        `learn or to score; check the masks and --ignore, and run ${dataCommand(folder)} again`,
    );
  }
}

/** With `--resume`, `-e` is the epoch that ends the run. */
function extend({ state, file }: SavedRun, epochs: number | undefined): void {
  state.lastEpoch = epochs ?? state.lastEpoch;
  if (state.epoch < state.lastEpoch) return;
  throw new InputError(
    `${shownPath(file)} has been through ${state.epoch} epochs, and ${state.lastEpoch} are asked ` +
      `for; give a larger total, such as -e ${state.epoch + 10}`,
  );
}

/** What keeps a run from going on to the last bit as if it had never stopped. */
function warnOfChanges(
  { settings, file }: SavedRun,
  { gpu, dataset, data }: { gpu: Gpu; dataset: Dataset; data: TrainingData },
  { log }: Context,
): void {
  const changes = [
    ...(settings.adapter === gpu.description
      ? []
      : [`the adapter (it was ${settings.adapter}), so numbers will be rounded differently`]),
    ...(settings.data === dataKey(dataset, data.train, data.valid) ? [] : ["the data"]),
  ];
  if (changes.length === 0) return;
  log.warn(
    `Since ${shownPath(file)} was written, something changed: ${
      changes.join("; ")
    }. The run goes ` +
      "on, but not exactly as it would have",
  );
}

/** The network: what was asked for, else what the checkpoint holds, else the original's. */
function chooseConfig(
  o: Options,
  dataset: Dataset,
  loaded: UnetConfig | undefined,
  source: string,
): UnetConfig {
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
      `${shownPath(source)} holds a ${describe(loaded)}, but training was asked for a ` +
        `${describe(config)}; leave out the options that differ, or start without the checkpoint`,
    );
  }
  return config;
}

function logSettings(
  { log }: Context,
  { net, epochs, before, resume, checkpoints }: TrainingSettings,
  recipe: Recipe,
  { train, valid }: TrainingData,
): void {
  const [size] = train.sizes;
  const sizes = new Set(train.sizes.map((s) => `${s.width} x ${s.height}`)).size;
  const done = resume?.state.epoch ?? before?.epoch ?? 0;
  const { clip, ema, accumulate, warmup, precision } = recipe;
  const extras = [
    ...(accumulate > 1 ? [`gradients of ${accumulate} batches averaged`] : []),
    ...(clip ? [`norm clipped to ${clip}`] : []),
    ...(ema > 0 ? [`running average with decay ${ema}`] : []),
    ...(precision === "f16" ? ["images of 16 bits"] : []),
  ];
  const planned = resume ? `${resume.state.lastEpoch} in all, ${done} done` : `${epochs}`;
  log.info(
    [
      resume ? `Going on with the run in ${shownPath(resume.file)}:` : "Starting training:",
      `    Network:         ${describe(net.config)}`,
      `    Epochs:          ${planned}${!resume && done > 0 ? ` after ${done}` : ""}`,
      `    Batch size:      ${recipe.batchSize}`,
      `    Learning rate:   ${recipe.learningRate}`,
      `    Optimizer:       ${[recipe.optimizer, ...extras].join(", ")}`,
      `    Schedule:        ${recipe.schedule}` + (warmup ? `, ${warmup} epochs of warm-up` : ""),
      `    Loss:            ${recipe.loss}, class weights ${recipe.classWeights}`,
      `    Augmentation:    ${recipe.augment}` +
      (recipe.crop === null ? "" : `, crops of ${recipe.crop} (height x width)`),
      `    Training size:   ${train.length}`,
      `    Validation size: ${valid.length}`,
      `    Images scaling:  ${recipe.scale} (${size?.width} x ${size?.height}` +
      `${sizes > 1 ? ` and ${sizes - 1} other sizes` : ""})`,
      `    Checkpoints:     ${shownPath(checkpoints)}`,
      `    Seed:            ${recipe.seed}`,
    ].join("\n"),
  );
}

/** The command. */
export const command: Command = defineCommand({
  name: "train",
  summary: "Trains a U-Net on the data that deno task data prepared, checks it on the validation " +
    "split after every epoch and saves checkpoints. With -f, epochs are added to the loaded " +
    "weights and the optimizer starts fresh; where photos have several sizes, batch norm keeps the " +
    "loaded statistics and the learning rate is a tenth. With --resume, a run goes on as if it had " +
    "never stopped. Ctrl-C saves and says how to go on.",
  options,
  gpu: true,
  examples: [
    "deno task train -e 20 -b 4 -s 0.5 --width 16 --optimizer adamw",
    "deno task train -f checkpoints/CP_epoch10.safetensors -b 4 -e 200 -s 0.1",
    "deno task train --resume",
  ],
  run,
});
