/**
 * Photos as 8-bit RGB, whatever the file holds: JPEG (baseline, progressive, gray, CMYK) turned as
 * its EXIF says, PNG of every kind.
 * @module
 */
import { InputError } from "../errors.ts";
import { applyOrientation, isJpeg, jpegHeader, type Orientation, swapsSides } from "./exif.ts";
import { decodePng, type PngImage } from "./png.ts";
import { isPng, MAX_PIXELS, pngSize } from "./png_chunks.ts";

/** An image to look at or to feed to a network. */
export interface Photo {
  readonly width: number;
  readonly height: number;
  /** `[height, width, 3]`: red, green, blue, 0 to 255. */
  readonly data: Uint8Array;
}

/** What the JPEG decoder gives; `format` 0: gray, 1: RGB, 2: CMYK (0 is no ink). */
interface JpegPixels {
  readonly width: number;
  readonly height: number;
  readonly format: 0 | 1 | 2;
  readonly buffer: Uint8Array;
}

/** One WebAssembly instance of the decoder. */
interface JpegDecoder {
  decode(bytes: Uint8Array): JpegPixels;
}

/** First bytes as Latin-1 text, at `at` bytes from the start. */
const SIGNATURES: readonly {
  readonly found: string;
  readonly at: number;
  readonly text: string;
}[] = [
  { found: "a TIFF", at: 0, text: "II*\0" },
  { found: "a TIFF", at: 0, text: "MM\0*" },
  { found: "a BigTIFF", at: 0, text: "II+\0" },
  { found: "a BigTIFF", at: 0, text: "MM\0+" },
  { found: "a GIF", at: 0, text: "GIF8" },
  { found: "a WebP", at: 8, text: "WEBP" },
  { found: "an AVIF", at: 4, text: "ftypavif" },
  { found: "a HEIC", at: 4, text: "ftyphei" },
  { found: "a HEIC", at: 4, text: "ftypmif1" },
  { found: "a JPEG XL", at: 0, text: "\xff\x0a" },
  { found: "a JPEG XL", at: 4, text: "JXL " },
  { found: "a JPEG 2000", at: 0, text: "\xff\x4f\xff\x51" },
  { found: "a JPEG 2000", at: 4, text: "jP  " },
  { found: "a Photoshop file", at: 0, text: "8BPS" },
  { found: "a BMP", at: 0, text: "BM" },
  { found: "a PDF", at: 0, text: "%PDF" },
  { found: "a ZIP archive", at: 0, text: "PK\x03\x04" },
  { found: "a Git LFS pointer, not the file itself", at: 0, text: "version https://git-lfs" },
  { found: "a web page", at: 0, text: "<!DOCTYPE" },
  { found: "a web page", at: 0, text: "<html" },
];

/** What a file is that is neither PNG nor JPEG, in words, by its first bytes. */
export function describeFormat(bytes: Uint8Array): string {
  if (bytes.length === 0) return "an empty file";
  const start = String.fromCharCode(...bytes.subarray(0, 64));
  return SIGNATURES.find(({ at, text }) => start.startsWith(text, at))?.found ??
    "neither a PNG nor a JPEG";
}

function notAPhoto(bytes: Uint8Array, name: string): InputError {
  const found = describeFormat(bytes);
  const todo = found === "an empty file"
    ? "copy it again or remove it"
    : "photos must be PNG or JPEG, convert it or remove it";
  return new InputError(`cannot read ${name} as a photo: it is ${found}; ${todo}`);
}

function badJpeg(name: string, found: string): InputError {
  return new InputError(
    `cannot read ${name}: ${found}; export it again as a baseline or progressive JPEG, or copy it again if it was cut off`,
  );
}

/** What a photo's header says. */
export interface PhotoHeader {
  /** As it is seen, after its EXIF turn. */
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
  readonly format: "PNG" | "JPEG";
  /** Bits a sample. */
  readonly bitDepth: number;
}

/**
 * Reads a photo's header alone.
 * @param bytes The file, or as much of it as holds the header.
 * @param name The file's name, for messages.
 * @throws {InputError} When it is neither PNG nor JPEG or its header is damaged.
 */
export function photoHeader(bytes: Uint8Array, name: string): PhotoHeader {
  if (isPng(bytes)) return { ...pngSize(bytes, name), format: "PNG" };
  if (!isJpeg(bytes)) throw notAPhoto(bytes, name);
  const header = jpegHeader(bytes);
  if (!header) throw badJpeg(name, "its JPEG header holds no size");
  const { width, height, orientation } = header;
  const [w, h] = swapsSides(orientation) ? [height, width] : [width, height];
  return { width: w, height: h, orientation, format: "JPEG", bitDepth: 8 };
}

/**
 * The size of a photo as it is seen (after its EXIF turn), from its header alone.
 * @param name The file's name, for messages.
 * @throws {InputError} When it is neither PNG nor JPEG or its header is damaged.
 */
export function imageSize(bytes: Uint8Array, name: string): { width: number; height: number } {
  const { width, height } = photoHeader(bytes, name);
  return { width, height };
}

/** An instance never frees the files it was given, so it is replaced after this many bytes. */
const JPEG_DECODER_BYTES = 64 * 2 ** 20;

let jpegDecoder: JpegDecoder | undefined;
let jpegDecoderUsedBytes = 0;

/**
 * The package's JPEG decoder alone: its main module also loads native encoders, which need
 * `--allow-ffi` and exist for fewer platforms, and expands every pixel to RGBA. One instance serves
 * many files: the memory of dropped ones is collected so late that 24-megapixel photos pile up.
 */
async function loadJpegDecoder(): Promise<JpegDecoder> {
  if (jpegDecoder && jpegDecoderUsedBytes < JPEG_DECODER_BYTES) return jpegDecoder;
  const module: { readonly default: { init(): Promise<JpegDecoder> } } = await import(
    "imagescript/wasm/node/jpeg.js"
  );
  jpegDecoder = await module.default.init();
  jpegDecoderUsedBytes = 0;
  return jpegDecoder;
}

function jpegToRgb({ width, height, format, buffer }: JpegPixels): Uint8Array {
  if (format === 1) return buffer;
  const out = new Uint8Array(width * height * 3);
  if (format === 0) {
    for (let i = 0, to = 0; i < buffer.length; i++) {
      const value = buffer[i]!;
      out[to++] = value;
      out[to++] = value;
      out[to++] = value;
    }
    return out;
  }
  for (let from = 0, to = 0; from < buffer.length; from += 4) {
    const light = 255 - buffer[from + 3]!;
    out[to++] = ((255 - buffer[from]!) * light + 127) / 255;
    out[to++] = ((255 - buffer[from + 1]!) * light + 127) / 255;
    out[to++] = ((255 - buffer[from + 2]!) * light + 127) / 255;
  }
  return out;
}

async function decodeJpeg(bytes: Uint8Array, name: string): Promise<Photo> {
  const header = jpegHeader(bytes);
  if (!header) throw badJpeg(name, "its JPEG header holds no size");
  if (header.width * header.height > MAX_PIXELS) {
    throw new InputError(
      `cannot read ${name}: it has ${header.width}x${header.height} pixels, more than the ${MAX_PIXELS} that are supported; cut it into tiles`,
    );
  }
  const decoder = await loadJpegDecoder();
  jpegDecoderUsedBytes += bytes.length;
  let pixels: JpegPixels;
  try {
    pixels = decoder.decode(bytes);
  } catch {
    // It stopped half-way: no later file may meet what it left behind.
    jpegDecoder = undefined;
    throw badJpeg(
      name,
      "its JPEG pixel data is cut off, damaged or of a kind that is not supported (lossless, arithmetic)",
    );
  }
  const photo = { width: pixels.width, height: pixels.height, data: jpegToRgb(pixels) };
  return applyOrientation(photo, header.orientation);
}

/** The colours of a decoded PNG: gray is repeated, 16 bits are rounded to 8, alpha is dropped. */
function pngToRgb({ width, height, bitDepth, channels, data, palette }: PngImage): Uint8Array {
  if (channels === 3 && data instanceof Uint8Array) return data;
  const pixels = width * height;
  const out = new Uint8Array(pixels * 3);
  if (palette) {
    // An index beyond the palette is black, as in libpng.
    const colours = new Uint8Array(256 * 3);
    colours.set(palette);
    for (let i = 0, to = 0; i < pixels; i++) {
      const from = data[i]! * 3;
      out[to++] = colours[from]!;
      out[to++] = colours[from + 1]!;
      out[to++] = colours[from + 2]!;
    }
    return out;
  }
  const scale = 255 / (2 ** bitDepth - 1);
  const second = channels >= 3 ? 1 : 0;
  for (let i = 0, from = 0, to = 0; i < pixels; i++, from += channels) {
    out[to++] = data[from]! * scale + 0.5;
    out[to++] = data[from + second]! * scale + 0.5;
    out[to++] = data[from + 2 * second]! * scale + 0.5;
  }
  return out;
}

/**
 * Decodes a photo: JPEG (turned as its EXIF orientation says) or PNG.
 *
 * JPEG needs `--allow-read` and `--allow-env` for the decoder's WebAssembly file.
 * @param bytes The whole file.
 * @param name The file's name, for messages.
 * @throws {InputError} When the file is of another format, empty, truncated or damaged.
 */
export async function decodePhoto(bytes: Uint8Array, name: string): Promise<Photo> {
  if (isJpeg(bytes)) return await decodeJpeg(bytes, name);
  if (!isPng(bytes)) throw notAPhoto(bytes, name);
  const image = decodePng(bytes, name);
  return { width: image.width, height: image.height, data: pngToRgb(image) };
}
