/**
 * Where things lie in the storage textures of the texture family of convolutions: staged
 * activations and packed weights. Pure arithmetic, in texels (one texel = 4 channels, 16 bytes).
 * @module
 */

import type { ImageType } from "../graph/layout.ts";

/** A convolution with stride 1 and as many output as input pixels (3x3 pad 1, or 1x1 pad 0). */
export interface ConvDims {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** Channels of each concatenated input, in order; one to four of them. */
  readonly inputChannels: readonly number[];
  readonly outputChannels: number;
  readonly kernel: 1 | 3;
}

/** Where the weights [O, I, k, k] of a convolution lie among those of the layer. */
export interface WeightRange {
  readonly firstOutput: number;
  readonly rowChannels: number;
  readonly transposed: 0 | 1;
}

/** Bytes of one texel of weights, rgba32float. */
const TEXEL_BYTES = 16;

/** How many concatenated inputs the kernels can tell apart. */
export const MAX_SEGMENTS = 4;

/** Planes of four channels that hold `channels`. */
export function planesOf(channels: number): number {
  return Math.ceil(channels / 4);
}

/** Planes of one image of all inputs, each padded to planes on its own. */
export function inputPlanesOf(dims: ConvDims): number {
  return dims.inputChannels.reduce((sum, channels) => sum + planesOf(channels), 0);
}

/** What staging depends on. */
export interface StagingTarget {
  /** Largest width and height of a texture, in texels. */
  maxTextureDimension: number;
  /** Element type of images; default f32. */
  images?: ImageType;
  /** Texels of a part of images that is staged, where it can be so small; default 2^19. */
  stagedPartTexels?: number;
}

/** Packed weights: a buffer that is the image of a texture, copied with one call. */
export interface PackedWeightGeometry {
  /** Planes of four output channels an invocation computes; a block. */
  readonly outPlanes: OutPlanes;
  readonly inputPlanes: number;
  readonly blocks: number;
  readonly blocksPerColumn: number;
  readonly columns: number;
  readonly pitch: number;
  /** Size of the texture in texels. */
  readonly width: number;
  readonly height: number;
  readonly bytesPerRow: number;
  readonly bytes: number;
}

/** Planes of output channels an invocation can compute. */
export type OutPlanes = 1 | 2;

/** Planes of output channels that a weight gradient computes at once. */
export function outPlanesOf(outputChannels: number): OutPlanes {
  return outputChannels <= 4 ? 1 : 2;
}

/**
 * The texture of packed weights for a convolution that computes `dims.outputChannels`. For an input
 * gradient pass the dims of that convolution, see `inputGradDims`.
 * @throws {RangeError} where it does not fit into a texture of `maxTextureDimension` squared
 */
export function packedWeightGeometry(
  dims: ConvDims,
  outPlanes: OutPlanes,
  maxTextureDimension: number,
): PackedWeightGeometry {
  const inputPlanes = inputPlanesOf(dims);
  const blocks = Math.ceil(planesOf(dims.outputChannels) / outPlanes);
  const blocksPerColumn = Math.min(blocks, Math.floor(maxTextureDimension / inputPlanes));
  const pitch = Math.ceil(dims.kernel * dims.kernel * 4 * outPlanes / 16) * 16;
  const columns = blocksPerColumn > 0 ? Math.ceil(blocks / blocksPerColumn) : Infinity;
  if (columns * pitch > maxTextureDimension) {
    throw new RangeError(
      `packed weights from ${dims.inputChannels.join(" + ")} to ${dims.outputChannels} channels ` +
        `do not fit a texture of ${maxTextureDimension} x ${maxTextureDimension}`,
    );
  }
  const width = columns * pitch;
  const height = blocksPerColumn * inputPlanes;
  const bytesPerRow = width * TEXEL_BYTES;
  return {
    outPlanes,
    inputPlanes,
    blocks,
    blocksPerColumn,
    columns,
    pitch,
    width,
    height,
    bytesPerRow,
    bytes: bytesPerRow * height,
  };
}

/**
 * The convolution that computes the gradient of one of the inputs: from the output's channels to
 * that input's.
 * @param input index into `dims.inputChannels`
 */
export function inputGradDims(dims: ConvDims, input: number): ConvDims {
  const channels = dims.inputChannels[input];
  if (channels === undefined) {
    throw new RangeError(`input ${input} of ${dims.inputChannels.length} does not exist`);
  }
  return { ...dims, inputChannels: [dims.outputChannels], outputChannels: channels };
}

/** The params words of the inputs' channel ranges, padded to {@linkcode MAX_SEGMENTS}. */
export function segmentWords(inputChannels: readonly number[]): number[] {
  const words: number[] = [];
  let plane = 0;
  let channel = 0;
  for (const channels of inputChannels) {
    words.push(plane, channel, channels);
    plane += planesOf(channels);
    channel += channels;
  }
  while (words.length < 3 * MAX_SEGMENTS) words.push(0xffffffff, 0, 0);
  return words;
}

/** A grid of `count` workgroups in two dimensions that stay within WebGPU's 65535. */
export function splitGrid(count: number, perUnit = 1): { perRow: number; rows: number } {
  const most = Math.max(1, Math.floor(65535 / perUnit));
  const rows = Math.ceil(count / most);
  return { perRow: Math.ceil(count / rows), rows };
}
