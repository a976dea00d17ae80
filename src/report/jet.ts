/**
 * The `jet` colour map, for masks shown as the figures of plotting tools show them.
 * @module
 */

import type { MaskImage, Picture } from "./overlay.ts";

type Knots = readonly (readonly [position: number, level: number])[];

// The knots of matplotlib's jet, https://matplotlib.org/stable/gallery/color/colormap_reference.html
const red: Knots = [[0, 0], [0.35, 0], [0.66, 1], [0.89, 1], [1, 0.5]];
const green: Knots = [[0, 0], [0.125, 0], [0.375, 1], [0.64, 1], [0.91, 0], [1, 0]];
const blue: Knots = [[0, 0.5], [0.11, 1], [0.34, 1], [0.65, 0], [1, 0]];

function level(knots: Knots, position: number): number {
  for (let i = 1; i < knots.length; i++) {
    const [left, low] = knots[i - 1]!;
    const [right, high] = knots[i]!;
    if (position <= right) return low + (high - low) * (position - left) / (right - left);
  }
  return 0;
}

/** The sRGB bytes of jet at `position` in [0, 1], in its 256 steps. */
export function jetColour(position: number): [number, number, number] {
  const step = Math.min(255, Math.floor(Math.min(1, Math.max(0, position)) * 256)) / 255;
  const byte = (knots: Knots) => Math.floor(255 * level(knots, step));
  return [byte(red), byte(green), byte(blue)];
}

/** A mask of `classes` classes in jet: class 0 dark blue, the last class dark red, others white. */
export function jet(mask: MaskImage, classes: number): Picture {
  const table = Array.from(
    { length: classes },
    (_, id) => jetColour(classes > 1 ? id / (classes - 1) : 0),
  );
  const data = new Uint8Array(mask.width * mask.height * 3).fill(255);
  for (let i = 0; i < mask.data.length; i++) {
    const entry = table[mask.data[i]!];
    if (entry) data.set(entry, i * 3);
  }
  return { width: mask.width, height: mask.height, data };
}
