/**
 * What every command that trains does with its data: trains, shows how far it is and saves
 * checkpoints.
 * @module
 */

import { join } from "node:path";
import { isFile, shownPath } from "../src/data/files.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { removeStaleTemporaries } from "../src/io/atomic_file.ts";
import { readCheckpointFile } from "../src/io/checkpoint_file.ts";
import { describe } from "../src/nn/unet_spec.ts";
import {
  type EpochResult,
  observeAll,
  type RunEnd,
  type RunObserver,
  runTraining,
} from "../src/train/run.ts";
import { type ClockPart, isDevicePart, RunClock } from "../src/train/run_clock.ts";
import { CheckpointSaver } from "../src/train/run_saver.ts";
import { newRunState } from "../src/train/run_state.ts";
import { Validator } from "../src/train/validator.ts";
import { keepEarlierBest } from "./earlier_best.ts";
import type { Log } from "./log.ts";
import { openRunLog } from "./run_log.ts";
import { duration, Progress } from "./progress.ts";
import { writeSampleSheet } from "./train_checks.ts";
import {
  checkpointInfo,
  dataKey,
  explainMemory,
  openTrainer,
  trainingBatches,
  type TrainingData,
  type TrainingSettings,
} from "./training_data.ts";

/** Besides the last one, every tenth epoch keeps a checkpoint of its own. */
const SAVE_EVERY = 10;

/** Switches and listeners of {@linkcode trainAndSave}. */
export interface TrainingHooks {
  readonly log: Log;
  /** Asked between updates. */
  readonly stopRequested?: () => boolean;
  /** Says after each epoch where its time went. */
  readonly profile?: boolean;
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
  { log, stopRequested, profile, observers = [] }: TrainingHooks,
): Promise<RunEnd> {
  const { dataset, net, before, resume, checkpoints } = settings;
  const bestScore = resume ? undefined : await scoreToBeat(settings);
  const state = resume?.state ??
    newRunState({ firstEpoch: before?.epoch ?? 0, epochs: settings.epochs, bestScore });
  const batches = trainingBatches(settings, train);
  const perEpoch = batches.plan(0).length;
  const schedule = settings.schedule((state.lastEpoch - state.firstEpoch) * perEpoch, perEpoch);
  using trainer = openTrainer(gpu, settings, schedule.learningRate);
  if (resume) schedule.restore(state.schedule);
  const { loss, classWeights, precision: images } = settings;
  const { pool } = trainer;
  using validator = new Validator(gpu, trainer.result, { loss, classWeights, images, pool });
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
  if (runLog && (settings.crop || (settings.augment ?? "none") !== "none")) {
    const path = join(runLog.folder, "samples.png");
    await writeSampleSheet(gpu, settings, batches, state.epoch + 1, path);
  }
  const clock = new RunClock();
  const profiler: RunObserver[] = profile ? [epochProfile(log, clock)] : [];
  const started = performance.now();
  const firstEpoch = state.epoch;
  const end = await explainMemory(gpu, settings, train, () =>
    runTraining({
      trainer,
      validator,
      batches,
      valid,
      schedule,
      classes: net.config.classes,
      state,
      saver,
      loaded: before !== undefined,
      accumulate: settings.accumulate,
      patience: settings.patience,
      timeLimitMs: settings.timeLimitMs,
      clock,
      stopRequested,
    }, observeAll(screen(log), ...profiler, ...observers, ...(runLog ? [runLog] : []))));
  const trained = state.epoch - firstEpoch;
  log.info(
    `Trained ${trained} epoch${trained === 1 ? "" : "s"} in ${
      duration((performance.now() - started) / 1000)
    }, ` +
      `${Math.round(trainer.plannedBytes / 2 ** 20)} MiB of GPU memory planned`,
  );
  const lossScale = await trainer.lossScale();
  if (lossScale) {
    const { scale, skipped } = lossScale;
    log.info(
      `Images of 16 bits: the loss scale is ${scale}, ${skipped} ` +
        `${skipped === 1 ? "update was" : "updates were"} left out where gradients overflowed`,
    );
  }
  // A run that ends within its first epoch has none.
  if (runLog && await isFile(runLog.reportPath)) {
    log.info(`Curves, scores and images of this run: ${shownPath(runLog.reportPath)}`);
  }
  return end;
}

/** A table of each epoch's time. */
function epochProfile(log: Log, clock: RunClock): RunObserver {
  return {
    saved(_files, result) {
      if (!result) return;
      const { parts, totalMs } = clock.take();
      const line = (name: string, ms: number) =>
        `    ${name.padEnd(26)}${(ms / 1000).toFixed(2).padStart(8)} s` +
        `${(100 * ms / totalMs).toFixed(1).padStart(7)} %`;
      const sum = (of: (part: ClockPart) => boolean) =>
        parts.reduce((total, [part, ms]) => total + (of(part) ? ms : 0), 0);
      const known = sum(() => true);
      log.info([
        `Where epoch ${result.epoch} spent its ${duration(totalMs / 1000)}:`,
        ...parts.map(([part, ms]) => line(part, ms)),
        line("everything else", totalMs - known),
        line("outside of the GPU's work", totalMs - sum(isDevicePart)),
      ].join("\n"));
    },
  };
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
    freezing({ gathering }) {
      log.info(
        "Images have several sizes, so a batch is no fair sample of them: from here on batch norm " +
          `uses the statistics ${
            gathering ? "of the whole training set" : "that came with the loaded weights"
          }, and the learning rate is a tenth`,
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
  return `Epoch ${result.epoch}: loss ${result.loss.toFixed(4)}, validation loss ` +
    `${result.validLoss.toFixed(4)}, mean IoU ${scores.meanIoU.toFixed(4)}, Dice ${
      scores.meanDice.toFixed(4)
    }, pixel accuracy ` +
    `${scores.pixelAccuracy.toFixed(4)} (${duration(result.trainMs / 1000)} training, ` +
    `${rate.toFixed(1)} img/s, learning rate ${result.learningRate.toPrecision(3)})` +
    (result.best ? ", best so far" : "");
}
