/**
 * Validation: scores and loss of the validation split at the training scale.
 * @module
 */
import { InputError } from "../errors.ts";
import { type Batch, planBatches } from "./batches.ts";
import { ConfusionMatrix, IGNORED } from "./metrics.ts";
import type { RunClock } from "./run_clock.ts";
import type { EpochResult, RunObserver } from "./run_events.ts";
import type { TrainingBatch } from "./trainer.ts";
import type { PairSource } from "./training_batches.ts";
import type { BatchScore, Validator } from "./validator.ts";

/** What a validation came to. */
export type Validation = Pick<EpochResult, "matrix" | "validLoss">;

/** What a validation works on and with. */
export interface ValidationSettings {
  validator: Validator;
  valid: PairSource;
  classes: number;
  /** Images of a batch at most. */
  validBatchSize: number;
  events: Required<RunObserver>;
  clock: RunClock;
  /** Asked after each batch; the validation stops when it says so. */
  stopRequested?: (() => boolean) | undefined;
}

/**
 * Batches that the device has at a time, unless they are large: a GPU scores several while the first
 * one's classes are on their way, which takes 10 ms in Deno however little there is to wait for.
 */
const BEGUN_AT_ONCE = 4;
const BEGUN_BYTES = 64 * 2 ** 20;

/** A batch that the device has. */
interface Begun {
  plan: Batch;
  batch: TrainingBatch;
  scored: Promise<BatchScore>;
}

/**
 * Scores the whole split.
 * @returns `undefined` where the run is to stop
 * @throws {InputError} where no pixel of the split has a class.
 */
export async function validate(settings: ValidationSettings): Promise<Validation | undefined> {
  const { validator, valid, classes, events, clock, stopRequested } = settings;
  const matrix = new ConfusionMatrix(classes);
  let [lossSum, images] = [0, 0];
  const plans = planBatches(valid.sizes, settings.validBatchSize, 0, 0);
  const begun: Begun[] = [];
  let next = 0;
  const fill = async () => {
    for (let plan = plans[next]; plan !== undefined && hasRoom(begun); plan = plans[++next]) {
      const batch = await clock.wait("photos of validation", valid.batch(plan));
      const { scored } = await clock.wait("GPU, validation", validator.begin(batch));
      begun.push({ plan, batch, scored });
    }
  };
  await fill();
  for (let oldest = begun.shift(); oldest !== undefined; oldest = begun.shift()) {
    const { plan, batch, scored } = oldest;
    const { predicted, loss } = await clock.wait("GPU, validation", scored);
    clock.do("counting pixels", () => matrix.add(batch.labels, predicted));
    // A batch without any truth has no loss, and its 0 would flatter the others.
    if (batch.labels.some((label) => label !== IGNORED)) {
      lossSum += loss * batch.batch;
      images += batch.batch;
    }
    events.imagesScored({ ...batch, indices: plan.indices, predicted });
    events.advance("valid", batch.batch, undefined);
    if (stopRequested?.()) return undefined;
    await fill();
  }
  if (images > 0) return { matrix, validLoss: lossSum / images };
  throw new InputError(
    "Validation found no pixel with a class: every mask of the validation split is ignored " +
      "throughout; check the masks and --ignore, and run deno task data again.",
  );
}

function hasRoom(begun: readonly Begun[]): boolean {
  const bytes = begun.reduce((sum, { batch }) => sum + batch.pixels.byteLength, 0);
  return begun.length < BEGUN_AT_ONCE && bytes < BEGUN_BYTES;
}
