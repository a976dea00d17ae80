/**
 * The colours that masks are shown and saved in.
 * @module
 */
import type { CheckpointClass } from "../mod.ts";
import type { Rgb } from "./view.ts";

/** Brightness between two colours, of 255, that an eye tells apart at a glance. */
const VISIBLE_STEP = 64;

/**
 * The classes' own colours. Two classes that look alike become black and white, as on the command
 * line: their masks have to be seen.
 */
export function classColours(classes: readonly CheckpointClass[]): readonly Rgb[] {
  const [first, second] = classes.map(({ color }) => color);
  const alike = classes.length === 2 && first !== undefined && second !== undefined &&
    Math.max(...first.map((level, c) => Math.abs(level - (second[c] ?? 0)))) < VISIBLE_STEP;
  return alike ? [[0, 0, 0], [255, 255, 255]] : classes.map(({ color }) => color);
}
