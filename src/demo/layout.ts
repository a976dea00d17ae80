/**
 * Decides what stands where in a demo scene: a street with plots on both sides, then what lives
 * there. What is placed late asks the canvas what already lies at a spot.
 * @module
 */

import { type Colour, colour, type Frame, Kind, type SceneCanvas, within } from "./canvas.ts";
import { bareGround, bed, footpath, grass, parking, pond, pool, road, slabs } from "./ground.ts";
import type { Random } from "./noise.ts";
import { car, flatRoof, person, pitchedRoof, roofColours } from "./objects.ts";
import { bush, hedge, leafTree, needleTree } from "./plants.ts";

const lawnColours: readonly [Colour, ...Colour[]] = [
  colour(112, 138, 66),
  colour(96, 130, 60),
  colour(128, 142, 78),
  colour(104, 124, 70),
  colour(120, 148, 70),
];
const pavingColours: readonly [Colour, ...Colour[]] = [
  colour(170, 166, 160),
  colour(186, 178, 164),
  colour(150, 150, 152),
  colour(176, 132, 110),
  colour(132, 126, 122),
];
const asphaltColours: readonly [Colour, ...Colour[]] = [
  colour(112, 112, 116),
  colour(128, 126, 124),
  colour(96, 97, 102),
  colour(142, 138, 134),
];
const earthColours: readonly [Colour, ...Colour[]] = [
  colour(122, 88, 62),
  colour(142, 106, 74),
  colour(104, 76, 58),
  colour(158, 126, 90),
];

const roadHalfWidth = 3.1;
const kerbWidth = 0.25;
const lane = roadHalfWidth / 2;
const plain = { dashes: false, edges: false };

/** Where the scene's street lies and how it looks. */
interface Street {
  readonly frame: Frame;
  readonly pavement: number;
  readonly verge: number;
  readonly crossing: number | undefined;
  readonly zebraAt: number | undefined;
}

/** Paints the scene of a generator's state onto an empty canvas. */
export function layOut(canvas: SceneCanvas, random: Random): void {
  const all: Frame = { x: 0, y: 0, angle: random.range(0, 3) };
  const street: Street = {
    frame: { x: 0, y: random.range(-6, 6), angle: 0 },
    pavement: random.range(1.6, 2.1),
    verge: random.chance(0.4) ? random.range(1.2, 1.8) : 0,
    crossing: random.chance(0.3) ? random.range(-16, 16) : undefined,
    zebraAt: random.chance(0.55) ? random.range(-12, 12) : undefined,
  };
  const wide = random.pick([1, -1]);
  const other = random.pick(["park", "parking", "houses"]);
  for (const side of [1, -1]) {
    if (side === wide && other !== "houses") openSide(canvas, random, street, side, other);
    else houses(canvas, random, street, side);
  }
  paintStreet(canvas, random, street);
  canvas.fill(all, grass(canvas.noise, random.pick(lawnColours), 0.3, 0));
  gardens(canvas, random);
  traffic(canvas, random, street);
  plants(canvas, random);
  people(canvas, random, street);
}

/** A frame on one side of the street: x along it, y away from it, 0 at the pavement's far edge. */
function plotFrame(street: Street, side: number, x: number): Frame {
  const front = roadHalfWidth + kerbWidth + street.verge + street.pavement;
  return within(street.frame, x, side * front, side > 0 ? 0 : Math.PI);
}

function paintStreet(canvas: SceneCanvas, random: Random, street: Street): void {
  const { noise } = canvas;
  const reach = canvas.reach + 8;
  const slab = slabs(noise, random.pick(pavingColours), 1.1, 0.8);
  const base = random.pick(asphaltColours);
  const half = roadHalfWidth + kerbWidth;
  const marks = { dashes: random.chance(0.7), edges: random.chance(0.4), zebraAt: street.zebraAt };
  const strips: Frame[] = [];
  const pavementAt = half + street.verge + street.pavement / 2;
  const cross: Frame | undefined = street.crossing === undefined
    ? undefined
    : within(street.frame, street.crossing, 0, Math.PI / 2);
  for (const side of [1, -1]) {
    strips.push(within(street.frame, 0, side * pavementAt));
    if (cross) strips.push(within(cross, 0, side * (half + street.pavement / 2)));
  }
  for (const strip of strips) canvas.paint(strip, reach, street.pavement / 2, slab);
  if (cross) {
    canvas.paint(cross, reach, half, road(noise, base, roadHalfWidth, { ...marks, zebraAt: 9 }));
  }
  canvas.paint(street.frame, reach, half, road(noise, base, roadHalfWidth, marks));
  if (cross) {
    const bare = road(noise, base, half, plain);
    canvas.paint(cross, half, roadHalfWidth, bare);
  }
  for (let i = 0; i < 5; i++) {
    const at = within(street.frame, random.range(-25, 25), random.range(-2, 2));
    canvas.paint(at, 0.4, 0.4, (x, y, sample) => {
      const far = x * x + y * y;
      if (far > 0.14) return false;
      const value = far > 0.1 ? 0.08 : 0.13 + 0.08 * noise.cell(Math.round(x * 9), 3);
      sample.kind = Kind.paved;
      sample.red = sample.green = sample.blue = value;
      return true;
    });
  }
}

/** A row of plots with a house each. */
function houses(canvas: SceneCanvas, random: Random, street: Street, side: number): void {
  const end = canvas.reach + 6;
  for (let x = -end + random.range(0, 8); x < end;) {
    const width = random.range(15, 19);
    const middle = x + width / 2;
    x += width;
    const blocked = street.crossing !== undefined &&
      Math.abs(middle - street.crossing) < width / 2 + 5.5;
    const plot = plotFrame(street, side, middle);
    if (!blocked && Math.hypot(plot.x, plot.y) < end + 8) {
      housePlot(canvas, random, plot, width / 2, street);
    }
  }
}

function housePlot(
  canvas: SceneCanvas,
  random: Random,
  plot: Frame,
  half: number,
  street: Street,
): void {
  const { noise } = canvas;
  const depth = 26;
  const stripe = random.chance(0.45) ? random.range(0.9, 1.3) : 0;
  const lawn = grass(noise, random.pick(lawnColours), random.next(), stripe);
  canvas.paint(within(plot, 0, depth / 2), half, depth / 2, lawn);

  const flip = random.pick([1, -1]);
  const setback = random.range(3.2, 6);
  const halfX = random.range(4.2, half - 3.6);
  const halfY = random.range(3.4, 4.6);
  const house = within(plot, -flip * (half - halfX - random.range(0.8, 1.6)), setback + halfY);
  const drive = within(plot, flip * (half - 1.9), 0);
  const driveLength = random.chance(0.6) ? setback + 1.5 : setback + 2 * halfY;
  const paving = random.pick(pavingColours);
  const toRoad = street.verge + street.pavement;
  const driveway = random.chance(0.5)
    ? slabs(noise, paving, 0.5, 0.3)
    : slabs(noise, paving, 3.4, 2.6);
  canvas.paint(
    within(drive, 0, (driveLength - toRoad) / 2),
    1.6,
    (driveLength + toRoad) / 2,
    driveway,
  );

  const path = within(house, random.range(-0.5, 0.5) * halfX, -halfY - setback / 2);
  canvas.paint(path, 0.65, setback / 2 + 0.1, slabs(noise, paving, 0.65, 0.65));
  const terrace = within(house, random.range(-0.3, 0.3) * halfX, halfY + 1.7);
  const wood = random.chance(0.35);
  const terraceSlabs = wood
    ? slabs(noise, colour(150, 112, 80), 2.4, 0.22)
    : slabs(noise, random.pick(pavingColours), 0.8, 0.8);
  canvas.paint(terrace, random.range(2.2, halfX * 0.8), 1.9, terraceSlabs);

  const roof = random.pick(roofColours);
  const eave = random.range(2.7, 4.6);
  if (random.chance(0.14)) {
    flatRoof(canvas, random, house, halfX, halfY, eave);
  } else {
    const hipped = random.chance(0.4);
    if (random.chance(0.45)) {
      const wing = within(house, random.pick([-0.45, 0.45]) * halfX, -halfY * 0.5, Math.PI / 2);
      pitchedRoof(canvas, random, wing, halfY * 0.5 + 1.6, halfX * 0.36, {
        hipped,
        eave,
        colour: roof,
      });
    }
    pitchedRoof(canvas, random, house, halfX, halfY, { hipped, eave, colour: roof });
  }
  if (driveLength < setback + 2) {
    const garage = within(drive, 0, driveLength + 2.6, Math.PI / 2);
    if (random.chance(0.5)) flatRoof(canvas, random, garage, 2.9, 1.75, 2.6);
    else pitchedRoof(canvas, random, garage, 2.9, 1.75, { hipped: false, eave: 2.4, colour: roof });
  }
  if (random.chance(0.5)) {
    const shed = within(plot, -flip * (half - 2), random.range(18, 22), random.pick([0, 1.57]));
    pitchedRoof(canvas, random, shed, 1.5, 1.2, { hipped: false, eave: 2 });
  }
  if (random.chance(0.8)) {
    const parked = within(drive, 0, Math.min(setback, driveLength) - 2.4, Math.PI / 2);
    car(canvas, random, within(parked, 0, 0, random.chance(0.5) ? 0 : Math.PI));
  }
  if (random.chance(0.6)) hedge(canvas, random, within(plot, half, depth / 2 + 4, Math.PI / 2), 9);
  if (random.chance(0.35)) {
    const front = within(plot, -flip * 2, 0.6);
    hedge(canvas, random, front, half - 4);
  }
  if (random.chance(0.5)) {
    const border = within(house, 0, -halfY - 0.75);
    canvas.paint(
      within(border, flip * halfX * 0.45, 0),
      halfX * 0.5,
      0.7,
      bed(noise, random.pick(earthColours), halfX * 0.5, 0.7),
    );
  }
}

/** A side without a row of houses: a park with a pond, or a car park before a flat building. */
function openSide(
  canvas: SceneCanvas,
  random: Random,
  street: Street,
  side: number,
  what: string,
): void {
  const { noise } = canvas;
  const from = street.crossing === undefined ? 0 : -Math.sign(street.crossing) * side * 14;
  const plot = plotFrame(street, side, from * side);
  if (what === "park") {
    canvas.paint(within(plot, 0, 18), 60, 18, grass(noise, random.pick(lawnColours), 0.5, 0));
    const base = random.pick([colour(196, 182, 152), colour(150, 148, 146), colour(172, 150, 124)]);
    const along = within(plot, 0, random.range(4, 7), random.range(-0.1, 0.1));
    canvas.paint(along, 60, 5, footpath(noise, base, 1, random.range(0.8, 1.8)));
    const branch = within(plot, random.range(-10, 10), 6, random.range(0.9, 2.2));
    canvas.paint(within(branch, 12, 0), 15, 4, footpath(noise, base, 0.85, 0.9));
    const basin = within(plot, random.range(-9, 9), random.range(12, 15), random.range(0, 3));
    const size = random.range(4, 6);
    canvas.paint(basin, size * 1.3, size, pond(noise, size * 1.3, size));
    const hut = within(plot, random.range(-12, 12), random.range(9, 13), random.range(0, 3));
    if (canvas.boxIs(hut, 3, 3, (kind) => kind === Kind.grass || kind === Kind.paved)) {
      pitchedRoof(canvas, random, hut, 2.4, 2.4, { hipped: true, eave: 2.5 });
    }
    return;
  }
  const bay = 2.6;
  const halfX = bay * random.int(4, 6);
  const halfY = 8;
  const lot = within(plot, 0, halfY + 0.6);
  const surface = random.pick(asphaltColours);
  canvas.paint(lot, halfX, halfY, parking(noise, surface, halfX, halfY, bay, 4.9));
  const entry = within(plot, random.range(-0.6, 0.6) * halfX, -1.2);
  canvas.paint(entry, 2.6, 2.4, road(noise, surface, 9, plain));
  for (const row of [-1, 1]) {
    for (let x = -halfX + bay / 2; x < halfX; x += bay) {
      if (random.chance(0.42)) continue;
      const heading = random.pick([1, -1]) * Math.PI / 2 + random.range(-0.04, 0.04);
      const at = within(lot, x + random.range(-0.15, 0.15), row * (halfY - 2.6), heading);
      car(canvas, random, at);
    }
  }
  const hall = within(plot, random.range(-3, 3), 2 * halfY + 9);
  flatRoof(canvas, random, hall, halfX * 0.8, 6.5, random.range(4, 6));
  for (const end of [-1, 1]) {
    const next = within(plot, end * (halfX + 8), 0);
    housePlot(canvas, random, next, 7.9, street);
  }
}

const onGrass = (kind: number) => kind === Kind.grass;

/** Tries random spots in view until `accept` takes `count` of them. */
function scatter(
  canvas: SceneCanvas,
  random: Random,
  count: number,
  tries: number,
  accept: (spot: Frame) => boolean,
): number {
  let placed = 0;
  for (let i = 0; i < tries && placed < count; i++) {
    const spot = canvas.randomPoint(random, 1);
    const turned = { ...spot, angle: random.pick([0, Math.PI / 2]) };
    if (accept(turned)) placed++;
  }
  return placed;
}

/** Pools and beds on whatever lawn is in view; smaller ones where the lawns are small. */
function gardens(canvas: SceneCanvas, random: Random): void {
  const { noise } = canvas;
  const grassy = (kind: number) => kind === Kind.grass || kind === -1;
  const wet = canvas.kind.reduce((count, kind) => count + (kind === Kind.water ? 1 : 0), 0);
  const isWet = wet > 0.01 * canvas.kind.length;
  const wanted = isWet ? random.int(0, 1) : random.int(1, 2);
  let placed = 0;
  for (
    const [halfX, halfY] of [[4, 2.2], [3.2, 1.9], [2.4, 1.6], [1.7, 1.3], [1.3, 1.2]] as const
  ) {
    placed += scatter(canvas, random, wanted - placed, 120, (spot) => {
      if (!canvas.boxIs(spot, halfX + 0.6, halfY + 0.6, grassy)) return false;
      if (!canvas.boxIs(spot, 0.8, 0.8, onGrass)) return false;
      if (random.chance(0.6)) {
        canvas.paint(spot, halfX + 0.9, halfY + 0.9, slabs(noise, colour(180, 172, 160), 0.9, 0.9));
      }
      canvas.paint(spot, halfX, halfY, pool(noise, random, halfX, halfY));
      return true;
    });
  }
  scatter(canvas, random, random.int(2, 4), 200, (spot) => {
    const halfX = random.range(1.6, 3.6);
    const halfY = random.range(0.9, 1.7);
    if (!canvas.boxIs(spot, halfX, halfY, grassy)) return false;
    canvas.paint(spot, halfX, halfY, bed(noise, random.pick(earthColours), halfX, halfY));
    return true;
  });
  scatter(canvas, random, random.int(1, 2), 120, (spot) => {
    const halfX = random.range(2, 4.2);
    const halfY = random.range(1.4, 2.6);
    if (!canvas.boxIs(spot, halfX * 0.8, halfY * 0.8, grassy)) return false;
    const at = { ...spot, angle: random.range(0, 3) };
    canvas.paint(at, halfX, halfY, bareGround(noise, random.pick(earthColours), halfX, halfY));
    return true;
  });
}

/** Cars driving along the street and standing at its kerbs. */
function traffic(canvas: SceneCanvas, random: Random, street: Street): void {
  const kerbside = random.chance(0.5);
  for (const side of [1, -1]) {
    const heading = side > 0 ? 0 : Math.PI;
    const parked = kerbside && random.chance(0.7);
    for (let x = -30 + random.range(0, 9); x < 30; x += random.range(5.6, parked ? 13 : 30)) {
      if (street.crossing !== undefined && Math.abs(x - street.crossing) < 6.5) continue;
      if (street.zebraAt !== undefined && Math.abs(x - street.zebraAt) < 4.5) continue;
      const y = side * (parked ? roadHalfWidth - 1.1 : lane);
      const at = within(street.frame, x, y, heading + random.range(-0.03, 0.03));
      if (canvas.boxIs(at, 2.6, 1, (kind) => kind === Kind.paved || kind === -1)) {
        car(canvas, random, at);
      }
    }
  }
}

/** Trees where grass carries the trunk and the crown reaches no roof, car or water. */
function plants(canvas: SceneCanvas, random: Random): void {
  const open = (kind: number) =>
    kind === Kind.grass || kind === Kind.paved || kind === Kind.soil || kind === -1;
  scatter(canvas, random, random.int(6, 12), 260, (spot) => {
    const radius = random.range(1.5, 3.9);
    if (!onGrass(canvas.kindAt(spot.x, spot.y))) return false;
    if (!canvas.boxIs(spot, radius * 0.85, radius * 0.85, open)) return false;
    if (random.chance(0.25)) needleTree(canvas, random, spot, radius * 0.75);
    else leafTree(canvas, random, { ...spot, angle: random.range(0, 6) }, radius);
    return true;
  });
  scatter(canvas, random, random.int(8, 16), 120, (spot) => {
    const kind = canvas.kindAt(spot.x, spot.y);
    if (kind !== Kind.grass && kind !== Kind.soil) return false;
    if (!canvas.boxIs(spot, 0.7, 0.7, open)) return false;
    bush(canvas, random, spot, random.range(0.45, 1));
    return true;
  });
}

/** People on paving and lawns, some in pairs; never half under a tree or in a wall. */
function people(canvas: SceneCanvas, random: Random, street: Street): void {
  const walkable = (kind: number) =>
    kind === Kind.paved || kind === Kind.grass || kind === Kind.soil;
  let paved = 0;
  scatter(canvas, random, random.int(9, 14), 400, (spot) => {
    if (!canvas.boxIs(spot, 1.1, 1.1, walkable)) return false;
    const inTraffic = Math.abs(spot.y - street.frame.y) < roadHalfWidth &&
      Math.abs(spot.x - (street.zebraAt ?? Infinity)) > 2;
    if (inTraffic && random.chance(0.85)) return false;
    const isPaved = canvas.kindAt(spot.x, spot.y) === Kind.paved;
    if (!isPaved && paved < 4 && random.chance(0.6)) return false;
    if (isPaved) paved++;
    const heading = random.range(-Math.PI, Math.PI);
    const at = { ...spot, angle: heading };
    person(canvas, random, at);
    const beside = within(at, 0.2, 1.9, random.range(-0.3, 0.3));
    if (random.chance(0.3) && canvas.boxIs(beside, 0.9, 0.9, walkable)) {
      person(canvas, random, beside);
    }
    return true;
  });
}
