/**
 * Masks as indexed PNGs with nothing but web standards: `CompressionStream` writes the zlib stream
 * that the format wants, so a browser saves the same masks as the command line.
 *
 * Source: Portable Network Graphics (PNG) Specification, third edition (W3C).
 * @module
 */
import { crc32 } from "./crc32.ts";

/** A mask to be written. */
export interface IndexedImage {
  /** Pixels of a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** `[height, width]` class ids. */
  readonly data: Uint8Array;
  /** The colour of each id, 1 to 256 of them: red, green, blue, 0 to 255. */
  readonly palette: readonly (readonly [number, number, number])[];
}

const SIGNATURE = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);

/** Rows handed to the compressor at once: few large pieces, without a second copy of the image. */
const ROWS_AT_ONCE = 256;

/**
 * Encodes a mask as PNG, each pixel its class id and the palette the class colours.
 * @throws {RangeError} When the sizes do not fit together or an id has no colour.
 */
export async function encodeIndexedPng(image: IndexedImage): Promise<Uint8Array<ArrayBuffer>> {
  const { width, height, data, palette } = image;
  if (![width, height].every((side) => Number.isSafeInteger(side) && side >= 1)) {
    throw new RangeError(
      `a mask of ${width}x${height} cannot be a PNG, sides must be whole numbers of at least 1`,
    );
  }
  if (data.length !== width * height) {
    throw new RangeError(
      `a mask of ${width}x${height} needs ${width * height} ids, there are ${data.length}`,
    );
  }
  if (palette.length < 1 || palette.length > 256) {
    throw new RangeError(`a PNG palette has 1 to 256 colours, this one has ${palette.length}`);
  }
  const largest = data.reduce((most, id) => Math.max(most, id), 0);
  if (largest >= palette.length) {
    throw new RangeError(`class ${largest} has no colour in a palette of ${palette.length}`);
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  // Eight bits, palette.
  header.set([8, 3], 8);
  return await bytesOf(
    new Blob([
      SIGNATURE,
      chunk("IHDR", header),
      chunk("PLTE", Uint8Array.from(palette.flat())),
      chunk("IDAT", await compressed(image)),
      chunk("IEND", new Uint8Array(0)),
    ]),
  );
}

/** Rows with filter type 0 in front (the differences of ids mean nothing), as a zlib stream. */
async function compressed({ width, height, data }: IndexedImage): Promise<Uint8Array> {
  let row = 0;
  const rows = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (row >= height) return controller.close();
      const count = Math.min(ROWS_AT_ONCE, height - row);
      const piece = new Uint8Array(count * (width + 1));
      for (let i = 0; i < count; i++) {
        const from = (row + i) * width;
        piece.set(data.subarray(from, from + width), i * (width + 1) + 1);
      }
      row += count;
      controller.enqueue(piece);
    },
  });
  return await bytesOf(rows.pipeThrough(new CompressionStream("deflate")));
}

async function bytesOf(
  body: Blob | ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(body).arrayBuffer());
}

function chunk(type: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}
