/**
 * Which images make a batch: images of one size, shuffled anew every epoch, remainders kept.
 * @module
 */
import { Stream } from "../nn/random.ts";

/** Size of an image as the network sees it. */
export interface ImageSize {
  height: number;
  width: number;
}

/** A batch: indices of images that have one size. */
export interface Batch extends ImageSize {
  indices: number[];
}

/**
 * Batches of at most `batchSize` images of one size. Both which images share a batch and the order
 * of batches follow from `seed` and `epoch`.
 */
export function planBatches(
  sizes: readonly ImageSize[],
  batchSize: number,
  seed: number,
  epoch: number,
): Batch[] {
  const random = new Stream((Math.imul(seed, 0x9e3779b1) ^ Math.imul(epoch + 1, 0x85ebca6b)) >>> 0);
  const groups = new Map<string, Batch>();
  for (const index of shuffled(sizes.map((_, i) => i), random)) {
    const size = sizes[index];
    if (!size) continue;
    const key = `${size.height}x${size.width}`;
    const group = groups.get(key) ?? { ...size, indices: [] };
    group.indices.push(index);
    groups.set(key, group);
  }
  const batches: Batch[] = [];
  for (const { height, width, indices } of groups.values()) {
    for (let i = 0; i < indices.length; i += batchSize) {
      batches.push({ height, width, indices: indices.slice(i, i + batchSize) });
    }
  }
  return shuffled(batches, random);
}

/** The different shapes of batches, most pixels first. */
export function batchShapes(batches: readonly Batch[]): (ImageSize & { batch: number })[] {
  const shapes = new Map(
    batches.map(({ height, width, indices }) => [
      `${indices.length}x${height}x${width}`,
      { batch: indices.length, height, width },
    ]),
  );
  const pixels = (s: ImageSize & { batch: number }) => s.batch * s.height * s.width;
  return [...shapes.values()].sort((a, b) => pixels(b) - pixels(a));
}

/** Fisher-Yates. */
function shuffled<T>(items: readonly T[], random: Stream): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random.next() * (i + 1));
    const [a, b] = [result[i], result[j]];
    if (a !== undefined && b !== undefined) [result[i], result[j]] = [b, a];
  }
  return result;
}
