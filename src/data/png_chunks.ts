/**
 * The chunks of a PNG file: header, palette, transparency, orientation and compressed pixels, checked
 * but not decoded.
 *
 * Source: Portable Network Graphics (PNG) Specification, third edition (W3C).
 * @module
 */
import { crc32 } from "node:zlib";
import { InputError } from "../errors.ts";
import { type Orientation, swapsSides, tiffOrientation } from "./exif.ts";

/** A colour as 8-bit red, green and blue. */
export type Rgb = readonly [number, number, number];

/** PNG colour types: gray, RGB, palette, gray with alpha, RGB with alpha. */
export type PngColorType = 0 | 2 | 3 | 4 | 6;

/** What the IHDR chunk says. */
export interface Header {
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

/** Whether `bytes` start like a PNG (which says nothing about the rest). */
export function isPng(bytes: Uint8Array): boolean {
  return PNG_SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/** As many bytes of a PNG tell its kind. */
export const PNG_KIND_BYTES = 26;

/** Whether `bytes` start like a PNG whose pixels are indices of a palette. */
export function isIndexedPng(bytes: Uint8Array): boolean {
  return isPng(bytes) && bytes[25] === 3;
}

/** The error for a damaged file. */
export function damaged(name: string, found: string): InputError {
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
 * Width and height, as they are seen after the turn that EXIF notes, that turn, and bits a sample,
 * from what stands before a PNG's pixel data.
 * @param name The file's name, for messages.
 * @throws {InputError} When it is no PNG, its header is damaged, or `bytes` end before the pixels.
 */
export function pngSize(
  bytes: Uint8Array,
  name: string,
): { width: number; height: number; orientation: Orientation; bitDepth: number } {
  const all = chunks(bytes, name, "IDAT");
  const { width, height, bitDepth } = parseHeader(all.next().value ?? undefined, name);
  let orientation: Orientation = 1;
  for (const chunk of all) orientation = chunkOrientation(chunk) ?? orientation;
  return swapsSides(orientation)
    ? { width: height, height: width, orientation, bitDepth }
    : { width, height, orientation, bitDepth };
}

/** The chunks that decoding needs. */
export interface Contents {
  readonly header: Header;
  readonly orientation: Orientation;
  readonly palette?: Uint8Array;
  readonly transparency?: Uint8Array | Uint16Array;
  readonly compressed: readonly Uint8Array[];
}

/** Reads the chunks of a PNG. @throws {InputError} naming it where they are damaged. */
export function parsePng(bytes: Uint8Array, name: string): Contents {
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
