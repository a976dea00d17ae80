/**
 * Tensors' values as the formulas in double precision read them: elements, sums, means.
 * @module
 */
import type { Node } from "../graph/graph.ts";

/** A tensor's values, row-major. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** The exact value of an output at an index. */
export type Exact = (index: readonly number[]) => number;

/** A function for each output of a node; `undefined` where it holds nothing of its own. */
export type Formula = (inputs: readonly Values[], node: Node) => (Exact | undefined)[];

/** An element; 0 outside the image. */
export function at(values: Values | undefined, ...index: readonly number[]): number {
  if (!values) return NaN;
  let offset = 0;
  for (const [axis, k] of index.entries()) {
    const size = values.shape[axis] ?? 1;
    if (k < 0 || k >= size) return 0;
    offset = offset * size + k;
  }
  return values.data[offset] ?? NaN;
}

export function inside(image: Values | undefined, y: number, x: number): boolean {
  const [, , h = 0, w = 0] = image?.shape ?? [];
  return y >= 0 && y < h && x >= 0 && x < w;
}

/** Sums over images and pixels of [N, C, H, W]. */
export function sumOver(
  image: Values | undefined,
  term: (n: number, i: number, j: number) => number,
): number {
  const [batch = 0, , h = 0, w = 0] = image?.shape ?? [];
  let sum = 0;
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < h; i++) for (let j = 0; j < w; j++) sum += term(n, i, j);
  }
  return sum;
}

export function meanOver(
  image: Values | undefined,
  term: (n: number, i: number, j: number) => number,
): number {
  const [batch = 0, , h = 0, w = 0] = image?.shape ?? [];
  return sumOver(image, term) / (batch * h * w);
}

export function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

export function perChannel<T>(make: (c: number) => T): (c: number) => T {
  const made = new Map<number, () => T>();
  return (c) => {
    const value = made.get(c) ?? once(() => make(c));
    made.set(c, value);
    return value();
  };
}
