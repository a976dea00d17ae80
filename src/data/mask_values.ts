/**
 * Which number in which mask is which class value: decided for a whole set, since a single mask
 * cannot tell. A palette mask of the table's colours may come from a program that sorts its palette
 * anew for every file; a black and white one may show the numbers 0 and 255 or two colours.
 * @module
 */

import { InputError } from "../errors.ts";
import type { ClassNames } from "./class_names.ts";
import { few } from "./classes.ts";
import { ColourTable, shownColour } from "./colours.ts";
import { colourOf } from "./mask.ts";
import type { MaskFacts } from "./pair_job.ts";

/** A mask that was looked at, and its name for messages. */
export interface NamedMask {
  readonly name: string;
  readonly facts: MaskFacts;
}

/**
 * The table to read masks by, or `undefined` where their values are class values. Masks are read by
 * colour when some hold colours; also when all that palette masks show is in the table, or all grays
 * are and some are no rows of it.
 * @throws InputError where masks hold colours and there is no table, or two classes have one colour.
 */
export function colourTable(
  names: ClassNames,
  masks: readonly NamedMask[],
): ColourTable | undefined {
  const coloured = masks.filter(({ facts }) => facts.kind === "colour");
  if (names.colours === undefined) {
    const [first] = coloured;
    // A stray one among masks of values is a bad file; all of them are a set without its table.
    if (first === undefined || 2 * coloured.length < masks.length) return undefined;
    const colours = first.facts.counts.map(([value]) => shownColour(value));
    throw new InputError(
      `${coloured.length} of ${masks.length} masks hold colours, such as ${few(colours, 3)} in ` +
        `${first.name}, and ${names.file} gives the classes no colours; put a class_dict.csv ` +
        "(name,r,g,b) or CVAT's labelmap.txt beside the labels, or name one with --classes",
    );
  }
  const table = new ColourTable(names.colours);
  if (coloured.length === 0 && !allListed(table, masks)) return undefined;
  const twice = table.twice();
  if (twice !== undefined) {
    throw new InputError(
      `${names.file} gives ${names.names[twice[0]]} and ${
        names.names[twice[1]]
      } the same colour, ` +
        "which colour masks cannot tell apart; give each class a colour of its own",
    );
  }
  return table;
}

function allListed(table: ColourTable, masks: readonly NamedMask[]): boolean {
  let beyond = false;
  for (const { facts } of masks) {
    for (const [value] of facts.counts) {
      if (table.row(colourOf(value, facts)) < 0) return false;
      if (facts.kind === "palette" || value >= table.colours.length) beyond = true;
    }
  }
  return beyond;
}

/**
 * Pixels of each class value of a mask.
 * @throws InputError naming the mask and its colours that are in no table.
 */
export function valueCounts(
  { name, facts }: NamedMask,
  table: ColourTable | undefined,
  names: ClassNames,
): ReadonlyMap<number, number> {
  if (table === undefined) {
    if (facts.kind !== "colour") return new Map(facts.counts);
    throw new InputError(
      `${name} holds colours, such as ${shownColour(facts.counts.at(-1)?.[0] ?? 0)}, where the ` +
        "other masks hold class values; export it like them",
    );
  }
  const counts = new Map<number, number>();
  const unknown: [number, number][] = [];
  for (const [value, pixels] of facts.counts) {
    const colour = colourOf(value, facts);
    const row = table.row(colour);
    if (row >= 0) counts.set(row, (counts.get(row) ?? 0) + pixels);
    else unknown.push([colour, pixels]);
  }
  if (unknown.length === 0) return counts;
  unknown.sort((a, b) => b[1] - a[1]);
  const shown = unknown.map(([colour, pixels]) =>
    colour < 0
      ? `a value without a colour in ${pixels} pixels`
      : `${shownColour(colour)} in ${pixels} pixels (nearest: ${describe(table, colour, names)})`
  );
  const total = unknown.reduce((sum, [, pixels]) => sum + pixels, 0);
  const share = 100 * total / (facts.width * facts.height);
  throw new InputError(
    `${name} holds ${unknown.length} colour${unknown.length === 1 ? "" : "s"} that ${names.file} ` +
      `does not list, ${share < 0.01 ? "less than 0.01" : share.toFixed(2)} % of its pixels: ` +
      `${few(shown, 3)}; colours must match exactly, so draw masks without smooth edges, or add ` +
      "the colours to the table",
  );
}

function describe(table: ColourTable, colour: number, names: ClassNames): string {
  const row = table.nearest(colour);
  return `${names.names[row]} (${table.colours[row]?.join(", ")})`;
}
