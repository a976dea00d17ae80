/**
 * Windows for kernels that take the planes of images one by one.
 * @module
 */
import { c4Geometry } from "../graph/layout.ts";
import type { ImageView, LowerContext } from "../graph/lower.ts";
import type { BufferMemory } from "../graph/memory.ts";
import {
  mostUnits,
  rangesOf,
  type UnitRange,
  unitTooLarge,
  windowOfUnits,
} from "../graph/windows.ts";

/** Some planes, counted through all images, and their memory. */
export interface PlaneWindow {
  readonly planes: UnitRange;
  readonly memory: BufferMemory;
}

/**
 * All planes of images at once, or as many as can be bound.
 * @throws {InputError} when a single one is too large.
 */
export function planeWindows(context: LowerContext, { memory, shape }: ImageView): PlaneWindow[] {
  const { planes, planeSize, vectorBytes } = c4Geometry(shape, context.images);
  const { maxBindingBytes } = context.target;
  const divisible = { memory, unitBytes: planeSize * vectorBytes };
  const most = mostUnits([divisible], maxBindingBytes);
  if (most < 1) throw unitTooLarge(memory.label, [divisible], maxBindingBytes);
  return rangesOf(planes, Math.min(planes, most)).map((planes) => ({
    planes,
    memory: windowOfUnits(divisible, planes).memory,
  }));
}
