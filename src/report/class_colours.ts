/**
 * The colours that masks are shown and saved in.
 * @module
 */

/** Red, green, blue, 0 to 255. */
type Rgb = readonly [number, number, number];

/** Brightness between two colours, of 255, that an eye tells apart at a glance. */
const VISIBLE_STEP = 64;

/**
 * The classes' own colours. Two classes that look alike become black and white: their masks have to
 * be seen.
 */
export function classColours(classes: readonly { readonly color: Rgb }[]): readonly Rgb[] {
  const colours = classes.map(({ color }) => color);
  const [first, second] = colours;
  const alike = colours.length === 2 && first !== undefined && second !== undefined &&
    Math.max(...first.map((level, c) => Math.abs(level - (second[c] ?? 0)))) < VISIBLE_STEP;
  return alike ? [[0, 0, 0], [255, 255, 255]] : colours;
}
