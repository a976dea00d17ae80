/**
 * How tensors lie in GPU memory, and the host-side conversions.
 *
 * - `flat`: row-major 32-bit elements, rounded up to 16 bytes.
 * - `c4`: images [N, C, H, W] as planes of four channels (one vec4 a pixel) with a border of one
 *   pixel. C4 = ceil(C / 4), pitch = W + 2 rounded up to 16 (f16: to 32), a plane is (H + 2) rows
 *   of `pitch` vec4s of 16 bytes (f16: 8); element (n, c, y, x) is lane c % 4 of vec4
 *   ((n * C4 + c / 4) * (H + 2) + y + 1) * pitch + x + 1.
 *
 * Border, pitch padding and lanes past C are always zero: 3x3 convolutions then need no bounds
 * checks, and a row is a multiple of 256 bytes, as buffer-to-texture copies demand.
 * @module
 */

import { IMAGE_CONSTANTS, type ImageType } from "../gpu/kernel_spec.ts";

export type { ImageType };

/** Memory layout of a tensor. */
export type Layout = "flat" | "c4";

/** Element type of a tensor; only images are kept as `f16`, and all arithmetic is in f32. */
export type DType = ImageType | "u32";

/** Sizes of a `c4` tensor; counts are in vec4s. */
export interface C4Geometry {
  batch: number;
  channels: number;
  height: number;
  width: number;
  /** ceil(channels / 4) */
  channelBlocks: number;
  /** vec4s from one row to the next */
  pitch: number;
  /** rows of a plane, border included */
  rows: number;
  /** vec4s from one plane to the next */
  planeSize: number;
  /** batch * channelBlocks */
  planes: number;
  /** Bytes of a vec4: 16, or 8 for f16. */
  vectorBytes: number;
}

/** Bytes of a row must be a multiple of this, as buffer-to-texture copies demand. */
const ROW_BYTES = 256;

/** Bytes of four elements. */
export function vectorBytesOf(dtype: DType): number {
  return dtype === "f16" ? 8 : 16;
}

/** What kernels of any layout get as constant IMAGE for a tensor that may be no image. */
export function vectorTypeOf(dtype: DType): string {
  return IMAGE_CONSTANTS[dtype === "f16" ? "f16" : "f32"].IMAGE;
}

/** The geometry of a `c4` tensor of shape [N, C, H, W]. */
export function c4Geometry(shape: readonly number[], dtype: DType): C4Geometry {
  const [batch = 1, channels = 1, height = 1, width = 1] = shape;
  const channelBlocks = Math.ceil(channels / 4);
  const vectorBytes = vectorBytesOf(dtype);
  const pitchUnit = ROW_BYTES / vectorBytes;
  const pitch = Math.ceil((width + 2) / pitchUnit) * pitchUnit;
  const rows = height + 2;
  return {
    batch,
    channels,
    height,
    width,
    channelBlocks,
    pitch,
    rows,
    planeSize: rows * pitch,
    planes: batch * channelBlocks,
    vectorBytes,
  };
}

/** Product of the dimensions; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes a tensor takes on the GPU. */
export function storageBytes(shape: readonly number[], layout: Layout, dtype: DType): number {
  if (layout === "flat") return Math.ceil(elementCount(shape) / 4) * 16;
  const g = c4Geometry(shape, dtype);
  return g.planes * g.planeSize * g.vectorBytes;
}

/** `c4` memory as numbers. */
export type C4Memory = Float32Array | Float16Array;

/** NCHW values as `c4` memory; border and unused lanes are zero. */
export function packC4(
  values: ArrayLike<number>,
  shape: readonly number[],
  dtype: DType,
): C4Memory {
  const g = c4Geometry(shape, dtype);
  const packed = c4Memory(new ArrayBuffer(g.planes * g.planeSize * g.vectorBytes), dtype);
  eachRow(g, (source, target) => {
    for (let x = 0; x < g.width; x++) packed[target + x * 4] = values[source + x] ?? 0;
  });
  return packed;
}

/** Bytes of `c4` memory as numbers. */
export function c4Memory(bytes: ArrayBuffer, dtype: DType): C4Memory {
  return dtype === "f16" ? new Float16Array(bytes) : new Float32Array(bytes);
}

/** `c4` memory as NCHW values. */
export function unpackC4(
  packed: ArrayLike<number>,
  shape: readonly number[],
  dtype: DType,
): Float32Array {
  const g = c4Geometry(shape, dtype);
  const values = new Float32Array(elementCount(shape));
  eachRow(g, (source, target) => {
    for (let x = 0; x < g.width; x++) values[source + x] = packed[target + x * 4] ?? 0;
  });
  return values;
}

function eachRow(g: C4Geometry, visit: (source: number, target: number) => void): void {
  for (let n = 0; n < g.batch; n++) {
    for (let c = 0; c < g.channels; c++) {
      const plane = n * g.channelBlocks + (c >> 2);
      for (let y = 0; y < g.height; y++) {
        visit(
          ((n * g.channels + c) * g.height + y) * g.width,
          (plane * g.planeSize + (y + 1) * g.pitch + 1) * 4 + (c & 3),
        );
      }
    }
  }
}

/** How planes are stacked in a texture; sizes in texels. */
export interface StageGeometry {
  planesPerColumn: number;
  width: number;
  height: number;
}

/**
 * Stacks planes of a `c4` tensor in a texture: downwards, and in several columns of about equal
 * height where one would be higher than a texture may be. Plane p starts at texel
 * ((p / planesPerColumn) * pitch, (p % planesPerColumn) * rows).
 *
 * @throws {RangeError} when no texture of `maxTextureDimension` holds the planes.
 */
export function stageGeometry(
  planes: number,
  rows: number,
  pitch: number,
  maxTextureDimension: number,
): StageGeometry {
  const mostPerColumn = Math.floor(maxTextureDimension / rows);
  const columns = mostPerColumn > 0 ? Math.ceil(planes / mostPerColumn) : Infinity;
  if (columns * pitch > maxTextureDimension) {
    throw new RangeError(
      `${planes} planes of ${rows} x ${pitch} texels do not fit a texture of ` +
        `${maxTextureDimension} x ${maxTextureDimension}`,
    );
  }
  const planesPerColumn = Math.ceil(planes / columns);
  return { planesPerColumn, width: columns * pitch, height: planesPerColumn * rows };
}
