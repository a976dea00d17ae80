/**
 * A PNG reader that keeps what the file holds: palette indices stay indices, 16-bit samples stay 16
 * bits, 1-bit samples stay 0 and 1. General image libraries turn all of these into colours, which
 * destroys the class ids of a mask.
 *
 * Source: Portable Network Graphics (PNG) Specification, third edition (W3C).
 * @module
 */
import { crc32, inflateSync } from "node:zlib";
import { InputError } from "../errors.ts";
import { applyOrientation, type Orientation, swapsSides, tiffOrientation } from "./exif.ts";

/** A colour as 8-bit red, green and blue. */
export type Rgb = readonly [number, number, number];

/** PNG colour types: gray, RGB, palette, gray with alpha, RGB with alpha. */
export type PngColorType = 0 | 2 | 3 | 4 | 6;

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

interface Header {
  readonly width: number;
  readonly height: number;
  readonly bitDepth: number;
  readonly colorType: PngColorType;
  readonly channels: 1 | 2 | 3 | 4;
  readonly interlaced: boolean;
}

/** The eight bytes that every PNG starts with. */
export const PNG_SIGNATURE: Uint8Array = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);

/** Larger images are refused: a forged header must not make the process run out of memory. */
export const MAX_PIXELS = 2 ** 28;

const CHANNELS: Readonly<Record<PngColorType, 1 | 2 | 3 | 4>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const BIT_DEPTHS: Readonly<Record<PngColorType, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
const ADAM7 = [
  { x0: 0, y0: 0, dx: 8, dy: 8 },
  { x0: 4, y0: 0, dx: 8, dy: 8 },
  { x0: 0, y0: 4, dx: 4, dy: 8 },
  { x0: 2, y0: 0, dx: 4, dy: 4 },
  { x0: 0, y0: 2, dx: 2, dy: 4 },
  { x0: 1, y0: 0, dx: 2, dy: 2 },
  { x0: 0, y0: 1, dx: 1, dy: 2 },
] as const;

/** Whether `bytes` start like a PNG (which says nothing about the rest). */
export function isPng(bytes: Uint8Array): boolean {
  return PNG_SIGNATURE.every((byte, i) => bytes[i] === byte);
}

function damaged(name: string, found: string): InputError {
  return new InputError(
    `cannot read ${name}: ${found}; the PNG is damaged or was not copied whole, export or copy it again`,
  );
}

function uint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>>
    0;
}

interface Chunk {
  readonly type: string;
  readonly critical: boolean;
  readonly intact: boolean;
  readonly data: Uint8Array;
}

/** The chunks up to IEND, or up to but without `stopAt`. */
function* chunks(bytes: Uint8Array, name: string, stopAt?: string): Generator<Chunk> {
  if (!isPng(bytes)) {
    throw damaged(name, "it does not start with the eight bytes of a PNG");
  }
  for (let at = 8;;) {
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (type === stopAt) return;
    if (at + 12 > bytes.length) {
      throw damaged(name, `it ends after ${bytes.length} bytes, before its end chunk (IEND)`);
    }
    const length = uint32(bytes, at);
    if (!/^[A-Za-z]{4}$/.test(type)) {
      throw damaged(name, `there is no chunk where one should start, at byte ${at}`);
    }
    const end = at + 12 + length;
    if (end > bytes.length) {
      throw damaged(
        name,
        `its ${type} chunk needs ${
          end - bytes.length
        } bytes more than the file has (${bytes.length})`,
      );
    }
    const critical = (bytes[at + 4]! & 0x20) === 0;
    const intact = crc32(bytes.subarray(at + 4, end - 4)) === uint32(bytes, end - 4);
    if (critical && !intact) throw damaged(name, `the checksum of its ${type} chunk is wrong`);
    yield { type, critical, intact, data: bytes.subarray(at + 8, end - 4) };
    if (type === "IEND") return;
    at = end;
  }
}

function parseHeader(chunk: Chunk | undefined, name: string): Header {
  if (chunk?.type !== "IHDR" || chunk.data.length !== 13) {
    throw damaged(name, "its first chunk is not a header (IHDR) of 13 bytes");
  }
  const data = chunk.data;
  const width = uint32(data, 0);
  const height = uint32(data, 4);
  const bitDepth = data[8]!;
  const type = data[9]!;
  if (type !== 0 && type !== 2 && type !== 3 && type !== 4 && type !== 6) {
    throw damaged(name, `its header says colour type ${type}, which PNG does not have`);
  }
  if (!BIT_DEPTHS[type].includes(bitDepth)) {
    throw damaged(
      name,
      `its header says ${bitDepth} bits for colour type ${type}, which PNG does not have`,
    );
  }
  if (width < 1 || height < 1) throw damaged(name, `its header says ${width}x${height} pixels`);
  if (data[10] !== 0 || data[11] !== 0 || data[12]! > 1) {
    throw damaged(name, "its header names an unknown compression, filter or interlace method");
  }
  if (width * height > MAX_PIXELS) {
    throw new InputError(
      `cannot read ${name}: its header says ${width}x${height} pixels, more than the ${MAX_PIXELS} that are supported; cut it into tiles`,
    );
  }
  const channels = CHANNELS[type];
  return { width, height, bitDepth, colorType: type, channels, interlaced: data[12] === 1 };
}

/** The turn that an eXIf chunk before the pixel data notes. */
function chunkOrientation({ type, intact, data }: Chunk): Orientation | undefined {
  return type === "eXIf" && intact ? tiffOrientation(data) : undefined;
}

/**
 * Width and height, as they are seen after the turn that EXIF notes, and that turn, from what stands
 * before a PNG's pixel data.
 * @param name The file's name, for messages.
 * @throws {InputError} When it is no PNG, its header is damaged, or `bytes` end before the pixels.
 */
export function pngSize(
  bytes: Uint8Array,
  name: string,
): { width: number; height: number; orientation: Orientation } {
  const all = chunks(bytes, name, "IDAT");
  const { width, height } = parseHeader(all.next().value ?? undefined, name);
  let orientation: Orientation = 1;
  for (const chunk of all) orientation = chunkOrientation(chunk) ?? orientation;
  return swapsSides(orientation)
    ? { width: height, height: width, orientation }
    : { width, height, orientation };
}

interface Contents {
  readonly header: Header;
  readonly orientation: Orientation;
  readonly palette?: Uint8Array;
  readonly transparency?: Uint8Array | Uint16Array;
  readonly compressed: readonly Uint8Array[];
}

function parse(bytes: Uint8Array, name: string): Contents {
  const all = chunks(bytes, name);
  const header = parseHeader(all.next().value ?? undefined, name);
  let palette: Uint8Array | undefined;
  let transparency: Uint8Array | Uint16Array | undefined;
  let orientation: Orientation = 1;
  const compressed: Uint8Array[] = [];
  for (const chunk of all) {
    const { type, critical, intact, data } = chunk;
    if (compressed.length === 0) orientation = chunkOrientation(chunk) ?? orientation;
    if (type === "IDAT") {
      compressed.push(data);
    } else if (type === "PLTE") {
      if (data.length === 0 || data.length % 3 !== 0 || data.length > 768) {
        throw damaged(name, `its palette has ${data.length} bytes, not three for each colour`);
      }
      if (header.colorType === 3) palette = data.slice();
    } else if (type === "tRNS" && intact) {
      transparency = header.colorType === 3
        ? data.slice()
        : Uint16Array.from({ length: data.length >> 1 }, (_, i) =>
          (data[2 * i]! << 8) | data[2 * i + 1]!);
    } else if (critical && type !== "IEND") {
      throw new InputError(
        `cannot read ${name}: it holds a ${type} chunk, which is not part of PNG; export it as a plain PNG`,
      );
    }
  }
  if (compressed.length === 0) throw damaged(name, "it has no pixel data (no IDAT chunk)");
  if (header.colorType === 3 && !palette) {
    throw damaged(name, "it is a palette image without a palette (no PLTE chunk)");
  }
  return { header, orientation, palette, transparency, compressed };
}

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
  const contents = parse(bytes, name);
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
