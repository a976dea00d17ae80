/**
 * Learning-rate schedules.
 * @module
 */

/** Options of {@linkcode ReduceOnPlateau}. */
export interface PlateauOptions {
  /** Steps without improvement that are tolerated. */
  patience?: number;
  /** What the rate is multiplied with. */
  factor?: number;
  /** Relative improvement that counts. */
  threshold?: number;
  /** The rate never falls below this. */
  minimum?: number;
}

/**
 * Lowers the learning rate when a score that should rise stops rising: PyTorch's
 * `ReduceLROnPlateau(mode="max")` with relative threshold.
 */
export class ReduceOnPlateau {
  /** The rate to use now. */
  learningRate: number;
  readonly #options: Required<PlateauOptions>;
  #best = -Infinity;
  #bad = 0;

  /** Starts at `learningRate`; patience 2, factor 0.1, threshold 1e-4, minimum 0 by default. */
  constructor(learningRate: number, options: PlateauOptions = {}) {
    this.learningRate = learningRate;
    this.#options = { patience: 2, factor: 0.1, threshold: 1e-4, minimum: 0, ...options };
  }

  /** Takes the latest score; returns whether the rate was lowered. */
  step(score: number): boolean {
    const { patience, factor, threshold, minimum } = this.#options;
    // PyTorch's rule for mode "max" grows with the score and so assumes it is not negative.
    if (score > this.#best * (1 + Math.sign(this.#best) * threshold)) {
      this.#best = score;
      this.#bad = 0;
      return false;
    }
    if (++this.#bad <= patience) return false;
    this.#bad = 0;
    const lowered = Math.max(minimum, this.learningRate * factor);
    const changed = lowered < this.learningRate;
    this.learningRate = lowered;
    return changed;
  }
}
