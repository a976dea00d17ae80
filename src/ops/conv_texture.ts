/**
 * Convolutions for adapters that run shaders on the processor: activations and packed weights are
 * read as rgba32float storage textures, results go to buffers. Everything here is plain data; the
 * caller owns buffers, textures and copies.
 *
 * Forward: stage the inputs (`LowerContext.stage`), `packWeights` into a buffer of
 * `packedWeightGeometry(...).bytes`, copy that to a texture, then `textureForward`.
 * Input gradient: `textureForward` of `inputGradDims` over the staged output gradient, with weights
 * packed by `packInputGradWeights`.
 * Weight gradient: `textureWeightGrad` over both stagings.
 * @module
 */

import forwardSource from "../../shaders/conv2d_texture_forward.wgsl" with { type: "text" };
import packSource from "../../shaders/conv2d_texture_pack_weights.wgsl" with { type: "text" };
import gradSource from "../../shaders/conv2d_texture_weight_grad.wgsl" with { type: "text" };
import reduceSource from "../../shaders/conv2d_texture_weight_grad_reduce.wgsl" with {
  type: "text",
};
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import {
  type ConvDims,
  inputGradDims,
  inputPlanesOf,
  outPlanesOf,
  packedWeightGeometry,
  planesOf,
  segmentWords,
  splitGrid,
  stagingOf,
} from "./conv_texture_geometry.ts";
import { planForward, planWeightGrad, WEIGHT_GRAD_TILE } from "./conv_texture_tiles.ts";

export {
  type ConvDims,
  fitsTextureFamily,
  inputGradDims,
  inputPlanesOf,
  packedWeightGeometry,
  planesOf,
} from "./conv_texture_geometry.ts";

/**
 * Packs weights [O, I, k, k] for {@linkcode textureForward}.
 *
 * Bindings: 0 params, 1 weights (flat f32), 2 packed (`packedWeightGeometry(dims).bytes`).
 */
export function packWeights(dims: ConvDims, maxTextureDimension: number): DispatchSpec {
  const rowChannels = dims.inputChannels.reduce((sum, channels) => sum + channels, 0);
  return pack(dims, maxTextureDimension, 0, rowChannels, 0);
}

/**
 * Packs weights [O, I, k, k], flipped and transposed, for the gradient of one input.
 *
 * Bindings: 0 params, 1 weights (flat f32), 2 packed
 * (`packedWeightGeometry(inputGradDims(dims, input)).bytes`).
 * @param input which of the concatenated inputs
 */
export function packInputGradWeights(
  dims: ConvDims,
  input: number,
  maxTextureDimension: number,
): DispatchSpec {
  const sum = (channels: readonly number[]) => channels.reduce((a, b) => a + b, 0);
  const firstOutput = sum(dims.inputChannels.slice(0, input));
  const rowChannels = sum(dims.inputChannels);
  return pack(inputGradDims(dims, input), maxTextureDimension, firstOutput, rowChannels, 1);
}

function pack(
  dims: ConvDims,
  maxTextureDimension: number,
  firstOutput: number,
  rowChannels: number,
  transposed: 0 | 1,
): DispatchSpec {
  const packed = packedWeightGeometry(dims, maxTextureDimension);
  return {
    kernel: {
      name: transposed ? "conv2d_texture_pack_transposed" : "conv2d_texture_pack",
      source: packSource,
      constants: {
        TAPS: dims.kernel * dims.kernel,
        OUT_PLANES: packed.outPlanes,
        TRANSPOSED: transposed,
      },
    },
    params: [
      dims.outputChannels,
      firstOutput,
      rowChannels,
      packed.inputPlanes,
      packed.blocks,
      packed.blocksPerColumn,
      packed.columns,
      packed.pitch,
      ...segmentWords(dims.inputChannels),
    ],
    grid: [Math.ceil(packed.width / 64), packed.height, 1],
  };
}

/**
 * y = conv(x, w) + bias.
 *
 * Bindings: 0 params, 1 staged input (texture), 2 packed weights (texture), 3 output (c4; only
 * pixels of the image are written), 4 bias (flat f32 [O], only with `hasBias`).
 */
export function textureForward(
  dims: ConvDims,
  maxTextureDimension: number,
  hasBias: boolean,
): DispatchSpec {
  const { batch, height, width } = dims;
  const inputPlanes = inputPlanesOf(dims);
  const stage = stagingOf(batch * inputPlanes, height, width, maxTextureDimension);
  const packed = packedWeightGeometry(dims, maxTextureDimension);
  const outPlanes = outPlanesOf(dims.outputChannels);
  const plan = planForward(batch, height, width, packed.blocks, outPlanes);
  const { perRow, rows } = splitGrid(plan.tileGroups, plan.blockGroups);
  return {
    kernel: {
      name: `conv2d_texture_forward_${dims.kernel}x${dims.kernel}`,
      source: forwardSource,
      constants: {
        KERNEL: dims.kernel,
        OUT_PLANES: outPlanes,
        TILE_H: plan.tile.height,
        TILE_W: plan.tile.width,
        HAS_BIAS: hasBias ? 1 : 0,
      },
    },
    params: [
      width,
      height,
      stage.planeRows,
      stage.pitch,
      inputPlanes,
      stage.planesPerColumn,
      planesOf(dims.outputChannels),
      dims.outputChannels,
      packed.blocks,
      plan.blockGroups,
      plan.lanePixels,
      plan.tilesX,
      plan.tilesPerImage,
      plan.tiles,
      perRow,
      packed.pitch,
      packed.blocksPerColumn,
    ],
    grid: [plan.blockGroups * perRow, rows, 1],
  };
}

/** The dispatches of a weight gradient, in order, and the buffer between them. */
export interface WeightGradDispatches {
  readonly partialBytes: number;
  /** Bindings: 0 params, 1 staged input (texture), 2 staged output gradient (texture), 3 partials. */
  readonly accumulate: DispatchSpec;
  /** Bindings: 0 params, 1 partials, 2 dW [O, I, k, k] (flat f32). */
  readonly reduce: DispatchSpec;
}

/** dW [O, I, k, k] from the staged inputs and the staged output gradient. */
export function textureWeightGrad(
  dims: ConvDims,
  maxTextureDimension: number,
  maxBindingBytes: number = Infinity,
): WeightGradDispatches {
  const { batch, height, width, kernel } = dims;
  const inputPlanes = inputPlanesOf(dims);
  const gradientPlanes = planesOf(dims.outputChannels);
  const outPlanes = outPlanesOf(dims.outputChannels);
  const blocks = Math.ceil(gradientPlanes / outPlanes);
  const input = stagingOf(batch * inputPlanes, height, width, maxTextureDimension);
  const gradient = stagingOf(batch * gradientPlanes, height, width, maxTextureDimension);
  const taps = kernel * kernel;
  const stripVectors = blocks * inputPlanes * outPlanes * 4 * taps;
  const stripBytes = stripVectors * 16;
  const plan = planWeightGrad(
    batch,
    height,
    width,
    inputPlanes,
    blocks,
    stripBytes,
    maxBindingBytes,
  );
  const reduceGrid = splitGrid(Math.ceil(stripVectors / 64));
  return {
    partialBytes: plan.strips * stripVectors * 16,
    accumulate: {
      kernel: {
        name: `conv2d_texture_weight_grad_${kernel}x${kernel}`,
        source: gradSource,
        constants: {
          KERNEL: kernel,
          OUT_PLANES: outPlanes,
          TILE_H: WEIGHT_GRAD_TILE.height,
          TILE_W: WEIGHT_GRAD_TILE.width,
        },
      },
      params: [
        height,
        width,
        input.planeRows,
        input.pitch,
        batch,
        inputPlanes,
        input.planesPerColumn,
        gradientPlanes,
        gradient.planesPerColumn,
        blocks,
        plan.lanesIn,
        plan.lanesOut,
        plan.inputGroups,
        plan.rowsPerStrip,
        plan.stripsPerImage,
        plan.imagesPerStrip,
        plan.strips,
        plan.iterations,
      ],
      grid: [plan.inputGroups * plan.outputGroups, plan.stripGroups, 1],
    },
    reduce: {
      kernel: {
        name: `conv2d_texture_weight_grad_reduce_${kernel}x${kernel}`,
        source: reduceSource,
        constants: { TAPS: taps, OUT_PLANES: outPlanes },
      },
      params: [
        plan.strips,
        stripVectors,
        reduceGrid.perRow,
        dims.outputChannels,
        dims.inputChannels.reduce((sum, channels) => sum + channels, 0),
        inputPlanes,
        ...segmentWords(dims.inputChannels),
      ],
      grid: [reduceGrid.perRow, reduceGrid.rows, 1],
    },
  };
}
