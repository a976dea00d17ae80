/**
 * 3x3 convolutions of the texture family by Winograd's F(6x6,3x3) or F(4x4,3x3): a fifth or a quarter
 * of the multiplications, paid for with transformed copies of images and weights. Everything here is
 * plain data; the caller owns buffers, textures and copies.
 *
 * Pack the weights into a texture; then, for each part: transform the staged images into another,
 * multiply, transform the products back.
 *
 * Rounding errors of a block are relative to the largest pixel that it sees: beside one that is 10^4
 * times as large as its neighbours, results that do not depend on it are right to three digits only.
 * Relative to the largest result, errors of F(4x4) are those of the definition, about 10^-6; those of
 * F(6x6), which is for up to 128 channels, are 5 to 8 times as large. That is for random numbers: where
 * all results are what is left of large terms that cancel (waves across image and kernels, a
 * twentieth left), errors of F(6x6) reached 40 times those of the definition, 4 * 10^-5.
 * @module
 */

import multiplySource from "../../shaders/conv2d_winograd_multiply.wgsl" with { type: "text" };
import multiplyFewSource from "../../shaders/conv2d_winograd_multiply_few.wgsl" with {
  type: "text",
};
import outputSource from "../../shaders/conv2d_winograd_output.wgsl" with { type: "text" };
import packSource from "../../shaders/conv2d_winograd_pack_weights.wgsl" with { type: "text" };
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import { c4Geometry } from "../graph/layout.ts";
import { rangesOf, type UnitRange } from "../graph/windows.ts";
import { type Epilogue, epilogueConstants } from "./conv_epilogue.ts";
import type { Prologue } from "./conv_prologue.ts";
import { type ConvDims, inputPlanesOf, planesOf, segmentWords } from "./conv_texture_geometry.ts";
import type { TextureConvolution, TextureTarget } from "./conv_texture.ts";
import {
  type BlockGrid,
  blockGrid,
  type BlockRange,
  blockRanges,
  type ImageTransform,
  imageTransform,
  LANES,
  MAX_WEIGHT_BYTES,
  MIN_PLANES,
  suitsBlocks,
  TEXEL_BYTES,
} from "./conv_winograd_geometry.ts";
import { hasFewRegisters, vectorLanes } from "./grid.ts";
import { type Piece, PIECE_BYTES, type PiecedTexture } from "./pieced_texture.ts";

/** Planes of four output channels whose weights lie side by side. */
const PACKED = 4;
/** As many input planes are few; their weights for some output planes fit a processor's first cache. */
const FEW_PLANES = 16;
const WEIGHT_CACHE_BYTES = 32 * 2 ** 10;
/**
 * Blocks whose products for all positions lie together: read 64 positions apart by one block each, they
 * cost caches twice as much from all over memory. Fewer would make the writes jump.
 */
const RUN_BLOCKS = 32;
/** Texels of a row of packed weights of one block of output channels. */
const WEIGHT_PITCH = 4 * PACKED;

/** Some blocks of a convolution's pixels. */
export interface WinogradPart extends ImageTransform {
  /** Bindings: 0 params, 1 transformed (texture), 2 packed weights (texture), 3 products. */
  readonly multiply: DispatchSpec;
  readonly productBytes: number;
  /**
   * For all planes of the images, or some of a single one. Bindings: 0 params, 1 products, 2 these
   * planes of the output (c4; only pixels of the image are written), 3 what the epilogue needs.
   */
  finish(planes?: UnitRange): DispatchSpec;
}

/** A convolution: packing the weights, then its parts. */
export interface WinogradDispatches {
  /** Bindings: 0 params, 1 weights [O, I, 3, 3] (flat f32), 2 the buffer of packed weights. */
  readonly packed: PiecedTexture<DispatchSpec>;
  readonly parts: readonly WinogradPart[];
}

/** How the weights of a convolution are packed. */
function weightsOf(
  dims: ConvDims,
  { positions }: BlockGrid,
  { maxTextureDimension }: TextureTarget,
) {
  const rows = positions * inputPlanesOf(dims);
  const outBlocks = Math.ceil(planesOf(dims.outputChannels) / PACKED);
  // Columns that are as high as can be are a power of two high, like no other texture.
  const most = Math.max(1, Math.floor((maxTextureDimension - 1) / rows));
  const columns = Math.ceil(outBlocks / most);
  const blocksPerColumn = Math.ceil(outBlocks / columns);
  const width = columns * WEIGHT_PITCH;
  const height = blocksPerColumn * rows;
  return { outBlocks, blocksPerColumn, columns, rows, width, height };
}

/**
 * Output planes of an invocation. With few registers two, whose sums stay there where input planes are
 * few; of more the loop's code is half as long, which newer Mesa gains by and older does not mind.
 */
function tilePlanes(target: TextureTarget): number {
  return hasFewRegisters(target) ? 2 : PACKED;
}

/** A tile of the kernel for few input planes. */
function fewTile(inputPlanes: number, target: TextureTarget) {
  const lanes = vectorLanes(target);
  const cached = Math.floor(WEIGHT_CACHE_BYTES / (inputPlanes * 16 * lanes * 4));
  const most = Math.min(cached, tilePlanes(target));
  return { LANES: lanes, OUT_PLANES: most >= 4 ? 4 : most >= 2 ? 2 : 1 };
}

/** Whether this way suits a convolution: it fits, and enough of both pay for the transforms. */
export function suitsWinograd(dims: ConvDims, target: TextureTarget): boolean {
  const { maxTextureDimension, maxBindingBytes = Infinity } = target;
  const inputPlanes = inputPlanesOf(dims);
  const outputPlanes = planesOf(dims.outputChannels);
  if (dims.kernel !== 3 || Math.min(inputPlanes, outputPlanes) < MIN_PLANES) return false;
  const grid = blockGrid(dims);
  if (!suitsBlocks(grid, Math.max(inputPlanes, outputPlanes), target)) return false;
  const { width, height } = weightsOf(dims, grid, target);
  return Math.max(width, height) <= maxTextureDimension &&
    width * height * TEXEL_BYTES <= Math.min(MAX_WEIGHT_BYTES, maxBindingBytes);
}

/**
 * Packing the weights and convolving by way of transformed images.
 * @param ranges the parts, where others are to share the transformed images
 */
export function winogradConvolution(
  { dims, weights }: TextureConvolution,
  target: TextureTarget,
  epilogue: Epilogue,
  ranges?: readonly BlockRange[],
  prologue: Prologue = "none",
): WinogradDispatches {
  const { height, width, outputChannels } = dims;
  const inputPlanes = inputPlanesOf(dims);
  const outputPlanes = planesOf(outputChannels);
  const grid = blockGrid(dims);
  const { positions } = grid;
  const isFew = inputPlanes <= FEW_PLANES;
  const tile = isFew ? fewTile(inputPlanes, target) : { OUT_PLANES: tilePlanes(target) };
  const tiles = Math.ceil(outputPlanes / tile.OUT_PLANES);
  const { blocksPerColumn } = weightsOf(dims, grid, target);
  const { rows, pitch } = c4Geometry([1, 1, height, width], target.images ?? "f32");
  ranges ??= blockRanges(grid, Math.max(inputPlanes, outputPlanes), target);
  const parts = ranges.map((range): WinogradPart => ({
    ...imageTransform(dims, inputPlanes, grid, range, target, prologue),
    multiply: isFew
      ? {
        kernel: {
          name: "conv2d_winograd_multiply_few",
          source: multiplyFewSource,
          constants: {
            IN_PLANES: inputPlanes,
            PACKED,
            GROUP: grid.group,
            RUN_BLOCKS,
            ...tile,
          },
        },
        params: [outputPlanes, range.count, WEIGHT_PITCH, blocksPerColumn, positions],
        grid: [tiles, positions, 1],
      }
      : {
        kernel: {
          name: "conv2d_winograd_multiply",
          source: multiplySource,
          constants: { PACKED, BLOCKS: grid.laneBlocks, RUN_BLOCKS, ...tile },
        },
        params: [inputPlanes, outputPlanes, range.count, WEIGHT_PITCH, blocksPerColumn, positions],
        grid: [tiles, range.groups, positions],
      },
    productBytes: outputPlanes * positions * Math.ceil(range.count / RUN_BLOCKS) * RUN_BLOCKS *
      TEXEL_BYTES,
    finish: (planes = { first: 0, count: outputPlanes }) => ({
      kernel: {
        name: "conv2d_winograd_output",
        source: outputSource,
        constants: { ...epilogueConstants(epilogue), RUN_BLOCKS, ...grid.constants },
      },
      params: [
        width,
        height,
        rows,
        pitch,
        outputPlanes,
        outputChannels,
        grid.blocksX,
        grid.blocksPerImage,
        range.first,
        range.count,
        planes.first,
      ],
      grid: [Math.ceil(range.count / LANES), planes.count, 1],
    }),
  }));
  return { packed: packedWeights({ dims, weights }, grid, target), parts };
}

/** Packing the weights, some blocks of output channels a piece. */
function packedWeights(
  { dims, weights }: TextureConvolution,
  grid: BlockGrid,
  target: TextureTarget,
): PiecedTexture<DispatchSpec> {
  const inputPlanes = inputPlanesOf(dims);
  const { outBlocks, blocksPerColumn, columns, rows, width, height } = weightsOf(
    dims,
    grid,
    target,
  );
  const bytesPerRow = width * TEXEL_BYTES;
  const most = Math.floor(PIECE_BYTES / (rows * bytesPerRow));
  const pieceOf = ({ first, count }: UnitRange): Piece<DispatchSpec> => ({
    dispatches: {
      kernel: {
        name: `conv2d_winograd_pack${weights.transposed ? "_transposed" : ""}`,
        source: packSource,
        constants: { PACKED, ...grid.constants },
      },
      params: [
        dims.outputChannels,
        ...weights.transposed
          ? [weights.firstOutput, 1, weights.rowChannels, 1]
          : [0, weights.rowChannels, 1, 0],
        inputPlanes,
        outBlocks,
        blocksPerColumn,
        columns,
        first,
        ...segmentWords(dims.inputChannels),
      ],
      grid: [columns, count * inputPlanes, 1],
    },
    copy: { bytesPerRow, x: 0, y: first * rows, width, height: count * rows },
  });
  return { width, height, pieces: () => rangesOf(blocksPerColumn, most).map(pieceOf) };
}
