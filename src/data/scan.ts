/**
 * Finding the raw files of a data set: which photo goes with which mask. All that is wrong is told at
 * once.
 * @module
 */

import { basename, dirname, extname, join } from "node:path";
import { InputError } from "../errors.ts";
import { few } from "./classes.ts";
import { masksOf } from "./dataset.ts";
import { isFile, isFolder, listFiles, type Listing, shownPath, stem } from "./files.ts";

/** Tells the user how it goes. */
export interface Reporter {
  info(message: string): void;
  warn(message: string): void;
  /** A progress bar for `total` images; disposing of it takes it away. */
  progress(label: string, total: number): Disposable & { advance(images: number): void };
}

/** A file that cannot be used, and why. */
export interface Problem {
  /** Absolute. */
  readonly file: string;
  /** A sentence that names it. */
  readonly message: string;
}

/** Endings of files that are read as photos. */
export const PHOTO_ENDINGS: readonly string[] = [".jpg", ".jpeg", ".png"];

/** What stands between a photo's name and `.png` in the name of a mask that `predict` chose. */
export const OUTPUT_SUFFIX = "_OUT";

const OWN_OUTPUT = new RegExp(`^(.*)${OUTPUT_SUFFIX}(_color|_overlay)?$`);

/** Whether a file is called like a photo, and not like what `predict` leaves beside one. */
export function isPhotoName(file: string): boolean {
  return PHOTO_ENDINGS.includes(extname(file).toLowerCase()) && !OWN_OUTPUT.test(stem(file));
}

/** Files that were found. */
export interface Found<T> {
  readonly files: readonly T[];
  readonly problems: readonly Problem[];
}

/**
 * The photos of `part`, in the order of their names. Of two with one name the second is a problem.
 * @throws InputError saying what to put where, if there are none.
 */
export async function findPhotos(
  part: string,
  { data, raw }: { readonly data: string; readonly raw?: string | undefined },
  reporter: Reporter,
): Promise<Found<string>> {
  const folder = join(part, "images");
  if (!await isFolder(folder)) {
    throw new InputError(`no ${shownPath(folder)} folder${await whatToDo(folder, data, raw)}`);
  }
  const { files, others } = await photosIn(folder, reporter);
  if (files.length === 0) {
    throw new InputError(
      `${shownPath(folder)} holds no photos; put .jpg or .png files there` +
        (others.length > 0 ? ` (found ${few(others, 3)}, which cannot be read)` : ""),
    );
  }
  if (others.length > 0) {
    reporter.warn(`left out of ${shownPath(folder)}, not .jpg or .png: ${few(others, 3)}`);
  }
  return firstOfName(files);
}

/** Photos of a folder of test photos; none where it is missing. */
export async function findTestPhotos(folder: string, reporter: Reporter): Promise<Found<string>> {
  if (!await isFolder(folder)) return { files: [], problems: [] };
  return firstOfName((await photosIn(folder, reporter)).files);
}

/**
 * Photos of a folder, without what `predict` left beside some of them, and names of other files. A
 * photo that is called so has a mask, or there is no other that it could belong to.
 */
async function photosIn(folder: string, reporter: Reporter): Promise<Listing> {
  const { files, others } = await listFiles(folder, PHOTO_ENDINGS);
  const masks = await masksOf(join(dirname(folder), "masks"));
  const stems = new Set(files.map(stem));
  const isOutput = (file: string) => {
    const [, photo] = OWN_OUTPUT.exec(stem(file)) ?? [];
    return photo !== undefined && stems.has(photo) && !masks.has(stem(file)) &&
      extname(file).toLowerCase() === ".png";
  };
  const outputs = files.filter(isOutput).map((file) => basename(file));
  if (outputs.length > 0) {
    reporter.warn(`left out of ${shownPath(folder)}, named as predict's masks: ${few(outputs, 3)}`);
  }
  return { files: files.filter((file) => !isOutput(file)), others };
}

/** The masks of test photos by name, with a warning about each file that is none of theirs. */
export async function findTestMasks(
  folder: string,
  photos: readonly string[],
): Promise<{ readonly masks: ReadonlyMap<string, string>; readonly warnings: readonly string[] }> {
  const masks = await masksOf(folder);
  if (!await isFolder(folder)) return { masks, warnings: [] };
  const warnings: string[] = [];
  const { others } = await listFiles(folder, [".png"]);
  if (others.length > 0) {
    warnings.push(`left out of ${shownPath(folder)}, no PNG: ${few(others, 3)}`);
  }
  const stems = new Set(photos.map(stem));
  const stray = [...masks].filter(([name]) => !stems.has(name)).map(([, file]) => basename(file));
  if (stray.length > 0) {
    warnings.push(
      `${stray.length} of ${masks.size} masks in ${shownPath(folder)} have no photo ` +
        `(${few(stray, 3)}); they are not used`,
    );
  }
  return { masks, warnings };
}

function firstOfName(all: readonly string[]): Found<string> {
  const byStem = new Map<string, string>();
  const problems: Problem[] = [];
  for (const file of all) {
    const first = byStem.get(stem(file));
    if (first === undefined) byStem.set(stem(file), file);
    else {
      problems.push({
        file,
        message: `${shownPath(file)} has the same name as ${basename(first)} but another ending; ` +
          "a mask belongs to one photo, rename or remove one of them",
      });
    }
  }
  return { files: [...byStem.values()], problems };
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

/** A photo and its mask. */
export interface FoundPair {
  readonly photo: string;
  readonly mask: string;
}

/** The pairs of a part, and what has no partner. */
export interface Pairing extends Found<FoundPair> {
  /** All that has no partner in one sentence; `undefined` where everything pairs up. */
  readonly summary: string | undefined;
}

/**
 * The mask of every photo of `part`.
 * @throws InputError where there are no masks at all.
 */
export async function findMasks(part: string, photos: readonly string[]): Promise<Pairing> {
  const folder = join(part, "masks");
  if (!await isFolder(folder)) {
    throw new InputError(
      `no ${shownPath(folder)} folder; put a .png mask there for every photo, with the same name`,
    );
  }
  const { others } = await listFiles(folder, [".png"]);
  const masks = await masksOf(folder);
  const stems = new Set(photos.map(stem));
  const files = photos.flatMap((photo) => {
    const mask = masks.get(stem(photo));
    return mask === undefined ? [] : [{ photo, mask }];
  });
  const bare = photos.filter((photo) => !masks.has(stem(photo)));
  const stray = [...masks].filter(([name]) => !stems.has(name)).map(([, file]) => file);
  const unusable = new Map(others.map((name) => [stem(name), name]));
  const problems = [
    ...bare.map((file): Problem => {
      const other = unusable.get(stem(file));
      const why = other === undefined
        ? `put ${stem(file)}.png into ${shownPath(folder)}`
        : `${other} is no PNG${/\.jpe?g$/i.test(other) ? ", and JPEG cannot hold a mask" : ""}`;
      return { file, message: `${shownPath(file)} has no mask; ${why}` };
    }),
    ...stray.map((file): Problem => ({
      file,
      message: `${shownPath(file)} has no photo of its name in ${shownPath(join(part, "images"))}`,
    })),
  ];
  return {
    files,
    problems,
    summary: summaryOf(part, photos.length, masks.size, bare, stray, others),
  };
}

function summaryOf(
  part: string,
  photos: number,
  masks: number,
  bare: readonly string[],
  stray: readonly string[],
  others: readonly string[],
): string | undefined {
  if (bare.length === 0 && stray.length === 0) return undefined;
  const list = (files: readonly string[]) => few(files.map((file) => basename(file)), 3);
  const parts = [
    ...(bare.length > 0 ? [`${bare.length} of ${photos} photos have no mask (${list(bare)})`] : []),
    ...(stray.length > 0
      ? [`${stray.length} of ${masks} masks have no photo (${list(stray)})`]
      : []),
  ];
  const jpeg = others.find((name) => /\.jpe?g$/i.test(name));
  const affix = commonAffix(bare, stray);
  return `photos and masks in ${shownPath(part)} do not pair up: ${parts.join(", ")}; ` +
    "each photo in images needs a .png of the same name in masks, and the other way round" +
    (affix === undefined ? "" : ` (take ${affix} out of the masks' names)`) +
    (jpeg === undefined ? "" : ` (${jpeg} is a JPEG, which cannot hold a mask)`);
}

/** What the masks' names have and the photos' lack: the `_mask` of `7_mask.png`. */
function commonAffix(bare: readonly string[], stray: readonly string[]): string | undefined {
  const names = stray.map(stem);
  const photo = bare.map(stem).find((name) => names.some((mask) => mask.includes(name)));
  const mask = names.find((name) => photo !== undefined && name.includes(photo));
  if (photo === undefined || mask === undefined) return undefined;
  const at = mask.indexOf(photo);
  const [before, after] = [mask.slice(0, at), mask.slice(at + photo.length)];
  if (before !== "" && after !== "") return undefined;
  const known = new Set(bare.map(stem));
  const fits = names.every((name) =>
    known.has(name.slice(before.length, name.length - after.length))
  );
  return fits && before + after !== "" ? before + after : undefined;
}
