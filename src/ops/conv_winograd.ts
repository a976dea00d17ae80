/**
 * 3x3 convolutions of the texture family by Winograd's F(4x4,3x3): a quarter of the multiplications,
 * paid for with transformed copies of images and weights. Everything here is plain data; the caller
 * owns buffers, textures and copies.
 *
 * Pack the weights, copy them to a texture; then, for each part: transform the staged images, copy
 * those to a texture, multiply, transform the products back.
 *
 * Rounding errors of a block are relative to the largest of the 6 x 6 pixels that it sees: beside
 * one that is 10^4 times as large as its neighbours, results that do not depend on it are right to
 * three digits only. Relative to the largest result errors are 2 to 3 times those of the definition.
 * @module
 */

import inputSource from "../../shaders/conv2d_winograd_input.wgsl" with { type: "text" };
import multiplySource from "../../shaders/conv2d_winograd_multiply.wgsl" with { type: "text" };
import outputSource from "../../shaders/conv2d_winograd_output.wgsl" with { type: "text" };
import packSource from "../../shaders/conv2d_winograd_pack_weights.wgsl" with { type: "text" };
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import {
  type ConvDims,
  inputPlanesOf,
  planesOf,
  segmentWords,
  stagingOf,
} from "./conv_texture_geometry.ts";
import type { TextureConvolution, TextureTarget } from "./conv_texture.ts";

/** Pixels of a block's side, of its transformed side, and positions of a transformed block. */
const SIDE = 4;
const POSITIONS = 36;
/** Planes of four output channels that an invocation computes. */
const OUT_PLANES = 4;
/** Blocks of pixels that an invocation computes: more read the weights more seldom. */
const MANY_BLOCKS = 12;
const FEW_BLOCKS = 8;
/** Invocations of a workgroup, which share the blocks of a group. */
const LANES = 16;
/** Texels of a row of packed weights of one block of output channels. */
const WEIGHT_PITCH = 4 * OUT_PLANES;
const TEXEL_BYTES = 16;
/** Transformed images and products are made in parts of at most this size, where that can be. */
const PART_BYTES = 8 * 2 ** 20;
/** Transformed weights, four times the weights' size, lie in memory twice while they are copied. */
const MAX_WEIGHT_BYTES = 64 * 2 ** 20;
/** Planes of channels, of input and output, that pay for the transforms of images. */
const MIN_PLANES = 16;
/** How much may be computed for nothing in the last group, relative to all that is needed. */
const MAX_WASTE = 0.5;
const MAX_WASTE_OF_MANY = 0.1;
/**
 * Where the polynomials behind the transforms are taken, beside 0 and infinity. Points around 1
 * keep the numbers of both transforms alike: from 253 to 114 channels the largest error is 3.4e-6 of
 * the largest result, with the textbook's points 1 and 2 it is 1.1e-5.
 */
const POINTS = { POINT_A: "0.625", POINT_B: "1.5" };

/** A buffer that is the image of a texture. */
export interface TextureImage {
  readonly width: number;
  readonly height: number;
  readonly bytesPerRow: number;
  readonly bytes: number;
}

function textureImage(width: number, height: number): TextureImage {
  const bytesPerRow = width * TEXEL_BYTES;
  return { width, height, bytesPerRow, bytes: bytesPerRow * height };
}

/** Some blocks of a convolution's pixels. */
export interface WinogradPart {
  /** Bindings: 0 params, 1 staged input (texture), 2 transformed (`transformed.bytes`). */
  readonly transform: DispatchSpec;
  readonly transformed: TextureImage;
  /** Bindings: 0 params, 1 transformed (texture), 2 packed weights (texture), 3 products. */
  readonly multiply: DispatchSpec;
  readonly productBytes: number;
  /**
   * Bindings: 0 params, 1 products, 2 output (c4; only pixels of the image are written), 3 bias
   * (flat f32 [O], only with `hasBias`).
   */
  readonly finish: DispatchSpec;
}

/** A convolution: packing the weights, then its parts. */
export interface WinogradDispatches {
  /** Bindings: 0 params, 1 weights [O, I, 3, 3] (flat f32), 2 packed (`packed.bytes`). */
  readonly pack: DispatchSpec;
  readonly packed: TextureImage;
  readonly parts: readonly WinogradPart[];
}

/** How a convolution is cut up. */
function planOf(dims: ConvDims, target: TextureTarget) {
  const inputPlanes = inputPlanesOf(dims);
  const outputPlanes = planesOf(dims.outputChannels);
  const rows = POSITIONS * inputPlanes;
  const outBlocks = Math.ceil(outputPlanes / OUT_PLANES);
  const blocksPerColumn = Math.min(outBlocks, Math.floor(target.maxTextureDimension / rows));
  const columns = Math.ceil(outBlocks / blocksPerColumn);
  const blocksX = Math.ceil(dims.width / SIDE);
  const blocksPerImage = blocksX * Math.ceil(dims.height / SIDE);
  const blocks = dims.batch * blocksPerImage;
  const fillsMany = isFilled(blocks, LANES * MANY_BLOCKS, MAX_WASTE_OF_MANY);
  const laneBlocks = fillsMany ? MANY_BLOCKS : FEW_BLOCKS;
  const group = LANES * laneBlocks;
  return {
    inputPlanes,
    outputPlanes,
    /** Rows of a group of transformed blocks, and of a block of packed weights. */
    rows,
    outBlocks,
    blocksPerColumn,
    columns,
    packed: textureImage(columns * WEIGHT_PITCH, blocksPerColumn * rows),
    blocksX,
    blocksPerImage,
    blocks,
    laneBlocks,
    /** Blocks that a workgroup multiplies. */
    group,
    groups: Math.ceil(blocks / group),
    /** Transformed images or products of a group, whichever are more. */
    groupBytes: POSITIONS * Math.max(inputPlanes, outputPlanes) * group * TEXEL_BYTES,
  };
}

/** Whether this way suits a convolution: it fits, and enough of both pay for the transforms. */
export function suitsWinograd(dims: ConvDims, target: TextureTarget): boolean {
  const { maxTextureDimension, maxBindingBytes = Infinity } = target;
  const plan = planOf(dims, target);
  return dims.kernel === 3 && plan.rows <= maxTextureDimension &&
    plan.packed.width <= maxTextureDimension &&
    plan.packed.bytes <= Math.min(MAX_WEIGHT_BYTES, maxBindingBytes) &&
    plan.groupBytes <= maxBindingBytes &&
    Math.min(plan.inputPlanes, plan.outputPlanes) >= MIN_PLANES &&
    isFilled(plan.blocks, plan.group, MAX_WASTE);
}

/** Whether whole groups are at most so much more than the blocks, relative to these. */
function isFilled(blocks: number, group: number, maxWaste: number): boolean {
  return Math.ceil(blocks / group) * group <= blocks * (1 + maxWaste);
}

/** Packing the weights and convolving by way of transformed images. */
export function winogradConvolution(
  { dims, weights }: TextureConvolution,
  target: TextureTarget,
  hasBias: boolean,
): WinogradDispatches {
  const { batch, height, width, outputChannels } = dims;
  const { maxTextureDimension, maxBindingBytes = Infinity } = target;
  const plan = planOf(dims, target);
  const { inputPlanes, outputPlanes, rows, outBlocks, blocksPerColumn, packed } = plan;
  const { blocksX, blocksPerImage, blocks, laneBlocks, group, groups } = plan;
  const stage = stagingOf(batch * inputPlanes, height, width, target);
  const inMemory = Math.floor(Math.min(PART_BYTES, maxBindingBytes) / plan.groupBytes);
  const inTexture = Math.floor(maxTextureDimension / rows);
  const mostGroups = Math.max(1, Math.min(inMemory, inTexture));
  const partGroups = Math.ceil(groups / Math.ceil(groups / mostGroups));
  const parts: WinogradPart[] = [];
  for (let first = 0; first < blocks; first += partGroups * group) {
    const count = Math.min(partGroups * group, blocks - first);
    const countGroups = Math.ceil(count / group);
    parts.push({
      transform: {
        kernel: {
          name: "conv2d_winograd_input",
          source: inputSource,
          constants: { GROUP: group, ...POINTS },
        },
        params: [
          stage.planeRows,
          stage.pitch,
          inputPlanes,
          stage.planesPerColumn,
          blocksX,
          blocksPerImage,
          first,
          count,
        ],
        grid: [Math.ceil(count / LANES), inputPlanes, 1],
      },
      transformed: textureImage(group, countGroups * rows),
      multiply: {
        kernel: {
          name: "conv2d_winograd_multiply",
          source: multiplySource,
          constants: { OUT_PLANES, BLOCKS: laneBlocks },
        },
        params: [inputPlanes, outputPlanes, count, WEIGHT_PITCH, blocksPerColumn],
        grid: [outBlocks, countGroups, POSITIONS],
      },
      productBytes: outputPlanes * POSITIONS * count * TEXEL_BYTES,
      finish: {
        kernel: {
          name: "conv2d_winograd_output",
          source: outputSource,
          constants: { HAS_BIAS: hasBias ? 1 : 0, ...POINTS },
        },
        params: [
          width,
          height,
          stage.planeRows,
          stage.pitch,
          outputPlanes,
          outputChannels,
          blocksX,
          blocksPerImage,
          first,
          count,
        ],
        grid: [Math.ceil(count / LANES), outputPlanes, 1],
      },
    });
  }
  return {
    pack: {
      kernel: {
        name: `conv2d_winograd_pack${weights.transposed ? "_transposed" : ""}`,
        source: packSource,
        constants: { OUT_PLANES, TRANSPOSED: weights.transposed, ...POINTS },
      },
      params: [
        outputChannels,
        weights.firstOutput,
        weights.rowChannels,
        inputPlanes,
        outBlocks,
        blocksPerColumn,
        plan.columns,
        ...segmentWords(dims.inputChannels),
      ],
      grid: [plan.columns, blocksPerColumn * inputPlanes, 1],
    },
    packed,
    parts,
  };
}
