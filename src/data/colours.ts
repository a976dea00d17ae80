/**
 * Colours as masks use them: packed into one number, looked up in a table of classes.
 * @module
 */

import type { Rgb } from "./png.ts";

/** 0xRRGGBB. */
export function packRgb(r: number, g: number, b: number): number {
  return (r << 16) | (g << 8) | b;
}

/** {@linkcode packRgb} turned round. */
export function unpackRgb(packed: number): Rgb {
  return [packed >> 16, (packed >> 8) & 255, packed & 255];
}

/** A colour as messages show it. */
export function shownColour(packed: number): string {
  return `(${unpackRgb(packed).join(", ")})`;
}

/** Which class a colour stands for; colours must match exactly. */
export class ColourTable {
  readonly #rows = new Map<number, number>();

  /** @param colours the colour of each class, by mask value; of two equal ones the first counts */
  constructor(readonly colours: readonly Rgb[]) {
    colours.forEach((rgb, row) => {
      const packed = packRgb(...rgb);
      if (!this.#rows.has(packed)) this.#rows.set(packed, row);
    });
  }

  /** The row of a packed colour; -1 where the table lacks it. */
  row(packed: number): number {
    return this.#rows.get(packed) ?? -1;
  }

  /** The row whose colour is nearest to a packed one, by distance in RGB. */
  nearest(packed: number): number {
    const [r, g, b] = unpackRgb(packed);
    let best = 0;
    let least = Infinity;
    for (const [row, rgb] of this.colours.entries()) {
      const distance = (rgb[0] - r) ** 2 + (rgb[1] - g) ** 2 + (rgb[2] - b) ** 2;
      if (distance < least) [best, least] = [row, distance];
    }
    return best;
  }

  /** Two rows of one colour, which no mask can tell apart. */
  twice(): readonly [number, number] | undefined {
    const at = this.colours.findIndex((rgb, row) => this.row(packRgb(...rgb)) !== row);
    const rgb = this.colours[at];
    return rgb === undefined ? undefined : [this.row(packRgb(...rgb)), at];
  }
}
