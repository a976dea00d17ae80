/**
 * From a folder of photos and masks to a checked, split data set: everything `deno task data` does.
 * Every file is read to its end, all that is wrong is told at once, and no table is written before
 * everything is known to be right.
 * @module
 */

import { join } from "node:path";
import { InputError } from "../errors.ts";
import { BadFiles } from "./bad_files.ts";
import { checkPairs } from "./check.ts";
import { type ClassNames, findClassNames } from "./class_names.ts";
import { type ClassDecision, decideClasses, few } from "./classes.ts";
import type { ColourTable } from "./colours.ts";
import type { DatasetInfo } from "./dataset.ts";
import {
  classLines,
  commonPalette,
  describeSet,
  type SplitSet,
  warningsAbout,
} from "./describe.ts";
import { copiesAmong, copiesOfTest } from "./duplicates.ts";
import { FactStore } from "./facts.ts";
import { compareNames, isFolder, shownPath, stem, writeTogether } from "./files.ts";
import { colourTable } from "./mask_values.ts";
import { namedMask, type Pair, pairOf, pairProblems, type TestPhoto, testPhotoOf } from "./pair.ts";
import { PixelCache } from "./pixel_cache.ts";
import {
  findMasks,
  findPhotos,
  findTestMasks,
  findTestPhotos,
  type Problem,
  type Reporter,
} from "./scan.ts";
import { splitImages } from "./split.ts";
import { labelsToCsv, pairsToCsv, photosToCsv } from "./tables.ts";

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
  /** Names (and colours) of the classes, if not in the raw folder. */
  readonly classes?: string | undefined;
  /** Go on without the files that cannot be used. */
  readonly skipBad?: boolean;
  /** Scale at which photos and masks are kept for training; default: they are not kept. */
  readonly scale?: number | undefined;
}

/** A prepared set, with what there is to say about it. */
export interface Prepared {
  readonly info: DatasetInfo;
  readonly train: readonly Pair[];
  readonly valid: readonly Pair[];
  readonly test: readonly TestPhoto[];
  readonly table: ColourTable | undefined;
  /** The scaled images, where they were kept. */
  readonly cache: PixelCache | undefined;
  readonly warnings: readonly string[];
  readonly skipped: readonly Problem[];
}

/**
 * Checks the raw files and writes the tables and dataset.json.
 * @throws InputError for whatever is wrong with the files; results of an earlier run stay as they are.
 */
export async function prepareDataset(
  options: PrepareOptions,
  reporter: Reporter,
): Promise<Prepared> {
  const { data, ratio, seed, ignore } = options;
  const raw = options.raw ?? join(data, "raw");
  const part = join(raw, "train");
  const warnings: string[] = [];
  const noting: Reporter = {
    warn(message) {
      warnings.push(message);
      reporter.warn(message);
    },
    info: (message) => reporter.info(message),
    progress: (label, total) => reporter.progress(label, total),
  };
  const bad = new BadFiles(options.skipBad ?? false, reporter);

  const photos = await findPhotos(part, options, noting);
  const found = await findMasks(part, photos.files);
  if (found.summary !== undefined && !options.skipBad) throw new InputError(found.summary);
  bad.add(photos.problems);
  bad.add(found.problems);
  const names = await findClassNames(raw, options.classes);

  const facts = await FactStore.open(data);
  const kept = options.scale === undefined ? undefined : await PixelCache.open(data, options.scale);
  const testFolder = join(raw, "test", "images");
  if (!await isFolder(testFolder)) {
    reporter.info(`no ${shownPath(testFolder)}, so no test photos`);
  }
  const testFiles = await findTestPhotos(testFolder, noting);
  bad.add(testFiles.problems);
  const testMasks = await findTestMasks(join(raw, "test", "masks"), testFiles.files);
  for (const warning of testMasks.warnings) noting.warn(warning);
  const checked = await look(found.files, "pairs", kept);
  const checkedTest = await look(
    testFiles.files.map((photo) => ({ photo, mask: testMasks.masks.get(stem(photo)) })),
    "test photos",
    undefined,
  );
  facts.forgetOthers();
  await facts.save();
  const sound = checked.filter((pair) => !bad.add(pairProblems(pair)));
  const soundTest = checkedTest.filter((pair) => !bad.add(pairProblems(pair)));

  const table = colourTable(names, sound.flatMap(namedMask));
  if (table !== undefined && ignore !== undefined && ignore >= table.colours.length) {
    throw new InputError(
      `--ignore ${ignore}: the masks are read by colour, so that is a row of ${names.file}, counted ` +
        `from 0, and it has ${table.colours.length} rows; give the row of the colour to ignore`,
    );
  }
  let pairs = bad.keepGood(sound, maskFile, (pair) => pairOf(pair, data, table, names));
  const test = bad.keepGood(soundTest, maskFile, (photo) => testPhotoOf(photo, data, table, names));
  bad.finish();
  pairs = withoutCopies(pairs, test, bad, noting);
  pairs.sort((a, b) => b.values.length - a.values.length || compareNames(a.photo, b.photo));
  test.sort((a, b) => compareNames(b.photo, a.photo));
  if (pairs.length < 2) {
    throw new InputError(
      `${shownPath(part)} holds ${pairs.length === 1 ? "one pair" : "no pair"} ` +
        `${bad.problems.length > 0 ? "that can be used" : "only"}; at least two are needed, ` +
        "one to train on and one to validate with",
    );
  }
  const decision = decide(pairs, names, table, ignore);
  for (const warning of decision.warnings) noting.warn(warning);
  const { train, valid } = split(pairs, decision, ratio, seed);
  const { scale = 1 } = options;
  const set = { ratio, seed, ignore, decision, train, valid, test, table, scale };
  const info = describeSet(set);
  for (const line of classLines(info, train, valid)) reporter.info(line);
  for (const warning of warningsAbout(set)) noting.warn(warning);
  if (test.length > 0) {
    const scored = test.filter(({ mask }) => mask !== undefined).length;
    reporter.info(`${test.length} test photos, ${scored} of them with a mask to score against`);
  }
  // On a full disk, what only saves time must not take the room of what is needed.
  if (kept?.failed) await kept.keepOnly([]);
  await writeTables(data, pairs, set, info);
  if (kept !== undefined) {
    // Scoring keeps test photos there, too.
    const all = [
      ...found.files,
      ...testFiles.files.map((photo) => ({ photo, mask: testMasks.masks.get(stem(photo)) })),
    ];
    const files = all.flatMap(({ photo, mask }) => mask === undefined ? [photo] : [photo, mask]);
    await kept.keepOnly(await Promise.all(files.map((file) => kept.entry(file))));
  }
  return { info, train, valid, test, table, cache: kept, warnings, skipped: bad.problems };

  async function look(
    files: Parameters<typeof checkPairs>[0],
    what: string,
    cache: PixelCache | undefined,
  ): ReturnType<typeof checkPairs> {
    using progress = reporter.progress(`Reading ${what}`, files.length);
    return await checkPairs(files, facts, cache, () => progress.advance(1));
  }
}

async function writeTables(
  data: string,
  pairs: readonly Pair[],
  { train, valid, test }: Pick<SplitSet, "train" | "valid" | "test">,
  info: DatasetInfo,
): Promise<void> {
  const processed = [
    ["df_train.csv", pairsToCsv(train)],
    ["df_valid.csv", pairsToCsv(valid)],
    ["df_test.csv", photosToCsv(test)],
    ["df_label.csv", labelsToCsv(info.classes.map(({ name }) => name))],
    ["dataset.json", JSON.stringify(info, null, 2) + "\n"],
  ] as const;
  await writeTogether([
    { path: join(data, "interim", "df_data.csv"), text: pairsToCsv(pairs) },
    ...processed.map(([name, text]) => ({ path: join(data, "processed", name), text })),
  ]);
}

const maskFile = ({ photo, mask }: { photo: string; mask?: string | undefined }): string =>
  mask ?? photo;

/** Tells about photos that are there twice; leaves them out where bad files are skipped. */
function withoutCopies(
  pairs: readonly Pair[],
  test: readonly TestPhoto[],
  bad: BadFiles,
  reporter: Reporter,
): Pair[] {
  const ofTest = copiesOfTest(pairs, test);
  const among = copiesAmong(pairs);
  const amongTest = copiesAmong(test);
  const tell = (messages: readonly string[], then: string) => {
    if (messages.length > 0) reporter.warn(`${few(messages, 3)}; ${then}`);
  };
  tell(
    ofTest.map(({ message }) => message),
    bad.skip
      ? "left out of training"
      : "scores on photos that were trained on say little, remove " +
        "one of each, or leave them out of training with --skip-bad",
  );
  tell(
    among.map(({ message }) => message),
    bad.skip ? "only the first is used" : "they stay together in one part of the split",
  );
  tell(amongTest.map(({ message }) => message), "each of them counts in the scores");
  if (!bad.skip) return [...pairs];
  const out = new Map<Pair, string>([
    ...ofTest.map(({ pair, message }): [Pair, string] => [pair, message]),
    ...among.map(({ copy, message }): [Pair, string] => [copy, message]),
  ]);
  for (const [{ photoFile }, message] of out) bad.add([{ file: photoFile, message }]);
  return pairs.filter((pair) => !out.has(pair));
}

function decide(
  pairs: readonly Pair[],
  names: ClassNames,
  table: ColourTable | undefined,
  ignore: number | undefined,
): ClassDecision {
  const values = [...new Set(pairs.flatMap((pair) => pair.values))].sort((a, b) => a - b);
  const palette = table?.colours ?? commonPalette(pairs);
  return decideClasses(names, values, ignore, palette, (value) => {
    const holders = pairs.filter(({ counts }) => counts.has(value));
    return `in ${holders.length} mask${holders.length === 1 ? "" : "s"}, such as ` +
      `${holders[0]?.mask}`;
  });
}

/** Copies of a photo go where its first one goes: validation must not show what was trained on. */
function split(
  pairs: readonly Pair[],
  { classes }: ClassDecision,
  ratio: number,
  seed: number,
): { train: Pair[]; valid: Pair[] } {
  const idOf = new Map(classes.map(({ value, id }) => [value, id]));
  const groups = [...Map.groupBy(pairs, ({ hash }) => hash).values()];
  if (groups.length < 2) {
    throw new InputError(
      "all photos are one and the same, byte for byte; at least two different ones are needed, " +
        "one to train on and one to validate with",
    );
  }
  const classesOf = groups.map((group) => [
    ...new Set(
      group.flatMap(({ values }) =>
        values.map((value) => idOf.get(value)).filter((id) => id !== undefined)
      ),
    ),
  ]);
  const parts = splitImages(classesOf, ratio, seed);
  const pick = (part: readonly number[]) => part.flatMap((at) => groups[at] ?? []);
  return { train: pick(parts.train), valid: pick(parts.valid) };
}
