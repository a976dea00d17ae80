/**
 * A PNG writer for masks (gray or with a palette, so that the class ids survive), overlays and
 * photos.
 *
 * Source: Portable Network Graphics (PNG) Specification, third edition (W3C).
 * @module
 */
import { crc32, deflateSync } from "node:zlib";
import { PNG_SIGNATURE, type Rgb } from "./png_chunks.ts";

/** What {@linkcode encodePng} writes. */
export interface PngSource {
  readonly width: number;
  readonly height: number;
  /** 1: gray, or indices when there is a palette; 3: RGB; 4: RGBA. */
  readonly channels: 1 | 3 | 4;
  /** `[height, width, channels]` samples; a `Uint16Array` is written with 16 bits a sample. */
  readonly data: Uint8Array | Uint8ClampedArray | Uint16Array;
  /** The colours of the indices, 256 at most; only with one channel of 8 bits. */
  readonly palette?: readonly Rgb[];
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function bigEndian(samples: Uint16Array): Uint8Array {
  const out = new Uint8Array(samples.length * 2);
  for (let i = 0; i < samples.length; i++) {
    out[2 * i] = samples[i]! >> 8;
    out[2 * i + 1] = samples[i]!;
  }
  return out;
}

/** Rows with filter type 0 in front: best for indices, whose differences mean nothing. */
function unfiltered(bytes: Uint8Array, rows: number, stride: number): Uint8Array {
  const out = new Uint8Array(rows * (stride + 1));
  for (let row = 0; row < rows; row++) {
    out.set(bytes.subarray(row * stride, (row + 1) * stride), row * (stride + 1) + 1);
  }
  return out;
}

function paeth(left: number, up: number, corner: number): number {
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  return toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
}

/**
 * Rows with the filter of least sum of absolute differences, the specification's heuristic (12.7),
 * among none, sub, up and Paeth: average wins too seldom to be worth its time.
 */
function filtered(bytes: Uint8Array, rows: number, stride: number, pixelBytes: number): Uint8Array {
  const out = new Uint8Array(rows * (stride + 1));
  const sub = new Uint8Array(stride);
  const up = new Uint8Array(stride);
  const predicted = new Uint8Array(stride);
  let previous: Uint8Array = new Uint8Array(stride);
  for (let row = 0; row < rows; row++) {
    const current = bytes.subarray(row * stride, (row + 1) * stride);
    let noneCost = 0;
    let subCost = 0;
    let upCost = 0;
    let paethCost = 0;
    for (let i = 0; i < stride; i++) {
      const value = current[i]!;
      const left = i < pixelBytes ? 0 : current[i - pixelBytes]!;
      const above = previous[i]!;
      const corner = i < pixelBytes ? 0 : previous[i - pixelBytes]!;
      const bySub = (value - left) & 255;
      const byUp = (value - above) & 255;
      const byPaeth = (value - paeth(left, above, corner)) & 255;
      sub[i] = bySub;
      up[i] = byUp;
      predicted[i] = byPaeth;
      noneCost += value < 128 ? value : 256 - value;
      subCost += bySub < 128 ? bySub : 256 - bySub;
      upCost += byUp < 128 ? byUp : 256 - byUp;
      paethCost += byPaeth < 128 ? byPaeth : 256 - byPaeth;
    }
    const least = Math.min(noneCost, subCost, upCost, paethCost);
    const [filter, best] = least === noneCost
      ? [0, current]
      : least === upCost
      ? [2, up]
      : least === subCost
      ? [1, sub]
      : [4, predicted];
    out[row * (stride + 1)] = filter;
    out.set(best, row * (stride + 1) + 1);
    previous = current;
  }
  return out;
}

function paletteChunk(source: PngSource): Uint8Array | undefined {
  const palette = source.palette;
  if (!palette) return undefined;
  if (source.channels !== 1 || source.data instanceof Uint16Array) {
    throw new RangeError("a PNG with a palette has one channel of 8-bit indices");
  }
  if (palette.length < 1 || palette.length > 256) {
    throw new RangeError(`a PNG palette has 1 to 256 colours, this one has ${palette.length}`);
  }
  let largest = 0;
  for (let i = 0; i < source.data.length; i++) largest = Math.max(largest, source.data[i]!);
  if (largest >= palette.length) {
    throw new RangeError(`index ${largest} has no colour in a palette of ${palette.length}`);
  }
  return chunk("PLTE", Uint8Array.from(palette.flat()));
}

/**
 * Encodes an image as PNG: gray, indexed, RGB or RGBA with 8 bits a sample, or 16 bits.
 * @param level zlib's compression level, 1 (fast) to 9 (small).
 * @throws {RangeError} When the sizes do not fit together or an index has no colour.
 */
export function encodePng(source: PngSource, level = 6): Uint8Array {
  const { width, height, channels, data } = source;
  if (width < 1 || height < 1 || data.length !== width * height * channels) {
    throw new RangeError(
      `a PNG of ${width}x${height} with ${channels} channels needs ${
        width * height * channels
      } samples, there are ${data.length}`,
    );
  }
  const wide = data instanceof Uint16Array;
  const bytes = wide
    ? bigEndian(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const stride = width * channels * (wide ? 2 : 1);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = wide ? 16 : 8;
  header[9] = source.palette ? 3 : channels === 1 ? 0 : channels === 3 ? 2 : 6;
  const palette = paletteChunk(source);
  const rows = palette
    ? unfiltered(bytes, height, stride)
    : filtered(bytes, height, stride, channels * (wide ? 2 : 1));
  return concat([
    PNG_SIGNATURE,
    chunk("IHDR", header),
    ...(palette ? [palette] : []),
    chunk("IDAT", deflateSync(rows, { level })),
    chunk("IEND", new Uint8Array(0)),
  ]);
}
