/**
 * The solid things of a demo scene that people made, and the people: roofs, cars, persons.
 * @module
 */

import {
  type Colour,
  colour,
  type Frame,
  Kind,
  type Sample,
  type SceneCanvas,
  tint,
  within,
} from "./canvas.ts";
import type { Random } from "./noise.ts";

/** Tile and slate colours; the greys are those of paving on purpose, so colour alone misleads. */
export const roofColours: readonly [Colour, ...Colour[]] = [
  colour(176, 88, 62),
  colour(158, 72, 54),
  colour(190, 112, 78),
  colour(112, 76, 62),
  colour(92, 90, 94),
  colour(138, 136, 134),
  colour(74, 78, 88),
  colour(150, 140, 124),
];

const solarCell = colour(34, 44, 76);
const skylightGlass = colour(95, 112, 128);
const skylightFrame = colour(215, 215, 212);

/** A pitched roof with tiles or metal seams; `hipped` slopes at the two ends as well. */
export function pitchedRoof(
  canvas: SceneCanvas,
  random: Random,
  frame: Frame,
  halfX: number,
  halfY: number,
  options: { hipped: boolean; eave: number; colour?: Colour },
): void {
  const { noise } = canvas;
  const { hipped, eave } = options;
  const base = options.colour ?? random.pick(roofColours);
  const pitch = random.range(0.5, 0.75);
  const metal = random.chance(0.2);
  const seed = random.int(0, 100);
  const solar = random.chance(0.3) ? random.pick([1, -1]) : 0;
  const solarEnd = random.range(0.1, 0.55) * halfX;
  const skylight = solar === 0 && random.chance(0.5) ? random.range(-0.5, 0.5) * halfX : Infinity;

  canvas.paint(frame, halfX, halfY, (x, y, sample) => {
    const toSide = halfY - Math.abs(y);
    const toEnd = halfX - Math.abs(x);
    const onEnd = hipped && toEnd < toSide;
    const up = onEnd ? toEnd : toSide;
    const along = onEnd ? y : x;
    sample.kind = Kind.roof;
    sample.height = eave + up * pitch;
    if (onEnd) sample.slopeX = -Math.sign(x) * pitch;
    else sample.slopeY = -Math.sign(y) * pitch;

    const side = Math.sign(y);
    if (
      !onEnd && solar === side && up > 0.7 && toSide < halfY - 0.5 && Math.abs(x) < solarEnd + 1
    ) {
      const cellX = (x + 50) % 1;
      const cellY = (up + 0.3) % 1.5;
      tint(sample, solarCell, cellX < 0.09 || cellY < 0.09 ? 3.2 : 1);
      return true;
    }
    if (!onEnd && side > 0 && Math.abs(x - skylight) < 0.45 && Math.abs(up - halfY / 2) < 0.55) {
      const inner = Math.abs(x - skylight) < 0.33 && Math.abs(up - halfY / 2) < 0.43;
      tint(sample, inner ? skylightGlass : skylightFrame, 1);
      return true;
    }
    const weather = 0.78 + 0.44 * noise.rough(x * 0.45 + seed, y * 0.45);
    const ridge = Math.abs(toSide - halfY) < 0.13 && !onEnd;
    const hip = hipped && Math.abs(toEnd - toSide) < 0.13;
    if (ridge || hip) {
      tint(sample, base, 1.25 * weather);
    } else if (up < 0.14) {
      tint(sample, base, 0.6 * weather);
    } else if (metal) {
      const seam = (along + 60) % 0.6 < 0.1;
      tint(sample, base, weather * (seam ? 1.35 : 1));
    } else {
      const row = Math.floor(up / 0.42);
      const lip = up - row * 0.42 < 0.1 ? 0.72 : 1;
      const column = Math.floor(along / 0.36 + (row & 1) * 0.5);
      const tile = 0.84 + 0.32 * noise.cell(column + seed, row + (side > 0 ? 40 : 80));
      tint(sample, base, weather * lip * tile);
    }
    return true;
  });

  if (random.chance(0.75)) {
    const at = within(frame, random.range(-0.6, 0.6) * halfX, random.range(-0.3, 0.3) * halfY);
    box(
      canvas,
      at,
      0.42,
      0.34,
      eave + halfY * pitch + 0.9,
      random.pick([
        colour(150, 92, 74),
        colour(165, 160, 152),
      ]),
      0.2,
    );
  }
}

/** A flat roof: gravel or felt inside a parapet, with boxes of machinery. */
export function flatRoof(
  canvas: SceneCanvas,
  random: Random,
  frame: Frame,
  halfX: number,
  halfY: number,
  eave: number,
): void {
  const { noise } = canvas;
  const base = random.pick([
    colour(150, 148, 144),
    colour(118, 116, 116),
    colour(196, 192, 184),
    colour(128, 112, 98),
  ]);
  const parapet = colour(205, 202, 196);
  canvas.paint(frame, halfX, halfY, (x, y, sample) => {
    const edge = Math.min(halfX - Math.abs(x), halfY - Math.abs(y));
    sample.kind = Kind.roof;
    sample.height = edge < 0.3 ? eave + 0.45 : eave;
    if (edge < 0.3) tint(sample, parapet, 0.85 + 0.2 * noise.at(x * 3, y * 3));
    else {
      const puddle = noise.rough(x * 0.3 + 21, y * 0.3) > 0.66 ? 0.8 : 1;
      const sheet = Math.abs(x / 2 - Math.round(x / 2)) < 0.02 ? 0.85 : 1;
      tint(sample, base, puddle * sheet * (0.78 + 0.4 * noise.at(x * 8, y * 8)));
    }
    return true;
  });
  if (Math.min(halfX, halfY) < 2) return;
  for (let i = random.int(1, 4); i > 0; i--) {
    const at = within(
      frame,
      random.range(-0.7, 0.7) * (halfX - 1),
      random.range(-0.7, 0.7) * (halfY - 1),
    );
    const size = random.range(0.4, 0.9);
    box(canvas, at, size, random.range(0.4, 0.8), eave + random.range(0.7, 1.3), parapet, 0.14);
  }
}

/** A block on a roof with a darker top inside a rim. */
function box(
  canvas: SceneCanvas,
  frame: Frame,
  halfX: number,
  halfY: number,
  height: number,
  base: Colour,
  rim: number,
): void {
  // What stands beyond the roof's edge would hang in the air and widen the mask.
  if (canvas.kindAt(frame.x, frame.y) !== Kind.roof) return;
  canvas.paint(frame, halfX, halfY, (x, y, sample) => {
    const edge = Math.min(halfX - Math.abs(x), halfY - Math.abs(y));
    sample.kind = Kind.roof;
    sample.height = height;
    tint(sample, base, edge < rim ? 1.05 : 0.35);
    return true;
  });
}

const carColours: readonly [Colour, ...Colour[]] = [
  colour(236, 236, 234),
  colour(226, 226, 228),
  colour(176, 180, 184),
  colour(98, 102, 108),
  colour(36, 38, 42),
  colour(168, 32, 34),
  colour(38, 70, 140),
  colour(58, 104, 66),
  colour(92, 120, 150),
  colour(206, 164, 54),
];

const pane = colour(44, 54, 64);
const headlamp = colour(232, 232, 222);
const tailLamp = colour(170, 30, 30);

/** A car, heading along x of `frame`: 3.9 to 5.4 m long. */
export function car(canvas: SceneCanvas, random: Random, frame: Frame): void {
  const { noise } = canvas;
  const van = random.chance(0.18);
  const halfX = van ? random.range(2.4, 2.7) : random.range(1.95, 2.35);
  const halfY = van ? 1.02 : random.range(0.88, 0.96);
  const body = random.pick(carColours);
  const hatch = random.chance(0.4);
  const frontGlass = van ? 0.62 : 0.38;
  const roofFront = van ? 0.46 : 0.1;
  const roofBack = van ? -0.97 : hatch ? -0.66 : -0.48;
  const backGlass = van ? -0.99 : hatch ? -0.9 : -0.72;
  const top = van ? 2 : 1.45;
  const sunroof = random.chance(0.25);
  const corner = 0.5;
  const seed = random.int(0, 90);

  canvas.paint(frame, halfX, halfY, (x, y, sample) => {
    const outX = Math.max(0, Math.abs(x) - halfX + corner);
    const outY = Math.max(0, Math.abs(y) - halfY + corner);
    if (outX * outX + outY * outY > corner * corner) return false;
    const t = x / halfX;
    const side = Math.abs(y) / halfY;
    const fromSide = halfY - Math.abs(y);
    sample.kind = Kind.car;
    sample.slopeY = -Math.sign(y) * (fromSide < 0.2 ? 0.9 : 0.12 * side);
    const gloss = 0.92 + 0.16 * noise.at(x * 1.5 + seed, y * 2);
    const glass = 0.5 + 1.1 * noise.at(x * 1.3 + seed, y * 1.3);
    if (t > frontGlass) {
      sample.height = 0.95;
      sample.slopeX = -0.1;
      const lamp = t > 0.9 && side > 0.52;
      const shut = Math.abs(side - 0.62) < 0.05 || Math.abs(t - frontGlass) < 0.03;
      if (lamp) tint(sample, headlamp, 1);
      else tint(sample, body, gloss * (shut ? 0.72 : 0.96));
    } else if (t > roofFront) {
      sample.height = 0.95 + (top - 0.95) * (frontGlass - t) / (frontGlass - roofFront);
      sample.slopeX = -0.5;
      if (side < 0.8) tint(sample, pane, glass);
      else tint(sample, body, 0.7 * gloss);
    } else if (t > roofBack) {
      sample.height = top;
      const pillar = Math.abs(t - (roofFront + roofBack) / 2) < 0.03;
      const window = side > 0.76 && side < 0.93 && !pillar && !(van && t < 0.15);
      if (window) tint(sample, pane, glass);
      else if (sunroof && !van && side < 0.5 && t > roofFront - 0.28) tint(sample, pane, 0.8);
      else tint(sample, body, gloss * (side > 0.93 ? 0.8 : 1.04));
    } else if (t > backGlass) {
      sample.height = 1.2;
      sample.slopeX = 0.5;
      if (side < 0.78) tint(sample, pane, glass);
      else tint(sample, body, 0.75 * gloss);
    } else {
      sample.height = hatch || van ? 1 : 0.98;
      const lamp = t < -0.92 && side > 0.6;
      if (lamp) tint(sample, tailLamp, 1);
      else tint(sample, body, 0.94 * gloss);
    }
    return true;
  });
}

const clothes: readonly [Colour, ...Colour[]] = [
  colour(205, 45, 50),
  colour(235, 235, 232),
  colour(40, 44, 60),
  colour(230, 190, 60),
  colour(60, 95, 170),
  colour(225, 120, 55),
  colour(95, 60, 110),
  colour(80, 130, 90),
  colour(235, 150, 175),
];
const trousers: readonly [Colour, ...Colour[]] = [
  colour(45, 50, 70),
  colour(60, 58, 55),
  colour(120, 105, 85),
  colour(70, 90, 125),
];
const hair: readonly [Colour, ...Colour[]] = [
  colour(44, 34, 28),
  colour(92, 62, 40),
  colour(190, 155, 100),
  colour(225, 215, 200),
];
const skin: readonly [Colour, ...Colour[]] = [
  colour(224, 178, 148),
  colour(190, 140, 108),
  colour(120, 82, 62),
];

/** Whether (x, y) lies within `radius` of the segment from (ax, ay) to (bx, by). */
function onLimb(
  x: number,
  y: number,
  ax: number,
  ay: number,
  bx: number,
  by: number,
  radius: number,
): boolean {
  const dx = bx - ax;
  const dy = by - ay;
  const t = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
  return (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2 < radius * radius;
}

/** Larger than life: at the demo's few pixels a metre nothing smaller could be learnt. */
const personSize = 1.3;

/** A person walking along x of `frame`, about 2 m across with limbs. */
export function person(canvas: SceneCanvas, random: Random, frame: Frame): void {
  const shirt = random.pick(clothes);
  const legs = random.pick(trousers);
  const crown = random.pick(hair);
  const arms = random.chance(0.5) ? random.pick(skin) : shirt;
  const stride = random.range(0.3, 0.62) * random.pick([1, -1]);
  const bag = random.chance(0.3) ? random.pick(clothes) : undefined;
  const reach = 0.85;
  const set = (sample: Sample, value: Colour, light: number, height: number): true => {
    tint(sample, value, light);
    sample.height = height;
    return true;
  };
  const half = reach * personSize;
  canvas.paint(frame, half, half, (left, up, sample) => {
    const [x, y] = [left / personSize, up / personSize];
    sample.kind = Kind.person;
    if ((x - 0.06) ** 2 + y * y < 0.062) return set(sample, crown, 1 - x, 1.8);
    if ((x / 0.34) ** 2 + (y / 0.56) ** 2 < 1) {
      sample.slopeX = x * 1.1;
      sample.slopeY = y * 0.9;
      return set(sample, shirt, 1, 1.5);
    }
    if (bag && Math.abs(x + 0.38) < 0.2 && Math.abs(y) < 0.26) return set(sample, bag, 0.8, 1.35);
    if (onLimb(x, y, 0, 0.52, -stride * 0.7, 0.58, 0.14)) return set(sample, arms, 0.95, 1.2);
    if (onLimb(x, y, 0, -0.52, stride * 0.7, -0.58, 0.14)) return set(sample, arms, 0.95, 1.2);
    if (onLimb(x, y, 0, 0.2, stride, 0.2, 0.17)) return set(sample, legs, 0.9, 0.6);
    if (onLimb(x, y, 0, -0.2, -stride, -0.2, 0.17)) return set(sample, legs, 0.9, 0.6);
    return false;
  });
}
