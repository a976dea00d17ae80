/**
 * Convolutions for adapters that run shaders on the processor: activations and packed weights are
 * read as rgba32float storage textures, results go to buffers. Everything here is plain data; the
 * caller owns buffers, textures and copies.
 *
 * Forward and input gradient: pack the weights into a buffer, copy that to a texture; then for each
 * part of the images stage the inputs or the output's gradient (`LowerContext.stage`) and convolve.
 * Weight gradient: `textureWeightGrad` over both stagings, part by part.
 * @module
 */

import forwardSource from "../../shaders/conv2d_texture_forward.wgsl" with { type: "text" };
import packSource from "../../shaders/conv2d_texture_pack_weights.wgsl" with { type: "text" };
import grad1x1Source from "../../shaders/conv2d_texture_weight_grad_1x1.wgsl" with {
  type: "text",
};
import grad3x3Source from "../../shaders/conv2d_texture_weight_grad_3x3.wgsl" with {
  type: "text",
};
import reduceSource from "../../shaders/conv2d_texture_weight_grad_reduce.wgsl" with {
  type: "text",
};
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import { choose, type TuningTarget } from "../gpu/tuning.ts";
import { c4Geometry } from "../graph/layout.ts";
import type { ImagePart } from "../graph/staging.ts";
import { type Epilogue, epilogueConstants } from "./conv_epilogue.ts";
import {
  type ConvDims,
  inputGradDims,
  inputPlanesOf,
  outPlanesOf,
  type PackedWeightGeometry,
  packedWeightGeometry,
  planesOf,
  segmentWords,
  splitGrid,
  type StagingTarget,
  type WeightRange,
} from "./conv_texture_geometry.ts";
import { imageParts, planesPerColumn } from "./conv_texture_parts.ts";
import {
  forwardPlans,
  MAX_PARTIAL_BYTES,
  stripCounts,
  tileCounts,
  type TileTarget,
  WEIGHT_GRAD_TILE,
  weightGradPlans,
} from "./conv_texture_tiles.ts";

export { type ConvDims, inputGradDims, packedWeightGeometry } from "./conv_texture_geometry.ts";
export { fitsTextureFamily } from "./conv_texture_parts.ts";

/** What the kernels of the family need to know of a device. */
export interface TextureTarget extends TuningTarget, StagingTarget, TileTarget {
  /** Bytes of the largest buffer range that one binding can hold; default: any. */
  maxBindingBytes?: number;
}

/** A dispatch for a part of the images, which it finds staged. */
export interface PartDispatch {
  readonly part: ImagePart;
  readonly dispatch: DispatchSpec;
}

/** A convolution or the gradient of one of its inputs: packing the weights, then computing it. */
export interface TextureDispatches {
  /** Bindings: 0 params, 1 weights [O, I, k, k] (flat f32), 2 packed (`packed.bytes`). */
  readonly pack: DispatchSpec;
  /** The texture that the packed weights are copied to. */
  readonly packed: PackedWeightGeometry;
  /**
   * Bindings: 0 params, 1 staged input (texture), 2 packed weights (texture), 3 output (c4; only
   * pixels of the image are written), 4 what the epilogue needs.
   */
  readonly convolve: readonly PartDispatch[];
}

/** A convolution as the kernels see it: its shape and the weights it takes of its layer's. */
export interface TextureConvolution {
  readonly dims: ConvDims;
  readonly weights: WeightRange;
}

/** y = conv(x, w) + bias. */
export function forwardOf(dims: ConvDims): TextureConvolution {
  return { dims, weights: { firstOutput: 0, rowChannels: channelsOf(dims), transposed: 0 } };
}

/**
 * The gradient of input number `input`: a convolution of the output's gradient with the weights
 * flipped and transposed. With a bias it is a transposed convolution.
 */
export function inputGradOf(dims: ConvDims, input: number): TextureConvolution {
  const firstOutput = channelsOf({ inputChannels: dims.inputChannels.slice(0, input) });
  return {
    dims: inputGradDims(dims, input),
    weights: { firstOutput, rowChannels: channelsOf(dims), transposed: 1 },
  };
}

function channelsOf({ inputChannels }: Pick<ConvDims, "inputChannels">): number {
  return inputChannels.reduce((sum, channels) => sum + channels, 0);
}

/** What decides how fast a kernel of the family is, for {@linkcode choose}. */
function tuningKey(direction: "forward" | "weight_grad", dims: ConvDims): string {
  const { batch, inputChannels, height, width, outputChannels, kernel } = dims;
  return `conv2d_texture_${direction} ${batch}x${inputChannels.join("+")}x${height}x${width}` +
    `>${outputChannels} ${kernel}x${kernel}`;
}

/** Packing the weights and convolving by the definition's products. */
export function textureConvolution(
  { dims, weights }: TextureConvolution,
  target: TextureTarget,
  epilogue: Epilogue,
): TextureDispatches {
  const { batch, height, width, outputChannels } = dims;
  const { maxTextureDimension, images = "f32" } = target;
  const inputPlanes = inputPlanesOf(dims);
  const { pitch, rows: imageRows } = c4Geometry([1, 1, height, width], images);
  const plan = choose(
    target,
    tuningKey("forward", dims),
    forwardPlans(batch, height, width, outputChannels, target),
  );
  const { outPlanes } = plan.tile;
  const packed = packedWeightGeometry(dims, outPlanes, maxTextureDimension);
  const kernel = {
    name: `conv2d_texture_forward_${dims.kernel}x${dims.kernel}`,
    source: forwardSource,
    constants: {
      KERNEL: dims.kernel,
      IN_LANES: Math.min(4, Math.max(...dims.inputChannels)),
      OUT_PLANES: outPlanes,
      TILE_H: plan.tile.height,
      TILE_W: plan.tile.width,
      ...epilogueConstants(epilogue),
    },
  };
  const convolve = imageParts(dims, [inputPlanes], plan.tile.height, target).map(
    (part): PartDispatch => {
      const counts = tileCounts(plan, part.images.count, part.rows.count, width);
      const { perRow, rows } = splitGrid(counts.tileGroups, plan.blockGroups);
      const params = [
        width,
        part.rows.count,
        pitch,
        part.images.first,
        part.rows.first,
        imageRows,
        inputPlanes,
        planesPerColumn(part, inputPlanes, width, target),
        planesOf(outputChannels),
        outputChannels,
        packed.blocks,
        plan.blockGroups,
        plan.lanePixels,
        counts.tilesX,
        counts.tilesPerImage,
        counts.tiles,
        perRow,
        packed.pitch,
        packed.blocksPerColumn,
      ];
      return { part, dispatch: { kernel, params, grid: [plan.blockGroups * perRow, rows, 1] } };
    },
  );
  return {
    packed,
    pack: {
      kernel: {
        name: weights.transposed ? "conv2d_texture_pack_transposed" : "conv2d_texture_pack",
        source: packSource,
        constants: {
          TAPS: dims.kernel * dims.kernel,
          OUT_PLANES: outPlanes,
          TRANSPOSED: weights.transposed,
        },
      },
      params: [
        outputChannels,
        weights.firstOutput,
        weights.rowChannels,
        packed.inputPlanes,
        packed.blocks,
        packed.blocksPerColumn,
        packed.columns,
        packed.pitch,
        ...segmentWords(dims.inputChannels),
      ],
      grid: [Math.ceil(packed.width / 64), packed.height, 1],
    },
    convolve,
  };
}

/** The dispatches of a weight gradient, in order, and the buffer between them. */
export interface WeightGradDispatches {
  readonly partialBytes: number;
  /** Bindings: 0 params, 1 staged input (texture), 2 staged output gradient (texture), 3 partials. */
  readonly accumulate: readonly PartDispatch[];
  /** Bindings: 0 params, 1 partials, 2 dW [O, I, k, k] (flat f32). */
  readonly reduce: DispatchSpec;
}

/** dW [O, I, k, k] from the staged inputs and the staged output gradient. */
export function textureWeightGrad(
  dims: ConvDims,
  target: TextureTarget,
): WeightGradDispatches {
  const { width, kernel } = dims;
  const { maxBindingBytes = Infinity, images = "f32" } = target;
  const inputPlanes = inputPlanesOf(dims);
  const gradientPlanes = planesOf(dims.outputChannels);
  const outPlanes = outPlanesOf(dims.outputChannels);
  const blocks = Math.ceil(gradientPlanes / outPlanes);
  const { pitch } = c4Geometry([1, 1, 1, width], images);
  const taps = kernel * kernel;
  const stripVectors = blocks * inputPlanes * outPlanes * 4 * taps;
  const stripBytes = stripVectors * 16;
  const mostStrips = Math.floor(Math.min(MAX_PARTIAL_BYTES, maxBindingBytes) / stripBytes);
  const parts = imageParts(
    dims,
    [inputPlanes, gradientPlanes],
    WEIGHT_GRAD_TILE.height,
    target,
    Math.max(1, mostStrips),
  );
  const [largest] = parts;
  if (!largest) throw new RangeError("a weight gradient needs at least one image and row");
  const plan = choose(
    target,
    tuningKey("weight_grad", dims),
    weightGradPlans(
      largest.images.count,
      largest.rows.count,
      width,
      inputPlanes,
      blocks,
      Math.floor(mostStrips / parts.length),
    ),
  );
  const accumulateKernel = {
    name: `conv2d_texture_weight_grad_${kernel}x${kernel}`,
    source: kernel === 3 ? grad3x3Source : grad1x1Source,
    constants: {
      OUT_PLANES: outPlanes,
      TILE_H: WEIGHT_GRAD_TILE.height,
      TILE_W: WEIGHT_GRAD_TILE.width,
    },
  };
  let strips = 0;
  const accumulate = parts.map((part): PartDispatch => {
    const counts = stripCounts(plan, part.images.count, part.rows.count);
    const params = [
      part.rows.count,
      width,
      pitch,
      part.images.count,
      inputPlanes,
      planesPerColumn(part, inputPlanes, width, target),
      gradientPlanes,
      planesPerColumn(part, gradientPlanes, width, target),
      blocks,
      plan.lanesIn,
      plan.lanesOut,
      plan.inputGroups,
      plan.rowsPerStrip,
      counts.stripsPerImage,
      plan.imagesPerStrip,
      counts.strips,
      strips,
      plan.iterations,
    ];
    strips += counts.strips;
    const grid = [plan.inputGroups * plan.outputGroups, counts.stripGroups, 1] as const;
    return { part, dispatch: { kernel: accumulateKernel, params, grid } };
  });
  const reduceGrid = splitGrid(Math.ceil(stripVectors / 64));
  return {
    partialBytes: strips * stripBytes,
    accumulate,
    reduce: {
      kernel: {
        name: `conv2d_texture_weight_grad_reduce_${kernel}x${kernel}`,
        source: reduceSource,
        constants: { TAPS: taps, OUT_PLANES: outPlanes },
      },
      params: [
        strips,
        stripVectors,
        reduceGrid.perRow,
        dims.outputChannels,
        channelsOf(dims),
        inputPlanes,
        ...segmentWords(dims.inputChannels),
      ],
      grid: [reduceGrid.perRow, reduceGrid.rows, 1],
    },
  };
}
