/**
 * Which photos `predict` reads and what it writes for each: files, folders and patterns in, outputs
 * with names of their own out, settled before anything runs so that a mistake costs nothing.
 * @module
 */

import { basename, dirname, extname, join } from "node:path";
import { isFile, isFolder, listFiles, readHead, shownPath, stem } from "../src/data/files.ts";
import { isIndexedPng, isPng, PNG_KIND_BYTES } from "../src/data/png_chunks.ts";
import { isPhotoName, OUTPUT_SUFFIX, PHOTO_ENDINGS } from "../src/data/scan.ts";
import { InputError, UsageError } from "../src/errors.ts";
import { resolveUserPath } from "./args.ts";
import { isPattern, matchingFiles } from "./glob.ts";
import { figureNames } from "./predict_figures.ts";

/** The files that belong to a photo, as absolute paths; those that are not wanted are missing. */
export interface Outputs {
  readonly mask?: string;
  readonly color?: string;
  readonly overlay?: string;
  readonly probabilities?: string;
  readonly pair?: string;
  readonly sample?: string;
}

/** A photo, as an absolute path, and what is to be written for it. */
export interface Job {
  readonly input: string;
  readonly outputs: Outputs;
}

/** What the command line says about files. */
export interface FileOptions {
  /** Files, folders and patterns as typed. */
  readonly input: readonly string[];
  /** Names of the masks as typed; empty: derived from the photos' names. */
  readonly output: readonly string[];
  /** Folder of the masks; absolute. */
  readonly out: string | undefined;
  /** Whether masks are written, and what goes with them. */
  readonly save: boolean;
  readonly color: boolean;
  readonly overlay: boolean;
  readonly probabilities: boolean;
  /** Whether figures are drawn. */
  readonly viz: boolean;
}

/** The work, and what the command line names in vain. */
export interface Plan {
  readonly jobs: readonly Job[];
  readonly problems: readonly InputError[];
}

/**
 * Pairs every photo with its outputs. Folders and patterns without photos are told in `problems`.
 * @throws {UsageError} where outputs do not fit the inputs, coincide, or would overwrite a photo or
 *   its true mask.
 */
export async function planJobs(options: FileOptions): Promise<Plan> {
  const { input, output, out, save } = options;
  if (output.length > 0 && out !== undefined) {
    throw new UsageError("--output names each mask and --out their folder; give one of them");
  }
  const problems: InputError[] = [];
  const found: string[] = [];
  for (const typed of input) {
    try {
      found.push(...await expand(typed));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(error);
    }
  }
  const inputs = output.length > 0 ? found : [...new Set(found)];
  const masks = !save
    ? []
    : output.length > 0
    ? namedOutputs(output, inputs)
    : inputs.map((photo) =>
      out === undefined
        ? join(dirname(photo), `${stem(photo)}${OUTPUT_SUFFIX}.png`)
        : join(out, `${stem(photo)}.png`)
    );
  const figures = options.viz ? figureNames(inputs) : [];
  const jobs = inputs.map((photo, at): Job => {
    const mask = masks[at];
    return { input: photo, outputs: { ...besides(mask, options), ...figures[at] } };
  });
  await checkOutputs(jobs);
  return { jobs, problems };
}

/** A mask and what is written beside it. */
function besides(mask: string | undefined, options: FileOptions): Outputs {
  if (mask === undefined) return {};
  const beside = (ending: string) => join(dirname(mask), `${stem(mask)}${ending}`);
  return {
    mask,
    ...(options.color ? { color: beside("_color.png") } : {}),
    ...(options.overlay ? { overlay: beside("_overlay.png") } : {}),
    ...(options.probabilities ? { probabilities: beside(".npy") } : {}),
  };
}

/** The jobs whose outputs are not all there; an output that is there is complete. */
export async function unfinished(jobs: readonly Job[]): Promise<Job[]> {
  const left: Job[] = [];
  for (const job of jobs) {
    const there = await Promise.all(Object.values<string>({ ...job.outputs }).map(isFile));
    if (!there.every(Boolean)) left.push(job);
  }
  return left;
}

function namedOutputs(output: readonly string[], inputs: readonly string[]): string[] {
  if (output.length !== inputs.length) {
    throw new UsageError(
      `--output names ${count(output.length, "mask")}, but --input gives ` +
        `${count(inputs.length, "photo")}; name one for each, or a folder with --out`,
    );
  }
  const wrong = output.find((name) => extname(name).toLowerCase() !== ".png");
  if (wrong !== undefined) {
    throw new UsageError(
      `--output '${wrong}' does not end with .png; masks are PNG files (a folder goes to --out)`,
    );
  }
  return output.map(resolveUserPath);
}

/** A file by itself, or the photos of a folder or pattern. */
async function expand(typed: string): Promise<string[]> {
  const path = resolveUserPath(typed);
  if (await isFolder(path)) {
    return photosAmong((await listFiles(path, PHOTO_ENDINGS)).files, shownPath(path));
  }
  // A file may really be called so; and one that is missing fails by itself later.
  if (!isPattern(path) || await isFile(path)) return [path];
  return photosAmong(await matchingFiles(path), `'${typed}'`);
}

function photosAmong(files: readonly string[], shown: string): string[] {
  const photos = files.filter(isPhotoName);
  if (photos.length > 0) return photos;
  throw new InputError(`no photo in ${shown}; photos end with ${PHOTO_ENDINGS.join(", ")}`);
}

/** Where a data folder keeps the mask of a photo: in `masks` beside its `images`. */
function truthOf(photo: string): string | undefined {
  const folder = dirname(photo);
  if (basename(folder) !== "images") return undefined;
  return join(dirname(folder), "masks", `${stem(photo)}.png`);
}

async function checkOutputs(jobs: readonly Job[]): Promise<void> {
  const photos = new Set(await Promise.all(jobs.map(({ input }) => realPath(input))));
  const kept = jobs.map(({ input }) => truthOf(input)).filter((path) => path !== undefined);
  const truths = new Set(await Promise.all(kept.map(realPath)));
  const taken = new Map<string, string>();
  for (const { input, outputs } of jobs) {
    for (const [kind, output] of Object.entries<string>({ ...outputs })) {
      const what = kind === "mask" ? "the mask" : "the file";
      const real = await realPath(output);
      if (photos.has(real)) {
        throw new UsageError(
          `${what} ${shownPath(output)} would overwrite a photo; give it another name or folder`,
        );
      }
      if (await isFile(output) && truths.has(real)) {
        throw new UsageError(
          `${what} ${shownPath(output)} would overwrite the true one that lies there; give ` +
            "another name or folder",
        );
      }
      const other = taken.get(real);
      if (other !== undefined) {
        throw new UsageError(
          `the masks of ${shownPath(other)} and ${shownPath(input)} would both be ` +
            `${shownPath(output)}; name them with --output`,
        );
      }
      taken.set(real, input);
    }
  }
}

/**
 * A name that was mistyped may be that of any photo; masks of earlier runs are indexed PNGs.
 * @throws {UsageError} naming the first other file that a mask would overwrite.
 */
export async function checkOverwritten(jobs: readonly Job[]): Promise<void> {
  for (const { outputs: { mask } } of jobs) {
    if (mask === undefined || !await isFile(mask)) continue;
    const head = await readHead(mask, PNG_KIND_BYTES);
    if (head.length === 0 || isIndexedPng(head)) continue;
    throw new UsageError(
      `the mask ${shownPath(mask)} would overwrite a ${isPng(head) ? "PNG" : "file"} that is no ` +
        "mask of predict's (those are indexed PNGs); remove it, or give another name or folder",
    );
  }
}

/** Where a path leads after links, for comparison; itself where nothing is there yet. */
async function realPath(path: string): Promise<string> {
  try {
    return nameKey(await Deno.realPath(path));
  } catch {
    return nameKey(path);
  }
}

/** Equal for paths that are one file: Windows and macOS do not tell large letters from small ones. */
export function nameKey(path: string, system: string = Deno.build.os): string {
  return system === "windows" || system === "darwin" ? path.normalize().toLowerCase() : path;
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
