/**
 * From names and mask values to classes: which value of the masks is which class.
 *
 * A line of the labels file names the mask value of its number. Values that no line names become
 * `unknown_1`, `unknown_2`, ... in ascending order. The ignored value is no class. Where the masks
 * hold exactly two values and the names do not already cover both (0 and 255, say), the smaller one
 * is class 0 and the larger one class 1.
 * @module
 */

import { InputError } from "../errors.ts";
import type { ClassNames } from "./class_names.ts";
import { defaultColour } from "./palette.ts";
import type { Rgb } from "./png.ts";

/** Most classes a set can have: labels are bytes, and 255 is the ignored one. */
export const MAX_CLASSES = 255;

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
 * Decides which mask value is which class.
 * @param values the values that occur in the masks, ascending
 * @param palette colours by mask value, where the masks bring them
 * @param where says which masks hold a value, for the message about values without a name
 * @throws InputError where fewer than two classes or more than {@linkcode MAX_CLASSES} result.
 */
export function decideClasses(
  named: ClassNames,
  values: readonly number[],
  ignore: number | undefined,
  palette?: readonly Rgb[],
  where?: (value: number) => string,
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
      `the masks hold nothing but ${used.join(" and ")}, so the other classes of ` +
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
    const ids = unknown.map((value, at) =>
      `${value} (now unknown_${at + 1}${where === undefined ? "" : `, ${where(value)}`})`
    );
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
  // A set that shows nothing but the foreground of a binary mask.
  if (used.length === 1 && highest === 255 && names.length >= 2 && !names.includes(255)) {
    return valuesOfLines(lines, [0, 255], ignore);
  }
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
