/**
 * Seeded random numbers: the same seed gives the same numbers on every machine.
 * @module
 */

/** Golden-ratio step of the counter. */
const STEP = 0x6d2b79f5;

/**
 * mulberry32 (Tommy Ettinger) in counter form: draw k depends on the seed and k alone, so a stream
 * can be continued from a stored position.
 */
export class Random {
  /**
   * @param seed any integer; its low 32 bits count
   * @param position how many numbers were drawn before
   */
  constructor(readonly seed: number, public position = 0) {}

  /** The next 32 random bits as an unsigned integer. */
  bits(): number {
    this.position++;
    const a = (this.seed + Math.imul(this.position, STEP)) | 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** The next number in [0, 1). */
  next(): number {
    return this.bits() / 2 ** 32;
  }

  /** The next whole number in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** A shuffled copy (Fisher and Yates, from the end). */
  shuffle<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const [a, b] = [result[i], result[j]];
      if (a !== undefined) result[j] = a;
      if (b !== undefined) result[i] = b;
    }
    return result;
  }
}
