/**
 * Going on with a run that stopped: which checkpoint, and what it holds.
 * @module
 */

import { join } from "node:path";
import { isFile, kindOf, readBytes, shownPath } from "../src/data/files.ts";
import { InputError } from "../src/errors.ts";
import { type Checkpoint, decodeCheckpoint, decodeResumeState } from "../src/io/checkpoint.ts";
import { TRAINED } from "../src/io/resume_state.ts";
import { parseRunState, type RunState } from "../src/train/run_state.ts";
import type { Recipe } from "./train_recipe.ts";

/** What is saved beside the state of a run. */
export interface SavedSettings {
  readonly recipe: Recipe;
  /** The adapter's name. */
  readonly adapter: string;
  /** Kernels of the convolutions: others round differently. */
  readonly kernels: "gpu" | "cpu";
  /** Stands for names and sizes of the photos and masks. */
  readonly data: string;
  /** The name of the run's folder; none when the run left none. */
  readonly run?: string | undefined;
}

/** A run to go on with. */
export interface SavedRun {
  readonly file: string;
  readonly checkpoint: Checkpoint;
  readonly state: RunState;
  readonly settings: SavedSettings;
  /** The weights in training: the checkpoint's own unless those are a running average. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** The optimizer's arrays. */
  readonly arrays: ReadonlyMap<string, Float32Array>;
}

/**
 * Reads the checkpoint to go on from: `file`, else the newer of `last` and `INTERRUPTED`.
 * @throws {InputError} where there is none, or none that holds the state of a run.
 */
export async function readSavedRun(file: string | true, checkpoints: string): Promise<SavedRun> {
  const path = file === true ? await newest(checkpoints) : file;
  if (await kindOf(path) === undefined) {
    throw new InputError(`${shownPath(path)} does not exist; name a checkpoint to go on from`);
  }
  const bytes = await readBytes(path, "--resume");
  const checkpoint = decodeCheckpoint(bytes, shownPath(path));
  const resume = decodeResumeState(bytes, shownPath(path));
  const settings = resume && parseSettings(resume.run.settings);
  if (!resume || !settings) {
    throw new InputError(
      `${shownPath(path)} holds weights but no state of a run to resume; start from the weights ` +
        "alone with -f",
    );
  }
  const state = parseRunState(resume.run.state, shownPath(path));
  const trained = [...resume.tensors].flatMap(([name, values]): [string, Float32Array][] =>
    name.startsWith(TRAINED) ? [[name.slice(TRAINED.length), values]] : []
  );
  return {
    file: path,
    checkpoint,
    state,
    settings,
    weights: trained.length > 0 ? new Map(trained) : checkpoint.tensors,
    arrays: resume.tensors,
  };
}

async function newest(checkpoints: string): Promise<string> {
  const found: { path: string; time: number }[] = [];
  for (const name of ["last", "INTERRUPTED"]) {
    const path = join(checkpoints, `${name}.safetensors`);
    if (!await isFile(path)) continue;
    found.push({ path, time: (await Deno.stat(path)).mtime?.getTime() ?? 0 });
  }
  found.sort((a, b) => b.time - a.time);
  if (found[0]) return found[0].path;
  throw new InputError(
    `${shownPath(checkpoints)} holds neither last.safetensors nor INTERRUPTED.safetensors to ` +
      "resume; start a run without --resume, or name a file",
  );
}

function parseSettings(value: unknown): SavedSettings | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { recipe, adapter, kernels, data, run }: Partial<SavedSettings> = value;
  const isKnown = typeof recipe === "object" && recipe !== null &&
    typeof recipe.batchSize === "number" && typeof recipe.seed === "number" &&
    typeof adapter === "string" && (kernels === "gpu" || kernels === "cpu") &&
    typeof data === "string";
  return isKnown
    ? {
      // Runs of versions without a choice kept 32 bits.
      recipe: { ...recipe, precision: recipe.precision ?? "f32" },
      ...{ adapter, kernels, data },
      ...(typeof run === "string" ? { run } : {}),
    }
    : undefined;
}
