/**
 * 3x3 convolutions of the texture family by Winograd's F(4x4,3x3): a quarter of the multiplications,
 * paid for with transformed copies of images and weights. Everything here is plain data; the caller
 * owns buffers, textures and copies.
 *
 * Pack the weights, copy them to a texture; then, for each part: transform the staged images, copy
 * those to a texture, multiply.
 * @module
 */

import inputSource from "../../shaders/conv2d_winograd_input.wgsl" with { type: "text" };
import multiplySource from "../../shaders/conv2d_winograd_multiply.wgsl" with { type: "text" };
import packSource from "../../shaders/conv2d_winograd_pack_weights.wgsl" with { type: "text" };
import { type DispatchSpec, f32Bits } from "../gpu/kernel_spec.ts";
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
/** Planes of four output channels, and blocks of pixels, that an invocation computes. */
const OUT_PLANES = Number(Deno.env.get("WK") ?? 4);
const BLOCKS = Number(Deno.env.get("WT") ?? 8);
/** Blocks of pixels that a workgroup of 16 invocations computes. */
const GROUP = 16 * BLOCKS;
/** Texels of a row of packed weights of one block of output channels. */
const WEIGHT_PITCH = Math.ceil(4 * OUT_PLANES / 16) * 16;
const TEXEL_BYTES = 16;
/** Transformed images are made in parts of about this size. */
const PART_BYTES = 16 * 2 ** 20;
/** Columns of A^T. */
const COLUMNS = [
  [1, 0, 0, 0],
  [1, 1, 1, 1],
  [1, -1, 1, -1],
  [1, 2, 4, 8],
  [1, -2, 4, -8],
  [0, 0, 0, 1],
];

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
  /**
   * Bindings: 0 params, 1 transformed (texture), 2 packed weights (texture), 3 output (c4; only
   * pixels of the image are written), 4 bias (flat f32 [O], only with `hasBias`).
   */
  readonly multiply: DispatchSpec;
}

/** A convolution: packing the weights, then its parts. */
export interface WinogradDispatches {
  /** Bindings: 0 params, 1 weights [O, I, 3, 3] (flat f32), 2 packed (`packed.bytes`). */
  readonly pack: DispatchSpec;
  readonly packed: TextureImage;
  readonly parts: readonly WinogradPart[];
}

/** Whether this way suits a convolution: enough channels on both sides to pay for transforms. */
export function suitsWinograd(dims: ConvDims, target: TextureTarget): boolean {
  if (dims.kernel !== 3) return false;
  const inputPlanes = inputPlanesOf(dims);
  const rows = POSITIONS * inputPlanes;
  const min = Number(Deno.env.get("WMIN") ?? 16);
  if (inputPlanes < min || planesOf(dims.outputChannels) < min) return false;
  if (rows > target.maxTextureDimension) return false;
  const { maxBindingBytes = Infinity } = target;
  return rows * GROUP * TEXEL_BYTES <= maxBindingBytes;
}

/** Packing the weights and convolving by way of transformed images. */
export function winogradConvolution(
  { dims, weights }: TextureConvolution,
  target: TextureTarget,
  hasBias: boolean,
): WinogradDispatches {
  const { batch, height, width, outputChannels } = dims;
  const { maxTextureDimension, maxBindingBytes = Infinity } = target;
  const inputPlanes = inputPlanesOf(dims);
  const outputPlanes = planesOf(outputChannels);
  const stage = stagingOf(batch * inputPlanes, height, width, target);
  const rows = POSITIONS * inputPlanes;

  const outBlocks = Math.ceil(outputPlanes / OUT_PLANES);
  const blocksPerColumn = Math.min(outBlocks, Math.floor(maxTextureDimension / rows));
  const columns = Math.ceil(outBlocks / blocksPerColumn);
  const packed = textureImage(columns * WEIGHT_PITCH, blocksPerColumn * rows);

  const blocksX = Math.ceil(width / SIDE);
  const blocksPerImage = blocksX * Math.ceil(height / SIDE);
  const blocks = batch * blocksPerImage;
  const groupBytes = rows * GROUP * TEXEL_BYTES;
  const most = Math.min(PART_BYTES, maxBindingBytes) / groupBytes;
  const mostGroups = Math.max(
    1,
    Math.min(Math.floor(most), Math.floor(maxTextureDimension / rows)),
  );
  const groups = Math.ceil(blocks / GROUP);
  const partGroups = Math.ceil(groups / Math.ceil(groups / mostGroups));
  const parts: WinogradPart[] = [];
  for (let first = 0; first < blocks; first += partGroups * GROUP) {
    const count = Math.min(partGroups * GROUP, blocks - first);
    const countGroups = Math.ceil(count / GROUP);
    parts.push({
      transform: {
        kernel: {
          name: "conv2d_winograd_input",
          source: inputSource,
          constants: { GROUP },
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
        grid: [Math.ceil(count / 16), inputPlanes, 1],
      },
      transformed: textureImage(GROUP, countGroups * rows),
      multiply: {
        kernel: {
          name: "conv2d_winograd_multiply",
          source: multiplySource,
          constants: { OUT_PLANES, BLOCKS, HAS_BIAS: hasBias ? 1 : 0 },
        },
        params: [
          ...COLUMNS.flat().map(f32Bits),
          width,
          height,
          stage.planeRows,
          stage.pitch,
          inputPlanes,
          outputPlanes,
          outputChannels,
          blocksX,
          blocksPerImage,
          first,
          count,
          WEIGHT_PITCH,
          blocksPerColumn,
        ],
        grid: [outBlocks, countGroups, 1],
      },
    });
  }
  return {
    pack: {
      kernel: {
        name: `conv2d_winograd_pack${weights.transposed ? "_transposed" : ""}`,
        source: packSource,
        constants: { OUT_PLANES, TRANSPOSED: weights.transposed },
      },
      params: [
        outputChannels,
        weights.firstOutput,
        weights.rowChannels,
        inputPlanes,
        outBlocks,
        blocksPerColumn,
        columns,
        WEIGHT_PITCH,
        ...segmentWords(dims.inputChannels),
      ],
      grid: [Math.ceil(packed.width / 64), blocksPerColumn * inputPlanes, 1],
    },
    packed,
    parts,
  };
}
