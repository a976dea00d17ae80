/**
 * Seeded randomness for the demo's pictures: a generator for choices and a smooth noise field for
 * textures. Both depend on the seed alone, so a scene is the same on every machine.
 * @module
 */

/** Repeatable random choices (mulberry32, Tommy Ettinger 2017). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** Uniform in [low, high). */
  range(low: number, high: number): number {
    return low + (high - low) * this.next();
  }

  /** Uniform integer in [low, high]. */
  int(low: number, high: number): number {
    return low + Math.floor((high - low + 1) * this.next());
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of the items; `items` must not be empty. */
  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.int(0, items.length - 1)] ?? items[0];
  }
}

const tableBits = 7;
const tableSize = 1 << tableBits;
const tableMask = tableSize - 1;

/** Value noise on a 128 x 128 torus: smooth random functions of the plane with values in [0, 1). */
export class NoiseField {
  readonly #values: Float64Array;

  constructor(random: Random) {
    this.#values = new Float64Array(tableSize * tableSize);
    for (let i = 0; i < this.#values.length; i++) this.#values[i] = random.next();
  }

  /** The random value of one lattice cell. */
  cell(x: number, y: number): number {
    return this.#values[((y & tableMask) << tableBits) | (x & tableMask)]!;
  }

  /** Smoothly interpolated noise whose features are about one unit wide. */
  at(x: number, y: number): number {
    const cellX = Math.floor(x);
    const cellY = Math.floor(y);
    const u = x - cellX;
    const v = y - cellY;
    const fadeU = u * u * (3 - 2 * u);
    const fadeV = v * v * (3 - 2 * v);
    const left = cellX & tableMask;
    const right = (cellX + 1) & tableMask;
    const top = (cellY & tableMask) << tableBits;
    const bottom = ((cellY + 1) & tableMask) << tableBits;
    const values = this.#values;
    const upper = values[top | left]! * (1 - fadeU) + values[top | right]! * fadeU;
    const lower = values[bottom | left]! * (1 - fadeU) + values[bottom | right]! * fadeU;
    return upper * (1 - fadeV) + lower * fadeV;
  }

  /** Two octaves, still within [0, 1). */
  rough(x: number, y: number): number {
    return 0.65 * this.at(x, y) + 0.35 * this.at(x * 2.3 + 17.2, y * 2.3 - 9.4);
  }
}
