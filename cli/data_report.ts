/**
 * What `deno task data` leaves to look at: a page about the set and the original tool's figures.
 * @module
 */

import { basename, join } from "node:path";
import { type DatasetInfo, type ValueMap, valueToClass } from "../src/data/dataset.ts";
import { masksWith, pixelsOf } from "../src/data/describe.ts";
import { compareNames, readBytes, shownPath } from "../src/data/files.ts";
import { decodeMask, type StoredMask } from "../src/data/mask.ts";
import type { Pair } from "../src/data/pair.ts";
import { decodePhoto, type Photo } from "../src/data/photo.ts";
import type { PixelCache } from "../src/data/pixel_cache.ts";
import { encodePng } from "../src/data/png_write.ts";
import type { Prepared } from "../src/data/prepare.ts";
import { resizeArea, resizeNearest } from "../src/data/resize.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import { dataPage, type PageClass, type PageSample } from "../src/report/data_page.ts";
import { figureLegend, figurePair } from "../src/report/figure.ts";
import { encodeJpeg } from "../src/report/jpeg.ts";
import { jet } from "../src/report/jet.ts";
import {
  classesPresent,
  drawnColours,
  grayMask,
  type MaskImage,
  overlay,
  type Picture,
} from "../src/report/overlay.ts";
import { count } from "../src/report/parts.ts";
import { IGNORED } from "../src/train/metrics.ts";
import { resolveUserPath } from "./args.ts";
import { Progress } from "./progress.ts";

/** Relative to the folder the user stands in. */
const REPORT_FOLDER = "reports";

const OVERLAY_OPACITY = 0.5;
/** Longest side of a photo in a figure and on the page, pixels. */
const FIGURE_SIDE = 1600;
const PAGE_SIDE = 480;
const SAMPLES = 9;

/** What the page says beside what is in the set. */
export interface ReportSettings {
  readonly data: string;
  readonly raw: string;
}

/**
 * Writes the page and the figures.
 * @returns the page's path
 * @throws InputError where a file cannot be written
 */
export async function writeReport(prepared: Prepared, settings: ReportSettings): Promise<string> {
  const folder = resolveUserPath(REPORT_FOLDER);
  const values = valueToClass(prepared.info);
  const chosen = chooseSamples(prepared);
  const samples: PageSample[] = [];
  {
    using bar = new Progress({ label: "Drawing the report", total: chosen.length + 1 });
    const [first] = [...prepared.train, ...prepared.valid]
      .sort((a, b) => b.values.length - a.values.length);
    if (first !== undefined) await writeFigures(first, prepared.info, values, folder);
    bar.advance(1);
    for (const { pair, part } of chosen) {
      samples.push(await pageSample(pair, part, prepared, values));
      bar.advance(1);
    }
  }
  const path = join(folder, "data.html");
  await writeFileAtomic(path, new TextEncoder().encode(pageOf(prepared, samples, settings)));
  return path;
}

/**
 * Pairs that together show as many classes as can be; those whose turn cannot be checked by their
 * size come first, and the rest is spread over both parts.
 */
function chooseSamples({ train, valid }: Prepared): { pair: Pair; part: string }[] {
  const byName = (pairs: readonly Pair[], part: string) =>
    [...pairs].sort((a, b) => compareNames(a.photo, b.photo)).map((pair) => ({ pair, part }));
  const all = [...byName(train, "training"), ...byName(valid, "validation")];
  const chosen = new Set(
    all.filter(({ pair }) => pair.photoFacts.orientation > 1).slice(0, SAMPLES / 2),
  );
  const seen = new Set([...chosen].flatMap(({ pair }) => pair.values));
  while (chosen.size < SAMPLES / 2) {
    let best: (typeof all)[number] | undefined;
    let most = 0;
    for (const item of all) {
      const fresh = item.pair.values.filter((value) => !seen.has(value)).length;
      if (fresh > most) [best, most] = [item, fresh];
    }
    if (best === undefined) break;
    chosen.add(best);
    for (const value of best.pair.values) seen.add(value);
  }
  for (let at = 0; at < 8 * all.length && chosen.size < SAMPLES; at++) {
    // Steps of the golden ratio spread evenly however many there are.
    const item = all[Math.floor(((at * 0.6180339887) % 1) * all.length)];
    if (item !== undefined) chosen.add(item);
  }
  return [...chosen];
}

interface Decoded {
  readonly photo: Photo;
  /** Class ids at the photo's size. */
  readonly mask: MaskImage;
}

/** A pair at most `longest` pixels wide and high, from the scaled images where they will do. */
async function decodePair(
  { photoFile, maskFile }: Pair,
  values: ValueMap,
  longest: number,
  cache: PixelCache | undefined,
): Promise<Decoded> {
  const kept = await cache?.read(await cache.entry(photoFile));
  if (kept?.kind === "photo" && Math.max(kept.width, kept.height) >= longest) {
    const mask = await cache?.read(await cache.entry(maskFile));
    if (mask && mask.kind !== "photo") return shrink(kept, mask, values, maskFile, longest);
  }
  const photo = await decodePhoto(await readBytes(photoFile), shownPath(photoFile));
  const mask = decodeMask(await readBytes(maskFile), shownPath(maskFile));
  return shrink(photo, mask, values, maskFile, longest);
}

function shrink(
  photo: Photo,
  mask: StoredMask,
  values: ValueMap,
  maskFile: string,
  longest: number,
): Decoded {
  const scale = Math.min(1, longest / Math.max(photo.width, photo.height));
  const side = (length: number) => Math.max(1, Math.round(length * scale));
  const [width, height] = [side(photo.width), side(photo.height)];
  const data = values.labelsOf(resizeNearest(mask, width, height), shownPath(maskFile));
  return { photo: resizeArea(photo, width, height), mask: { width, height, data } };
}

async function writeFigures(
  pair: Pair,
  info: DatasetInfo,
  values: ValueMap,
  folder: string,
): Promise<void> {
  const { photo, mask } = await decodePair(pair, values, FIGURE_SIDE, undefined);
  const names = info.classes.map(({ name }) => name);
  const colours = drawnColours(info.classes.map(({ color }) => color));
  const titles = ["Input image", "Input mask"] as const;
  const present = classesPresent(mask).filter((id) => id !== IGNORED && colours[id] !== undefined);
  const blended = overlay(photo, mask, colours, OVERLAY_OPACITY);
  await writePicture(
    folder,
    "image_pair_gray",
    figurePair(photo, grayMask(mask, names.length), titles),
  );
  await writePicture(folder, "image_pair_jet", figurePair(photo, jet(mask, names.length), titles));
  await writePicture(folder, "sample", figureLegend(blended, present, names, colours));
}

async function writePicture(folder: string, name: string, picture: Picture): Promise<void> {
  await writeFileAtomic(
    join(folder, "figures", `${name}.png`),
    encodePng({ ...picture, channels: 3 }),
  );
}

async function pageSample(
  pair: Pair,
  part: string,
  { info, cache }: Prepared,
  values: ValueMap,
): Promise<PageSample> {
  const { photo, mask } = await decodePair(pair, values, PAGE_SIDE, cache);
  const colours = drawnColours(info.classes.map(({ color }) => color));
  const rgba = new Uint8Array(mask.data.length * 4);
  for (let i = 0; i < mask.data.length; i++) {
    const color = colours[mask.data[i]!];
    if (color !== undefined) rgba.set([...color, 255], 4 * i);
  }
  const { width, height } = mask;
  return {
    name: basename(pair.photoFile),
    part,
    width: pair.width,
    height: pair.height,
    photo: encodeJpeg(photo),
    mask: encodePng({ width, height, channels: 4, data: rgba }, 9),
    classes: classesPresent(mask).filter((id) => colours[id] !== undefined),
  };
}

function pageOf(
  prepared: Prepared,
  samples: readonly PageSample[],
  { data, raw }: ReportSettings,
): string {
  const { info, train, valid, test, warnings, skipped } = prepared;
  const scored = test.filter(({ counts }) => counts !== undefined);
  const splits = [train, valid, ...(scored.length > 0 ? [scored] : [])];
  const drawn = drawnColours(info.classes.map(({ color }) => color));
  const classOf = (name: string, colour: PageClass["colour"], value: number): PageClass => ({
    name,
    colour,
    value: `mask value ${value}`,
    parts: splits.map((items) => ({
      pixels: pixelsOf(items, value),
      images: masksWith(items, value),
    })),
  });
  const names = ["Training", "Validation", "Test"];
  return dataPage({
    title: `Data set in ${shownPath(raw)}`,
    notes: [
      `Prepared on ${new Date().toISOString().slice(0, 10)}; tables in ` +
      `${shownPath(join(data, "processed"))}.`,
    ],
    parts: [
      ...splits.map((items, at) => ({
        name: names[at] ?? "",
        images: at === 2 ? test.length : items.length,
        masks: items.length,
      })),
    ],
    classes: info.classes.map(({ id, name, color, value }) =>
      classOf(name, drawn[id] ?? color, value)
    ),
    ...(info.ignore === null ? {} : { ignored: classOf("ignored", [128, 128, 128], info.ignore) }),
    samples,
    warnings,
    skipped: skipped.map(({ message }) => message),
    facts: factsOf(prepared),
  });
}

function factsOf({ info, train, valid, test, table }: Prepared): {
  title: string;
  rows: [string, string][];
}[] {
  const photos = [...train, ...valid, ...test].map(({ photoFacts }) => photoFacts);
  const masks = [...train, ...valid].map(({ maskFacts }) => maskFacts);
  const tally = (items: readonly string[]) =>
    [...Map.groupBy(items, (item) => item)].map(([item, all]): [string, string] => [
      item,
      count(all.length),
    ]);
  const sizes = info.sizes.slice(0, 8).map((size): [string, string] => [
    `${size.width} \u00d7 ${size.height}`,
    count(size.images),
  ]);
  const more = info.sizes.length - sizes.length;
  const pixels = photos.reduce((sum, { width, height }) => sum + width * height, 0);
  const turned = photos.filter(({ orientation }) => orientation > 1).length;
  const channel = (c: number) =>
    `${(info.channelMean?.[c] ?? 0).toFixed(3)} \u00b1 ${
      (info.channelDeviation?.[c] ?? 0).toFixed(3)
    }`;
  const kinds = {
    gray: "gray values",
    palette: "palette indices",
    rgb: "gray values in RGB",
    colour: "colours",
  } as const;
  return [
    {
      title: "Photos",
      rows: [
        ...tally(photos.map(({ format }) => format)).sort(),
        ["turned by EXIF", count(turned)],
        ["megapixels", count(Math.round(pixels / 1e5) / 10)],
      ],
    },
    {
      title: "Sizes (training, validation)",
      rows: [...sizes, ...(more > 0 ? [["other sizes", count(more)] as [string, string]] : [])],
    },
    {
      title: "Mean and deviation in training",
      rows: [["red", channel(0)], ["green", channel(1)], ["blue", channel(2)]],
    },
    {
      title: "Masks",
      rows: [
        ...tally(masks.map(({ kind }) => kinds[kind])),
        ["read by", table === undefined ? "value" : "colour"],
        ["ignored value", info.ignore === null ? "none" : String(info.ignore)],
      ],
    },
    {
      title: "This set",
      rows: [
        ["fingerprint", info.fingerprint ?? ""],
        ["seed, share", `${info.seed}, ${info.ratio}`],
      ],
    },
  ];
}
