/**
 * A training run: epochs of shuffled batches, validation, schedule and checkpoints. It can be stopped
 * after any update and go on elsewhere from its {@linkcode RunState}.
 * @module
 */
import { InputError } from "../errors.ts";
import { isStuck, type LossScaleState } from "../nn/loss_scale.ts";
import type { ImageSize } from "./batches.ts";
import { type FaultStep, findFault } from "./fault.ts";
import { IGNORED } from "./metrics.ts";
import type { EpochResult, RunEnd, RunObserver } from "./run_events.ts";
import { observeAll } from "./run_events.ts";
import { RunClock } from "./run_clock.ts";
import type { RunState } from "./run_state.ts";
import type { Schedule } from "./schedule.ts";
import type { StepShape } from "./step.ts";
import type { GroupPosition, Trainer } from "./trainer.ts";
import type { PairSource, TrainingBatches } from "./training_batches.ts";
import { validate, type Validation } from "./validate.ts";
import type { Validator } from "./validator.ts";

export { type EpochResult, observeAll, type RunEnd, type RunObserver } from "./run_events.ts";

/** How often the screen gets a fresh loss. */
const LOSS_EVERY_MS = 3000;

/** Losses in a row that are no number in 16 bits, at which it is the weights that are too large. */
const MOST_LOST = 5;

/** What the learning rate is multiplied with where training goes on with frozen statistics. */
const FROZEN_RATE_FACTOR = 0.1;

/** Writes what a run wants to keep; returns the names of the files. */
export interface RunSaver {
  /** After every epoch. */
  epoch(state: RunState, result: EpochResult): Promise<readonly string[]>;
  /** Where the run stops within an epoch. */
  interrupted(state: RunState): Promise<readonly string[]>;
}

/** What a run works on and with. */
export interface RunOptions {
  trainer: Trainer;
  /** Of {@linkcode Trainer.result}, with the loss of the trainer. */
  validator: Validator;
  batches: TrainingBatches;
  valid: PairSource;
  schedule: Schedule;
  classes: number;
  /** Where the run stands; trainer and schedule already do. Changed as it goes on. */
  state: RunState;
  saver: RunSaver;
  /** Whether the network comes with weights and statistics of an earlier training; default false. */
  loaded?: boolean | undefined;
  /** Batches whose gradients are averaged for one update; default 1. */
  accumulate?: number | undefined;
  /** Ends the run after so many epochs without a better score; default: never. */
  patience?: number | undefined;
  /** Epochs that would not end within this time are left out, all but the first; default: none. */
  timeLimitMs?: number | undefined;
  /** Told where the time goes; default: nobody is. */
  clock?: RunClock | undefined;
  /** Asked between updates; the run saves and stops when it says so. */
  stopRequested?: (() => boolean) | undefined;
}

/** A run going on: what its parts share. */
interface Run extends RunOptions {
  /** Images of a batch of validation at most. */
  validBatchSize: number;
  events: Required<RunObserver>;
  clock: RunClock;
}

/**
 * Trains from `options.state` to its last epoch.
 * @throws {InputError} when the loss stops being a number, naming the step and the layer.
 */
export async function runTraining(options: RunOptions, observer: RunObserver): Promise<RunEnd> {
  const clock = options.clock ?? new RunClock();
  const events = timed(observeAll(observer), clock);
  const { trainer, batches, state, schedule, saver, validator, valid } = options;
  const validBatchSize = Math.max(1, validator.largestBatch(valid.sizes, batches.batchSize));
  const run: Run = { ...options, events, clock, validBatchSize };
  const shapes = batches.shapes(state.epoch + 1);
  events.compiling(shapes.length);
  await clock.wait("compiling", prepare(run, shapes));
  if (state.epoch === state.firstEpoch && state.batch === 0) {
    state.freezeEpoch = epochToFreeze(run, shapes);
  }
  trainer.shortStrides = keepsStatistics(state);
  const end = async (reason: RunEnd["reason"]): Promise<RunEnd> => {
    const ended = { reason, state };
    await events.ended(ended);
    return ended;
  };
  const begun = performance.now();
  const plannedEpochs = state.lastEpoch;
  let stalled = false;
  while (state.epoch < state.lastEpoch && !stalled) {
    const epoch = state.epoch + 1;
    const started = performance.now();
    if (epoch === state.freezeEpoch && !trainer.frozenStatistics) {
      await clock.wait("GPU, statistics of the set", freezeStatistics(run));
      await clock.wait("compiling", prepare(run, shapes));
    }
    const learningRate = schedule.learningRate;
    const images = await trainEpoch(run, epoch);
    const trained = performance.now();
    const validation = await validated(run, epoch);
    if (!validation) {
      await events.saved(await saver.interrupted(currentState(run)), undefined);
      return await end("interrupted");
    }
    const { matrix, validLoss } = validation;
    const scores = matrix.scores();
    // Before that, the running statistics and with them these scores say little.
    const settled = state.freezeEpoch === null || trainer.frozenStatistics;
    if (settled) schedule.step?.(scores.meanIoU);
    const best = scores.meanIoU > (state.bestScore ?? -1);
    state.sinceBest = best || !settled ? 0 : state.sinceBest + 1;
    if (best) state.bestScore = scores.meanIoU;
    const loss = state.lossSum / Math.max(1, state.lossCount);
    Object.assign(state, { epoch, batch: 0, lossSum: 0, lossCount: 0 });
    const now = performance.now();
    limitEpochs(run, plannedEpochs, { elapsedMs: now - begun, lastMs: now - started });
    stalled = state.sinceBest >= (run.patience ?? Infinity);
    const result: EpochResult = {
      epoch,
      lastEpoch: state.lastEpoch,
      step: trainer.step,
      loss,
      validLoss,
      scores,
      matrix,
      learningRate,
      best,
      last: stalled || epoch >= state.lastEpoch,
      trainImages: images,
      trainMs: trained - started,
      validMs: now - trained,
    };
    await events.epochScored(result);
    const files = await clock.wait("checkpoints", saver.epoch(currentState(run), result));
    await events.saved(files, result);
  }
  return await end(stalled ? "patience" : state.lastEpoch < plannedEpochs ? "time" : "done");
}

/** Observers whose time is counted. */
function timed(events: Required<RunObserver>, clock: RunClock): Required<RunObserver> {
  const part = "screen, logs and report";
  return {
    ...events,
    advance: (...args) => clock.do(part, () => events.advance(...args)),
    stepDone: (...args) => clock.do(part, () => events.stepDone(...args)),
    imagesScored: (...args) => clock.do(part, () => events.imagesScored(...args)),
    epochScored: (...args) => clock.wait(part, events.epochScored(...args)),
  };
}

/** `run.state` with what schedule and trainer know. */
function currentState({ state, schedule, trainer }: Run): RunState {
  state.schedule = schedule.state;
  state.trainer = trainer.state;
  return state;
}

async function prepare({ trainer, accumulate = 1 }: Run, shapes: readonly StepShape[]) {
  for (const shape of shapes) {
    if (accumulate > 1) await trainer.prepare(shape, "add");
    await trainer.prepare(shape, accumulate > 1 ? "update" : "whole");
  }
}

/**
 * Brings the last epoch forward where all would go on to take as long as the last one and not fit
 * into the time; the schedule is told.
 */
function limitEpochs(
  { timeLimitMs, schedule, state, batches }: Run,
  most: number,
  { elapsedMs, lastMs }: { elapsedMs: number; lastMs: number },
): void {
  if (timeLimitMs === undefined) return;
  const more = Math.max(0, Math.floor((timeLimitMs - elapsedMs) / lastMs));
  const lastEpoch = Math.min(most, state.epoch + more);
  if (lastEpoch === state.lastEpoch) return;
  state.lastEpoch = lastEpoch;
  schedule.resize?.((lastEpoch - state.firstEpoch) * batches.plan(0).length);
}

/**
 * The epoch from which sets of mixed sizes train with batch-norm statistics of the whole set (see
 * statistics.ts); `null` for sets of one size. The batches' own statistics come first because they
 * make learning fast; a network that has learnt already would first forget.
 */
function epochToFreeze(
  { state: { firstEpoch, lastEpoch }, loaded }: Run,
  shapes: readonly ImageSize[],
): number | null {
  if (new Set(shapes.map((s) => `${s.height}x${s.width}`)).size < 2) return null;
  return firstEpoch + 1 + (loaded ? 0 : Math.ceil((lastEpoch - firstEpoch) / 2));
}

/**
 * Whether a run, resumed or not, began with a loaded network: only such a run freezes in its first
 * epoch.
 */
function keepsStatistics({ firstEpoch, freezeEpoch }: RunState): boolean {
  return freezeEpoch === firstEpoch + 1;
}

/**
 * Goes on with the statistics of the whole set. That changes what every layer sees, and the
 * optimizer's running moments no longer fit: it starts afresh, with small steps. Loaded weights keep
 * the statistics that they came with: with others they would be another network.
 */
async function freezeStatistics({ trainer, batches, state, schedule, events }: Run) {
  const gathering = !keepsStatistics(state);
  events.freezing({ gathering });
  if (gathering) {
    await trainer.gatherStatistics(async function* () {
      for (const plan of batches.plan(0)) yield await batches.plain(plan);
    }());
  }
  trainer.freezeStatistics();
  schedule.restart?.(FROZEN_RATE_FACTOR);
}

/** Trains what is left of an epoch, as far as nobody asks to stop; returns how many images. */
async function trainEpoch(run: Run, epoch: number): Promise<number> {
  const { trainer, batches, schedule, events, state, clock, accumulate = 1 } = run;
  const plans = batches.plan(epoch);
  /** Steps whose losses are not known yet. */
  let open: FaultStep[] = [];
  let last: number | undefined;
  let lostInRow = 0;
  const collect = async () => {
    await clock.wait("GPU, training", trainer.finish());
    const losses = await clock.wait("reading losses", trainer.losses());
    const scale = await clock.wait("reading losses", trainer.lossScale());
    for (const [i, loss] of losses.entries()) {
      const step = open[i];
      if (!step) break;
      if (!Number.isFinite(loss)) {
        // In 16 bits a batch may overflow by itself, and its update was left out. Several in a row,
        // or more than half of an epoch's, are no chance.
        const lost = step.batch - state.lossCount;
        const hopeless = ++lostInRow >= MOST_LOST || lost > plans.length / 2;
        if (!scale || hopeless) throw await notFinite(run, epoch, open, i, loss);
        continue;
      }
      lostInRow = 0;
      state.lossSum += loss;
      state.lossCount++;
      last = loss;
      events.stepDone({ step: step.step, epoch, loss, learningRate: step.learningRate });
    }
    open = [];
    checkLossScale(run, epoch, scale);
    trainer.snapshot();
  };
  events.epochBegun({
    epoch,
    lastEpoch: state.lastEpoch,
    images: plans.slice(state.batch).reduce((sum, { indices }) => sum + indices.length, 0),
  });
  trainer.snapshot();
  let read = performance.now();
  let images = 0;
  let labelled = state.batch > 0;
  const load = (i: number) => {
    const plan = plans[i];
    const loading = plan && batches.load(plan, epoch);
    // Its turn to fail comes when it is awaited.
    loading?.catch(() => {});
    return loading;
  };
  let next = load(state.batch);
  for (let i = state.batch; next; i++) {
    const batch = await clock.wait("photos of training", next);
    // Decoding the next batch overlaps with the GPU's work on this one.
    next = load(i + 1);
    labelled ||= batch.labels.some((label) => label !== IGNORED);
    trainer.learningRate = schedule.learningRate;
    const position = positionOf(i, accumulate, plans.length);
    open.push({
      load: () => batches.load(plans[i] ?? { ...batch, indices: [] }, epoch),
      position,
      learningRate: trainer.learningRate,
      batch: i + 1,
      step: trainer.step + 1,
    });
    await trainer.train(batch, position, clock);
    schedule.stepBatch?.();
    state.batch = i + 1;
    images += batch.batch;
    // Reading waits for the device, so only now and then.
    const due = trainer.lossesDue || performance.now() - read > LOSS_EVERY_MS;
    const between = position.index + 1 === position.size;
    if (due && between) {
      await collect();
      read = performance.now();
    }
    events.advance("train", batch.batch, last);
    if (between && run.stopRequested?.()) break;
  }
  await collect();
  if (!labelled) {
    throw new InputError(
      "Training found no pixel with a class: every mask of the training split is ignored " +
        "throughout; check the masks and --ignore, and run deno task data again.",
    );
  }
  return images;
}

/**
 * Where the images overflow by themselves, one update after the other is left out, and nothing is
 * learnt any more.
 * @throws {InputError} where it has come to that.
 */
function checkLossScale({ trainer }: Run, epoch: number, state: LossScaleState | undefined): void {
  if (!state || !isStuck(state)) return;
  throw new InputError(
    `Training stopped in epoch ${epoch} (step ${trainer.step}): activations or gradients are too ` +
      `large for 16 bits even without a loss scale, and the last ${state.skippedInRow} updates were ` +
      "left out; " + startAgain(true),
  );
}

/** Where batch `i` of an epoch stands among those that are accumulated. */
export function positionOf(i: number, accumulate: number, batches: number): GroupPosition {
  const first = i - i % accumulate;
  return { index: i - first, size: Math.min(accumulate, batches - first) };
}

/** What to say of a loss that is no number: where in the run, and where in the network. */
async function notFinite(
  { trainer }: Run,
  epoch: number,
  open: readonly FaultStep[],
  index: number,
  loss: number,
): Promise<InputError> {
  const { batch, step } = open[index] ?? { batch: 0, step: 0 };
  const fault = await findFault(trainer, open.slice(0, index + 1));
  return new InputError(
    `Training stopped in epoch ${epoch} at batch ${batch} (step ${step}): the loss became ${loss}` +
      `${fault === undefined ? "" : `; ${fault}`}; ` +
      startAgain(await trainer.lossScale() !== undefined),
  );
}

/** What to do after either. */
function startAgain(sixteenBits: boolean): string {
  return "the checkpoints of earlier epochs are untouched, start again from one of them (-f) with " +
    `${sixteenBits ? "--precision f32 or " : ""}a lower learning rate (-l).`;
}

/** `undefined` where the run is to stop. */
async function validated(run: Run, epoch: number): Promise<Validation | undefined> {
  if (run.stopRequested?.()) return undefined;
  run.events.validationBegun({
    epoch,
    lastEpoch: run.state.lastEpoch,
    images: run.valid.length,
  });
  return await validate(run);
}
