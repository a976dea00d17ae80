/**
 * The seeded random numbers of the engine: initial weights, and whatever else has to be the same on
 * every machine.
 * @module
 */

/**
 * mulberry32 in counter form: draw number k depends on the seed and on k alone, so a vectorised
 * implementation in another language gives the same numbers bit for bit.
 *
 * Source: Tommy Ettinger's mulberry32 (public domain).
 */
export class Stream {
  readonly #seed: number;
  #count = 0;

  /** @param seed Used modulo 2^32. */
  constructor(seed: number) {
    this.#seed = seed >>> 0;
  }

  /** The next number, uniform in [0, 1), a multiple of 2^-32. */
  next(): number {
    this.#count++;
    const a = (this.#seed + Math.imul(this.#count, 0x6d2b79f5)) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** `length` draws, uniform in [-bound, bound), computed in double and rounded to float32. */
  uniform(length: number, bound: number): Float32Array<ArrayBuffer> {
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = (this.next() * 2 - 1) * bound;
    return values;
  }
}
