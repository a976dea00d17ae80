/**
 * What a training run tells while it goes on: one interface for the screen, for logs and reports.
 * @module
 */
import type { ConfusionMatrix, Scores } from "./metrics.ts";
import type { RunState } from "./run_state.ts";
import type { TrainingBatch } from "./trainer.ts";

/** What an epoch came to. */
export interface EpochResult {
  /** Counted from 1, over all runs that led here. */
  epoch: number;
  /** The epoch that ends the run. */
  lastEpoch: number;
  /** Steps done in this run when the epoch ended. */
  step: number;
  /** Mean loss over the epoch's batches, without those whose loss overflowed in 16 bits. */
  loss: number;
  /**
   * The loss of training on the validation split: of the network that is scored and saved (a running
   * average of the weights where there is one), by running batch-norm statistics, on whole images at
   * the training scale as they are. The mean over the split's batches, each counting as many times
   * as it has images; a batch without a labelled pixel counts nothing.
   */
  validLoss: number;
  /** Of the validation split, at the training scale. */
  scores: Scores;
  /** What the scores come from. */
  matrix: ConfusionMatrix;
  /** Of the epoch's first batch. */
  learningRate: number;
  /** Whether the mean IoU is the best so far. */
  best: boolean;
  /** Whether the run ends here. */
  last: boolean;
  /** Images trained; fewer than the split has where the epoch was begun by an earlier process. */
  trainImages: number;
  trainMs: number;
  validMs: number;
}

/** A step of which the loss is known. */
export interface StepResult {
  /** Counted from 1 over the run, through interruptions. */
  step: number;
  epoch: number;
  loss: number;
  learningRate: number;
}

/** A batch of the validation split with what was predicted. */
export interface ScoredBatch extends TrainingBatch {
  /** Places of its images in the split. */
  indices: readonly number[];
  /** Class ids. */
  predicted: Uint8Array;
}

/** How a run ended. */
export interface RunEnd {
  /**
   * `done`: all epochs; `patience`: no gain for so long; `time`: more would have taken too long;
   * `interrupted`: asked to stop, and saved.
   */
  reason: "done" | "patience" | "time" | "interrupted";
  /** Where it stands. */
  state: RunState;
}

/** Called as a run goes on; all of it is optional. What returns a promise is waited for. */
export interface RunObserver {
  /** Programs are being compiled; the first time takes seconds. */
  compiling?(shapes: number): void;
  /** Sizes are mixed: from here on batch norm uses statistics to be gathered over the set, or loaded. */
  freezing?(how: { gathering: boolean }): void;
  /** An epoch begins; `images` are to be trained. */
  epochBegun?(begun: { epoch: number; lastEpoch: number; images: number }): void;
  /** Validation of an epoch begins; `images` are to be predicted. */
  validationBegun?(begun: { epoch: number; lastEpoch: number; images: number }): void;
  /** `images` more were handed to the device or predicted; `loss` is the last one known. */
  advance?(phase: "train" | "valid", images: number, loss: number | undefined): void;
  /**
   * The loss of a step is known: every step, in order, some time after it was made; those whose loss
   * overflowed in 16 bits are left out.
   */
  stepDone?(step: StepResult): void;
  /** A batch of the validation split is predicted; its arrays must not be changed. */
  imagesScored?(batch: ScoredBatch): void;
  /** An epoch is trained and scored; nothing of it is saved yet. */
  epochScored?(result: EpochResult): void | Promise<void>;
  /** Checkpoints were written, the most telling name first. */
  saved?(files: readonly string[], result: EpochResult | undefined): void | Promise<void>;
  /** The run ended without an error. */
  ended?(end: RunEnd): void | Promise<void>;
}

/** Several observers as one, called in order. */
export function observeAll(...observers: readonly RunObserver[]): Required<RunObserver> {
  return {
    compiling: (shapes) => observers.forEach((o) => o.compiling?.(shapes)),
    freezing: (how) => observers.forEach((o) => o.freezing?.(how)),
    epochBegun: (begun) => observers.forEach((o) => o.epochBegun?.(begun)),
    validationBegun: (begun) => observers.forEach((o) => o.validationBegun?.(begun)),
    advance: (phase, images, loss) => observers.forEach((o) => o.advance?.(phase, images, loss)),
    stepDone: (step) => observers.forEach((o) => o.stepDone?.(step)),
    imagesScored: (batch) => observers.forEach((o) => o.imagesScored?.(batch)),
    async epochScored(result) {
      for (const o of observers) await o.epochScored?.(result);
    },
    async saved(files, result) {
      for (const o of observers) await o.saved?.(files, result);
    },
    async ended(end) {
      for (const o of observers) await o.ended?.(end);
    },
  };
}
