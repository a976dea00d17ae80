/**
 * The distribution of many numbers in few.
 * @module
 */

/** Counts of values between limits. */
export interface Histogram {
  readonly min: number;
  readonly max: number;
  /** Values counted. */
  readonly count: number;
  readonly sum: number;
  /** Sum of the squares. */
  readonly squares: number;
  /** The upper limit of each bucket; the first begins at `min`, the last ends at `max`. */
  readonly limits: readonly number[];
  /** Values in each bucket. */
  readonly counts: readonly number[];
}

const BUCKETS = 64;

/** Buckets of equal width; values that are no finite numbers are left out. */
export function histogramOf(values: Float32Array): Histogram {
  let [min, max, count, sum, squares] = [Infinity, -Infinity, 0, 0, 0];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
    count++;
    sum += value;
    squares += value * value;
  }
  if (count === 0) return { min: 0, max: 0, count, sum, squares, limits: [0], counts: [0] };
  if (min === max) return { min, max, count, sum, squares, limits: [max], counts: [count] };
  const width = (max - min) / BUCKETS;
  const counts = new Array<number>(BUCKETS).fill(0);
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    const at = Math.min(BUCKETS - 1, Math.floor((value - min) / width));
    counts[at] = (counts[at] ?? 0) + 1;
  }
  const limits = counts.map((_, at) => at === BUCKETS - 1 ? max : min + (at + 1) * width);
  return { min, max, count, sum, squares, limits, counts };
}
