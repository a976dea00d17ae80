/**
 * From names and mask values to classes: which value of the masks is which class.
 *
 * A line of the labels file names the mask value of its number. Values that no line names become
 * `unknown_1`, `unknown_2`, ... in ascending order. The ignored value is no class. Where the masks
 * hold exactly two values and the names do not already cover both (0 and 255, say), the smaller one
 * is class 0 and the larger one class 1.
 * @module
 */

import { parse } from "@std/csv";
import { InputError } from "../errors.ts";
import { readText, shownPath } from "./files.ts";
import { defaultColour } from "./palette.ts";
import type { Rgb } from "./png.ts";

/** Most classes a set can have: labels are bytes, and 255 is the ignored one. */
export const MAX_CLASSES = 255;

/** Names, and colours where the file gives them, by line. */
export interface ClassNames {
  readonly file: string;
  readonly names: readonly string[];
  readonly colours?: readonly Rgb[];
}

/** A class and the value that stands for it in the masks. */
export interface MaskClass {
  readonly id: number;
  readonly name: string;
  readonly color: Rgb;
  readonly value: number;
}

/** Classes of a set, with what the user should know about how they were found. */
export interface ClassDecision {
  readonly classes: readonly MaskClass[];
  readonly warnings: readonly string[];
}

/**
 * Reads class names: one a line, or a `.csv` file of `name` or `name,r,g,b` rows, with a header or
 * without.
 * @throws InputError naming the file and line.
 */
export async function readClassNames(path: string): Promise<ClassNames> {
  const text = await readText(path);
  const file = shownPath(path);
  if (/^\s*#\s*label\s*:/im.test(text)) {
    throw new InputError(
      `${file} is a CVAT label map, which is not supported yet; give one class name a line, ` +
        "or a .csv file with name,r,g,b",
    );
  }
  return path.toLowerCase().endsWith(".csv") ? fromCsv(text, file) : fromLines(text, file);
}

function fromLines(text: string, file: string): ClassNames {
  const names = text.split(/\r\n|\r|\n/).map((line) => line.trim());
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

function fromCsv(text: string, file: string): ClassNames {
  let rows: string[][];
  try {
    rows = parse(text).map((row) => row.map((cell) => cell.trim()));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InputError(`cannot read ${file} as name,r,g,b rows: ${reason}`);
  }
  const header = (rows[0] ?? []).map((cell) => cell.toLowerCase());
  const named = header.includes("name");
  if (!named && header.includes("class")) {
    throw new InputError(
      `${file} has the columns ${header.join(",")}, which is not supported yet; ` +
        "call them name,r,g,b",
    );
  }
  const columns = named ? header : ["name", "r", "g", "b"];
  const body = named ? rows.slice(1) : rows;
  if (body.length === 0) throw new InputError(`${file} names no class; write name,r,g,b rows`);
  const at = ["name", "r", "g", "b"].map((column) => columns.indexOf(column));
  const names: string[] = [];
  const colours: Rgb[] = [];
  for (const [index, row] of body.entries()) {
    const [name = "", ...rgb] = at.map((column) => row[column] ?? "");
    const line = `line ${index + (named ? 2 : 1)} of ${file}`;
    if (name === "") throw new InputError(`${line} has no name; write name,r,g,b`);
    names.push(name);
    if (rgb.every((cell) => cell === "")) continue;
    const [r = NaN, g = NaN, b = NaN] = rgb.map((cell) => /^\d+$/.test(cell) ? Number(cell) : NaN);
    if (![r, g, b].every((part) => part >= 0 && part <= 255)) {
      throw new InputError(
        `${line} gives class ${name} the colour ${rgb.join(",")}, expected three numbers ` +
          "from 0 to 255",
      );
    }
    colours.push([r, g, b]);
  }
  if (colours.length > 0 && colours.length < names.length) {
    throw new InputError(`${file} gives colours to some classes only; give one to each or to none`);
  }
  return colours.length > 0 ? { file, names, colours } : { file, names };
}

/**
 * Decides which mask value is which class.
 * @param values the values that occur in the masks, ascending
 * @param palette colours by mask value, where the masks bring them
 * @throws InputError where fewer than two classes or more than {@linkcode MAX_CLASSES} result.
 */
export function decideClasses(
  named: ClassNames,
  values: readonly number[],
  ignore: number | undefined,
  palette?: readonly Rgb[],
): ClassDecision {
  const used = values.filter((value) => value !== ignore);
  const lines = named.names.map((name, at) => ({ name, color: named.colours?.[at] }));
  const warnings: string[] = [];
  const valueOf = valuesOfLines(lines.length, used, ignore);
  const found = lines.flatMap((line, at) => {
    const value = valueOf[at];
    return value === undefined ? [] : [{ ...line, value }];
  });
  const dropped = lines.filter((_, at) => valueOf[at] === undefined && at !== ignore);
  if (dropped.length > 0) {
    warnings.push(
      `the masks hold the two values ${used.join(" and ")} only, so the other classes of ` +
        `${named.file} are left out: ${few(dropped.map((line) => line.name))}`,
    );
  }
  const known = new Set(found.map((line) => line.value));
  const unknown = used.filter((value) => !known.has(value));
  if (found.length + unknown.length > MAX_CLASSES) {
    throw new InputError(
      `the masks hold ${used.length} different values (${few(used.map(String))}) where ` +
        `${named.file} names ${lines.length} classes; a mask holds one small number for each ` +
        "class, so these are probably shaded or resized pictures",
    );
  }
  const all = [
    ...found,
    ...unknown.map((value, at) => ({ name: `unknown_${at + 1}`, color: undefined, value })),
  ];
  if (all.length < 2) {
    throw new InputError(
      `there is nothing to tell apart: ${named.file} and the masks give ${all.length} class` +
        `${all.length === 1 ? "" : "es"}${
          ignore === undefined ? "" : ` beside the ignored one`
        }, ` +
        "at least two are needed",
    );
  }
  if (unknown.length > 0) {
    const ids = unknown.map((value, at) => `${value} (now unknown_${at + 1})`);
    const hint = unknown.includes(255) && ignore !== 255
      ? "; if 255 marks pixels to leave out, add --ignore 255"
      : "";
    warnings.push(`the masks hold values that ${named.file} does not name: ${few(ids)}${hint}`);
  }
  const colours = distinct(all.map((line) => palette?.[line.value]));
  const classes = all.map(({ name, color, value }, id) => ({
    id,
    name,
    color: color ?? colours?.[id] ?? defaultColour(id, all.length),
    value,
  }));
  const present = new Set(used);
  const absent = classes.filter(({ value }) => !present.has(value)).map(({ name }) => name);
  if (absent.length > 0) warnings.push(`no mask shows ${few(absent)}`);
  const names = classes.map(({ name }) => name);
  const twice = names.filter((name, at) => names.indexOf(name) !== at);
  if (twice.length > 0) warnings.push(`${named.file} names ${few(twice)} more than once`);
  return { classes, warnings };
}

/** The mask value that each line names; `undefined` for a line that names no class. */
function valuesOfLines(
  lines: number,
  used: readonly number[],
  ignore: number | undefined,
): (number | undefined)[] {
  const all = Array.from({ length: lines }, (_, at) => at);
  const highest = used[used.length - 1] ?? 0;
  // With as many lines as the highest value, and the ignored one below it, the file skips that one.
  const skips = ignore !== undefined && ignore < lines - 1 && highest === lines;
  const names = skips ? all : all.filter((at) => at !== ignore);
  if (used.length === 2 && highest >= names.length && !names.includes(highest)) {
    return all.map((at) => names.includes(at) ? used[names.indexOf(at)] : undefined);
  }
  if (skips) return all.map((at) => at < ignore ? at : at + 1);
  return all.map((at) => at === ignore ? undefined : at);
}

function distinct(colours: readonly (Rgb | undefined)[]): Rgb[] | undefined {
  const given = colours.filter((colour) => colour !== undefined);
  const different = new Set(given.map((colour) => colour.join())).size;
  return different === colours.length ? given : undefined;
}

/** The first few of a list, and how many more there are. */
export function few(items: readonly string[], count = 5): string {
  const rest = items.length - count;
  return items.slice(0, count).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
