/** A photo for predictions, and what comes out of them. @module */
import { assertEquals } from "@std/assert";
import type { PredictOptions, Segmenter } from "../../src/nn/segmenter.ts";

/** A photo with structure of every size, and where it lies when mirrored. */
export function scene(height: number, width: number, mirrored = false, upsideDown = false) {
  const pixels = new Uint8Array(height * width * 4);
  for (let i = 0; i < height * width; i++) {
    const x = mirrored ? width - 1 - i % width : i % width;
    const y = upsideDown ? height - 1 - Math.floor(i / width) : Math.floor(i / width);
    pixels[4 * i] = 128 + 127 * Math.sin(x / 7 + y / 31);
    pixels[4 * i + 1] = (x * x + 3 * y * y) % 256;
    pixels[4 * i + 2] = (x * 5 + y * 11) % 256;
  }
  return { batch: 1, height, width, pixels };
}

/** The share of pixels that differ. */
export function differing(a: Uint8Array, b: Uint8Array): number {
  assertEquals(a.length, b.length);
  return a.filter((id, i) => id !== b[i]).length / a.length;
}

/** Class ids, and the probabilities [classes, height, width]. */
export async function probabilitiesOf(
  segmenter: Segmenter,
  classes: number,
  photo: ReturnType<typeof scene>,
  options: PredictOptions = {},
): Promise<{ ids: Uint8Array; all: Float32Array }> {
  const [height, width] = options.size ?? [photo.height, photo.width];
  const all = new Float32Array(classes * height * width).fill(NaN);
  const ids = await segmenter.predict(photo, {
    ...options,
    onProbabilities({ firstRow, rows, pitch, values }) {
      const halves = new Float16Array(values.buffer, values.byteOffset, values.length);
      for (let i = 0; i < classes * rows * width; i++) {
        const [k, y, x] = [Math.floor(i / (rows * width)), Math.floor(i / width) % rows, i % width];
        all[(k * height + firstRow + y) * width + x] = halves[(k * rows + y) * pitch + x]!;
      }
    },
  });
  return { ids, all };
}
