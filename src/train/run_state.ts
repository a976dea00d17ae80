/**
 * Where a training run stands: with the arrays of its network and optimizer, all that is needed to
 * go on as if it had never stopped. Random numbers need no state of their own, since shuffling and
 * augmentation follow from the seed, the epoch and the image.
 * @module
 */
import { InputError } from "../errors.ts";
import type { ScheduleState } from "./schedule.ts";
import type { TrainerState } from "./trainer.ts";

/** Where a run stands, fit for JSON. */
export interface RunState {
  /** Epochs complete, those of a run that led here included. */
  epoch: number;
  /** Batches done of the epoch after those. */
  batch: number;
  /** Sum of their losses. */
  lossSum: number;
  /** How many are in that sum: in 16 bits a loss may overflow and is left out. */
  lossCount: number;
  /** Epochs complete when this run began. */
  firstEpoch: number;
  /** The epoch that ends the run. */
  lastEpoch: number;
  /** The epoch from which batch norm uses the statistics of the set; `null` for never. */
  freezeEpoch: number | null;
  /** Best mean IoU so far; `null` before the first. */
  bestScore: number | null;
  /** Epochs since then. */
  sinceBest: number;
  /** Of the learning rate. */
  schedule: ScheduleState;
  /** Steps and the like. */
  trainer: TrainerState;
}

/** A run that is to begin. */
export function newRunState(
  { firstEpoch, epochs, bestScore }: {
    firstEpoch: number;
    epochs: number;
    bestScore?: number | undefined;
  },
): RunState {
  return {
    epoch: firstEpoch,
    batch: 0,
    lossSum: 0,
    lossCount: 0,
    firstEpoch,
    lastEpoch: firstEpoch + epochs,
    freezeEpoch: null,
    bestScore: bestScore ?? null,
    sinceBest: 0,
    schedule: {},
    trainer: { step: 0, optimizerStep: 0, frozen: false, batchesTracked: 0 },
  };
}

const COUNTS = ["epoch", "batch", "firstEpoch", "lastEpoch", "sinceBest"] as const;
const TRAINER_COUNTS = ["step", "optimizerStep", "batchesTracked"] as const;

/**
 * Reads a state from a checkpoint.
 * @param file Named in errors.
 * @throws {InputError} when something is missing or of another kind.
 */
export function parseRunState(value: unknown, file: string): RunState {
  const refuse = (what: string) =>
    new InputError(
      `${file}: its state of training cannot be used (${what} is ` +
        "missing or damaged); start from its weights alone (-f)",
    );
  if (!isRecord(value)) throw refuse("the progress");
  const { trainer, schedule, lossSum, freezeEpoch, bestScore } = value;
  if (!isRecord(trainer) || typeof trainer.frozen !== "boolean") throw refuse("the trainer");
  if (!isRecord(schedule) || !Object.values(schedule).every(isNumberOrNull)) {
    throw refuse("the schedule");
  }
  for (const name of COUNTS) if (!isCount(value[name])) throw refuse(name);
  for (const name of TRAINER_COUNTS) if (!isCount(trainer[name])) throw refuse(name);
  if (typeof lossSum !== "number") throw refuse("lossSum");
  if (!isNumberOrNull(freezeEpoch)) throw refuse("freezeEpoch");
  if (!isNumberOrNull(bestScore)) throw refuse("bestScore");
  const { lossCount = value.batch } = value;
  if (!isCount(lossCount)) throw refuse("lossCount");
  return structuredClone({ ...value, lossCount }) as unknown as RunState;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0;
const isNumberOrNull = (value: unknown): value is number | null =>
  value === null || typeof value === "number";
