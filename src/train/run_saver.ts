/**
 * The checkpoints of a training run on disk.
 * @module
 */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import {
  type CheckpointInfo,
  checkpointOf,
  encodeSafetensorsCheckpoint,
} from "../io/checkpoint.ts";
import { writeCheckpointFile } from "../io/checkpoint_file.ts";
import { TRAINED } from "../io/resume_state.ts";
import type { RunSaver } from "./run.ts";
import type { EpochResult } from "./run_events.ts";
import type { RunState } from "./run_state.ts";
import type { Trainer } from "./trainer.ts";

/** What a {@linkcode CheckpointSaver} writes and where. */
export interface SaverOptions {
  gpu: Gpu;
  trainer: Trainer;
  /** Folder of the checkpoints, absolute. */
  folder: string;
  /** What the file says besides epoch, step and scores. */
  info: Omit<CheckpointInfo, "epoch" | "step" | "metrics">;
  /** Steps before this run, by a loaded checkpoint. */
  stepsBefore: number;
  /** What `--resume` needs to know besides the state, fit for JSON. */
  settings: Record<string, unknown>;
  /** Every so many epochs keeps a file of its own. */
  saveEvery: number;
  /** Called before `best` is replaced for the first time. */
  beforeBest?: (() => Promise<void>) | undefined;
}

/** Writes `last`, `best` (by mean IoU), `CP_epochN` and `INTERRUPTED`. */
export class CheckpointSaver implements RunSaver {
  readonly #options: SaverOptions;
  #bestIsOurs = false;

  /** Writes nothing yet. */
  constructor(options: SaverOptions) {
    this.#options = options;
  }

  /** @throws {InputError} when a file cannot be written or a weight is no finite number. */
  async epoch(state: RunState, result: EpochResult): Promise<string[]> {
    const { saveEvery, beforeBest } = this.#options;
    const { loss, validLoss, scores, epoch, best, last } = result;
    const bytes = await this.#encode(state, {
      loss,
      // JSON has no other numbers.
      ...(Number.isFinite(validLoss) ? { validLoss } : {}),
      meanIoU: scores.meanIoU,
      meanDice: scores.meanDice,
      pixelAccuracy: scores.pixelAccuracy,
    });
    // `last` comes last: a run killed in between does the epoch again and writes the others anew.
    const names = [];
    if (epoch % saveEvery === 0 || last) names.push(`CP_epoch${epoch}`);
    if (best) {
      if (!this.#bestIsOurs) await beforeBest?.();
      this.#bestIsOurs = true;
      names.push("best");
    }
    return await this.#write([...names, "last"], bytes);
  }

  /** @throws {InputError} as {@linkcode epoch}. */
  async interrupted(state: RunState): Promise<string[]> {
    return await this.#write(["INTERRUPTED"], await this.#encode(state, undefined));
  }

  async #write(names: readonly string[], bytes: Uint8Array): Promise<string[]> {
    const paths = names.map((name) => join(this.#options.folder, `${name}.safetensors`));
    for (const path of paths) await writeCheckpointFile(path, bytes);
    return paths.reverse();
  }

  async #encode(
    state: RunState,
    metrics: Record<string, number> | undefined,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { gpu, trainer, info, settings, stepsBefore } = this.#options;
    trainer.result.batchesTracked = trainer.net.batchesTracked;
    const checkpoint = await checkpointOf(gpu, trainer.result, {
      ...info,
      epoch: state.epoch,
      step: stepsBefore + trainer.step,
      ...(metrics ? { metrics } : {}),
    });
    for (const [name, values] of checkpoint.tensors) {
      if (values.every(Number.isFinite)) continue;
      throw new InputError(
        `Saving after step ${trainer.step} of epoch ${state.epoch} stopped: ${name} holds values ` +
          "that are no finite numbers; the checkpoints of earlier epochs are untouched, start " +
          "again from one of them (-f) with a lower learning rate (-l).",
      );
    }
    const tensors = await trainer.optimizerArrays();
    if (trainer.result !== trainer.net) {
      for (const [name, values] of await trainer.parameters()) {
        tensors.set(TRAINED + name, Float32Array.from(values));
      }
    }
    return encodeSafetensorsCheckpoint({
      ...checkpoint,
      resume: { tensors, run: { settings, state } },
    });
  }
}
