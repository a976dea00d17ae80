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

/**
 * At its last pixel a window counts at most e^-14 times, a millionth, what its neighbour does. Windows
 * that are only a little apart, or share little, need a smaller deviation for that.
 */
const EDGE_EXPONENT = 14;

/** Square pixels: the change from one window to the next within a pixel. */
const LEAST_VARIANCE = 0.01;

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
  return blended(length, spans, (window * DEVIATION) ** 2);
}

type Span = Omit<AxisWindow, "weights">;

/** Windows with the weights of Gaussians around their centres, of at most this variance. */
function blended(length: number, spans: readonly Span[], mostVariance: number): AxisWindow[] {
  const variance = spans.reduce((least, span, i) => {
    const before = spans[i - 1];
    return before ? Math.min(least, steepVariance(before, span)) : least;
  }, mostVariance);
  const exponent = ({ length }: Span, x: number) => -0.5 * (x + 0.5 - length / 2) ** 2 / variance;
  // Relative to the nearest window's: far from all centres the Gaussians themselves vanish.
  const largest = new Float64Array(length).fill(-Infinity);
  const sums = new Float64Array(length);
  const weight = (span: Span, x: number) =>
    Math.exp(exponent(span, x) - (largest[span.start + x] ?? 0));
  for (const span of spans) {
    for (let x = 0, at = span.start; x < span.length; x++, at++) {
      largest[at] = Math.max(largest[at] ?? 0, exponent(span, x));
    }
  }
  for (const span of spans) {
    for (let x = 0, at = span.start; x < span.length; x++, at++) {
      sums[at] = (sums[at] ?? 0) + weight(span, x);
    }
  }
  return spans.map((span) => ({
    ...span,
    weights: Float32Array.from(
      { length: span.length },
      (_, x) => weight(span, x) / (sums[span.start + x] ?? 1),
    ),
  }));
}

/** The variance by which each of two neighbours counts next to nothing at its edge in the other. */
function steepVariance(first: Span, second: Span): number {
  const centre = ({ start, length }: Span) => start + length / 2;
  const [a, b] = [centre(first), centre(second)];
  const firstEdge = 2 * (first.start + first.length - 0.5) - (a + b);
  const secondEdge = a + b - 2 * (second.start + 0.5);
  // Where they share a pixel or none, any will do.
  return Math.max(LEAST_VARIANCE, (b - a) * Math.min(firstEdge, secondEdge) / (2 * EDGE_EXPONENT));
}
