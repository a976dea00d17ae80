/**
 * Finding and reading the raw files of a data set: which photo goes with which mask, and what each
 * holds. All that is wrong is told at once.
 * @module
 */

import { basename, join } from "node:path";
import { InputError } from "../errors.ts";
import { few } from "./classes.ts";
import { masksOf } from "./dataset.ts";
import { isFile, isFolder, listFiles, readBytes, shownPath, stem, tablePath } from "./files.ts";
import { readMask } from "./mask.ts";
import { decodePhoto } from "./photo.ts";
import type { Rgb } from "./png.ts";
import type { PairRow } from "./tables.ts";

/** Tells the user how it goes. */
export interface Reporter {
  info(message: string): void;
  warn(message: string): void;
  /** A progress bar for `total` images; disposing of it takes it away. */
  progress(label: string, total: number): Disposable & { advance(images: number): void };
}

/** A pair that was read to its end. */
export interface Pair extends PairRow {
  readonly width: number;
  readonly height: number;
  /** Pixels of each mask value. */
  readonly counts: ReadonlyMap<number, number>;
  readonly palette: readonly Rgb[] | undefined;
}

/** Endings of files that are read as photos. */
export const PHOTO_ENDINGS: readonly string[] = [".jpg", ".jpeg", ".png"];

/**
 * The photos of `part`, in the order of their names.
 * @throws InputError saying what to put where, if there are none.
 */
export async function findPhotos(
  part: string,
  { data, raw }: { readonly data: string; readonly raw?: string | undefined },
  reporter: Reporter,
): Promise<readonly string[]> {
  const folder = join(part, "images");
  if (!await isFolder(folder)) {
    throw new InputError(`no ${shownPath(folder)} folder${await whatToDo(folder, data, raw)}`);
  }
  const { files, others } = await listFiles(folder, PHOTO_ENDINGS);
  if (files.length === 0) {
    throw new InputError(
      `${shownPath(folder)} holds no photos; put .jpg or .png files there` +
        (others.length > 0 ? ` (found ${few(others, 3)}, which cannot be read)` : ""),
    );
  }
  if (others.length > 0) {
    reporter.warn(`left out of ${shownPath(folder)}, not .jpg or .png: ${few(others, 3)}`);
  }
  const stems = new Set<string>();
  const twice = files.filter((file) => stems.size === stems.add(stem(file)).size);
  if (twice.length > 0) {
    throw new InputError(
      `${shownPath(folder)} holds photos with the same name but different endings: ` +
        `${few(twice.map((file) => basename(file)), 3)}; a mask belongs to one photo, ` +
        "rename or remove one of each",
    );
  }
  return files;
}

async function whatToDo(folder: string, data: string, raw: string | undefined): Promise<string> {
  if (raw !== undefined) {
    const inner = join(raw, "raw");
    return await isFolder(join(inner, "train", "images"))
      ? `; the photos seem to be in another one, try --raw ${shownPath(inner)}`
      : "; --raw names the folder that holds train/images, train/masks and labels.txt";
  }
  if (await isFolder(join(data, "train", "images"))) {
    return `; ${shownPath(data)} holds train/images itself, try --raw ${shownPath(data)}`;
  }
  const processed = join(data, "processed");
  if (await isFile(join(processed, "dataset.json")) || await isFolder(processed)) {
    return `, only earlier results in ${shownPath(processed)} (left as they are); put the photos ` +
      "back, or say with --raw DIR where they are now";
  }
  return `: put photos there and their masks in ${shownPath(join(folder, "..", "masks"))}, ` +
    "or run deno task demo to see a sample";
}

/**
 * The mask of every photo of `part`, in the same order.
 * @throws InputError naming the first of the photos and masks that do not pair up.
 */
export async function findMasks(
  part: string,
  photos: readonly string[],
): Promise<readonly string[]> {
  const folder = join(part, "masks");
  if (!await isFolder(folder)) {
    throw new InputError(
      `no ${shownPath(folder)} folder; put a .png mask there for every photo, with the same name`,
    );
  }
  const { others } = await listFiles(folder, [".png"]);
  const masks = await masksOf(folder);
  const stems = new Set(photos.map(stem));
  const bare = photos.filter((photo) => !masks.has(stem(photo)));
  const stray = [...masks].filter(([name]) => !stems.has(name)).map(([, file]) => file);
  if (bare.length === 0 && stray.length === 0) return photos.map((p) => masks.get(stem(p)) ?? "");
  const list = (files: readonly string[]) => few(files.map((file) => basename(file)), 3);
  const parts = [
    ...(bare.length > 0
      ? [`${bare.length} of ${photos.length} photos have no mask (${list(bare)})`]
      : []),
    ...(stray.length > 0
      ? [`${stray.length} of ${masks.size} masks have no photo (${list(stray)})`]
      : []),
  ];
  const jpeg = others.find((name) => /\.jpe?g$/i.test(name));
  throw new InputError(
    `photos and masks in ${shownPath(part)} do not pair up: ${parts.join(", ")}; ` +
      "each photo in images needs a .png of the same name in masks, and the other way round" +
      (jpeg === undefined ? "" : ` (${jpeg} is a JPEG, which cannot hold a mask)`),
  );
}

/** Reads every file in turn, and tells in one message about all that failed. */
export async function readAll<T>(
  files: readonly string[],
  what: string,
  reporter: Reporter,
  read: (file: string, at: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  const problems: string[] = [];
  using progress = reporter.progress(`Reading ${what}`, files.length);
  for (const [at, file] of files.entries()) {
    try {
      results.push(await read(file, at));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(error.message);
    }
    progress.advance(1);
  }
  const [first] = problems;
  if (first === undefined) return results;
  if (problems.length === 1) throw new InputError(first);
  const listed = problems.slice(0, 3).map((problem, at) => `(${at + 1}) ${problem}`).join(" ");
  const more = problems.length > 3 ? ` and ${problems.length - 3} more` : "";
  throw new InputError(
    `${problems.length} of ${files.length} ${what} cannot be used: ${listed}${more}`,
  );
}

/** Reads a photo and its mask. @throws InputError naming the file. */
export async function readPair(photo: string, mask: string, data: string): Promise<Pair> {
  const { width, height } = await decodePhoto(await readBytes(photo), shownPath(photo));
  const { counts, palette } = await readMaskOf(photo, { width, height }, mask);
  return {
    photo: tablePath(photo, data),
    mask: tablePath(mask, data),
    values: [...counts.keys()].sort((a, b) => a - b),
    width,
    height,
    counts,
    palette,
  };
}

/** Reads the mask of a photo of the given size. @throws InputError where the sizes differ. */
export async function readMaskOf(
  photo: string,
  size: { readonly width: number; readonly height: number },
  file: string,
): Promise<{ counts: ReadonlyMap<number, number>; palette: readonly Rgb[] | undefined }> {
  const mask = readMask(await readBytes(file), shownPath(file));
  if (mask.width !== size.width || mask.height !== size.height) {
    throw new InputError(
      `${shownPath(photo)} is ${size.width}x${size.height} but its mask ${shownPath(file)} is ` +
        `${mask.width}x${mask.height}; they must be of the same size`,
    );
  }
  return { counts: countValues(mask.data), palette: mask.palette };
}

function countValues(data: Uint8Array | Uint16Array): ReadonlyMap<number, number> {
  const bins = new Float64Array(data instanceof Uint8Array ? 256 : 65536);
  for (const value of data) bins[value] = (bins[value] ?? 0) + 1;
  const counts = new Map<number, number>();
  bins.forEach((count, value) => {
    if (count > 0) counts.set(value, count);
  });
  return counts;
}
