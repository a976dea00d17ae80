/**
 * Resizing: photos with antialiasing, masks by nearest neighbour only (anything else would invent
 * classes).
 * @module
 */
import type { Photo } from "./photo.ts";

/** The size that `scale` makes of `width` x `height`: floor(scale * size), at least 1. */
export function scaledSize(
  width: number,
  height: number,
  scale: number,
): { width: number; height: number } {
  return {
    width: Math.max(1, Math.floor(scale * width)),
    height: Math.max(1, Math.floor(scale * height)),
  };
}

/** For each output sample: `counts` source samples from `starts` on, with `weights` from `offsets`. */
interface Taps {
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  readonly offsets: Int32Array;
  readonly weights: Float64Array;
}

/** Area coverage when shrinking; linear interpolation between pixel centres when enlarging. */
function taps(from: number, to: number): Taps {
  const ratio = from / to;
  const perOutput = Math.ceil(ratio) + 2;
  const starts = new Int32Array(to);
  const counts = new Int32Array(to);
  const offsets = new Int32Array(to);
  const weights = new Float64Array(to * perOutput);
  for (let i = 0; i < to; i++) {
    const offset = i * perOutput;
    offsets[i] = offset;
    if (ratio > 1) {
      // In whole numbers, so that boxes that end on a pixel's edge do not touch the next one.
      const start = Math.floor((i * from) / to);
      const end = Math.ceil(((i + 1) * from) / to);
      starts[i] = start;
      counts[i] = end - start;
      for (let k = start; k < end; k++) {
        const covered = Math.min((k + 1) * to, (i + 1) * from) - Math.max(k * to, i * from);
        weights[offset + k - start] = covered / from;
      }
    } else {
      const centre = Math.min(Math.max((i + 0.5) * ratio - 0.5, 0), from - 1);
      const start = Math.min(Math.floor(centre), Math.max(0, from - 2));
      starts[i] = start;
      counts[i] = Math.min(2, from);
      weights[offset] = 1 - (centre - start);
      weights[offset + 1] = centre - start;
    }
  }
  return { starts, counts, offsets, weights };
}

/** Resamples one row of RGB pixels into `out`. */
function resampleRow(data: Uint8Array, rowStart: number, columns: Taps, out: Float32Array): void {
  const { starts, counts, offsets, weights } = columns;
  for (let x = 0, to = 0; x < starts.length; x++) {
    let at = rowStart + starts[x]! * 3;
    const end = at + counts[x]! * 3;
    let weight = offsets[x]!;
    let red = 0;
    let green = 0;
    let blue = 0;
    for (; at < end; at += 3) {
      const w = weights[weight++]!;
      red += w * data[at]!;
      green += w * data[at + 1]!;
      blue += w * data[at + 2]!;
    }
    out[to++] = red;
    out[to++] = green;
    out[to++] = blue;
  }
}

/**
 * Resizes a photo. Shrinking averages over exactly the area that an output pixel covers; enlarging
 * interpolates linearly between pixel centres; each axis on its own.
 * @returns A photo of `width` x `height`; the same one when it has that size already.
 */
export function resizeArea(photo: Photo, width: number, height: number): Photo {
  if (photo.width === width && photo.height === height) return photo;
  const columns = taps(photo.width, width);
  const rows = taps(photo.height, height);
  const stride = width * 3;
  const out = new Uint8Array(height * stride);
  const sum = new Float32Array(stride);
  // Neighbouring output rows share at most two source rows: keep the last two resampled.
  const kept = [new Float32Array(stride), new Float32Array(stride)] as const;
  const keptRow = [-1, -1];
  for (let y = 0; y < height; y++) {
    sum.fill(0);
    const start = rows.starts[y]!;
    for (let k = 0; k < rows.counts[y]!; k++) {
      const row = start + k;
      const slot = row & 1 ? 1 : 0;
      const line = kept[slot];
      if (keptRow[slot] !== row) {
        resampleRow(photo.data, row * photo.width * 3, columns, line);
        keptRow[slot] = row;
      }
      const weight = rows.weights[rows.offsets[y]! + k]!;
      for (let i = 0; i < stride; i++) sum[i] = sum[i]! + weight * line[i]!;
    }
    for (let i = 0, to = y * stride; i < stride; i++) out[to++] = sum[i]! + 0.5;
  }
  return { width, height, data: out };
}

/**
 * Resizes a mask by nearest neighbour: output pixel x shows the source pixel under its centre,
 * floor((x + 0.5) * sourceWidth / width).
 * @returns The mask with the new size and data; its other fields stay.
 */
export function resizeNearest<
  M extends {
    readonly width: number;
    readonly height: number;
    readonly data: Uint8Array | Uint16Array | Uint32Array;
  },
>(mask: M, width: number, height: number): M {
  if (mask.width === width && mask.height === height) return mask;
  const source = (i: number, from: number, to: number) =>
    Math.floor(((2 * i + 1) * from) / (2 * to));
  const columns = Int32Array.from({ length: width }, (_, x) => source(x, mask.width, width));
  const { data } = mask;
  const pixels = width * height;
  const out = data instanceof Uint32Array
    ? new Uint32Array(pixels)
    : data instanceof Uint16Array
    ? new Uint16Array(pixels)
    : new Uint8Array(pixels);
  for (let y = 0, to = 0; y < height; y++) {
    const row = source(y, mask.height, height) * mask.width;
    for (let x = 0; x < width; x++) out[to++] = data[row + columns[x]!]!;
  }
  return { ...mask, width, height, data: out };
}
