/**
 * Convolutions as matrix products in workgroup memory, for real GPUs: any kernel, stride, padding
 * and dilation. Everything here is plain data; the caller owns the buffers. The weight gradient is
 * in `conv_gemm_weight_grad.ts`.
 * @module
 */
import gemmSource from "../../shaders/conv2d_gemm.wgsl" with { type: "text" };
import packSource from "../../shaders/conv2d_gemm_pack_weights.wgsl" with { type: "text" };
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import { choose, type TuningTarget } from "../gpu/tuning.ts";
import { c4Geometry } from "../graph/layout.ts";
import { adjointTaps, forwardTaps, type TapGroups } from "./conv_gemm_taps.ts";
import { forwardTiles, PIXELS } from "./conv_gemm_tiles.ts";
import { type Epilogue, epilogueConstants } from "./conv_epilogue.ts";
import { type ConvShape, totalInputChannels } from "./conv_shape.ts";
import { MAX_SEGMENTS, planesOf, segmentWords } from "./conv_texture_geometry.ts";
import { linearGrid } from "./grid.ts";

/** A convolution or adjoint: packing its weights, then computing it. */
export interface GemmDispatches {
  readonly packedBytes: number;
  /** Bindings: 0 params, 1 weights (flat), 2 packed. */
  readonly pack: DispatchSpec;
  /**
   * Bindings: 0 params, 1 .. inputs (c4), packed, output (c4; only pixels of the image are written),
   * what the epilogue needs.
   */
  readonly gemm: DispatchSpec;
}

/** A 3x3 kernel goes through workgroup memory at once, of larger ones a row or a single tap. */
const MAX_TAPS = 9;

/** y = conv(concat(inputs), weight) + bias for weights [O, I, kH, kW]. */
export function gemmForward(
  shape: ConvShape,
  epilogue: Epilogue,
  target: TuningTarget = {},
): GemmDispatches {
  const taps = shape.kernel[0] * shape.kernel[1];
  return gemm({
    name: "conv2d_gemm_forward",
    batch: shape.batch,
    inputChannels: shape.inputChannels,
    inputSize: shape.inputSize,
    outputChannels: shape.outputChannels,
    outputSize: shape.outputSize,
    groups: forwardTaps(shape, MAX_TAPS),
    weights: { first: 0, outputStride: totalInputChannels(shape) * taps, inputStride: taps },
    epilogue,
  }, target);
}

/**
 * The gradient of input number `segment` for weights [O, I, kH, kW]. With a bias it is a transposed
 * convolution.
 */
export function gemmInputGrad(
  shape: ConvShape,
  segment: number,
  epilogue: Epilogue,
  target: TuningTarget = {},
): GemmDispatches {
  const taps = shape.kernel[0] * shape.kernel[1];
  const before = shape.inputChannels.slice(0, segment).reduce((sum, c) => sum + c, 0);
  return gemm({
    name: "conv2d_gemm_input_grad",
    batch: shape.batch,
    inputChannels: [shape.outputChannels],
    inputSize: shape.outputSize,
    outputChannels: shape.inputChannels[segment] ?? 0,
    outputSize: shape.inputSize,
    groups: adjointTaps(shape, MAX_TAPS),
    weights: {
      first: before * taps,
      outputStride: taps,
      inputStride: totalInputChannels(shape) * taps,
    },
    epilogue,
  }, target);
}

interface Product {
  readonly name: string;
  readonly batch: number;
  readonly inputChannels: readonly number[];
  readonly inputSize: readonly [number, number];
  readonly outputChannels: number;
  readonly outputSize: readonly [number, number];
  readonly groups: TapGroups;
  /** Where the weight of an output and an input channel lies: the index of its first tap. */
  readonly weights: { first: number; outputStride: number; inputStride: number };
  readonly epilogue: Epilogue;
}

function gemm(g: Product, target: TuningTarget): GemmDispatches {
  const { tapsY, tapsX, inputStride, outputStride, phases } = g.groups;
  const input = c4Geometry([g.batch, 4, ...g.inputSize], target.images ?? "f32");
  const output = c4Geometry([g.batch, 4, ...g.outputSize], target.images ?? "f32");
  const inputPlanes = g.inputChannels.reduce((sum, c) => sum + planesOf(c), 0);
  const outputPlanes = planesOf(g.outputChannels);
  const height = Math.ceil(output.height / outputStride[0]);
  const width = Math.ceil(output.width / outputStride[1]);
  const problem = {
    batch: g.batch,
    height,
    width,
    phases: phases.length,
    inputPlanes,
    outputPlanes,
    tapsY,
    tapsX,
  };
  const key = `${g.name} ${g.batch}x${g.inputChannels.join("+")}x${g.inputSize.join("x")}` +
    `>${g.outputChannels}x${
      g.outputSize.join("x")
    }, ${phases.flat().length} x ${tapsY}x${tapsX} taps`;
  const tile = choose(target, key, forwardTiles(problem));
  const blockPlanes = tile.channelGroups * tile.outPlanes;
  const blocks = Math.ceil(outputPlanes / blockPlanes);
  const chunks = Math.ceil(inputPlanes / tile.planes);
  const groups = phases.flat();
  const taps = tapsY * tapsX;
  const packed = blocks * groups.length * chunks * tile.planes * taps * 4 * blockPlanes;
  const packGrid = linearGrid(packed);
  const tilesY = Math.ceil(height / tile.rows);
  return {
    packedBytes: Math.max(1, packed) * 16,
    pack: {
      kernel: {
        name: "conv2d_gemm_pack_weights",
        source: packSource,
        constants: { BLOCK_PLANES: blockPlanes, TAPS: taps, PLANES: tile.planes },
      },
      params: [
        packed,
        packGrid.stride,
        g.outputChannels,
        inputPlanes,
        chunks,
        groups.length,
        g.weights.first,
        g.weights.outputStride,
        g.weights.inputStride,
        ...segmentWords(g.inputChannels),
        ...groups.flatMap((group) => group.taps),
      ],
      grid: packGrid.grid,
    },
    gemm: {
      kernel: {
        name: g.name,
        source: gemmSource,
        constants: {
          SEGMENTS: g.inputChannels.length,
          TAPS_Y: tapsY,
          TAPS_X: tapsX,
          PLANES: tile.planes,
          CHANNEL_GROUPS: tile.channelGroups,
          OUT_PLANES: tile.outPlanes,
          ROWS: tile.rows,
          PIXELS,
          ...epilogueConstants(g.epilogue),
        },
      },
      params: [
        output.width,
        output.height,
        output.rows,
        output.pitch,
        g.outputChannels,
        outputPlanes,
        blocks,
        input.rows,
        input.width + 1,
        input.pitch,
        inputPlanes,
        chunks,
        inputStride[1],
        inputStride[0],
        outputStride[1],
        outputStride[0],
        tilesY,
        ...Array.from({ length: MAX_SEGMENTS }, (_, s) => planesOf(g.inputChannels[s] ?? 0)),
        ...groupTable(g.groups),
      ],
      // Rows and columns apart: all tiles of a photo of 24 megapixels are too many for one dimension.
      grid: [blocks * phases.length, Math.ceil(width / PIXELS), g.batch * tilesY],
    },
  };
}

/** The first group of each phase and the end, then (y offset, x offset) of each group. */
function groupTable({ phases }: TapGroups): number[] {
  const starts = [0];
  for (const groups of phases) starts.push((starts.at(-1) ?? 0) + groups.length);
  const offsets = phases.flat().flatMap((g) => [g.offsetY >>> 0, g.offsetX >>> 0]);
  return [...starts, ...offsets];
}
