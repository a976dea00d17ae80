/**
 * Tile sizes of the texture family of convolutions, and which one suits a shape.
 * @module
 */

/** Pixels an invocation computes (forward) or walks at a time (weight gradient). */
export interface Tile {
  readonly height: number;
  readonly width: number;
  /** Speed of a pixel in a full grid relative to the best tile, measured on lavapipe. */
  readonly speed: number;
}

/** Lanes of a workgroup in every kernel of the family. */
export const LANES = 16;

/** Forward tiles by planes of output channels; every further one costs a compilation. */
export const FORWARD_TILES: Readonly<Record<1 | 2, readonly Tile[]>> = {
  1: [{ height: 4, width: 4, speed: 1 }],
  2: [{ height: 5, width: 4, speed: 1 }, { height: 2, width: 4, speed: 0.8 }],
};

/** Tile of the weight gradient; its width is what three interleaved sums need to be worthwhile. */
export const WEIGHT_GRAD_TILE: Tile = { height: 2, width: 4, speed: 1 };

/** How many threads a software adapter is expected to share workgroups between. */
const THREADS = 2;

/** How the invocations of a forward convolution are dealt out. */
export interface ForwardPlan {
  readonly tile: Tile;
  readonly tilesX: number;
  readonly tilesPerImage: number;
  readonly tiles: number;
  /** Lanes of a workgroup that differ in pixels; the others differ in output blocks. */
  readonly lanePixels: number;
  readonly blockGroups: number;
  readonly tileGroups: number;
}

/** Picks the tile and lane arrangement with the shortest estimated time. */
export function planForward(
  images: number,
  height: number,
  width: number,
  blocks: number,
  outPlanes: 1 | 2,
): ForwardPlan {
  let best: ForwardPlan | undefined;
  let bestCost = Infinity;
  for (const tile of FORWARD_TILES[outPlanes]) {
    const tilesX = Math.ceil(width / tile.width);
    const tilesPerImage = tilesX * Math.ceil(height / tile.height);
    const tiles = images * tilesPerImage;
    for (const lanePixels of [16, 8, 4, 2, 1]) {
      const blockGroups = Math.ceil(blocks / (LANES / lanePixels));
      const tileGroups = Math.ceil(tiles / lanePixels);
      const turns = Math.ceil(blockGroups * tileGroups / THREADS);
      const cost = turns * tile.height * tile.width / tile.speed;
      if (cost < bestCost) {
        bestCost = cost;
        best = { tile, tilesX, tilesPerImage, tiles, lanePixels, blockGroups, tileGroups };
      }
    }
  }
  if (!best) throw new RangeError(`no tile for ${outPlanes} output planes`);
  return best;
}

/** How the invocations of a weight gradient are dealt out. */
export interface WeightGradPlan {
  /** Lanes of a workgroup over input planes and over output blocks; the rest differ in strips. */
  readonly lanesIn: number;
  readonly lanesOut: number;
  readonly inputGroups: number;
  readonly outputGroups: number;
  readonly rowsPerStrip: number;
  readonly stripsPerImage: number;
  readonly imagesPerStrip: number;
  readonly strips: number;
  readonly stripGroups: number;
  /** Tiles of one strip of one image. */
  readonly iterations: number;
}

/** Work of a lane's end (storing every tap) in tiles of its loop. */
const STRIP_END_TILES = 10;

/** Most bytes of partial sums, where fewer strips can do; below the default binding limit. */
const MAX_PARTIAL_BYTES = 64 * 2 ** 20;

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
 * Picks lanes and strips with the shortest estimated time.
 * @param stripBytes partial sums of one strip
 * @param maxBindingBytes that all partial sums may take, where fewer strips can do
 */
export function planWeightGrad(
  batch: number,
  height: number,
  width: number,
  inputPlanes: number,
  blocks: number,
  stripBytes: number,
  maxBindingBytes: number = Infinity,
): WeightGradPlan {
  const mostBytes = Math.min(MAX_PARTIAL_BYTES, maxBindingBytes);
  const tile = WEIGHT_GRAD_TILE;
  const tilesX = Math.ceil(width / tile.width);
  const tileRows = Math.ceil(height / tile.height);
  let best: WeightGradPlan | undefined;
  let bestCost = Infinity;
  const consider = (
    [lanesIn, lanesOut, speed]: readonly [number, number, number],
    imagesPerStrip: number,
    wantedStrips: number,
  ) => {
    const rowsPerStrip = Math.ceil(tileRows / wantedStrips) * tile.height;
    const stripsPerImage = Math.ceil(height / rowsPerStrip);
    const strips = stripsPerImage * Math.ceil(batch / imagesPerStrip);
    const stripGroups = Math.ceil(strips / (LANES / (lanesIn * lanesOut)));
    const inputGroups = Math.ceil(inputPlanes / lanesIn);
    const outputGroups = Math.ceil(blocks / lanesOut);
    const iterations = rowsPerStrip / tile.height * tilesX;
    const turns = Math.ceil(inputGroups * outputGroups * stripGroups / THREADS);
    // The threads never finish together; short turns shorten the wait for the last one.
    const cost = (turns + 0.5) * (iterations * imagesPerStrip / speed + STRIP_END_TILES);
    if (cost >= bestCost || (best && strips * stripBytes > mostBytes)) return;
    bestCost = cost;
    best = {
      lanesIn,
      lanesOut,
      inputGroups,
      outputGroups,
      rowsPerStrip,
      stripsPerImage,
      imagesPerStrip,
      strips,
      stripGroups,
      iterations,
    };
  };
  for (const lanes of LANE_ARRANGEMENTS) {
    for (let images = batch; images >= 1; images = images > 1 ? Math.ceil(images / 2) : 0) {
      for (let strips = 1; strips < 2 * tileRows && strips <= 256; strips *= 2) {
        consider(lanes, images, strips);
      }
    }
  }
  if (!best) throw new RangeError("a weight gradient needs at least one image and one row");
  return best;
}
