/**
 * How the texture family goes through images that it copies to textures: in parts that take little
 * memory there, which the processor's caches keep, too.
 * @module
 */

import { c4Geometry, stageGeometry } from "../graph/layout.ts";
import type { ImagePart } from "../graph/staging.ts";
import { rangesOf } from "../graph/windows.ts";
import {
  type ConvDims,
  inputGradDims,
  inputPlanesOf,
  MAX_SEGMENTS,
  packedWeightGeometry,
  planesOf,
  type StagingTarget,
} from "./conv_texture_geometry.ts";
import { MOST_TILE_ROWS } from "./conv_texture_tiles.ts";

/** Texels of a part, of all images that a kernel reads: 8 MiB, or 4 MiB of f16. */
const PART_TEXELS = 2 ** 19;

/**
 * Some images at once, or some rows of one.
 * @param stacks planes of an image in each texture that a kernel reads
 * @param unitRows rows that a kernel takes at once: parts end at a multiple of them or with the image
 * @param mostParts where they would be more they are larger, as far as textures hold them
 * @throws {RangeError} where no texture of the target holds so many rows of an image
 */
export function imageParts(
  { batch, height, width }: Pick<ConvDims, "batch" | "height" | "width">,
  stacks: readonly number[],
  unitRows: number,
  target: StagingTarget,
  mostParts: number = Infinity,
): ImagePart[] {
  const { maxTextureDimension, images: type = "f32", stagedPartTexels = PART_TEXELS } = target;
  const { pitch, rows: imageRows } = c4Geometry([1, 1, height, width], type);
  const rowTexels = stacks.reduce((sum, planes) => sum + planes, 0) * pitch;
  const largest = Math.max(...stacks);
  const fits = (count: number, rows: number) => partFits(count * largest, rows, width, target);
  if (!fits(1, Math.min(unitRows, height))) {
    throw new RangeError(
      `${unitRows} rows of ${width} pixels of ${largest} planes do not fit a texture of ` +
        `${maxTextureDimension} x ${maxTextureDimension}`,
    );
  }
  const partsOf = (texels: number): ImagePart[] => {
    let images = Math.min(batch, Math.floor(texels / (imageRows * rowTexels)));
    while (images > 0 && !fits(images, height)) images--;
    if (images > 0) {
      const rows = { first: 0, count: height };
      return rangesOf(batch, images).map((images) => ({ images, rows }));
    }
    const allUnits = Math.ceil(height / unitRows);
    const mostUnits = Math.floor((texels / rowTexels - 2) / unitRows);
    let units = Math.max(1, Math.min(allUnits, mostUnits));
    while (units > 1 && !fits(1, units * unitRows)) units--;
    const ranges = rangesOf(allUnits, units).map(({ first, count }) => ({
      first: first * unitRows,
      count: Math.min(count * unitRows, height - first * unitRows),
    }));
    return rangesOf(batch, 1).flatMap((images) => ranges.map((rows) => ({ images, rows })));
  };
  let parts = partsOf(stagedPartTexels);
  const allTexels = batch * imageRows * rowTexels;
  for (let most = stagedPartTexels; parts.length > mostParts && most < allTexels; most *= 2) {
    parts = partsOf(2 * most);
  }
  return parts;
}

/** Whether a texture holds so many rows, and the two around them, of all these planes. */
function partFits(
  planes: number,
  rows: number,
  width: number,
  { maxTextureDimension, images: type = "f32" }: StagingTarget,
): boolean {
  const { pitch } = c4Geometry([1, 1, 1, width], type);
  const columns = Math.floor(maxTextureDimension / pitch);
  return Math.ceil(planes / columns) * (rows + 2) <= maxTextureDimension;
}

/** Where the planes of a part of images lie in a texture; see `stackPlanes`. */
export function planesPerColumn(
  { images, rows }: ImagePart,
  planes: number,
  width: number,
  { maxTextureDimension, images: type = "f32" }: StagingTarget,
): number {
  const { pitch } = c4Geometry([1, 1, 1, width], type);
  return stageGeometry(images.count * planes, rows.count + 2, pitch, maxTextureDimension)
    .planesPerColumn;
}

/** Whether forward and both gradients of a convolution fit the texture family on a device. */
export function fitsTextureFamily(dims: ConvDims, target: StagingTarget): boolean {
  if (dims.inputChannels.length > MAX_SEGMENTS) return false;
  const planes = Math.max(inputPlanesOf(dims), planesOf(dims.outputChannels));
  if (!partFits(planes, Math.min(MOST_TILE_ROWS, dims.height), dims.width, target)) return false;
  try {
    const adjoints = dims.inputChannels.map((_, input) => inputGradDims(dims, input));
    for (const convolution of [dims, ...adjoints]) {
      packedWeightGeometry(convolution, 1, target.maxTextureDimension);
      packedWeightGeometry(convolution, 2, target.maxTextureDimension);
    }
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
