/**
 * Everything flat in a demo scene: grass, roads, paving, soil and water. Each function returns a
 * shader for `SceneCanvas.paint`; lengths are metres.
 * @module
 */

import { type Colour, colour, Kind, type Shader, tint } from "./canvas.ts";
import type { NoiseField, Random } from "./noise.ts";

const dry = colour(172, 160, 98);
const white = colour(235, 235, 228);

/** Grass: patches, blades and, where `stripe` is not 0, the lighter and darker lanes of a mower. */
export function grass(noise: NoiseField, base: Colour, dryness: number, stripe: number): Shader {
  return (x, y, sample) => {
    const patch = noise.rough(x * 0.23 + 40, y * 0.23);
    const tuft = noise.cell(Math.floor(x * 11), Math.floor(y * 11));
    const blade = noise.at(x * 4.7, y * 4.7) + 0.5 * tuft + 0.25;
    const lane = stripe === 0 ? 0 : Math.sin(x * Math.PI / stripe) > 0 ? 0.08 : -0.08;
    const light = 0.62 + 0.2 * blade + 0.3 * (patch - 0.5) + lane;
    const straw = Math.min(1, Math.max(0, (patch - 0.72 + 0.45 * dryness) * 2.6));
    sample.kind = Kind.grass;
    sample.red = (base[0] + (dry[0] - base[0]) * straw) * light;
    sample.green = (base[1] + (dry[1] - base[1]) * straw) * light;
    sample.blue = (base[2] + (dry[2] - base[2]) * straw) * light;
    return true;
  };
}

/** Asphalt brightness: grain, wear along the wheel tracks and darker repaired patches. */
function asphaltLight(noise: NoiseField, x: number, y: number, seed: number): number {
  const grain = noise.at(x * 8.3, y * 8.3) - 0.5;
  const wear = noise.rough(x * 0.35 + seed, y * 0.9) - 0.5;
  const repaired = noise.at(x * 0.17 - seed, y * 0.4 + seed) > 0.86 ? 0.8 : 1;
  const crack = Math.abs(noise.rough(x * 0.6 + seed, y * 0.6) - 0.5) < 0.006 ? 0.75 : 1;
  return (1 + 0.28 * grain + 0.3 * wear) * repaired * crack;
}

/** A road along x: asphalt `halfWidth` to each side, kerbs, and markings as asked. */
export function road(
  noise: NoiseField,
  base: Colour,
  halfWidth: number,
  marks: { dashes: boolean; edges: boolean; zebraAt?: number },
): Shader {
  const kerb = colour(178, 176, 170);
  const seed = halfWidth * 31 + base[0] * 100;
  return (x, y, sample) => {
    sample.kind = Kind.paved;
    const off = Math.abs(y);
    if (off > halfWidth) {
      const joint = Math.abs(x - Math.round(x)) < 0.05 ? 0.75 : 1;
      tint(sample, kerb, joint * (0.85 + 0.3 * noise.at(x * 5, y * 5)));
      return true;
    }
    const light = asphaltLight(noise, x, y, seed);
    const worn = noise.at(x * 4.3, y * 4.3) > 0.14;
    const zebra = marks.zebraAt !== undefined && Math.abs(x - marks.zebraAt) < 1.4;
    const painted = zebra
      ? off < halfWidth - 0.25 && (y + 40) % 1 < 0.5
      : (marks.dashes && off < 0.09 && (x + 300) % 5 < 2.2) ||
        (marks.edges && Math.abs(off - halfWidth + 0.35) < 0.07);
    if (painted && worn) tint(sample, white, 0.72 + 0.2 * light);
    else tint(sample, base, light * (off > halfWidth - 0.3 ? 0.86 : 1));
    return true;
  };
}

/** Slabs of `across` by `along` metres with dark joints, each a little different. */
export function slabs(noise: NoiseField, base: Colour, across: number, along: number): Shader {
  return (x, y, sample) => {
    const row = Math.floor(y / along);
    const shifted = x / across + (row & 1) * 0.5;
    const column = Math.floor(shifted);
    const edgeX = (shifted - column) * across;
    const edgeY = y - row * along;
    const joint = edgeX < 0.06 || edgeY < 0.06 ? 0.68 : 1;
    const stain = 0.85 + 0.3 * noise.rough(x * 0.8 + 5, y * 0.8);
    const light = joint * stain * (0.86 + 0.22 * noise.cell(column + 31, row + 57));
    sample.kind = Kind.paved;
    tint(sample, base, light * (0.92 + 0.16 * noise.at(x * 9, y * 9)));
    return true;
  };
}

/** A car park: asphalt, and along both long sides bays `bay` wide and `depth` deep. */
export function parking(
  noise: NoiseField,
  base: Colour,
  halfX: number,
  halfY: number,
  bay: number,
  depth: number,
): Shader {
  return (x, y, sample) => {
    const intoBay = Math.abs(y) - (halfY - depth);
    const fromLine = Math.abs((x + halfX) / bay - Math.round((x + halfX) / bay)) * bay;
    const rim = halfX - Math.abs(x) < 0.18 || halfY - Math.abs(y) < 0.18;
    const line = intoBay > 0 && fromLine < 0.07;
    sample.kind = Kind.paved;
    const light = asphaltLight(noise, x, y, 71);
    const oil = intoBay > 0 ? 1 - 0.25 * noise.at(x * 0.9 + 3, y * 0.9) : 1;
    if (rim) tint(sample, white, 0.5 + 0.1 * light);
    else if (line && noise.at(x * 4, y * 4) > 0.12) tint(sample, white, 0.72 + 0.2 * light);
    else tint(sample, base, light * oil);
    return true;
  };
}

/** A winding gravel or asphalt footpath along x, `halfWidth` to each side of its middle. */
export function footpath(noise: NoiseField, base: Colour, halfWidth: number, bend: number): Shader {
  return (x, y, sample) => {
    const middle = bend * Math.sin(x * 0.16) + 0.4 * bend * Math.sin(x * 0.37 + 1);
    const ragged = 0.12 * (noise.at(x * 2.2, y * 2.2) - 0.5);
    if (Math.abs(y - middle) > halfWidth + ragged) return false;
    sample.kind = Kind.paved;
    tint(sample, base, 0.75 + 0.2 * noise.at(x * 8, y * 8) + 0.3 * noise.at(x * 1.1, y * 1.1));
    return true;
  };
}

/** Dug earth in a rectangle with furrows along x, its edge a little ragged. */
export function bed(noise: NoiseField, base: Colour, halfX: number, halfY: number): Shader {
  return (x, y, sample) => {
    const ragged = 0.22 * noise.at(x * 1.9 + 11, y * 1.9);
    if (halfX - Math.abs(x) < ragged || halfY - Math.abs(y) < ragged) return false;
    const furrow = Math.sin(y * 9 + 0.6 * noise.at(x, y)) * 0.14;
    sample.kind = Kind.soil;
    tint(sample, base, 0.6 + furrow + 0.45 * noise.at(x * 6, y * 6) + 0.2 * noise.at(x, y));
    return true;
  };
}

/** Worn, bare ground with a cloudy outline inside the ellipse (halfX, halfY). */
export function bareGround(noise: NoiseField, base: Colour, halfX: number, halfY: number): Shader {
  return (x, y, sample) => {
    const far = Math.hypot(x / halfX, y / halfY);
    if (far > 0.62 + 0.38 * noise.rough(x * 0.7 + 3, y * 0.7)) return false;
    const pebble = noise.at(x * 8.7, y * 8.7);
    sample.kind = Kind.soil;
    tint(sample, base, 0.62 + 0.38 * pebble + 0.3 * noise.rough(x * 0.8, y * 0.8));
    return true;
  };
}

/** A swimming pool with rounded corners and a stone coping of 0.45 m around the water. */
export function pool(noise: NoiseField, random: Random, halfX: number, halfY: number): Shader {
  const water = random.pick([colour(70, 180, 205), colour(95, 200, 210), colour(60, 150, 200)]);
  const coping = random.pick([colour(205, 200, 188), colour(188, 160, 135), colour(170, 170, 172)]);
  const corner = random.chance(0.5) ? 0.5 : Math.min(halfX, halfY) - 0.5;
  const stepsAt = random.chance(0.5) ? 1 : -1;
  return (x, y, sample) => {
    const outX = Math.max(0, Math.abs(x) - halfX + 0.45 + corner);
    const outY = Math.max(0, Math.abs(y) - halfY + 0.45 + corner);
    const outside = Math.hypot(outX, outY) - corner;
    if (outside > 0.45) return false;
    if (outside > 0) {
      sample.kind = Kind.paved;
      const joint = Math.abs(x - Math.round(x)) < 0.04 || Math.abs(y - Math.round(y)) < 0.04;
      tint(sample, coping, (joint ? 0.75 : 1) * (0.88 + 0.2 * noise.at(x * 6, y * 6)));
      return true;
    }
    // Light focused by waves draws bright threads where two ripple fields agree.
    const ripple = noise.at(x * 1.7, y * 1.7) - noise.at(x * 1.5 + 31, y * 1.5 + 12);
    const thread = Math.max(0, 1 - Math.abs(ripple) * 9);
    const deep = 0.78 + 0.16 * (stepsAt * x) / halfX;
    const step = stepsAt * x > halfX - 1.4 ? 1.12 : 1;
    const wall = outside > -0.18 ? 0.8 : 1;
    sample.kind = Kind.water;
    tint(sample, water, deep * step * wall * (0.92 + 0.38 * thread));
    return true;
  };
}

/** A pond: dark water with the sky on it, in a cloudy outline with a muddy rim. */
export function pond(noise: NoiseField, halfX: number, halfY: number): Shader {
  const water = colour(62, 84, 82);
  const sky = colour(140, 165, 185);
  const rim = colour(128, 112, 84);
  return (x, y, sample) => {
    const far = Math.hypot(x / halfX, y / halfY);
    const shore = 0.74 + 0.24 * noise.rough(x * 0.35 + 8, y * 0.35);
    if (far > shore) return false;
    if (far > shore - 0.07) {
      sample.kind = Kind.soil;
      tint(sample, rim, 0.6 + 0.6 * noise.at(x * 5, y * 5));
      return true;
    }
    const gloss = 0.38 * noise.at(x * 0.3, y * 0.3) + 0.18 * noise.at(x * 1.1 + y, y * 4.5);
    sample.kind = Kind.water;
    sample.red = water[0] + (sky[0] - water[0]) * gloss;
    sample.green = water[1] + (sky[1] - water[1]) * gloss;
    sample.blue = water[2] + (sky[2] - water[2]) * gloss;
    return true;
  };
}
