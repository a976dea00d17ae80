/**
 * Weights of the classes in the loss, as the user gives them.
 * @module
 */

import { parse } from "@std/csv";
import { kindOf, readText, resolveUserPath, shownPath } from "../src/data/files.ts";
import { InputError } from "../src/errors.ts";
import { classWeights } from "../src/train/class_weights.ts";

/** A class with what is counted of it. */
interface CountedClass {
  readonly name: string;
  readonly trainPixels: number;
}

/**
 * The weights that `--class-weights` asks for, by class id: `none`, `auto`, or a CSV file of
 * `name,weight`, in which classes that it leaves out weigh 1.
 * @throws {InputError} naming file and line.
 */
export async function weightsOf(
  asked: string,
  classes: readonly CountedClass[],
): Promise<number[] | null> {
  if (asked === "none") return null;
  if (asked === "auto") return [...classWeights(classes.map(({ trainPixels }) => trainPixels))];
  const path = resolveUserPath(asked);
  const file = `--class-weights ${shownPath(path)}`;
  if (await kindOf(path) === undefined) {
    throw new InputError(
      `${file} does not exist; name a CSV file with lines such as road,0.5, or use auto or none`,
    );
  }
  const weights = classes.map(() => 1);
  let rows: string[][];
  try {
    rows = parse(await readText(path), { trimLeadingSpace: true });
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(
      `${file} is no table of class weights: ${error instanceof Error ? error.message : error}; ` +
        "write lines such as road,0.5",
    );
  }
  const known = new Set<string>();
  rows.forEach(([name = "", weight = ""], i) => {
    name = name.trim();
    const line = `${file}, line ${i + 1}`;
    if (i === 0 && name.toLowerCase() === "name") return;
    const id = classes.findIndex((c) => c.name === name);
    if (id < 0) {
      const names = classes.map((c) => c.name).join(", ");
      throw new InputError(`${line}: '${name}' is no class of this set; its classes are ${names}`);
    }
    if (known.has(name)) throw new InputError(`${line} weighs '${name}' again; leave one line`);
    known.add(name);
    const value = Number(weight);
    if (weight.trim() === "" || !Number.isFinite(value) || value < 0) {
      throw new InputError(
        `${line}: '${weight}' is no weight; write a number of at least 0, such as ${name},1.5`,
      );
    }
    weights[id] = value;
  });
  if (known.size === 0) {
    throw new InputError(
      `${file} weighs no class; write lines such as road,0.5, or leave --class-weights out`,
    );
  }
  if (weights.some((weight) => weight > 0)) return weights;
  throw new InputError(`${file} gives every class the weight 0; give one of them more`);
}
