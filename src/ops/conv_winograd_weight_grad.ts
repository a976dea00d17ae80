/**
 * Weight gradients of 3x3 convolutions of the texture family by Winograd's F(6x6,3x3) or F(4x4,3x3).
 * Everything here is plain data; the caller owns buffers, textures and copies.
 *
 * The gradient is the one that the forward algorithm has, with the parts of image and gradient
 * swapped: the windows, two pixels wider than blocks, are those of the output's gradient, transformed
 * as for the input gradient, the blocks of pixels those of the input. For each part: transform the
 * staged gradient, transform the inputs' blocks, copy both to textures, add their products to the
 * sums. In the end the sums are transformed to kernels.
 * @module
 */

import accumulateSource from "../../shaders/conv2d_winograd_weight_grad.wgsl" with { type: "text" };
import blocksSource from "../../shaders/conv2d_winograd_weight_grad_blocks.wgsl" with {
  type: "text",
};
import finishSource from "../../shaders/conv2d_winograd_weight_grad_finish.wgsl" with {
  type: "text",
};
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import { storageBytes } from "../graph/layout.ts";
import { type Prologue, prologueConstants } from "./conv_prologue.ts";
import type { TextureTarget } from "./conv_texture.ts";
import {
  type ConvDims,
  inputPlanesOf,
  planesOf,
  segmentWords,
  splitGrid,
} from "./conv_texture_geometry.ts";
import {
  type BlockGrid,
  type BlockRange,
  blockRanges,
  blockTexture,
  gradientBlockGrid,
  type ImageTransform,
  imageTransform,
  LANES,
  MAX_WEIGHT_BYTES,
  MIN_PLANES,
  rowWords,
  suitsBlocks,
  TEXEL_BYTES,
} from "./conv_winograd_geometry.ts";
import type { PiecedTexture } from "./pieced_texture.ts";

/** Planes of the output's gradient and of the input that an invocation multiplies. */
const OUT_PLANES = 4;
const IN_PLANES = 4;
/** Blocks that an invocation adds up in one pass through its loop. */
const RUN = 4;
/** Workgroups that keep many threads busy. */
const BUSY_GROUPS = 128;

/** Some blocks of the images of a weight gradient. */
export interface WinogradGradPart extends ImageTransform {
  /**
   * Dispatches for every input. Bindings: 0 params, 1 input (c4), or with `stagesInputs` the same
   * rows of it as of the gradient (texture), 2 the buffer of blocks, 3 what the prologue needs.
   */
  readonly blocks: PiecedTexture<readonly (readonly DispatchSpec[])[]>;
  readonly stagesInputs: boolean;
  /**
   * Bindings: 0 params, 1 transformed gradient (texture), 2 blocks (texture), 3 sums, and where
   * `copied` 4 a copy of these.
   */
  accumulate(copied: boolean): DispatchSpec;
  /** Whether it adds to sums that are there already. */
  readonly isAdded: boolean;
}

/** A weight gradient: its parts, then the transform of the sums. */
export interface WinogradWeightGrad {
  readonly parts: readonly WinogradGradPart[];
  readonly sumBytes: number;
  /** Bindings: 0 params, 1 sums, 2 dW [O, I, 3, 3] (flat f32). */
  readonly finish: DispatchSpec;
}

/** Bytes of the sums of all pairs of channels. */
function sumBytesOf(dims: ConvDims, { positions }: BlockGrid): number {
  return positions * 4 * inputPlanesOf(dims) * planesOf(dims.outputChannels) * TEXEL_BYTES;
}

/** Whether this way suits a weight gradient: it fits, and enough of it pays for the transforms. */
export function suitsWinogradWeightGrad(dims: ConvDims, target: TextureTarget): boolean {
  const { maxBindingBytes = Infinity } = target;
  const inputPlanes = inputPlanesOf(dims);
  const gradientPlanes = planesOf(dims.outputChannels);
  const grid = gradientBlockGrid(dims);
  return dims.kernel === 3 && Math.min(inputPlanes, gradientPlanes) >= MIN_PLANES &&
    suitsBlocks(grid, Math.max(inputPlanes, gradientPlanes), target) &&
    sumBytesOf(dims, grid) <= Math.min(MAX_WEIGHT_BYTES, maxBindingBytes);
}

/** Whether inputs are read from textures rather than buffers: where those are slow or too large. */
function mustStage(
  { batch, height, width, inputChannels }: ConvDims,
  target: TextureTarget,
): boolean {
  const { textureReadBytes = Infinity, maxBindingBytes = Infinity, images = "f32" } = target;
  return textureReadBytes < Infinity ||
    inputChannels.some((channels) =>
      storageBytes([batch, channels, height, width], "c4", images) > maxBindingBytes
    );
}

/**
 * How lanes differ: in tiles of input channels, in tiles of output channels, in shares of the blocks.
 * The best of plans that take as long are first: few sums, then squares, which read least.
 */
const LANE_PLANS = [1, 2, 4, 8, 16].flatMap((lanesIn) =>
  [1, 2, 4, 8, 16].map((lanesOut) => ({ lanesIn, lanesOut, shares: LANES / (lanesIn * lanesOut) }))
).filter(({ shares }) => shares >= 1 && LANES / RUN % shares === 0)
  .sort((a, b) =>
    a.shares - b.shares || Math.abs(a.lanesIn - a.lanesOut) - Math.abs(b.lanesIn - b.lanesOut)
  );

/** How a workgroup's lanes share channels and blocks, with as few lanes as can be for nothing. */
function lanesOf(inputPlanes: number, gradientPlanes: number, mostShares: number) {
  const inTiles = Math.ceil(inputPlanes / IN_PLANES);
  const outTiles = Math.ceil(gradientPlanes / OUT_PLANES);
  const plans = LANE_PLANS.filter(({ shares }) => shares <= mostShares).map((plan) => {
    const inputGroups = Math.ceil(inTiles / plan.lanesIn);
    const workgroups = inputGroups * Math.ceil(outTiles / plan.lanesOut);
    return { ...plan, inputGroups, workgroups, cost: workgroups / plan.shares };
  });
  return plans.reduce((best, plan) => plan.cost < best.cost ? plan : best);
}

/**
 * dW [O, I, 3, 3] from the inputs and the gradient of the output.
 * @param ranges the parts, where others are to share the transformed gradient
 * @param isAdded whether the sums of other images are there already
 * @param prologue what is done to the pixels of the inputs
 */
export function winogradWeightGrad(
  dims: ConvDims,
  target: TextureTarget,
  ranges?: readonly BlockRange[],
  isAdded = false,
  prologue: Prologue = "none",
): WinogradWeightGrad {
  const { inputChannels, outputChannels } = dims;
  const { maxBindingBytes = Infinity } = target;
  const inputPlanes = inputPlanesOf(dims);
  const gradientPlanes = planesOf(outputChannels);
  const grid = gradientBlockGrid(dims);
  const { positions } = grid;
  ranges ??= blockRanges(grid, Math.max(inputPlanes, gradientPlanes), target);
  const sumBytes = sumBytesOf(dims, grid);
  const mostSums = Math.floor(Math.min(MAX_WEIGHT_BYTES, maxBindingBytes) / sumBytes);
  const lanes = lanesOf(inputPlanes, gradientPlanes, mostSums);
  const { lanesIn, lanesOut, shares, inputGroups, workgroups } = lanes;
  const mostStrips = Math.floor(mostSums / shares);
  const wanted = Math.min(mostStrips, Math.ceil(BUSY_GROUPS / (positions * workgroups)));
  const mostGroups = Math.max(...ranges.map(({ groups }) => groups));
  const groupsPerStrip = Math.ceil(mostGroups / Math.min(wanted, mostGroups));
  const stripsOf = (groups: number) => Math.ceil(groups / groupsPerStrip);
  const stagesInputs = mustStage(dims, target);
  const STAGED = stagesInputs ? 1 : 0;
  const parts = ranges.map((range, part): WinogradGradPart => {
    const words = inputChannels.map((channels, i) => [
      ...rowWords(dims, planesOf(channels), grid, range, target),
      inputPlanesOf({ ...dims, inputChannels: inputChannels.slice(0, i) }),
      inputPlanes,
    ]);
    return {
      ...imageTransform(dims, gradientPlanes, grid, range, target),
      stagesInputs,
      blocks: blockTexture(
        grid,
        inputPlanes,
        range,
        ({ first, count, rowBlocks }) =>
          inputChannels.map((channels, i) =>
            grid.rows.map((ROWS) => ({
              kernel: {
                name: "conv2d_winograd_weight_grad_blocks",
                source: blocksSource,
                constants: {
                  STAGED,
                  ROWS,
                  ...prologueConstants(prologue),
                  ...grid.constants,
                },
              },
              params: [
                ...words[i] ?? [],
                grid.blocksX,
                grid.blocksPerImage,
                first,
                count,
                rowBlocks,
              ],
              grid: [Math.ceil(count / LANES), planesOf(channels), 1],
            }))
          ),
      ),
      isAdded: part > 0 || isAdded,
      accumulate: (copied) => ({
        kernel: {
          name: "conv2d_winograd_weight_grad",
          source: accumulateSource,
          constants: { COPIED: copied ? 1 : 0, OUT_PLANES, IN_PLANES, RUN },
        },
        params: [
          gradientPlanes,
          inputPlanes,
          lanesIn,
          lanesOut,
          inputGroups,
          range.count,
          groupsPerStrip,
          part > 0 || isAdded ? 1 : 0,
          positions,
          grid.group,
        ],
        grid: [workgroups, stripsOf(range.groups), positions],
      }),
    };
  });
  const vectors = 4 * inputPlanes * gradientPlanes;
  const finishGrid = splitGrid(Math.ceil(vectors / 64));
  return {
    parts,
    sumBytes: stripsOf(mostGroups) * shares * sumBytes,
    finish: {
      kernel: {
        name: "conv2d_winograd_weight_grad_finish",
        source: finishSource,
        constants: { ...grid.constants },
      },
      params: [
        stripsOf(mostGroups) * shares,
        finishGrid.perRow,
        outputChannels,
        inputChannels.reduce((sum, channels) => sum + channels, 0),
        gradientPlanes,
        inputPlanes,
        ...segmentWords(inputChannels),
      ],
      grid: [finishGrid.perRow, finishGrid.rows, 1],
    },
  };
}
