/**
 * What convolutions by Winograd's algorithms and their weight gradients share: how images are
 * cut into blocks of 4 x 4 or 6 x 6 pixels and those into parts, and the transform of images.
 * @module
 */

import inputSource from "../../shaders/conv2d_winograd_input.wgsl" with { type: "text" };
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import { c4Geometry } from "../graph/layout.ts";
import { bandGeometry } from "../graph/staging.ts";
import type { UnitRange } from "../graph/windows.ts";
import { type Prologue, prologueConstants } from "./conv_prologue.ts";
import type { TextureTarget } from "./conv_texture.ts";
import { type ConvDims, inputPlanesOf, type StagingTarget } from "./conv_texture_geometry.ts";
import { type Piece, PIECE_BYTES, type PiecedTexture } from "./pieced_texture.ts";

/** Blocks of pixels that an invocation multiplies: more read the weights more seldom. */
const MANY_BLOCKS = 12;
const FEW_BLOCKS = 8;
/** Invocations of a workgroup, which share the blocks of a group. */
export const LANES = 16;
export const TEXEL_BYTES = 16;
/** Transformed images and products are made in parts of at most this size, where that can be. */
const PART_BYTES = 8 * 2 ** 20;
/** Blocks that may be transformed at once. */
const PIECE_BLOCKS = [192, 128, 96, 64, 32];
/** Transformed weights take four or seven times what weights do. */
export const MAX_WEIGHT_BYTES = 64 * 2 ** 20;
/** Planes of channels, of input and output, that pay for the transforms of images. */
export const MIN_PLANES = 8;
/** How much may be computed for nothing in the last group, relative to all that is needed. */
const MAX_WASTE = 0.5;
const MAX_WASTE_OF_MANY = 0.1;

/** One of Winograd's algorithms F(side x side, 3x3). */
interface Algorithm {
  /** Pixels of a block's side. */
  readonly side: number;
  /** Numbers of a transformed block. */
  readonly positions: number;
  /** Constants of the kernels that transform. */
  readonly constants: Readonly<Record<string, number | string>>;
  /** Which rows of a transformed block a kernel computes, for each of the kernels that share them. */
  readonly rows: readonly string[];
  /** Planes of input channels that may be added up: rounding errors grow with them. */
  readonly mostPlanes: number;
}

/**
 * The polynomials behind the transforms are taken at `points`, both signs, beside 0 and infinity.
 * Points around 1 keep the numbers of all transforms alike: the textbook's 1 and 2 for 4 x 4 pixels
 * make errors five times as large, and with 1/2, 1 and 2 for 6 x 6 they are a tenth larger.
 */
function algorithm(
  side: number,
  points: readonly string[],
  rows: readonly string[],
  mostPlanes: number,
): Algorithm {
  const constants: Record<string, number | string> = { SIDE: side, PAIRS: side / 2 };
  points.forEach((point, i) => constants[`POINT_${i}`] = point);
  return { side, positions: (side + 2) ** 2, constants, rows, mostPlanes };
}

const ALGORITHMS = [
  algorithm(6, ["0.55", "1.0", "1.8"], ["outer", "inner"], 32),
  algorithm(4, ["0.625", "1.5"], ["all"], Infinity),
];

/** The blocks of a batch of images, in groups. */
export interface BlockGrid extends Algorithm {
  readonly blocksX: number;
  readonly blocksPerImage: number;
  readonly blocks: number;
  /** Blocks that an invocation multiplies. */
  readonly laneBlocks: number;
  /** Blocks that a workgroup multiplies. */
  readonly group: number;
}

/** How images are cut into blocks: so that least has to be multiplied, with what is for nothing. */
export function blockGrid(dims: ConvDims): BlockGrid {
  const planes = inputPlanesOf(dims);
  const grids = ALGORITHMS.filter(({ mostPlanes }) => planes <= mostPlanes)
    .map((algorithm) => gridOf(dims, algorithm));
  const cost = ({ blocks, group, positions }: BlockGrid) =>
    Math.ceil(blocks / group) * group * positions;
  return grids.reduce((best, grid) => cost(grid) < cost(best) ? grid : best);
}

/**
 * The same for all gradients of a convolution: as that of an input has them, whose windows are those of
 * the output's gradient.
 */
export function gradientBlockGrid(dims: ConvDims): BlockGrid {
  return blockGrid({ ...dims, inputChannels: [dims.outputChannels] });
}

function gridOf({ batch, height, width }: ConvDims, algorithm: Algorithm): BlockGrid {
  const blocksX = Math.ceil(width / algorithm.side);
  const blocksPerImage = blocksX * Math.ceil(height / algorithm.side);
  const blocks = batch * blocksPerImage;
  const fillsMany = isFilled(blocks, LANES * MANY_BLOCKS, MAX_WASTE_OF_MANY);
  const laneBlocks = fillsMany ? MANY_BLOCKS : FEW_BLOCKS;
  const group = LANES * laneBlocks;
  return { ...algorithm, blocksX, blocksPerImage, blocks, laneBlocks, group };
}

/** Whether there are blocks enough, and what is made of a group of them fits a device. */
export function suitsBlocks(grid: BlockGrid, planes: number, target: TextureTarget): boolean {
  const { maxTextureDimension, maxBindingBytes = Infinity } = target;
  return grid.positions * planes <= maxTextureDimension &&
    groupBytes(grid, planes) <= maxBindingBytes &&
    isFilled(grid.blocks, grid.group, MAX_WASTE);
}

/** Whether whole groups are at most so much more than the blocks, relative to these. */
function isFilled(blocks: number, group: number, maxWaste: number): boolean {
  return Math.ceil(blocks / group) * group <= blocks * (1 + maxWaste);
}

/** Bytes of a group of transformed blocks of `planes` planes. */
function groupBytes({ group, positions }: BlockGrid, planes: number): number {
  return positions * planes * group * TEXEL_BYTES;
}

/** Some of the blocks. */
export interface BlockRange {
  readonly first: number;
  readonly count: number;
  readonly groups: number;
}

/**
 * Ranges of whole groups, as equal as can be, the first the largest, so that none takes much memory.
 * @param planes of the transformed images or the products, whichever are more
 */
export function blockRanges(grid: BlockGrid, planes: number, target: TextureTarget): BlockRange[] {
  const { maxTextureDimension, maxBindingBytes = Infinity } = target;
  const { blocks, group, positions } = grid;
  const groups = Math.ceil(blocks / group);
  const bytes = Math.min(PART_BYTES, maxBindingBytes);
  const inMemory = Math.floor(bytes / groupBytes(grid, planes));
  const inTexture = Math.floor(maxTextureDimension / (positions * planes));
  const most = Math.max(1, Math.min(inMemory, inTexture));
  const size = Math.ceil(groups / Math.ceil(groups / most)) * group;
  const ranges: BlockRange[] = [];
  for (let first = 0; first < blocks; first += size) {
    const count = Math.min(size, blocks - first);
    ranges.push({ first, count, groups: Math.ceil(count / group) });
  }
  return ranges;
}

/**
 * The texture of a range's transformed blocks, of images of `planes` planes in all, in pieces of some
 * blocks of a group.
 * @param dispatchesOf what makes `count` blocks from `first` on, as rows of `rowBlocks`
 */
export function blockTexture<Dispatches>(
  { group, positions }: BlockGrid,
  planes: number,
  range: BlockRange,
  dispatchesOf: (piece: { first: number; count: number; rowBlocks: number }) => Dispatches,
): PiecedTexture<Dispatches> {
  const height = positions * planes;
  const most = PIECE_BYTES / (height * TEXEL_BYTES);
  // Rows that are copied consist of 256 bytes, 16 blocks.
  const rowBlocks = PIECE_BLOCKS.find((blocks) => group % blocks === 0 && blocks <= most) ?? 16;
  const pieceOf = (from: number): Piece<Dispatches> => {
    const count = Math.min(rowBlocks, range.count - from);
    return {
      dispatches: dispatchesOf({ first: range.first + from, count, rowBlocks }),
      copy: {
        bytesPerRow: rowBlocks * TEXEL_BYTES,
        x: from % group,
        y: Math.floor(from / group) * height,
        width: rowBlocks,
        height,
      },
    };
  };
  return {
    width: group,
    height: range.groups * height,
    pieces: () =>
      Array.from(
        { length: Math.ceil(range.count / rowBlocks) },
        (_, i) => pieceOf(i * rowBlocks),
      ),
  };
}

/** The transform of some rows of images. */
export interface ImageTransform {
  /** The rows that it sees, to be staged as `bandGeometry` says. */
  readonly rows: UnitRange;
  /**
   * Bindings: 0 params, 1 those rows (texture), 2 the buffer of transformed blocks, 3 what the
   * prologue needs.
   */
  readonly transformed: PiecedTexture<readonly DispatchSpec[]>;
}

/** The rows, counted through all images of a batch, that the windows of some blocks cover. */
export function rowsOf(
  { height, width }: ConvDims,
  { side, blocksX, blocksPerImage }: BlockGrid,
  { first, count }: BlockRange,
): UnitRange {
  const { rows } = c4Geometry([1, 1, height, width], "f32");
  const topOf = (block: number) => Math.floor(block % blocksPerImage / blocksX) * side;
  const imageOf = (block: number) => Math.floor(block / blocksPerImage);
  const last = first + count - 1;
  const start = imageOf(first) * rows + topOf(first);
  const end = imageOf(last) * rows + Math.min(rows, topOf(last) + side + 2);
  return { first: start, count: end - start };
}

/** The params by which kernels find the pixels of the blocks of a range in staged rows. */
export function rowWords(
  dims: ConvDims,
  planes: number,
  grid: BlockGrid,
  range: BlockRange,
  { maxTextureDimension, images = "f32" }: StagingTarget,
): number[] {
  const { rows, pitch } = c4Geometry([1, 1, dims.height, dims.width], images);
  const { first, count } = rowsOf(dims, grid, range);
  const { bandRows } = bandGeometry(planes, count, pitch, maxTextureDimension);
  return [rows, pitch, first, bandRows, planes, dims.width];
}

/** How some blocks of images of `planes` planes are transformed. */
export function imageTransform(
  dims: ConvDims,
  planes: number,
  grid: BlockGrid,
  range: BlockRange,
  target: TextureTarget,
  prologue: Prologue = "none",
): ImageTransform {
  const { blocksX, blocksPerImage, constants, rows } = grid;
  const words = rowWords(dims, planes, grid, range, target);
  return {
    rows: rowsOf(dims, grid, range),
    transformed: blockTexture(
      grid,
      planes,
      range,
      ({ first, count, rowBlocks }) =>
        rows.map((ROWS) => ({
          kernel: {
            name: "conv2d_winograd_input",
            source: inputSource,
            constants: {
              ROWS,
              ...prologueConstants(prologue),
              ...constants,
            },
          },
          params: [...words, blocksX, blocksPerImage, first, count, rowBlocks],
          grid: [Math.ceil(count / LANES), planes, 1],
        })),
    ),
  };
}
