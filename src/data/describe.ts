/**
 * What there is to say about a prepared set: dataset.json, and lines for people.
 * @module
 */

import { createHash } from "node:crypto";
import { smallestSize } from "../nn/unet_spec.ts";
import { type ClassDecision, few } from "./classes.ts";
import type { ColourTable } from "./colours.ts";
import { DATASET_VERSION, type DatasetInfo } from "./dataset.ts";
import type { Pair, TestPhoto } from "./pair.ts";
import { packRgb } from "./colours.ts";
import type { PhotoFacts } from "./pair_job.ts";
import type { Rgb } from "./png.ts";
import { scaledSize } from "./resize.ts";
import { PHOTO_CHANNELS } from "./tables.ts";

/** A set that was split. */
export interface SplitSet {
  readonly ratio: number;
  readonly seed: number;
  readonly ignore: number | undefined;
  readonly decision: ClassDecision;
  readonly train: readonly Pair[];
  readonly valid: readonly Pair[];
  readonly test: readonly TestPhoto[];
  readonly table: ColourTable | undefined;
  /** That of photos in training, as far as it is known yet. */
  readonly scale: number;
}

/** Pixels of a mask value in masks. */
export function pixelsOf(
  items: readonly { readonly counts?: ReadonlyMap<number, number> }[],
  value: number,
): number {
  return items.reduce((total, { counts }) => total + (counts?.get(value) ?? 0), 0);
}

/** How many masks hold a value. */
export function masksWith(
  items: readonly { readonly counts?: ReadonlyMap<number, number> }[],
  value: number,
): number {
  return items.filter(({ counts }) => counts?.has(value)).length;
}

/** The contents of dataset.json. */
export function describeSet(set: SplitSet): DatasetInfo {
  const { ratio, seed, ignore, decision, train, valid, test, table } = set;
  const all = [...train, ...valid];
  const sizes = new Map<string, { width: number; height: number; images: number }>();
  for (const { width, height } of all) {
    const key = `${width}x${height}`;
    const entry = sizes.get(key) ?? { width, height, images: 0 };
    entry.images++;
    sizes.set(key, entry);
  }
  const { mean, deviation } = channelStatistics(train.map(({ photoFacts }) => photoFacts));
  return {
    version: DATASET_VERSION,
    classes: decision.classes.map((item) => ({
      ...item,
      pixels: pixelsOf(all, item.value),
      trainPixels: pixelsOf(train, item.value),
    })),
    ignore: ignore ?? null,
    ignoredPixels: ignore === undefined ? 0 : pixelsOf(all, ignore),
    ...(table === undefined ? {} : { maskColors: table.colours }),
    channels: PHOTO_CHANNELS,
    channelMean: mean,
    channelDeviation: deviation,
    fingerprint: fingerprint(set),
    ratio,
    seed,
    images: { train: train.length, valid: valid.length, test: test.length },
    sizes: [...sizes.values()].sort((a, b) =>
      b.images - a.images || b.width - a.width || b.height - a.height
    ),
  };
}

/** Mean and standard deviation of red, green and blue over all pixels, with 1 for full light. */
export function channelStatistics(
  photos: readonly PhotoFacts[],
): { readonly mean: Rgb; readonly deviation: Rgb } {
  const pixels = photos.reduce((sum, { width, height }) => sum + width * height, 0);
  const of = (pick: (facts: PhotoFacts) => Rgb, c: number) =>
    photos.reduce((sum, facts) => sum + (pick(facts)[c] ?? 0), 0) / Math.max(1, pixels);
  const round = (value: number) => Number(value.toFixed(5));
  const means = [0, 1, 2].map((c) => of(({ sums }) => sums, c));
  const [mr = 0, mg = 0, mb = 0] = means.map((mean) => round(mean / 255));
  const [dr = 0, dg = 0, db = 0] = means.map((mean, c) =>
    round(Math.sqrt(Math.max(0, of(({ squares }) => squares, c) - mean * mean)) / 255)
  );
  return { mean: [mr, mg, mb], deviation: [dr, dg, db] };
}

/** Names and folders do not count, so that a copy of a set elsewhere is the same set. */
function fingerprint({ train, valid, test, decision, ignore }: SplitSet): string {
  const line = (part: string) => ({ hash, maskHash }: { hash: string; maskHash?: string }) =>
    `${part} ${hash} ${maskHash ?? "-"}`;
  const lines = [
    ...train.map(line("train")),
    ...valid.map(line("valid")),
    ...test.map(line("test")),
  ].sort();
  const classes = decision.classes.map(({ name, value }) => `class ${value} ${name}`);
  const text = [...lines, ...classes, `ignore ${ignore ?? "-"}`].join("\n");
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** The colours of the masks, where all of them have a palette and agree on what they use. */
export function commonPalette(pairs: readonly Pair[]): readonly Rgb[] | undefined {
  const common: Rgb[] = [];
  for (const { maskFacts: { palette }, values } of pairs) {
    if (palette === undefined) return undefined;
    for (const value of values) {
      const colour = palette[value];
      if (colour === undefined) return undefined;
      const known = common[value];
      if (known !== undefined && packRgb(...known) !== packRgb(...colour)) return undefined;
      common[value] = colour;
    }
  }
  // Classes that no mask shows take their colour from the first palette.
  pairs[0]?.maskFacts.palette?.forEach((colour, value) => common[value] ??= colour);
  return common;
}

/** A line for each class: how much of it there is, and where. */
export function classLines(
  info: DatasetInfo,
  train: readonly Pair[],
  valid: readonly Pair[],
): string[] {
  const labelled = info.classes.reduce((total, { pixels }) => total + pixels, 0);
  const all = labelled + info.ignoredPixels;
  const percent = (pixels: number) =>
    `${(100 * pixels / Math.max(1, all)).toFixed(2)} %`.padStart(8);
  const width = Math.max(...info.classes.map(({ name }) => name.length), "ignored".length);
  const lines = info.classes.map(({ id, name, value, pixels }) =>
    `class ${String(id).padStart(3)} ${name.padEnd(width)} mask value ${
      String(value).padStart(3)
    } ${percent(pixels)} of pixels, in ${masksWith(train, value)} train and ` +
    `${masksWith(valid, value)} valid images`
  );
  if (info.ignore === null) return lines;
  return [
    ...lines,
    `ignored   ${"".padEnd(width)} mask value ${String(info.ignore).padStart(3)} ${
      percent(info.ignoredPixels)
    } of pixels`,
  ];
}

/**
 * Cameras of 10 to 14 bits leave the upper part of 16 unused, and rounding to 8 takes most of the rest.
 * Where any photo of the set goes beyond the lower half, they were stretched.
 */
function dimPhotos(photos: readonly (Pair | TestPhoto)[]): string[] {
  const deep = photos.filter(({ photoFacts: { largest } }) => largest !== undefined);
  const most = Math.max(...deep.map(({ photoFacts: { largest = 0 } }) => largest));
  if (deep.length === 0 || most > 127) return [];
  const share = (100 * most / 255).toFixed(most < 26 ? 1 : 0);
  return [
    `${deep.length} of ${photos.length} photos have 16 bits a sample, but use only ${share} % of ` +
    `their range (${few(deep.map(({ photo }) => photo).sort(), 3)}), of which ${most + 1} of 256 ` +
    "levels are left when they are rounded to 8 bits; stretch them to the full range first, all by " +
    "the same factor",
  ];
}

/** Photos that no network can be trained or scored on: those of any scale, else those of this one. */
function tinyPhotos(photos: readonly (Pair | TestPhoto)[], scale: number): string[] {
  const smallest = smallestSize("unet-small");
  const below = (scale: number) =>
    photos.filter((photo) => {
      const { width, height } = scaledSize(photo.width, photo.height, scale);
      return Math.min(width, height) < smallest;
    });
  const say = (tiny: typeof photos, where: string, todo: string) =>
    tiny.length === 0 ? [] : [
      `${tiny.length} of ${photos.length} photos are smaller than ${smallest} x ${smallest} ` +
      `pixels${where} (${few(tiny.map(({ photo }) => photo).sort(), 3)}), too small for any ` +
      `network; ${todo}`,
    ];
  const always = below(1);
  const now = below(scale).filter((photo) => !always.includes(photo));
  return [
    ...say(always, "", "remove them"),
    ...say(now, ` at scale ${scale}`, "train and score them at a larger one (-s)"),
  ];
}

/** What a user should know about a set that can be used. */
export function warningsAbout(
  { train, valid, test, decision: { classes }, ignore, scale }: SplitSet,
): string[] {
  const warnings: string[] = [];
  const onlyIn: Record<"training" | "validation", string[]> = { training: [], validation: [] };
  for (const { name, value } of classes) {
    const [inTrain, inValid] = [masksWith(train, value), masksWith(valid, value)];
    if (inTrain > 0 && inValid === 0) onlyIn.training.push(name);
    if (inTrain === 0 && inValid > 0) onlyIn.validation.push(name);
  }
  for (const [part, names] of Object.entries(onlyIn)) {
    if (names.length === 0) continue;
    warnings.push(`too few images hold ${few(names)} for both parts: in ${part} only`);
  }
  const all = [...train, ...valid];
  const named = (pairs: readonly Pair[], say: (pair: Pair) => string) =>
    few(pairs.map(say).sort(), 3);
  const single = all.filter(({ values }) => values.length === 1);
  if (single.length > 0) {
    const nameOf = new Map(classes.map(({ name, value }) => [value, name]));
    const what = (value = -1) =>
      value === ignore ? "all ignored" : `all ${nameOf.get(value) ?? value}`;
    warnings.push(
      `${single.length} of ${all.length} masks hold one value only: ` +
        `${named(single, (pair) => `${pair.mask} (${what(pair.values[0])})`)}`,
    );
  }
  const hidden = all.filter(({ width, height, photoFacts: { orientation } }) =>
    (orientation > 1 && orientation < 5) || (orientation >= 5 && width === height)
  );
  if (hidden.length > 0) {
    warnings.push(
      `${hidden.length} photo${
        hidden.length === 1 ? " has" : "s have"
      } an EXIF turn that does not ` +
        `change the size (${
          named(hidden, ({ photo }) => photo)
        }), so the size cannot tell whether ` +
        "the mask was drawn on the turned photo; look in the report whether it fits",
    );
  }
  warnings.push(...dimPhotos([...all, ...test]), ...tinyPhotos([...all, ...test], scale));
  if (ignore !== undefined && pixelsOf([...all, ...test], ignore) === 0) {
    warnings.push(`no mask holds ${ignore}, the value to ignore`);
  }
  const known = new Set([...classes.map(({ value }) => value), ignore]);
  for (const { mask, counts } of test) {
    const strange = [...counts?.keys() ?? []].filter((value) => !known.has(value));
    if (strange.length === 0) continue;
    warnings.push(
      `${mask} holds ${few(strange.map(String))}, which no training mask holds and no name ` +
        "stands for; evaluate will refuse it",
    );
  }
  return warnings;
}
