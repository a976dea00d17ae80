/**
 * Trees, bushes and hedges of a demo scene, each a heap of leafy domes of which the highest shows.
 * @module
 */

import { type Colour, colour, type Frame, Kind, type SceneCanvas, within } from "./canvas.ts";
import type { Random } from "./noise.ts";

const leafColours: readonly [Colour, ...Colour[]] = [
  colour(74, 112, 48),
  colour(58, 98, 46),
  colour(92, 124, 52),
  colour(108, 130, 62),
  colour(66, 104, 66),
  colour(120, 122, 54),
];
const needleColours: readonly [Colour, ...Colour[]] = [
  colour(44, 78, 54),
  colour(56, 86, 70),
  colour(50, 80, 46),
];

/** One dome of leaves of `radius` metres whose top is at `top` metres; `light` 1 is ordinary. */
function dome(
  canvas: SceneCanvas,
  frame: Frame,
  radius: number,
  top: number,
  base: Colour,
  light: number,
): void {
  const { noise } = canvas;
  const offset = frame.x * 3.7 + frame.y * 1.3;
  canvas.paint(frame, radius, radius, (x, y, sample) => {
    const far = (x * x + y * y) / (radius * radius);
    const leaf = noise.at((x + offset) * 5.3, y * 5.3);
    if (far > 0.55 + 0.45 * leaf) return false;
    const rise = Math.sqrt(1 - Math.min(0.96, far));
    const sprig = noise.at((x + offset) * 9.1 + 50, y * 9.1);
    sample.kind = Kind.tree;
    sample.height = top - radius * (1 - rise) * 1.1 + 0.25 * leaf;
    // The exact dome is nearly vertical at its rim; leaves there still catch light.
    const steep = 0.75 / (radius * Math.max(0.45, rise));
    sample.slopeX = -x * steep + 0.9 * (leaf - 0.5);
    sample.slopeY = -y * steep + 0.9 * (sprig - 0.5);
    const brightness = light * (0.42 + 0.3 * rise + 0.42 * leaf * sprig + 0.22 * sprig);
    sample.red = base[0] * brightness * (0.9 + 0.25 * sprig);
    sample.green = base[1] * brightness;
    sample.blue = base[2] * brightness;
    return true;
  });
}

/** A broad-leaved tree with a crown of `radius` metres. */
export function leafTree(
  canvas: SceneCanvas,
  random: Random,
  frame: Frame,
  radius: number,
): void {
  const base = random.pick(leafColours);
  const tall = radius * random.range(1.3, 1.8) + 1.2;
  const squash = random.range(0.8, 1);
  const clumps = Math.round(10 + 6 * radius);
  for (let i = 0; i < clumps; i++) {
    // Golden-angle spacing fills the crown evenly, jitter hides the spiral.
    const far = Math.sqrt((i + 0.5) / clumps);
    const angle = i * 2.39996 + random.range(-0.5, 0.5);
    const size = radius * random.range(0.26, 0.42);
    const out = far * (radius - size * 0.9) + random.range(-0.15, 0.15);
    const at = within(frame, out * Math.cos(angle), out * squash * Math.sin(angle));
    const top = tall - radius * 0.75 * far * far + random.range(-0.3, 0.3);
    const light = random.range(0.8, 1.25) * (1.08 - 0.28 * far);
    dome(canvas, at, size, top, base, light);
  }
}

/** A conifer: a pointed star of branches. */
export function needleTree(
  canvas: SceneCanvas,
  random: Random,
  frame: Frame,
  radius: number,
): void {
  const base = random.pick(needleColours);
  const { noise } = canvas;
  const tall = radius * 2.6 + 1.5;
  const branches = random.int(9, 14);
  const twist = random.range(0, 6);
  canvas.paint(frame, radius, radius, (x, y, sample) => {
    const far = Math.hypot(x, y);
    const angle = Math.atan2(y, x);
    const layer = far / radius;
    const star = 0.5 + 0.5 * Math.cos(angle * branches + twist + 5 * Math.floor(layer * 4));
    const needle = noise.at(x * 6.3 + frame.x, y * 6.3 + frame.y);
    if (layer > 0.72 + 0.16 * star + 0.14 * needle) return false;
    sample.kind = Kind.tree;
    sample.height = tall * (1 - 0.75 * layer) + 0.35 * star + 0.3 * needle;
    sample.slopeX = -1.1 * x / (far + 0.2) + 0.8 * (needle - 0.5);
    sample.slopeY = -1.1 * y / (far + 0.2) + 0.8 * (star - 0.5);
    const rung = (layer * 4) % 1;
    const brightness = 0.45 + 0.35 * star * (1 - rung) + 0.55 * needle;
    sample.red = base[0] * brightness;
    sample.green = base[1] * brightness;
    sample.blue = base[2] * brightness;
    return true;
  });
}

/** A bush of `radius` metres, some of them in flower. */
export function bush(canvas: SceneCanvas, random: Random, frame: Frame, radius: number): void {
  const base = random.pick(leafColours);
  for (let i = 0; i < 4; i++) {
    const at = within(
      frame,
      random.range(-0.4, 0.4) * radius,
      random.range(-0.4, 0.4) * radius,
    );
    const size = radius * random.range(0.55, 0.75);
    dome(canvas, at, size, random.range(0.8, 1.2) + size * 0.4, base, random.range(0.85, 1.3));
  }
}

/** A clipped hedge along x of `frame`, `halfX` metres to each side. */
export function hedge(canvas: SceneCanvas, random: Random, frame: Frame, halfX: number): void {
  const { noise } = canvas;
  const base = random.pick(leafColours);
  const halfY = random.range(0.45, 0.65);
  const top = random.range(1.2, 1.8);
  const seed = random.range(0, 50);
  canvas.paint(frame, halfX, halfY + 0.2, (x, y, sample) => {
    const leaf = noise.at(x * 5.7 + seed, y * 5.7);
    const sprig = noise.at(x * 9.7, y * 9.7 + seed);
    const inside = halfY + 0.2 * (leaf - 0.5) - Math.abs(y);
    if (inside < 0) return false;
    sample.kind = Kind.tree;
    sample.height = top * Math.min(1, 0.6 + inside * 2) + 0.3 * leaf;
    sample.slopeX = 1.4 * (sprig - 0.5);
    sample.slopeY = (inside < 0.2 ? -Math.sign(y) * 0.9 : 0) + 1.2 * (leaf - 0.5);
    const brightness = 0.5 + 0.4 * leaf + 0.4 * sprig;
    sample.red = base[0] * brightness;
    sample.green = base[1] * brightness;
    sample.blue = base[2] * brightness;
    return true;
  });
}
