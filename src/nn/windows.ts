/**
 * Sliding windows along one side of an image, with the weights by which their overlaps blend.
 * @module
 */

/** A window along one axis. */
export interface AxisWindow {
  /** First pixel. */
  start: number;
  /** Pixels. */
  length: number;
  /** One a pixel; the weights of all windows over a pixel add up to 1. */
  weights: Float32Array;
}

/** How windows lie along an axis. */
export interface WindowLayout {
  /** Pixels of a window; rounded down to a multiple of `multiple`, but at least two of them. */
  window: number;
  /** Least share of a window that its neighbour covers, too: 0 to below 1. */
  overlap: number;
  /**
   * Windows start at multiples of this: the network's pooling cells then are those of the whole
   * image. The last window ends with the image and may be shorter by less than this, so that every
   * window of a longer image holds at least one whole cell.
   */
  multiple: number;
}

/**
 * The Gaussian's standard deviation as a share of the window. Between two windows it changes over
 * within a few pixels, and so where both still see enough of their surroundings; a broad one would
 * let pixels count that lack theirs.
 */
const DEVIATION = 1 / 16;

/** The windows over `length` pixels, in order; one over everything where that is not longer. */
export function axisWindows(length: number, layout: WindowLayout): AxisWindow[] {
  const { multiple, overlap } = layout;
  const window = Math.max(2, Math.floor(layout.window / multiple)) * multiple;
  if (length <= window) {
    return [{ start: 0, length, weights: new Float32Array(length).fill(1) }];
  }
  const stride = Math.max(1, Math.floor(window * (1 - overlap) / multiple)) * multiple;
  const count = Math.ceil((length - window) / stride) + 1;
  const step = (length - window) / (count - 1);
  const starts = Array.from(
    { length: count },
    // Rounding up keeps two neighbours at most a stride apart; the bit less undoes float errors.
    (_, i) => Math.ceil(i * step / multiple - 1e-6) * multiple,
  );
  const spans = starts.map((start) => ({ start, length: Math.min(window, length - start) }));
  const sums = new Float64Array(length);
  const bells = spans.map((span) => bell(span.length));
  spans.forEach(({ start }, i) => {
    bells[i]?.forEach((weight, x) => sums[start + x] = (sums[start + x] ?? 0) + weight);
  });
  return spans.map((span, i) => ({
    ...span,
    weights: Float32Array.from(bells[i] ?? [], (weight, x) => weight / (sums[span.start + x] ?? 1)),
  }));
}

function bell(length: number): Float64Array {
  const deviation = length * DEVIATION;
  return Float64Array.from(
    { length },
    (_, x) => Math.exp(-0.5 * ((x + 0.5 - length / 2) / deviation) ** 2),
  );
}
