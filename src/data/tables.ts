/**
 * The CSV tables of a data folder, in the columns of the original tool.
 * @module
 */

import { parse, stringify } from "@std/csv";
import { InputError } from "../errors.ts";
import { isFile, readText, shownPath } from "./files.ts";

/** A photo and its mask: a row of df_data, df_train and df_valid. */
export interface PairRow {
  /** Photo and mask as the tables name them (see `tablePath`). */
  readonly photo: string;
  readonly mask: string;
  /** The values that occur in the mask, ascending, as they stand in the file. */
  readonly values: readonly number[];
}

/** A photo without a mask: a row of df_test. */
export interface PhotoRow {
  readonly photo: string;
  readonly height: number;
  readonly width: number;
}

const PAIR_COLUMNS = [
  "img_rgb",
  "img_mask",
  "label_min",
  "label_max",
  "label_unique",
  "label_id_list",
] as const;
const PHOTO_COLUMNS = ["img_name", "height", "width", "channel"] as const;

/** Photos are read as RGB, whatever the file holds. */
export const PHOTO_CHANNELS = 3;

/** df_data, df_train or df_valid as text. */
export function pairsToCsv(rows: readonly PairRow[]): string {
  return toCsv(
    PAIR_COLUMNS,
    rows.map(({ photo, mask, values }) => [
      photo,
      mask,
      String(values[0] ?? ""),
      String(values[values.length - 1] ?? ""),
      String(values.length),
      idList(values),
    ]),
  );
}

/** df_test as text. */
export function photosToCsv(rows: readonly PhotoRow[]): string {
  return toCsv(
    PHOTO_COLUMNS,
    rows.map(({ photo, height, width }) => [
      photo,
      String(height),
      String(width),
      String(PHOTO_CHANNELS),
    ]),
  );
}

/** df_label as text: one class name a row, row k for class k. */
export function labelsToCsv(names: readonly string[]): string {
  return toCsv(["label_name"], names.map((name) => [name]));
}

/** `[ 0  1  2]`: values set to one width (of at least two), on one line. */
function idList(values: readonly number[]): string {
  const width = Math.max(2, ...values.map((value) => String(value).length));
  return `[${values.map((value) => String(value).padStart(width)).join(" ")}]`;
}

function toCsv(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  return stringify([columns, ...rows], { headers: false }).replaceAll("\r\n", "\n");
}

/** Reads df_train or df_valid. @throws InputError naming the file and line. */
export async function readPairs(path: string): Promise<PairRow[]> {
  const rows = await readCsv(path, PAIR_COLUMNS);
  return rows.map((row, at) => {
    const [photo, mask, , , , list] = row;
    if (!photo || !mask || list === undefined) throw badRow(path, at);
    return { photo, mask, values: (list.match(/\d+/g) ?? []).map(Number) };
  });
}

/** Reads df_test. @throws InputError naming the file and line. */
export async function readPhotos(path: string): Promise<PhotoRow[]> {
  const rows = await readCsv(path, PHOTO_COLUMNS);
  return rows.map((row, at) => {
    const [photo, height, width] = row;
    const size = [Number(height), Number(width)];
    if (!photo || !size.every((side) => Number.isInteger(side) && side > 0)) {
      throw badRow(path, at);
    }
    return { photo, height: Number(height), width: Number(width) };
  });
}

async function readCsv(path: string, columns: readonly string[]): Promise<string[][]> {
  if (!await isFile(path)) {
    throw new InputError(`${shownPath(path)} is missing; run deno task data again`);
  }
  const text = await readText(path);
  let rows: string[][];
  try {
    rows = parse(text);
  } catch (error) {
    throw new InputError(
      `cannot read ${shownPath(path)}: ${
        error instanceof Error ? error.message : String(error)
      }; ` +
        "run deno task data again",
    );
  }
  const [header = [], ...body] = rows;
  const order = columns.map((column) => header.indexOf(column));
  const missing = columns.filter((_, at) => order[at] === -1);
  if (missing.length > 0) {
    throw new InputError(
      `${shownPath(path)} has no column ${missing.join(", ")}; run deno task data again`,
    );
  }
  return body.map((row) => order.map((at) => row[at] ?? ""));
}

function badRow(path: string, at: number): InputError {
  return new InputError(
    `line ${at + 2} of ${shownPath(path)} is not as deno task data writes it; run it again`,
  );
}
