/**
 * A PNG reader that keeps what the file holds: palette indices stay indices, 16-bit samples stay 16
 * bits, 1-bit samples stay 0 and 1. General image libraries turn all of these into colours, which
 * destroys the class ids of a mask.
 *
 * Source: Portable Network Graphics (PNG) Specification, third edition (W3C).
 * @module
 */
import { inflateSync } from "node:zlib";
import { applyOrientation, type Orientation } from "./exif.ts";
import { type Contents, damaged, type Header, parsePng, type PngColorType } from "./png_chunks.ts";

export type { PngColorType, Rgb } from "./png_chunks.ts";

/** A decoded PNG, turned as its EXIF says. */
export interface PngImage {
  readonly width: number;
  readonly height: number;
  /** The turn that was made. */
  readonly orientation: Orientation;
  /** Bits of a sample: 1, 2, 4, 8 or 16. */
  readonly bitDepth: number;
  readonly colorType: PngColorType;
  /** Samples of a pixel: 1 (gray, palette), 2 (gray, alpha), 3 (RGB) or 4 (RGBA). */
  readonly channels: 1 | 2 | 3 | 4;
  /**
   * `[height, width, channels]` samples as stored, unscaled; palette images: the indices.
   * `Uint16Array` exactly when `bitDepth` is 16.
   */
  readonly data: Uint8Array | Uint16Array;
  /** Palette images: r, g, b of every entry. */
  readonly palette?: Uint8Array;
  /** Palette images: alpha of the first entries; gray and RGB: the one transparent sample value. */
  readonly transparency?: Uint8Array | Uint16Array;
}

const ADAM7 = [
  { x0: 0, y0: 0, dx: 8, dy: 8 },
  { x0: 4, y0: 0, dx: 8, dy: 8 },
  { x0: 0, y0: 4, dx: 4, dy: 8 },
  { x0: 2, y0: 0, dx: 4, dy: 4 },
  { x0: 0, y0: 2, dx: 2, dy: 4 },
  { x0: 1, y0: 0, dx: 2, dy: 2 },
  { x0: 0, y0: 1, dx: 1, dy: 2 },
] as const;

function rowBytes(header: Header, width: number): number {
  return Math.ceil((width * header.channels * header.bitDepth) / 8);
}

/** Sizes of the sub-images that the pixel data holds one after the other; empty ones are absent. */
function passes(header: Header) {
  const { width, height } = header;
  if (!header.interlaced) return [{ x0: 0, y0: 0, dx: 1, dy: 1, width, height }];
  return ADAM7.map((pass) => ({
    ...pass,
    width: Math.ceil((width - pass.x0) / pass.dx),
    height: Math.ceil((height - pass.y0) / pass.dy),
  })).filter((pass) => pass.width > 0 && pass.height > 0);
}

function inflate(contents: Contents, expectedBytes: number, name: string): Uint8Array {
  const parts = contents.compressed;
  let joined = parts[0]!;
  if (parts.length > 1) {
    joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
  }
  // Deflate packs 1032 bytes into one at most: a forged size must not make us allocate it.
  if (expectedBytes > joined.length * 1032) {
    throw damaged(
      name,
      `its ${joined.length} bytes of pixel data cannot hold the ${expectedBytes} that its size needs`,
    );
  }
  let raw: Uint8Array;
  try {
    // One output chunk as large as the image: zlib's default of 16 KiB costs a copy each.
    raw = inflateSync(joined, {
      chunkSize: Math.max(64, expectedBytes + 1),
      maxOutputLength: expectedBytes + 1,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw damaged(name, `its pixel data cannot be decompressed (${reason})`);
  }
  if (raw.length !== expectedBytes) {
    const relation = raw.length < expectedBytes ? "fewer" : "more";
    throw damaged(name, `its pixel data has ${relation} than the ${expectedBytes} bytes it needs`);
  }
  return raw;
}

/**
 * Undoes the row filters of one sub-image.
 * @param raw Rows of a filter type and `stride` bytes, from byte `start` on.
 * @param pixelBytes Distance to the byte on the left that filters refer to.
 * @returns `[rows, stride]` bytes.
 */
function unfilter(
  raw: Uint8Array,
  start: number,
  rows: number,
  stride: number,
  pixelBytes: number,
  name: string,
): Uint8Array {
  // A row of zeros in front stands for what filters see above the first row.
  const out = new Uint8Array(stride * (rows + 1));
  for (let row = 0, from = start, to = stride; row < rows; row++) {
    const filter = raw[from++]!;
    const shift = from - to;
    const first = to + pixelBytes;
    const end = to + stride;
    if (filter === 0) {
      out.set(raw.subarray(from, from + stride), to);
    } else if (filter === 1) {
      for (let i = to; i < first; i++) out[i] = raw[i + shift]!;
      for (let i = first; i < end; i++) out[i] = raw[i + shift]! + out[i - pixelBytes]!;
    } else if (filter === 2) {
      for (let i = to; i < end; i++) out[i] = raw[i + shift]! + out[i - stride]!;
    } else if (filter === 3) {
      for (let i = to; i < first; i++) out[i] = raw[i + shift]! + (out[i - stride]! >> 1);
      for (let i = first; i < end; i++) {
        out[i] = raw[i + shift]! + ((out[i - pixelBytes]! + out[i - stride]!) >> 1);
      }
    } else if (filter === 4) {
      for (let i = to; i < first; i++) out[i] = raw[i + shift]! + out[i - stride]!;
      for (let i = first; i < end; i++) {
        const left = out[i - pixelBytes]!;
        const up = out[i - stride]!;
        const corner = out[i - stride - pixelBytes]!;
        const toLeft = Math.abs(up - corner);
        const toUp = Math.abs(left - corner);
        const toCorner = Math.abs(left + up - 2 * corner);
        out[i] = raw[i + shift]! +
          (toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner);
      }
    } else {
      throw damaged(name, `row ${row} of its pixel data has filter ${filter}, which PNG lacks`);
    }
    from += stride;
    to = end;
  }
  return out.subarray(stride);
}

/** Turns rows of bytes into samples: `[rows, width * channels]`. */
function unpack(
  bytes: Uint8Array,
  rows: number,
  rowSamples: number,
  stride: number,
  bitDepth: number,
): Uint8Array | Uint16Array {
  if (bitDepth === 8) return bytes;
  if (bitDepth === 16) {
    const out = new Uint16Array(rows * rowSamples);
    for (let i = 0; i < out.length; i++) out[i] = (bytes[2 * i]! << 8) | bytes[2 * i + 1]!;
    return out;
  }
  const out = new Uint8Array(rows * rowSamples);
  const mask = (1 << bitDepth) - 1;
  for (let row = 0, to = 0; row < rows; row++) {
    let from = row * stride;
    let shift = 8;
    for (let i = 0; i < rowSamples; i++) {
      shift -= bitDepth;
      out[to++] = (bytes[from]! >> shift) & mask;
      if (shift === 0) {
        shift = 8;
        from++;
      }
    }
  }
  return out;
}

/**
 * Decodes a PNG of any colour type, bit depth and interlacing, and turns it as its EXIF says.
 * @param bytes The whole file.
 * @param name The file's name, for messages.
 * @throws {InputError} When the file is no PNG, truncated or damaged, with the reason.
 */
export function decodePng(bytes: Uint8Array, name: string): PngImage {
  const contents = parsePng(bytes, name);
  const { header, orientation, palette, transparency } = contents;
  const { width, height, bitDepth, colorType, channels } = header;
  const parts = passes(header);
  const expectedBytes = parts.reduce(
    (sum, part) => sum + part.height * (1 + rowBytes(header, part.width)),
    0,
  );
  const raw = inflate(contents, expectedBytes, name);
  const pixelBytes = Math.max(1, (channels * bitDepth) >> 3);
  let data: Uint8Array | Uint16Array | undefined;
  let start = 0;
  for (const part of parts) {
    const stride = rowBytes(header, part.width);
    const rows = unfilter(raw, start, part.height, stride, pixelBytes, name);
    start += part.height * (1 + stride);
    const samples = unpack(rows, part.height, part.width * channels, stride, bitDepth);
    if (!header.interlaced) {
      data = samples;
      break;
    }
    data ??= bitDepth === 16
      ? new Uint16Array(width * height * channels)
      : new Uint8Array(width * height * channels);
    for (let y = 0, from = 0; y < part.height; y++) {
      let to = ((part.y0 + y * part.dy) * width + part.x0) * channels;
      for (let x = 0; x < part.width; x++, to += part.dx * channels) {
        for (let c = 0; c < channels; c++) data[to + c] = samples[from++]!;
      }
    }
  }
  const upright = applyOrientation({ width, height, data: data ?? new Uint8Array(0) }, orientation);
  return {
    ...upright,
    orientation,
    bitDepth,
    colorType,
    channels,
    ...(palette ? { palette } : {}),
    ...(transparency ? { transparency } : {}),
  };
}
