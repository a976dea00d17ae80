/**
 * Windows for kernels that take the planes of images one by one.
 * @module
 */
import { c4Geometry } from "../graph/layout.ts";
import type { ImageView, LowerContext } from "../graph/lower.ts";
import type { BufferMemory } from "../graph/memory.ts";
import {
  type Divisible,
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
 * How many planes of images can be bound at once; `Infinity` where all can.
 * @throws {InputError} when a single one is too large.
 */
export function mostPlanes(context: LowerContext, view: ImageView): number {
  const { maxBindingBytes } = context.target;
  const planes = planesOf(context, view);
  const most = mostUnits([planes], maxBindingBytes);
  if (most < 1) throw unitTooLarge(view.memory.label, [planes], maxBindingBytes);
  return most;
}

/** All planes of images at once, or as many as can be bound. */
export function planeWindows(context: LowerContext, view: ImageView): PlaneWindow[] {
  const { planes } = c4Geometry(view.shape, context.images);
  return rangesOf(planes, Math.min(planes, mostPlanes(context, view))).map((planes) => ({
    planes,
    memory: planesIn(context, view, planes),
  }));
}

/** The memory of some planes, counted through all images. */
export function planesIn(
  context: LowerContext,
  view: ImageView,
  planes: UnitRange,
): BufferMemory {
  return windowOfUnits(planesOf(context, view), planes).memory;
}

function planesOf(context: LowerContext, { memory, shape }: ImageView): Divisible {
  const { planeSize, vectorBytes } = c4Geometry(shape, context.images);
  return { memory, unitBytes: planeSize * vectorBytes };
}
