/**
 * Looking before a long run: one batch through everything, and whether one batch can be learnt by
 * heart.
 * @module
 */

import { dataCommand, type Dataset } from "../src/data/dataset.ts";
import { shownPath } from "../src/data/files.ts";
import { encodePng } from "../src/data/png_write.ts";
import { InputError } from "../src/errors.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { memoryBytes, mib } from "../src/graph/memory.ts";
import { lowerTarget, type ProgramPlan } from "../src/graph/program_plan.ts";
import { encodeCheckpoint } from "../src/io/checkpoint.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import { planBatches } from "../src/train/batches.ts";
import { IGNORED } from "../src/train/metrics.ts";
import { sampleSheet, seenBatch } from "../src/train/sample_sheet.ts";
import { planStep } from "../src/train/step.ts";
import type { TrainingBatch } from "../src/train/trainer.ts";
import type { TrainingBatches } from "../src/train/training_batches.ts";
import { Validator } from "../src/train/validator.ts";
import type { Context } from "./command.ts";
import { duration, Progress } from "./progress.ts";
import {
  checkpointInfo,
  fitQuestion,
  openTrainer,
  trainingBatches,
  type TrainingData,
  type TrainingSettings,
} from "./training_data.ts";

/** Images that a sheet of samples is made from. */
const SHEET_IMAGES = 12;
/** Memories listed in a plan. */
const LARGEST_SHOWN = 5;

/** Draws what the network sees in the first batches of an epoch into a PNG. */
export async function writeSampleSheet(
  gpu: Gpu,
  { net, dataset }: TrainingSettings,
  batches: TrainingBatches,
  epoch: number,
  path: string,
): Promise<void> {
  const seen = [];
  let images = 0;
  for (const plan of batches.plan(epoch)) {
    if (images >= SHEET_IMAGES) break;
    const batch = await batches.load(plan, epoch);
    seen.push(await seenBatch(gpu, net.config.channels, batch));
    images += batch.batch;
  }
  const classes = dataset.info.classes.map(({ name, color }) => ({ name, colour: color }));
  const sheet = sampleSheet(seen, classes);
  await writeFileAtomic(path, encodePng({ ...sheet, channels: 3 }));
}

/** One batch through everything; writes nothing but the picture of what the network sees. */
export async function dryRun(
  gpu: Gpu,
  settings: TrainingSettings,
  data: TrainingData,
  sheet: string,
  { log }: Pick<Context, "log">,
): Promise<void> {
  const { dataset, net, scale } = settings;
  const again = `${dataCommand(dataset.folder)} again`;
  const question = fitQuestion(gpu, settings, data.train);
  if (!question) throw new InputError(`the training split has no images; run ${again}`);
  const { optimizer, shape, step } = question;
  log.info(planLines(planStep(net, optimizer, shape, lowerTarget(gpu), step), gpu).join("\n"));

  const batches = trainingBatches(settings, data.train);
  await writeSampleSheet(gpu, settings, batches, 1, sheet);
  log.info(`What the network sees in the first epoch: ${shownPath(sheet)}`);

  const rate = settings.schedule(batches.plan(0).length, batches.plan(0).length).learningRate;
  using trainer = openTrainer(gpu, settings, rate);
  const batch = await firstLabelled(batches, dataset);
  const times: number[] = [];
  const losses: number[] = [];
  // The first step compiles; the second shows what later ones cost.
  for (let i = 0; i < 2; i++) {
    const started = performance.now();
    await trainer.train(batch);
    losses.push(...await trainer.losses());
    times.push(performance.now() - started);
  }
  const [cold = 0, warm = 0] = times;
  const [loss = NaN] = losses;
  if (!Number.isFinite(loss)) throw new InputError(`the first batch has a loss of ${loss}`);
  log.info(
    `Two steps with batch ${batch.batch} of ${batch.width} x ${batch.height} pixels: losses ` +
      `${losses.map((value) => value.toFixed(4)).join(" and ")}, the first in ` +
      `${seconds(cold)}, the second in ${seconds(warm)} (about ` +
      `${duration(warm * batches.plan(1).length / 1000)} of training an epoch)`,
  );

  const { loss: name, classWeights, precision } = settings;
  using validator = new Validator(gpu, trainer.result, {
    loss: name,
    classWeights,
    images: precision,
    pool: trainer.pool,
  });
  const { sizes } = data.valid;
  const most = Math.max(1, validator.largestBatch(sizes, settings.batchSize));
  const [plan] = planBatches(sizes, most, 0, 0);
  if (!plan) throw new InputError(`the validation split has no images; run ${again}`);
  const started = performance.now();
  const scored = await validator.score(await data.valid.batch(plan));
  const info = { ...checkpointInfo(settings), epoch: 0, step: 0 };
  const bytes = await encodeCheckpoint(gpu, trainer.result, info);
  log.info(
    `A validation batch at scale ${scale} took ${seconds(performance.now() - started)} (loss ${
      scored.loss.toFixed(4)
    }); weights ` +
      `take ${mib(bytes.byteLength)} in a checkpoint. Dry run complete: no checkpoint was written`,
  );
}

const seconds = (ms: number): string => `${(ms / 1000).toPrecision(2)} s`;

/** What a step plans, in lines. */
function planLines(plan: ProgramPlan, gpu: Gpu): string[] {
  const { slots, slotBytes, slotOf } = plan.memory;
  const textures = slots.filter(({ kind }) => kind === "texture").length;
  const largest = [...slotOf.keys()].sort((a, b) => memoryBytes(b) - memoryBytes(a));
  return [
    "Memory plan of the largest step:",
    `    Planned:         ${mib(plan.plannedBytes)} of ${
      mib(gpu.memoryBudgetBytes)
    } that may be used`,
    `    Activations:     ${mib(slotBytes)} in ${slots.length - textures} buffers and ` +
    `${textures} textures, shared by ${slotOf.size} arrays`,
    `    Parameters:      ${mib(plan.plannedBytes - slotBytes)}, with gradients, optimizer state ` +
    "and inputs",
    `    Dispatches:      ${plan.dispatches} a step`,
    "    Largest arrays:  " +
    largest.slice(0, LARGEST_SHOWN).map((m) => `${m.label} (${mib(memoryBytes(m))})`)
      .join("\n                     "),
  ];
}

/** The first batch of the first epoch that holds a pixel with a class. */
async function firstLabelled(
  batches: TrainingBatches,
  { folder }: Dataset,
): Promise<TrainingBatch> {
  for (const plan of batches.plan(1)) {
    const batch = await batches.load(plan, 1);
    if (batch.labels.some((label) => label !== IGNORED)) return batch;
  }
  throw new InputError(
    "no training batch holds a pixel with a class: every mask is ignored throughout; check the " +
      `masks and --ignore, and run ${dataCommand(folder)} again`,
  );
}

/** Steps that learning a batch by heart may take. */
const MOST_STEPS = 400;
/** Steps from one look at the loss to the next. */
const STEPS_A_LOOK = 10;
/** "Nearly nothing", as a share of the first loss. */
const LEARNT = 0.05;

/**
 * Trains on one batch over and over, writing nothing.
 * @throws {InputError} when the loss does not fall to nearly nothing.
 */
export async function overfitOneBatch(
  gpu: Gpu,
  settings: TrainingSettings,
  data: TrainingData,
  learningRate: number,
  { log }: Pick<Context, "log">,
): Promise<void> {
  using trainer = openTrainer(gpu, settings, learningRate);
  const batch = await firstLabelled(trainingBatches(settings, data.train), settings.dataset);
  log.info(
    `Learning ${batch.batch} image${batch.batch > 1 ? "s" : ""} of ${batch.width} x ` +
      `${batch.height} pixels by heart, in at most ${MOST_STEPS} steps`,
  );
  using bar = new Progress({ label: "Overfit", total: MOST_STEPS, unit: "steps" });
  let first: number | undefined;
  let last = NaN;
  let best = Infinity;
  while (trainer.step < MOST_STEPS) {
    for (let i = 0; i < STEPS_A_LOOK; i++) await trainer.train(batch);
    for (const loss of await trainer.losses()) {
      first ??= loss;
      last = loss;
      best = Math.min(best, loss);
    }
    bar.advance(STEPS_A_LOOK, `loss ${last.toFixed(4)}`);
    if (!Number.isFinite(last) || best <= LEARNT * (first ?? 0)) break;
  }
  const course = `from ${first?.toFixed(4)} to ${best.toFixed(4)} in ${trainer.step} steps`;
  if (best <= LEARNT * (first ?? 0)) {
    bar.finish();
    log.info(`The loss of one batch fell ${course}: data, network and optimizer work together`);
    return;
  }
  throw new InputError(
    `The loss of one batch went ${course}${Number.isFinite(last) ? "" : `, then to ${last}`}, ` +
      `but learning it by heart means less than ${LEARNT * 100} % of the first; use another ` +
      "learning rate (-l), or look at the masks (--dry-run draws them)",
  );
}
