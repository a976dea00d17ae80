/**
 * What a JPEG's header says: its size, and how it is to be turned. Cameras store the sensor's rows
 * and note the turn in EXIF; masks are drawn on the turned picture, so both must be turned alike.
 *
 * Source: ITU-T T.81 (JPEG markers), CIPA DC-008 (Exif 2.32), TIFF 6.0.
 * @module
 */

/** EXIF's orientation: 1 as stored, 2 to 8 mirrored and turned. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** What a JPEG's segments before its pixel data say. */
export interface JpegHeader {
  /** As stored, before any turn. */
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
}

/** Whether `bytes` start like a JPEG (which says nothing about the rest). */
export function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

interface Segment {
  readonly marker: number;
  readonly data: Uint8Array;
}

/** The segments up to the pixel data; junk between segments is skipped, as decoders do. */
function* segments(bytes: Uint8Array): Generator<Segment> {
  if (!isJpeg(bytes)) return;
  let at = 2;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) {
      at++;
      continue;
    }
    const marker = bytes[at + 1]!;
    // 0xff fills, 0x00 is an escaped byte, 0x01 and 0xd0 to 0xd8 are markers without a length.
    if (marker === 0xff || marker === 0 || marker === 1 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    if (marker === 0xd9 || marker === 0xda) return;
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    if (length < 2) return;
    yield { marker, data: bytes.subarray(at + 4, at + 2 + length) };
    at += 2 + length;
  }
}

/** The orientation that a TIFF structure notes, the body of every EXIF block; 1 for none. */
export function tiffOrientation(tiff: Uint8Array): Orientation {
  if (tiff.length < 8) return 1;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const order = view.getUint16(0);
  if (order !== 0x4949 && order !== 0x4d4d) return 1;
  const little = order === 0x4949;
  if (view.getUint16(2, little) !== 42) return 1;
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return 1;
  const entries = view.getUint16(directory, little);
  for (let i = 0, at = directory + 2; i < entries && at + 12 <= tiff.length; i++, at += 12) {
    if (view.getUint16(at, little) !== 0x0112) continue;
    const type = view.getUint16(at + 2, little);
    // A few writers use LONG (4) where the standard says SHORT (3).
    const value = type === 3
      ? view.getUint16(at + 8, little)
      : type === 4
      ? view.getUint32(at + 8, little)
      : 1;
    return isOrientation(value) ? value : 1;
  }
  return 1;
}

function isOrientation(value: number): value is Orientation {
  return Number.isInteger(value) && value >= 1 && value <= 8;
}

function segmentOrientation(segment: Segment): Orientation | undefined {
  const data = segment.data;
  const isExif = segment.marker === 0xe1 && data[0] === 0x45 && data[1] === 0x78 &&
    data[2] === 0x69 && data[3] === 0x66 && data[4] === 0;
  return isExif ? tiffOrientation(data.subarray(6)) : undefined;
}

/** The EXIF orientation of a JPEG; 1 when there is none, or nothing that makes sense. */
export function exifOrientation(bytes: Uint8Array): Orientation {
  for (const segment of segments(bytes)) {
    const orientation = segmentOrientation(segment);
    if (orientation) return orientation;
  }
  return 1;
}

/** Size and orientation of a JPEG, or `undefined` when its header holds no size. */
export function jpegHeader(bytes: Uint8Array): JpegHeader | undefined {
  let orientation: Orientation | undefined;
  for (const segment of segments(bytes)) {
    orientation ??= segmentOrientation(segment);
    const { marker, data } = segment;
    // SOF0 to SOF15, but for DHT (c4), JPG (c8) and DAC (cc), which share the range.
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 &&
      marker !== 0xcc;
    if (!isFrame || data.length < 6) continue;
    const height = (data[1]! << 8) | data[2]!;
    const width = (data[3]! << 8) | data[4]!;
    return width && height ? { width, height, orientation: orientation ?? 1 } : undefined;
  }
  return undefined;
}

/** Whether an orientation swaps width and height. */
export function swapsSides(orientation: Orientation): boolean {
  return orientation >= 5;
}

/** Source columns and rows are exchanged, or run backwards, by each orientation. */
const TURNS: Readonly<Record<Orientation, { swap: boolean; flipX: boolean; flipY: boolean }>> = {
  1: { swap: false, flipX: false, flipY: false },
  2: { swap: false, flipX: true, flipY: false },
  3: { swap: false, flipX: true, flipY: true },
  4: { swap: false, flipX: false, flipY: true },
  5: { swap: true, flipX: false, flipY: false },
  6: { swap: true, flipX: false, flipY: true },
  7: { swap: true, flipX: true, flipY: true },
  8: { swap: true, flipX: true, flipY: false },
};

/**
 * Turns an image as its EXIF orientation says.
 * @param image `[height, width, channels]` samples; the number of channels follows from the length.
 * @returns The turned image; for orientation 1 the image itself.
 */
export function applyOrientation<T extends Uint8Array | Uint16Array>(
  image: { readonly width: number; readonly height: number; readonly data: T },
  orientation: Orientation,
): { readonly width: number; readonly height: number; readonly data: T } {
  if (orientation === 1) return image;
  const { width, height, data } = image;
  const channels = data.length / (width * height);
  const { swap, flipX, flipY } = TURNS[orientation];
  const stepX = (flipX ? -1 : 1) * channels;
  const stepY = (flipY ? -1 : 1) * width * channels;
  const origin = ((flipX ? width - 1 : 0) + (flipY ? height - 1 : 0) * width) * channels;
  const outWidth = swap ? height : width;
  const outHeight = swap ? width : height;
  const alongRow = swap ? stepY : stepX;
  const alongColumn = swap ? stepX : stepY;
  const out = data.slice() as T;
  // Square tiles: a quarter turn reads down columns, which would miss the cache at every pixel.
  const tile = 64;
  for (let ty = 0; ty < outHeight; ty += tile) {
    const yEnd = Math.min(ty + tile, outHeight);
    for (let tx = 0; tx < outWidth; tx += tile) {
      const xEnd = Math.min(tx + tile, outWidth);
      for (let y = ty; y < yEnd; y++) {
        let to = (y * outWidth + tx) * channels;
        let from = origin + y * alongColumn + tx * alongRow;
        for (let x = tx; x < xEnd; x++, from += alongRow) {
          for (let c = 0; c < channels; c++) out[to++] = data[from + c]!;
        }
      }
    }
  }
  return { width: outWidth, height: outHeight, data: out };
}
