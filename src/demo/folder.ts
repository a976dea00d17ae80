/**
 * The demo's folder. It may hold nothing but what a demo made, because a demo clears what an earlier
 * one left.
 * @module
 */

import { join } from "node:path";
import { isFile, isFolder, shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";
import { writeFileAtomic } from "../io/atomic_file.ts";
import { SCENE_FILE } from "./samples.ts";

/** The name of the demo's training run; its folder is called TIME_NAME. */
export const RUN_NAME = "demo";

/** Tells that a demo made the folder. */
const MARKER = ".made-by-demo";

/** What a demo leaves that the next one would not overwrite; nothing else is ever removed. */
const LEFTOVERS: readonly (readonly [folder: string, names: RegExp])[] = [
  ["data/raw/train/images", SCENE_FILE],
  ["data/raw/train/masks", SCENE_FILE],
  ["data/raw/test/images", SCENE_FILE],
  ["data/raw/test/masks", SCENE_FILE],
  ["checkpoints", /^(best|last|CP_epoch\d+)\.safetensors$/],
  ["predictions", SCENE_FILE],
  ["overlays", SCENE_FILE],
  [".", /^summary\.png$/],
];

/** A run's folder, and what training writes into it. */
const RUN_FOLDER = new RegExp(String.raw`^\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_${RUN_NAME}(-\d+)?$`);
const RUN_FILE =
  /^(config\.json|results\.csv|losses\.csv|report\.html|best_images\.safetensors|events\.out\..*)$/;

/**
 * Makes the folder, or clears it of what an earlier demo left.
 * @throws {InputError} where something stands there that no demo made; it is left untouched.
 */
export async function claimFolder(folder: string): Promise<void> {
  const marker = join(folder, MARKER);
  const advice = "rename it, or run the demo in another folder";
  if (await isFile(folder)) {
    throw new InputError(
      `${shownPath(folder)} is a file where the demo's folder belongs; ${advice}`,
    );
  }
  if (await isFile(marker)) {
    for (const [below, names] of LEFTOVERS) await clear(join(folder, below), names);
    await clearRuns(join(folder, "runs"));
    return;
  }
  if (await isFolder(folder) && await holdsSomething(folder)) {
    throw new InputError(
      `${
        shownPath(folder)
      } exists and was not made by deno task demo, which would write into it; ` +
        advice,
    );
  }
  const text = "deno task demo made this folder and draws its contents anew in every run.\n";
  await writeFileAtomic(marker, new TextEncoder().encode(text));
}

async function holdsSomething(folder: string): Promise<boolean> {
  for await (const _ of Deno.readDir(folder)) return true;
  return false;
}

async function clearRuns(runs: string): Promise<void> {
  if (!await isFolder(runs)) return;
  for await (const { name, isDirectory } of Deno.readDir(runs)) {
    if (!isDirectory || !RUN_FOLDER.test(name)) continue;
    const run = join(runs, name);
    await clear(run, RUN_FILE);
    if (!await holdsSomething(run)) await Deno.remove(run);
  }
}

async function clear(folder: string, names: RegExp): Promise<void> {
  if (!await isFolder(folder)) return;
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile && names.test(name)) await Deno.remove(join(folder, name));
  }
}
