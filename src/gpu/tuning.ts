/**
 * Tuning: which of a kernel's candidates was measured to be fastest for a shape. Plain data, so that
 * whoever measures and remembers it (the command line does, in a file) hands it to the engine.
 * @module
 */

/**
 * The number of a candidate by shape. A family of kernels makes the keys of everything that decides
 * its speed, such as `texture_forward 1x64x128x192>64 3x3`, and lists its candidates in an order
 * that stays as it is.
 */
export type Tuning = Readonly<Record<string, number>>;

/** Whether a value read from a file is a {@linkcode Tuning}. */
export function isTuning(value: unknown): value is Tuning {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((n) => Number.isInteger(n) && n >= 0);
}

/** The tuned one of a shape's candidates; `undefined` where the shape was never tuned. */
export function tuned<T>(
  tuning: Tuning | undefined,
  key: string,
  candidates: readonly T[],
): T | undefined {
  const index = tuning !== undefined && Object.hasOwn(tuning, key) ? tuning[key] : undefined;
  return index === undefined ? undefined : candidates[index];
}
