/**
 * Which photos `predict` reads and where their masks go: files, folders and patterns in, one output
 * each out, settled before anything runs so that a mistake costs nothing.
 * @module
 */

import { basename, dirname, extname, join } from "node:path";
import { isFile, isFolder, listFiles, shownPath, stem } from "../src/data/files.ts";
import { PHOTO_ENDINGS } from "../src/data/scan.ts";
import { InputError, UsageError } from "../src/errors.ts";
import { resolveUserPath } from "./args.ts";

/** What stands between a photo's name and `.png` in its mask's, where no name was given. */
const OUTPUT_SUFFIX = "_OUT";

/** A photo and where its mask goes, as absolute paths. */
export interface Job {
  readonly input: string;
  /** Missing when nothing is to be saved. */
  readonly output?: string;
}

/** What the command line says about files. */
export interface FileOptions {
  /** Files, folders and patterns as typed. */
  readonly input: readonly string[];
  /** Names of the masks as typed; empty: derived from the photos' names. */
  readonly output: readonly string[];
  /** Folder of the masks; absolute. */
  readonly out: string | undefined;
  readonly save: boolean;
}

/**
 * Pairs every photo with its output.
 * @throws {UsageError} where outputs do not fit the inputs, coincide, or would overwrite a photo or its true mask.
 * @throws {InputError} where a folder or pattern holds no photo.
 */
export async function planJobs(options: FileOptions): Promise<Job[]> {
  const { input, output, out, save } = options;
  if (output.length > 0 && out !== undefined) {
    throw new UsageError("--output names each mask and --out their folder; give one of them");
  }
  const found = (await Promise.all(input.map(expand))).flat();
  const inputs = output.length > 0 ? found : [...new Set(found)];
  if (!save) return inputs.map((photo) => ({ input: photo }));
  const outputs = output.length > 0
    ? namedOutputs(output, inputs)
    : inputs.map((photo) =>
      out === undefined
        ? join(dirname(photo), `${stem(photo)}${OUTPUT_SUFFIX}.png`)
        : join(out, `${stem(photo)}.png`)
    );
  await checkOutputs(inputs, outputs);
  return inputs.map((photo, at) => ({ input: photo, output: outputs[at] ?? "" }));
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
  if (await isFolder(path)) return await photosIn(path, () => true, shownPath(path));
  const name = basename(path);
  // A file may really be called so; and one that is missing fails by itself later.
  if (!/[*?]/.test(path) || await isFile(path)) return [path];
  const folder = dirname(path);
  if (/[*?]/.test(folder)) {
    throw new UsageError(`only the last part of '${typed}' can be a pattern, not its folders`);
  }
  if (!await isFolder(folder)) {
    throw new InputError(`no folder ${shownPath(folder)} for '${typed}'`);
  }
  const pattern = new RegExp(
    `^${name.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`,
  );
  return await photosIn(folder, (file) => pattern.test(basename(file)), `'${typed}'`);
}

async function photosIn(
  folder: string,
  wanted: (file: string) => boolean,
  shown: string,
): Promise<string[]> {
  const { files } = await listFiles(folder, PHOTO_ENDINGS);
  // Masks of an earlier run lie beside their photos.
  const photos = files.filter((file) => wanted(file) && !stem(file).endsWith(OUTPUT_SUFFIX));
  if (photos.length > 0) return photos;
  throw new InputError(`no photo in ${shown}; photos end with ${PHOTO_ENDINGS.join(", ")}`);
}

/** Where a data folder keeps the mask of a photo: in `masks` beside its `images`. */
function truthOf(photo: string): string {
  return join(dirname(dirname(photo)), "masks", `${stem(photo)}.png`);
}

async function checkOutputs(inputs: readonly string[], outputs: readonly string[]): Promise<void> {
  const photos = new Set(await Promise.all(inputs.map(realPath)));
  const truths = new Set(await Promise.all(inputs.map((photo) => realPath(truthOf(photo)))));
  const taken = new Map<string, string>();
  for (const [at, output] of outputs.entries()) {
    const real = await realPath(output);
    if (photos.has(real)) {
      throw new UsageError(
        `the mask ${shownPath(output)} would overwrite a photo; give it another name or folder`,
      );
    }
    const [photo = "", other] = [inputs[at], taken.get(real)];
    if (await isFile(output) && truths.has(real)) {
      throw new UsageError(
        `the mask ${
          shownPath(output)
        } would overwrite the true one that lies there; give another ` +
          "name or folder",
      );
    }
    if (other !== undefined) {
      throw new UsageError(
        `the masks of ${shownPath(other)} and ${shownPath(photo)} would both be ` +
          `${shownPath(output)}; name them with --output`,
      );
    }
    taken.set(real, photo);
  }
}

/** Where a path leads after links; itself where nothing is there yet. */
async function realPath(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch {
    return path;
  }
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
