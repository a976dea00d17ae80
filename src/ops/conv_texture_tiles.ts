/**
 * Tile sizes of the texture family of convolutions, and which one suits a shape.
 * @module
 */

import type { Candidate } from "../gpu/tuning.ts";
import { type OutPlanes, planesOf } from "./conv_texture_geometry.ts";
import { hasFewRegisters, vectorLanes } from "./grid.ts";

/** Pixels an invocation walks at a time. */
export interface Tile {
  readonly height: number;
  readonly width: number;
}

/** What tiles depend on. */
export interface TileTarget {
  /** Width of the processor's vectors as the adapter uses them, in bits; default 256. */
  vectorBits?: number;
  /** Finite where kernels read large buffers through textures. Default: nowhere. */
  textureReadBytes?: number;
}

/** What an invocation of a forward convolution computes. */
export interface ForwardTile extends Tile {
  /** Planes of four output channels. */
  readonly outPlanes: OutPlanes;
  /** Speed of a result in a full grid relative to the best tile, measured on lavapipe. */
  readonly speed: number;
}

/** Lanes of a workgroup in every kernel of the family. */
export const LANES = 16;

/** What a processor that shaders run on is like: the vectors it is used with, and its registers. */
type ProcessorKind = "512 bits" | "256 bits" | "256 bits, few registers";

/**
 * Forward tiles by kind of processor; every further one costs a compilation. Large tiles load least
 * for each product, but a loop body is 5 to 15 bytes of code for each, and one that outgrows the
 * instruction cache (32 to 64 KiB) runs at half speed. With vectors of 512 bits a load costs twice as
 * much beside a product, so larger tiles pay there. Sums of a row are made together: those of two
 * pixels leave room in 16 registers, those of four do not and go through memory.
 */
const FORWARD_TILES: Readonly<Record<ProcessorKind, readonly ForwardTile[]>> = {
  "512 bits": [
    { outPlanes: 2, height: 5, width: 4, speed: 1 },
    { outPlanes: 1, height: 4, width: 4, speed: 0.9 },
    { outPlanes: 2, height: 2, width: 4, speed: 0.8 },
  ],
  "256 bits": [
    { outPlanes: 1, height: 4, width: 4, speed: 1 },
    { outPlanes: 2, height: 2, width: 4, speed: 0.9 },
  ],
  "256 bits, few registers": [
    { outPlanes: 1, height: 8, width: 2, speed: 1 },
    { outPlanes: 2, height: 4, width: 2, speed: 0.95 },
  ],
};

/**
 * Block of pixels that a weight gradient walks at a time. Larger ones spread the loads over more
 * products, but their code leaves the instruction cache (measured on lavapipe: 2.4 times slower).
 */
export const WEIGHT_GRAD_TILE: Tile = { height: 2, width: 4 };

/** Rows of the highest tile. */
export const MOST_TILE_ROWS = Math.max(
  ...Object.values(FORWARD_TILES).flat().map(({ height }) => height),
  WEIGHT_GRAD_TILE.height,
);

/** How many threads a software adapter is expected to share workgroups between. */
const THREADS = 2;

/** How the invocations of a forward convolution are dealt out. */
export interface ForwardPlan extends Candidate {
  readonly tile: ForwardTile;
  /** Lanes of a workgroup that differ in pixels; the others differ in output blocks. */
  readonly lanePixels: number;
  readonly blockGroups: number;
}

/** How the pixels of some images are dealt out. */
export interface TileCounts {
  readonly tilesX: number;
  readonly tilesPerImage: number;
  readonly tiles: number;
  /** Workgroups for a group of output blocks. */
  readonly tileGroups: number;
}

/** The tiles of `images` images of `height` x `width` pixels. */
export function tileCounts(
  { tile, lanePixels }: Pick<ForwardPlan, "tile" | "lanePixels">,
  images: number,
  height: number,
  width: number,
): TileCounts {
  const tilesX = Math.ceil(width / tile.width);
  const tilesPerImage = tilesX * Math.ceil(height / tile.height);
  const tiles = images * tilesPerImage;
  return { tilesX, tilesPerImage, tiles, tileGroups: Math.ceil(tiles / lanePixels) };
}

function processorKind(target: TileTarget): ProcessorKind {
  if (vectorLanes(target) >= 16) return "512 bits";
  return hasFewRegisters(target) ? "256 bits, few registers" : "256 bits";
}

/** Every tile and lane arrangement, the one with the shortest estimated time first. */
export function forwardPlans(
  images: number,
  height: number,
  width: number,
  outputChannels: number,
  target: TileTarget,
): [ForwardPlan, ...ForwardPlan[]] {
  const plans: Estimate<ForwardPlan>[] = [];
  const outputPlanes = planesOf(outputChannels);
  for (const tile of FORWARD_TILES[processorKind(target)]) {
    // A plane that holds no channel would be computed for nothing.
    if (tile.outPlanes > outputPlanes) continue;
    const blocks = Math.ceil(outputPlanes / tile.outPlanes);
    for (const lanePixels of [16, 8, 4, 2, 1]) {
      const blockGroups = Math.ceil(blocks / (LANES / lanePixels));
      const { tileGroups } = tileCounts({ tile, lanePixels }, images, height, width);
      const turns = Math.ceil(blockGroups * tileGroups / THREADS);
      const cost = turns * tile.height * tile.width * tile.outPlanes / tile.speed;
      const name = `${tile.outPlanes * 4} channels of ${tile.height}x${tile.width} pixels, ` +
        `${lanePixels} lanes in pixels`;
      const plan = { name, tile, lanePixels, blockGroups };
      plans.push({ cost, plan });
    }
  }
  return cheapestFirst(plans, ({ name }) => name);
}

/** A plan and its estimated time. */
interface Estimate<T> {
  readonly cost: number;
  readonly plan: T;
}

/** Plans by cost, without repetitions; first come the cheapest of each kind. */
function cheapestFirst<T extends Candidate>(
  estimates: readonly Estimate<T>[],
  kindOf: (plan: T) => string,
): [T, ...T[]] {
  const sorted = [...estimates].sort((a, b) => a.cost - b.cost).map(({ plan }) => plan);
  const kinds = new Map<string, T>();
  for (const plan of sorted) if (!kinds.has(kindOf(plan))) kinds.set(kindOf(plan), plan);
  const names = new Map<string, T>();
  for (const plan of [...kinds.values(), ...sorted]) {
    if (!names.has(plan.name)) names.set(plan.name, plan);
  }
  const [first, ...others] = names.values();
  if (!first) throw new RangeError("a convolution needs at least one image, row and column");
  return [first, ...others];
}

/** How the invocations of a weight gradient are dealt out. */
export interface WeightGradPlan extends Candidate {
  /** Lanes of a workgroup over input planes and over output blocks; the rest differ in strips. */
  readonly lanesIn: number;
  readonly lanesOut: number;
  readonly inputGroups: number;
  readonly outputGroups: number;
  readonly rowsPerStrip: number;
  readonly imagesPerStrip: number;
  /** Tiles of one strip of one image. */
  readonly iterations: number;
}

/** How the rows of some images are dealt out. */
export interface StripCounts {
  readonly stripsPerImage: number;
  readonly strips: number;
  /** Workgroups for a group of channels. */
  readonly stripGroups: number;
}

/** The strips of `images` images of `height` rows. */
export function stripCounts(
  { lanesIn, lanesOut, rowsPerStrip, imagesPerStrip }: Pick<
    WeightGradPlan,
    "lanesIn" | "lanesOut" | "rowsPerStrip" | "imagesPerStrip"
  >,
  images: number,
  height: number,
): StripCounts {
  const stripsPerImage = Math.ceil(height / rowsPerStrip);
  const strips = stripsPerImage * Math.ceil(images / imagesPerStrip);
  const stripGroups = Math.ceil(strips / (LANES / (lanesIn * lanesOut)));
  return { stripsPerImage, strips, stripGroups };
}

/** Work of a lane's end (storing every tap) in tiles of its loop. */
const STRIP_END_TILES = 10;

/** Most bytes of partial sums, where fewer strips can do: below the default binding limit. */
export const MAX_PARTIAL_BYTES = 64 * 2 ** 20;

/**
 * Lanes over input planes, lanes over output blocks, and speed relative to the best, measured on
 * lavapipe: near-square arrangements share the most cached texels between lanes.
 */
const LANE_ARRANGEMENTS: readonly (readonly [number, number, number])[] = [
  [4, 4, 1],
  [8, 2, 0.97],
  [2, 8, 0.97],
  [4, 2, 0.9],
  [2, 4, 0.9],
  [16, 1, 0.7],
  [1, 16, 0.7],
  [2, 2, 0.75],
  [4, 1, 0.7],
  [1, 4, 0.7],
  [8, 1, 0.7],
  [1, 8, 0.7],
  [2, 1, 0.65],
  [1, 2, 0.65],
  [1, 1, 0.65],
];

/**
 * Every arrangement of lanes and strips, the one with the shortest estimated time first, then the
 * best of the other lane arrangements.
 * @param mostStrips where fewer strips can do
 */
export function weightGradPlans(
  batch: number,
  height: number,
  width: number,
  inputPlanes: number,
  blocks: number,
  mostStrips: number,
): [WeightGradPlan, ...WeightGradPlan[]] {
  const tile = WEIGHT_GRAD_TILE;
  const tilesX = Math.ceil(width / tile.width);
  const tileRows = Math.ceil(height / tile.height);
  const plans: Estimate<WeightGradPlan>[] = [];
  const consider = (
    [lanesIn, lanesOut, speed]: readonly [number, number, number],
    imagesPerStrip: number,
    wantedStrips: number,
  ) => {
    const rowsPerStrip = Math.ceil(tileRows / wantedStrips) * tile.height;
    const lanes = { lanesIn, lanesOut, rowsPerStrip, imagesPerStrip };
    const { strips, stripGroups } = stripCounts(lanes, batch, height);
    if (plans.length > 0 && strips > mostStrips) return;
    const inputGroups = Math.ceil(inputPlanes / lanesIn);
    const outputGroups = Math.ceil(blocks / lanesOut);
    const iterations = rowsPerStrip / tile.height * tilesX;
    const turns = Math.ceil(inputGroups * outputGroups * stripGroups / THREADS);
    // The threads never finish together; short turns shorten the wait for the last one.
    const cost = (turns + 0.5) * (iterations * imagesPerStrip / speed + STRIP_END_TILES);
    const name =
      `lanes ${lanesIn}x${lanesOut} strips of ${rowsPerStrip} rows, ${imagesPerStrip} images`;
    plans.push({ cost, plan: { name, ...lanes, inputGroups, outputGroups, iterations } });
  };
  for (const lanes of LANE_ARRANGEMENTS) {
    for (let images = batch; images >= 1; images = images > 1 ? Math.ceil(images / 2) : 0) {
      for (let strips = 1; strips < 2 * tileRows && strips <= 256; strips *= 2) {
        consider(lanes, images, strips);
      }
    }
  }
  return cheapestFirst(plans, ({ lanesIn, lanesOut }) => `${lanesIn}x${lanesOut}`);
}
