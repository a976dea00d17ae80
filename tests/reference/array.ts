/**
 * The arrays of the float64 reference: a shape and its values in row-major order (NCHW for images).
 * @module
 */

/** A float64 array; the product of `shape` is `data.length`. A scalar has shape `[]`. */
export interface Array64 {
  shape: number[];
  data: Float64Array;
}

/** Class ids or 0/1 targets: any numbers with a shape. */
export interface Labels {
  shape: readonly number[];
  data: ArrayLike<number>;
}

/** Two numbers, height first, as in PyTorch. */
export type Pair = readonly [height: number, width: number];

/** The number of elements of `shape`. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** An array of zeros. */
export function zeros(shape: readonly number[]): Array64 {
  return { shape: [...shape], data: new Float64Array(sizeOf(shape)) };
}

/** A copy of `values` under `shape`; throws `RangeError` where their number does not fit. */
export function fromValues(shape: readonly number[], values: ArrayLike<number>): Array64 {
  if (values.length !== sizeOf(shape)) {
    throw new RangeError(
      `fromValues was given ${values.length} values for shape [${shape}], ` +
        `which holds ${sizeOf(shape)}.`,
    );
  }
  return { shape: [...shape], data: Float64Array.from(values) };
}

/**
 * Pseudo-random integers below 2^32: a linear congruential generator (multiplier and increment of
 * Knuth and Lewis, as in Numerical Recipes, section 7.1) whose high bits are folded into the low.
 */
function integers(seed: number): () => number {
  // Neighbouring seeds would give neighbouring first values, so they are spread apart.
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.imul(state ^ (state >>> 15), 0x2545f491) >>> 0;
  };
}

/**
 * Uniform values in [-scale, scale), the same for the same seed. They are rounded to float32, so
 * that a float32 engine is given exactly the values that the reference is given.
 */
export function random(seed: number, shape: readonly number[], scale = 1): Array64 {
  const next = integers(seed);
  const array = zeros(shape);
  for (let i = 0; i < array.data.length; i++) {
    array.data[i] = Math.fround(((next() >>> 8) / 2 ** 23 - 1) * scale);
  }
  return array;
}

/** Uniform class ids in [0, classes), the same for the same seed. */
export function randomLabels(seed: number, shape: readonly number[], classes: number): Labels {
  const next = integers(seed);
  const data = Int32Array.from(
    { length: sizeOf(shape) },
    () => Math.floor((next() / 2 ** 32) * classes),
  );
  return { shape: [...shape], data };
}

/** A new array of the same shape with `f` applied to every value. */
export function map(x: Array64, f: (value: number, index: number) => number): Array64 {
  return { shape: [...x.shape], data: x.data.map((value, index) => f(value, index)) };
}

/** The inner product of two arrays of the same shape. */
export function dot(a: Array64, b: Array64): number {
  requireSameShape("dot", a, b);
  return a.data.reduce((sum, value, i) => sum + value * b.data[i]!, 0);
}

/** max |actual - reference|; NaN if any difference is NaN, so that no tolerance accepts it. */
export function maxAbsDiff(actual: Labels, reference: Labels): number {
  requireSameShape("maxAbsDiff", actual, reference);
  let max = 0;
  for (let i = 0; i < reference.data.length; i++) {
    max = Math.max(max, Math.abs(actual.data[i]! - reference.data[i]!));
  }
  return max;
}

/**
 * max |actual - reference| / max |reference|, the error that every op is held to. Where the
 * reference is zero throughout it is 0 for an exact match and infinite otherwise.
 */
export function relativeError(actual: Labels, reference: Labels): number {
  const difference = maxAbsDiff(actual, reference);
  let max = 0;
  for (let i = 0; i < reference.data.length; i++) {
    max = Math.max(max, Math.abs(reference.data[i]!));
  }
  return difference === 0 ? 0 : difference / max;
}

/** The four extents of an NCHW array (or of a weight); throws `RangeError` for another rank. */
export function dims4(op: string, x: Array64): [number, number, number, number] {
  const [n, c, h, w] = x.shape;
  if (
    x.shape.length !== 4 || n === undefined || c === undefined || h === undefined || w === undefined
  ) {
    throw new RangeError(`${op} was given shape [${x.shape}], expected four dimensions.`);
  }
  return [n, c, h, w];
}

/** Throws `RangeError` unless both shapes are equal. */
export function requireSameShape(
  op: string,
  a: { shape: readonly number[] },
  b: { shape: readonly number[] },
): void {
  if (a.shape.length !== b.shape.length || a.shape.some((extent, i) => extent !== b.shape[i])) {
    throw new RangeError(`${op} was given shapes [${a.shape}] and [${b.shape}], expected one.`);
  }
}
