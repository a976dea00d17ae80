/**
 * From a folder of photos and masks to a checked, split data set: everything `deno task data` does.
 * Every file is read to its end, all that is wrong is told at once, and nothing is written before
 * everything is known to be right.
 * @module
 */

import { join } from "node:path";
import { InputError } from "../errors.ts";
import { type ClassDecision, decideClasses, few, readClassNames } from "./classes.ts";
import { DATASET_VERSION, type DatasetInfo, masksOf } from "./dataset.ts";
import {
  compareNames,
  isFile,
  isFolder,
  listFiles,
  readBytes,
  shownPath,
  stem,
  tablePath,
  writeTogether,
} from "./files.ts";
import { decodePhoto } from "./photo.ts";
import type { Rgb } from "./png.ts";
import {
  findMasks,
  findPhotos,
  type Pair,
  PHOTO_ENDINGS,
  readAll,
  readMaskOf,
  readPair,
  type Reporter,
} from "./scan.ts";
import { splitImages } from "./split.ts";
import { labelsToCsv, pairsToCsv, PHOTO_CHANNELS, type PhotoRow, photosToCsv } from "./tables.ts";

export type { Reporter };

/** What to prepare and how. All paths are absolute. */
export interface PrepareOptions {
  /** The data folder: results go to `interim` and `processed` in it. */
  readonly data: string;
  /** Where photos and masks are, if not in `raw` in the data folder; nothing is written there. */
  readonly raw?: string | undefined;
  /** Share of the pairs that go to training. */
  readonly ratio: number;
  readonly seed: number;
  /** The mask value that counts nowhere. */
  readonly ignore?: number | undefined;
  /** Names (and colours) of the classes, if not in `labels.txt` in the raw folder. */
  readonly classes?: string | undefined;
}

/**
 * Checks the raw files and writes the tables and dataset.json.
 * @returns what dataset.json holds
 * @throws InputError for whatever is wrong with the files; results of an earlier run stay as they are.
 */
export async function prepareDataset(
  options: PrepareOptions,
  reporter: Reporter,
): Promise<DatasetInfo> {
  const { data, ratio, seed, ignore } = options;
  const raw = options.raw ?? join(data, "raw");
  const photos = await findPhotos(join(raw, "train"), options, reporter);
  const masks = await findMasks(join(raw, "train"), photos);
  const labels = options.classes ?? join(raw, "labels.txt");
  if (options.classes === undefined && !await isFile(labels)) {
    throw new InputError(
      `no ${shownPath(labels)}; write one class name a line (line 1 names mask value 0), ` +
        "or name another file with --classes",
    );
  }
  const names = await readClassNames(labels);
  const pairs = await readAll(
    photos,
    "pairs",
    reporter,
    (photo, at) => readPair(photo, masks[at] ?? "", data),
  );
  pairs.sort((a, b) => b.values.length - a.values.length || compareNames(a.photo, b.photo));
  const values = [...new Set(pairs.flatMap((pair) => pair.values))].sort((a, b) => a - b);
  const decision = decideClasses(names, values, ignore, commonPalette(pairs));
  const test = await readTest(join(raw, "test"), data, decision, ignore, reporter);

  const idOf = new Map(decision.classes.map(({ value, id }) => [value, id]));
  const classesOf = pairs.map((pair) =>
    pair.values.map((value) => idOf.get(value)).filter((id) => id !== undefined)
  );
  if (pairs.length < 2) {
    throw new InputError(
      `${shownPath(join(raw, "train"))} holds one pair only; at least two are needed, ` +
        "one to train on and one to validate with",
    );
  }
  const split = splitImages(classesOf, ratio, seed);
  const pick = (part: readonly number[]): Pair[] =>
    part.map((at) => pairs[at]).filter((pair) => pair !== undefined);
  const [train, valid] = [pick(split.train), pick(split.valid)];
  const info = describe(options, decision, train, valid, test);
  for (const warning of decision.warnings) reporter.warn(warning);
  await writeTogether([
    { path: join(data, "interim", "df_data.csv"), text: pairsToCsv(pairs) },
    ...([
      ["df_train.csv", pairsToCsv(train)],
      ["df_valid.csv", pairsToCsv(valid)],
      ["df_test.csv", photosToCsv(test)],
      ["df_label.csv", labelsToCsv(decision.classes.map(({ name }) => name))],
      ["dataset.json", JSON.stringify(info, null, 2) + "\n"],
    ] as const).map(([name, text]) => ({
      path: join(data, "processed", name),
      text,
    })),
  ]);
  reportClasses(info, train, valid, reporter);
  return info;
}

/** The colours of the masks, where all of them have a palette and agree on what they use. */
function commonPalette(pairs: readonly Pair[]): readonly Rgb[] | undefined {
  const common: Rgb[] = [];
  for (const { palette, values } of pairs) {
    if (palette === undefined) return undefined;
    for (const value of values) {
      const colour = palette[value];
      if (colour === undefined) return undefined;
      const known = common[value];
      if (known !== undefined && known.join() !== colour.join()) return undefined;
      common[value] = colour;
    }
  }
  // Classes that no mask shows take their colour from the first palette.
  pairs[0]?.palette?.forEach((colour, value) => common[value] ??= colour);
  return common;
}

async function readTest(
  part: string,
  data: string,
  { classes }: ClassDecision,
  ignore: number | undefined,
  reporter: Reporter,
): Promise<PhotoRow[]> {
  const folder = join(part, "images");
  if (!await isFolder(folder)) {
    reporter.info(`no ${shownPath(folder)}, so no test photos`);
    return [];
  }
  const { files } = await listFiles(folder, PHOTO_ENDINGS);
  const masks = await masksOf(join(part, "masks"));
  const known = new Set([...classes.map(({ value }) => value), ignore]);
  const rows = await readAll(files, "test photos", reporter, async (file) => {
    const { width, height } = await decodePhoto(await readBytes(file), shownPath(file));
    const mask = masks.get(stem(file));
    if (mask !== undefined) {
      const { counts } = await readMaskOf(file, { width, height }, mask);
      const strange = [...counts.keys()].filter((value) => !known.has(value));
      if (strange.length > 0) {
        reporter.warn(
          `${shownPath(mask)} holds ${few(strange.map(String))}, which no training mask holds ` +
            "and no name stands for; evaluate will refuse it",
        );
      }
    }
    return { photo: tablePath(file, data), width, height };
  });
  const scored = files.filter((file) => masks.has(stem(file))).length;
  reporter.info(`${files.length} test photos, ${scored} of them with a mask to score against`);
  return rows.sort((a, b) => compareNames(b.photo, a.photo));
}

function describe(
  { ratio, seed, ignore }: PrepareOptions,
  { classes }: ClassDecision,
  train: readonly Pair[],
  valid: readonly Pair[],
  test: readonly PhotoRow[],
): DatasetInfo {
  const sum = (pairs: readonly Pair[], value: number): number =>
    pairs.reduce((total, { counts }) => total + (counts.get(value) ?? 0), 0);
  const all = [...train, ...valid];
  const sizes = new Map<string, { width: number; height: number; images: number }>();
  for (const { width, height } of all) {
    const key = `${width}x${height}`;
    const entry = sizes.get(key) ?? { width, height, images: 0 };
    entry.images++;
    sizes.set(key, entry);
  }
  return {
    version: DATASET_VERSION,
    classes: classes.map((item) => ({
      ...item,
      pixels: sum(all, item.value),
      trainPixels: sum(train, item.value),
    })),
    ignore: ignore ?? null,
    ignoredPixels: ignore === undefined ? 0 : sum(all, ignore),
    channels: PHOTO_CHANNELS,
    ratio,
    seed,
    images: { train: train.length, valid: valid.length, test: test.length },
    sizes: [...sizes.values()].sort((a, b) =>
      b.images - a.images || b.width - a.width || b.height - a.height
    ),
  };
}

function reportClasses(
  info: DatasetInfo,
  train: readonly Pair[],
  valid: readonly Pair[],
  reporter: Reporter,
): void {
  const labelled = info.classes.reduce((total, { pixels }) => total + pixels, 0);
  const all = labelled + info.ignoredPixels;
  const percent = (pixels: number) =>
    `${(100 * pixels / Math.max(1, all)).toFixed(2)} %`.padStart(8);
  const width = Math.max(...info.classes.map(({ name }) => name.length), "ignored".length);
  const holding = (pairs: readonly Pair[], value: number) =>
    pairs.filter(({ counts }) => counts.has(value)).length;
  const onlyIn: Record<"training" | "validation", string[]> = { training: [], validation: [] };
  for (const { id, name, value, pixels } of info.classes) {
    const [inTrain, inValid] = [holding(train, value), holding(valid, value)];
    reporter.info(
      `class ${String(id).padStart(3)} ${name.padEnd(width)} mask value ${
        String(value).padStart(3)
      } ${percent(pixels)} of pixels, in ${inTrain} train and ${inValid} valid images`,
    );
    if (inTrain > 0 && inValid === 0) onlyIn.training.push(name);
    if (inTrain === 0 && inValid > 0) onlyIn.validation.push(name);
  }
  if (info.ignore !== null) {
    reporter.info(
      `ignored   ${"".padEnd(width)} mask value ${String(info.ignore).padStart(3)} ${
        percent(info.ignoredPixels)
      } of pixels`,
    );
  }
  for (const [part, names] of Object.entries(onlyIn)) {
    if (names.length === 0) continue;
    reporter.warn(`too few images hold ${few(names)} for both parts: in ${part} only`);
  }
}
