/**
 * Dispatch grids within WebGPU's 65535 workgroups a dimension, and workgroups of one vector.
 * @module
 */

/** Workgroups of a grid in one direction, WebGPU's default limit. */
export const MAX_WORKGROUPS = 65535;

/** Invocations that a software adapter runs at once: numbers in a vector of the processor. */
export function vectorLanes({ vectorBits = 256 }: { vectorBits?: number }): number {
  return vectorBits / 32;
}

/**
 * Whether sums should fit 16 vector registers. Nothing tells their number: where reads of buffers are
 * slow there is no AVX-512, which has 32, or else a newer Mesa, not measured on processors with it.
 */
export function hasFewRegisters(
  { textureReadBytes = Infinity }: { textureReadBytes?: number },
): boolean {
  return textureReadBytes < Infinity;
}

/** A grid for `count` independent invocations, and the invocations in one grid row. */
export interface LinearGrid {
  grid: [number, number, number];
  /** Invocation index = global id y * stride + global id x. */
  stride: number;
}

/** Spreads `count` invocations over x, then y. */
export function linearGrid(count: number, workgroupSize = 64): LinearGrid {
  const groups = Math.max(1, Math.ceil(count / workgroupSize));
  const x = Math.min(groups, MAX_WORKGROUPS);
  return { grid: [x, Math.ceil(groups / x), 1], stride: x * workgroupSize };
}
