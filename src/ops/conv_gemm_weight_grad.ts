/**
 * The weight gradient of the gemm family: a matrix product over all pixels, split into strips that
 * fill the GPU, and a second dispatch that adds the strips up.
 * @module
 */
import gradSource from "../../shaders/conv2d_gemm_weight_grad.wgsl" with { type: "text" };
import reduceSource from "../../shaders/conv2d_gemm_weight_grad_reduce.wgsl" with { type: "text" };
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import { choose, type TuningTarget } from "../gpu/tuning.ts";
import { c4Geometry } from "../graph/layout.ts";
import { forwardTaps } from "./conv_gemm_taps.ts";
import { WEIGHT_GRAD_PIXELS, weightGradStrips, weightGradTiles } from "./conv_gemm_tiles.ts";
import { type ConvShape, totalInputChannels } from "./conv_shape.ts";
import { MAX_SEGMENTS, planesOf, segmentWords } from "./conv_texture_geometry.ts";
import { linearGrid } from "./grid.ts";

/** The dispatches of a weight gradient, in order, and the buffer between them. */
export interface GemmWeightGrad {
  readonly partialBytes: number;
  /** By input. Bindings: 0 params, 1 that input (c4), 2 output gradient (c4), 3 partials. */
  readonly accumulate: readonly DispatchSpec[];
  /** Bindings: 0 params, 1 partials, 2 dW [O, I, kH, kW] (flat). */
  readonly reduce: DispatchSpec;
}

/** How the partial sums are added: so many vec4s a workgroup, each by so many threads. */
const REDUCE_VECTORS = 16;
const REDUCE_LANES = 16;

/** Three taps of a row are 96 sums a thread; more would not fit its registers. */
const MAX_SIDE = 3;

/**
 * dW [O, I, kH, kW] from the inputs and the output gradient.
 * @param maxBindingBytes that the partial sums may take, where fewer do
 */
export function gemmWeightGrad(
  shape: ConvShape,
  maxBindingBytes: number,
  target: TuningTarget = {},
): GemmWeightGrad {
  const { batch, inputChannels, outputChannels } = shape;
  const groups = forwardTaps(shape, MAX_SIDE * MAX_SIDE, MAX_SIDE);
  const { tapsY, tapsX, inputStride } = groups;
  const tapGroups = groups.phases.flat();
  const input = c4Geometry([batch, 4, ...shape.inputSize], target.images ?? "f32");
  const gradient = c4Geometry([batch, 4, ...shape.outputSize], target.images ?? "f32");
  const outputPlanes = planesOf(outputChannels);
  const allPlanes = inputChannels.reduce((sum, c) => sum + planesOf(c), 0);
  const stripVectors = tapGroups.length * allPlanes * tapsY * tapsX * 4 * outputPlanes;

  const inputs = inputChannels.map((channels) => {
    const problem = {
      batch,
      height: gradient.height,
      width: gradient.width,
      inputPlanes: planesOf(channels),
      outputPlanes,
      tapsY,
      tapsX,
      maxSums: Math.max(1, Math.floor(maxBindingBytes / (stripVectors * 16))),
    };
    const key = `conv2d_gemm_weight_grad ${batch}x${channels}x${shape.inputSize.join("x")}` +
      `>${outputChannels}x${shape.outputSize.join("x")}, ` +
      `${tapGroups.length} x ${tapsY}x${tapsX} taps`;
    const tile = choose(target, key, weightGradTiles(problem));
    const ownVectors = stripVectors / allPlanes * problem.inputPlanes;
    const blocks = Math.ceil(outputPlanes / (tile.outGroups * tile.outPlanes));
    const inBlocks = Math.ceil(problem.inputPlanes / (tile.inGroups * tile.inPlanes));
    const tilesX = Math.ceil(gradient.width / tile.width);
    const tilesOfImage = tilesX * Math.ceil(gradient.height / tile.height);
    const strips = weightGradStrips(
      blocks * inBlocks * tapGroups.length,
      ownVectors * 16 * tile.slices,
      batch * tilesOfImage,
      Math.floor(problem.maxSums / tile.slices),
    );
    const tilesOfStrip = Math.ceil(batch * tilesOfImage / strips);
    const usedStrips = Math.ceil(batch * tilesOfImage / tilesOfStrip);
    return { tile, ownVectors, blocks, inBlocks, tilesX, tilesOfImage, tilesOfStrip, usedStrips };
  });
  // Inputs differ in how many sums they leave; each has its part of the buffer.
  const partials: number[] = [];
  let vectors = 0;
  const accumulate = inputs.map((own, i): DispatchSpec => {
    const planes = planesOf(inputChannels[i] ?? 0);
    const { tile, ownVectors } = own;
    const sums = own.usedStrips * tile.slices;
    partials.push(vectors, sums);
    const spec: DispatchSpec = {
      kernel: {
        name: "conv2d_gemm_weight_grad",
        source: gradSource,
        constants: {
          TAPS_Y: tapsY,
          TAPS_X: tapsX,
          OUT_GROUPS: tile.outGroups,
          OUT_PLANES: tile.outPlanes,
          IN_GROUPS: tile.inGroups,
          IN_PLANES: tile.inPlanes,
          SLICES: tile.slices,
          TILE_H: tile.height,
          TILE_W: tile.width,
          PIXELS: WEIGHT_GRAD_PIXELS,
        },
      },
      params: [
        planes,
        outputPlanes,
        own.blocks,
        gradient.rows,
        gradient.width + 1,
        gradient.pitch,
        input.rows,
        input.width + 1,
        input.pitch,
        inputStride[1],
        inputStride[0],
        own.tilesX,
        own.tilesOfImage,
        own.tilesOfStrip,
        batch * own.tilesOfImage,
        vectors,
        ownVectors,
        ...tapGroups.flatMap((g) => [g.offsetY >>> 0, g.offsetX >>> 0]),
      ],
      grid: [own.blocks * own.inBlocks, own.usedStrips, tapGroups.length],
    };
    vectors += sums * ownVectors;
    return spec;
  });
  while (partials.length < 2 * MAX_SEGMENTS) partials.push(0);
  const reduceGrid = linearGrid(stripVectors, REDUCE_VECTORS);
  return {
    partialBytes: vectors * 16,
    accumulate,
    reduce: {
      kernel: {
        name: "conv2d_gemm_weight_grad_reduce",
        source: reduceSource,
        constants: { TAPS: tapsY * tapsX, VECTORS: REDUCE_VECTORS, LANES: REDUCE_LANES },
      },
      params: [
        stripVectors,
        reduceGrid.stride,
        outputChannels,
        totalInputChannels(shape),
        outputPlanes,
        tapGroups.length,
        allPlanes,
        shape.kernel[0] * shape.kernel[1],
        ...segmentWords(inputChannels),
        ...partials,
        ...tapGroups.flatMap((g) => g.taps),
      ],
      grid: reduceGrid.grid,
    },
  };
}
