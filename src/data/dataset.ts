/**
 * A prepared data set as training and scoring read it: `processed/dataset.json` and the tables
 * beside it.
 * @module
 */

import { basename, dirname, join } from "node:path";
import { InputError } from "../errors.ts";
import {
  fromTablePath,
  isFile,
  isFolder,
  listFiles,
  readText,
  shownPath,
  stem,
  tablePath,
} from "./files.ts";
import { IGNORED } from "../train/metrics.ts";
import { ColourTable } from "./colours.ts";
import { maskValues, type StoredMask } from "./mask.ts";
import type { Rgb } from "./png.ts";
import { readPairs, readPhotos } from "./tables.ts";

/** The version of dataset.json that this program writes and reads. */
export const DATASET_VERSION = 1;

/** A class of the set. */
export interface ClassInfo {
  /** 0 to K-1, the channel of the network's output. */
  readonly id: number;
  readonly name: string;
  readonly color: Rgb;
  /** The value that stands for it in the masks. */
  readonly value: number;
  /** Pixels of this class in all masks of training and validation. */
  readonly pixels: number;
  /** Pixels of this class in the masks of training alone. */
  readonly trainPixels: number;
}

/** The contents of dataset.json. */
export interface DatasetInfo {
  readonly version: number;
  readonly classes: readonly ClassInfo[];
  /** The mask value that counts nowhere. */
  readonly ignore: number | null;
  /** Pixels with that value in all masks of training and validation. */
  readonly ignoredPixels: number;
  /**
   * Where masks are drawn in the colours of their classes: the colour of each mask value, the ignored
   * one's too.
   */
  readonly maskColors?: readonly Rgb[];
  /** Channels of a photo as the network reads it. */
  readonly channels: number;
  /** Mean and standard deviation of red, green and blue in training, with 1 for full light. */
  readonly channelMean?: Rgb;
  readonly channelDeviation?: Rgb;
  /** Of the bytes of all files and the split: two sets of one fingerprint are the same set. */
  readonly fingerprint?: string;
  readonly ratio: number;
  readonly seed: number;
  /** Images in each part. */
  readonly images: { readonly train: number; readonly valid: number; readonly test: number };
  /** The sizes of the photos of training and validation, in pixels, the commonest first. */
  readonly sizes: readonly {
    readonly width: number;
    readonly height: number;
    readonly images: number;
  }[];
}

/** A photo, and its mask where there is one, as absolute paths. */
export interface Sample {
  readonly image: string;
  readonly mask?: string;
  /** In pixels, where the tables hold it. */
  readonly width?: number;
  readonly height?: number;
}

/** The parts of a set. */
export type SplitName = "train" | "valid" | "test";

/** A prepared set. */
export interface Dataset {
  /** The data folder. */
  readonly folder: string;
  readonly info: DatasetInfo;
  readonly train: readonly Sample[];
  readonly valid: readonly Sample[];
  readonly test: readonly Sample[];
}

/**
 * Loads what `deno task data` wrote.
 * @param folder the data folder
 * @param needed the parts whose files must be there now; the others are listed unchecked
 * @throws InputError where the set is not prepared, damaged, or files of a needed part are gone.
 */
export async function loadDataset(
  folder: string,
  needed: readonly SplitName[] = ["train", "valid"],
): Promise<Dataset> {
  const processed = join(folder, "processed");
  const info = await readInfo(join(processed, "dataset.json"), folder);
  const pairs = async (name: string): Promise<Sample[]> => {
    const rows = await readPairs(join(processed, name));
    return rows.map(({ photo, mask }) => ({
      image: fromTablePath(photo, folder),
      mask: fromTablePath(mask, folder),
    }));
  };
  const dataset = {
    folder,
    info,
    train: await pairs("df_train.csv"),
    valid: await pairs("df_valid.csv"),
    test: await testSamples(join(processed, "df_test.csv"), folder),
  };
  for (const part of needed) await checkFiles(dataset[part], part, folder);
  return dataset;
}

async function testSamples(table: string, folder: string): Promise<Sample[]> {
  const rows = await readPhotos(table);
  const masks = new Map<string, ReadonlyMap<string, string>>();
  const samples: Sample[] = [];
  for (const { photo, width, height } of rows) {
    const image = fromTablePath(photo, folder);
    const maskFolder = join(dirname(dirname(image)), "masks");
    let known = masks.get(maskFolder);
    if (known === undefined) masks.set(maskFolder, known = await masksOf(maskFolder));
    const mask = known.get(stem(image));
    samples.push({ image, width, height, ...(mask === undefined ? {} : { mask }) });
  }
  return samples;
}

/** Masks of a folder by what is before their ending; empty where the folder is missing. */
export async function masksOf(folder: string): Promise<Map<string, string>> {
  if (!await isFolder(folder)) return new Map();
  const { files } = await listFiles(folder, [".png"]);
  return new Map(files.map((file) => [stem(file), file]));
}

async function checkFiles(
  samples: readonly Sample[],
  part: SplitName,
  folder: string,
): Promise<void> {
  if (samples.length === 0) {
    const hint = part === "test"
      ? "put photos into raw/test/images and run deno task data again"
      : "run deno task data again";
    throw new InputError(`${shownPath(folder)} has no images for ${part}; ${hint}`);
  }
  for (const { image, mask } of samples) {
    for (const file of mask === undefined ? [image] : [image, mask]) {
      if (await isFile(file)) continue;
      throw new InputError(
        `${shownPath(file)} is gone, though df_${part}.csv lists it; put it back, ` +
          `or run deno task data again (the table calls it ${tablePath(file, folder)})`,
      );
    }
  }
}

/** The command that prepares a data folder. */
export function dataCommand(folder: string): string {
  return `deno task data${basename(folder) === "data" ? "" : ` --data ${shownPath(folder)}`}`;
}

async function readInfo(path: string, folder: string): Promise<DatasetInfo> {
  const command = dataCommand(folder);
  if (!await isFile(path)) {
    const state = await isFolder(folder)
      ? `${shownPath(folder)} is not prepared (no ${shownPath(path)})`
      : `no data folder ${shownPath(folder)}`;
    throw new InputError(`${state}; run ${command} first`);
  }
  const text = await readText(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (!isInfo(value)) {
    throw new InputError(
      `${shownPath(path)} is not as deno task data writes it; run ${command} again`,
    );
  }
  if (value.version !== DATASET_VERSION) {
    throw new InputError(
      `${shownPath(path)} has version ${value.version}, this program reads ${DATASET_VERSION}; ` +
        `run ${command} again`,
    );
  }
  return value;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0;

function isInfo(value: unknown): value is DatasetInfo {
  return isRecord(value) && isCount(value.version) && isCount(value.channels) &&
    (value.ignore === null || isCount(value.ignore)) && Array.isArray(value.sizes) &&
    (value.maskColors === undefined ||
      Array.isArray(value.maskColors) && value.maskColors.every(isColour)) &&
    isRecord(value.images) && Array.isArray(value.classes) && value.classes.length >= 2 &&
    value.classes.length <= IGNORED && value.classes.every(isClassInfo);
}

function isClassInfo(value: unknown, at: number): boolean {
  return isRecord(value) && value.id === at && typeof value.name === "string" &&
    isCount(value.value) && value.value < 65536 && isCount(value.pixels) &&
    isCount(value.trainPixels) && isColour(value.color);
}

const isColour = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 3 && value.every(isCount);

/** From masks to labels. */
export interface ValueMap {
  /** Label of every possible mask value; -1 for a value that is no class. */
  readonly lookup: Int16Array;
  /**
   * Labels of mask values: class ids, and {@linkcode IGNORED} for the ignored value.
   * @param data `[height, width]` mask values
   * @param name the file's name, for the message
   * @throws InputError naming the file and a value that is no class.
   */
  toLabels(data: Uint8Array | Uint16Array, name: string): Uint8Array<ArrayBuffer>;
  /** Labels of a decoded mask, whether it holds values or colours. @throws InputError as above */
  labelsOf(mask: StoredMask, name: string): Uint8Array<ArrayBuffer>;
}

/** The mapping from masks to class ids of a set. */
export function valueToClass(
  info: Pick<DatasetInfo, "classes" | "ignore" | "maskColors">,
): ValueMap {
  const lookup = new Int16Array(65536).fill(-1);
  for (const { id, value } of info.classes) lookup[value] = id;
  if (info.ignore !== null) lookup[info.ignore] = IGNORED;
  const table = info.maskColors && new ColourTable(info.maskColors);
  const map: ValueMap = {
    lookup,
    toLabels(data, name) {
      const labels = new Uint8Array(data.length);
      for (let i = 0; i < data.length; i++) {
        const value = data[i] ?? 0;
        const label = lookup[value] ?? -1;
        if (label < 0) {
          throw new InputError(
            `${name} holds the value ${value}, which is no class of this data set; ` +
              "correct the mask, or run deno task data again",
          );
        }
        labels[i] = label;
      }
      return labels;
    },
    labelsOf: (mask, name) => map.toLabels(maskValues(mask, table, name).data, name),
  };
  return map;
}
