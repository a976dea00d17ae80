/**
 * The files that name classes: `labels.txt` with a name a line, `class_dict.csv` with names and
 * colours, CVAT's `labelmap.txt`.
 * @module
 */

import { join } from "node:path";
import { parse } from "@std/csv";
import { InputError } from "../errors.ts";
import { isFile, readText, shownPath } from "./files.ts";
import type { Rgb } from "./png.ts";

/** Names, and colours where the file gives them, by line. */
export interface ClassNames {
  readonly file: string;
  readonly names: readonly string[];
  readonly colours?: readonly Rgb[];
}

/** What is looked for in the raw folder; the tables with colours stand before the plain list. */
const TABLES = ["class_dict.csv", "labelmap.txt"] as const;
const PLAIN = "labels.txt";

/**
 * Reads the names of a raw folder, or of `file` where the user chose one.
 * @throws InputError where there is none, or where several disagree.
 */
export async function findClassNames(raw: string, file?: string): Promise<ClassNames> {
  if (file !== undefined) return await readClassNames(file);
  const there: ClassNames[] = [];
  for (const name of [...TABLES, PLAIN]) {
    const path = join(raw, name);
    if (await isFile(path)) there.push(await readClassNames(path));
  }
  const [first, ...others] = there;
  if (first === undefined) {
    throw new InputError(
      `no ${
        shownPath(join(raw, PLAIN))
      }; write one class name a line (line 1 names mask value 0), ` +
        "put a class_dict.csv or labelmap.txt with the colours of colour masks there, or name " +
        "another file with --classes",
    );
  }
  for (const other of others) {
    const at = first.names.findIndex((name, k) => name !== other.names[k]);
    if (at < 0 && first.names.length === other.names.length) continue;
    const line = at < 0 ? first.names.length : at;
    throw new InputError(
      `${first.file} and ${other.file} disagree: class ${line} is ` +
        `${first.names[line] ?? "missing"} in one and ${other.names[line] ?? "missing"} in the ` +
        "other; remove one of them, or choose one with --classes",
    );
  }
  return first;
}

/**
 * Reads class names: one a line, a CVAT label map, or a `.csv` file of names and colours.
 * @throws InputError naming the file and line.
 */
export async function readClassNames(path: string): Promise<ClassNames> {
  const text = await readText(path);
  const file = shownPath(path);
  if (/^\s*#\s*label\s*:/im.test(text)) return fromLabelMap(text, file);
  return path.toLowerCase().endsWith(".csv") ? fromCsv(text, file) : fromLines(text, file);
}

const lines = (text: string): string[] => text.split(/\r\n|\r|\n/).map((line) => line.trim());

function fromLines(text: string, file: string): ClassNames {
  const names = lines(text);
  while (names.length > 0 && names[names.length - 1] === "") names.pop();
  const empty = names.indexOf("");
  if (names.length === 0) throw new InputError(`${file} is empty; write one class name a line`);
  if (empty >= 0) {
    throw new InputError(
      `line ${empty + 1} of ${file} is empty, but line k names class k; write a name there`,
    );
  }
  return { file, names };
}

/**
 * CVAT's `labelmap.txt`: `name:r,g,b:parts:actions` lines under a `# label:color_rgb:parts:actions`
 * header.
 *
 * Source: https://docs.cvat.ai/docs/dataset_management/formats/format-smask/
 */
function fromLabelMap(text: string, file: string): ClassNames {
  const names: string[] = [];
  const colours: Rgb[] = [];
  for (const [at, line] of lines(text).entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const [name = "", rgb = ""] = line.split(":").map((part) => part.trim());
    const where = `line ${at + 1} of ${file}`;
    if (name === "") throw new InputError(`${where} has no name; write name:r,g,b::`);
    names.push(name);
    colours.push(colour(rgb.split(",").map((part) => part.trim()), name, where));
  }
  if (names.length === 0) throw new InputError(`${file} names no class; write name:r,g,b:: lines`);
  return { file, names, colours };
}

/** What a column of names is called. */
const CALLED = ["name", "class", "label"];

/** Spreadsheets write semicolons where a comma is part of numbers, and tabs when they are asked to. */
const SEPARATORS = [",", ";", "\t"];

/**
 * The rows, by the separator that makes sense of the first one: as a header, or as a name and a
 * colour. A file of names alone has none.
 */
function rowsOf(text: string, file: string): string[][] {
  const start = lines(text).find((line) => line !== "") ?? "";
  const cellsBy = (separator: string): string[] => {
    try {
      return (parse(start, { separator })[0] ?? []).map((cell) => cell.trim());
    } catch {
      return [];
    }
  };
  const possible = SEPARATORS.filter((separator) => cellsBy(separator).length > 1);
  const makesSense = (separator: string) => {
    const cells = cellsBy(separator);
    return cells.some((cell) => CALLED.includes(cell.toLowerCase())) ||
      cells.length > 3 && cells.slice(1, 4).every((cell) => /^\d+$/.test(cell));
  };
  const told = possible.find(makesSense);
  if (told === undefined && possible.some((separator) => separator !== ",")) {
    throw new InputError(
      `cannot tell what separates the columns of ${file}, which begins with '${start}'; write ` +
        "name,r,g,b as its first line, or names alone into a .txt file",
    );
  }
  try {
    return parse(text, { separator: told ?? "," }).map((row) => row.map((cell) => cell.trim()));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InputError(`cannot read ${file} as name,r,g,b rows: ${reason}`);
  }
}

function fromCsv(text: string, file: string): ClassNames {
  const rows = rowsOf(text, file);
  const header = (rows[0] ?? []).map((cell) => cell.toLowerCase());
  const called = CALLED.find((word) => header.includes(word));
  const columns = called === undefined ? ["name", "r", "g", "b"] : header;
  const body = called === undefined ? rows : rows.slice(1);
  if (body.length === 0) throw new InputError(`${file} names no class; write name,r,g,b rows`);
  const column = (...words: string[]) => columns.findIndex((cell) => words.includes(cell));
  const at = [column(called ?? "name"), column("r", "red"), column("g", "green")];
  at.push(column("b", "blue"));
  const names: string[] = [];
  const colours: Rgb[] = [];
  for (const [index, row] of body.entries()) {
    const [name = "", ...rgb] = at.map((from) => row[from] ?? "");
    const where = `line ${index + (called === undefined ? 1 : 2)} of ${file}`;
    if (name === "") throw new InputError(`${where} has no name; write name,r,g,b`);
    names.push(name);
    if (rgb.some((cell) => cell !== "")) colours.push(colour(rgb, name, where));
  }
  if (colours.length > 0 && colours.length < names.length) {
    throw new InputError(`${file} gives colours to some classes only; give one to each or to none`);
  }
  return colours.length > 0 ? { file, names, colours } : { file, names };
}

function colour(cells: readonly string[], name: string, where: string): Rgb {
  const [r = NaN, g = NaN, b = NaN] = cells.map((cell) => /^\d+$/.test(cell) ? Number(cell) : NaN);
  if (cells.length !== 3 || ![r, g, b].every((part) => part >= 0 && part <= 255)) {
    throw new InputError(
      `${where} gives class ${name} the colour ${cells.join(",")}, expected three numbers ` +
        "from 0 to 255",
    );
  }
  return [r, g, b];
}
