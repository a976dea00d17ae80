/**
 * Learning-rate schedules.
 * @module
 */
import { InputError } from "../errors.ts";

/** Numbers by which a schedule goes on elsewhere, fit for JSON; what is not finite is `null`. */
export type ScheduleState = Record<string, number | null>;

/** What a training run asks for its learning rate. */
export interface Schedule {
  /** The rate to use now. */
  readonly learningRate: number;
  /** Where it stands, for {@linkcode restore}. */
  readonly state: ScheduleState;
  /** Goes on where a schedule made with the same options stood. */
  restore(state: ScheduleState): void;
  /** Takes the score of an epoch that has ended; higher is better. */
  step?(score: number): void;
  /** A batch was trained. */
  stepBatch?(): void;
  /** Training enters a new phase: what was learned about scores is void, the rate is scaled. */
  restart?(factor: number): void;
  /** The run is now to have so many batches, those already trained included. */
  resize?(batches: number): void;
}

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
export class ReduceOnPlateau implements Schedule {
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

  /** Rate, best score and scores since without gain. */
  get state(): ScheduleState {
    const best = Number.isFinite(this.#best) ? this.#best : null;
    return { learningRate: this.learningRate, best, bad: this.#bad };
  }

  /** Goes on from `state`. */
  restore(state: ScheduleState): void {
    this.learningRate = state.learningRate ?? this.learningRate;
    this.#best = state.best ?? -Infinity;
    this.#bad = state.bad ?? 0;
  }

  /** Forgets the scores so far and multiplies the rate. */
  restart(factor: number): void {
    this.learningRate *= factor;
    this.#best = -Infinity;
    this.#bad = 0;
  }
}

/** Options of {@linkcode OneCycle}, with PyTorch's names and defaults. */
export interface OneCycleOptions {
  /** Share of the batches in which the rate rises (PyTorch: `pct_start`); default 0.3. */
  rising?: number;
  /** Highest rate over the first one; default 25. */
  divFactor?: number;
  /** First rate over the last one; default 1e4. */
  finalDivFactor?: number;
}

/**
 * Raises the rate to a maximum and lowers it to almost nothing, both along half a cosine, within a
 * number of batches known beforehand: for short runs (Smith and Topin, 2018; PyTorch's `OneCycleLR`
 * with `cycle_momentum=False`).
 */
export class OneCycle implements Schedule {
  #maximum: number;
  readonly #options: Required<OneCycleOptions>;
  #batches: number;
  #done = 0;

  /**
   * @param maximum the highest rate
   * @param batches how many batches the run has
   */
  constructor(maximum: number, batches: number, options: OneCycleOptions = {}) {
    if (!(batches >= 1)) {
      throw new InputError(`OneCycle was asked for ${batches} batches; a run has at least one.`);
    }
    this.#maximum = maximum;
    this.#batches = batches;
    this.#options = { rising: 0.3, divFactor: 25, finalDivFactor: 1e4, ...options };
  }

  /** The rate to use now; the last one once all batches are done. */
  get learningRate(): number {
    const { rising, divFactor, finalDivFactor } = this.#options;
    const first = this.#maximum / divFactor;
    const last = this.#batches - 1;
    const top = Math.max(0, rising * this.#batches - 1);
    const at = Math.min(this.#done, last);
    if (at < top) return halfCosine(first, this.#maximum, at / top);
    const falling = last > top ? (at - top) / (last - top) : 0;
    return halfCosine(this.#maximum, first / finalDivFactor, falling);
  }

  /** A batch was trained. */
  stepBatch(): void {
    this.#done++;
  }

  /** The highest rate and batches done. */
  get state(): ScheduleState {
    return { maximum: this.#maximum, done: this.#done };
  }

  /** Goes on from `state`. */
  restore(state: ScheduleState): void {
    this.#maximum = state.maximum ?? this.#maximum;
    this.#done = state.done ?? 0;
  }

  /** Scales the rates from here on. */
  restart(factor: number): void {
    this.#maximum *= factor;
  }

  /** Makes the cycle end after `batches` batches, counted from its beginning. */
  resize(batches: number): void {
    this.#batches = Math.max(1, batches);
  }
}

function halfCosine(from: number, to: number, share: number): number {
  return to + (from - to) / 2 * (1 + Math.cos(Math.PI * share));
}

/**
 * Lowers the rate to 0 within a number of batches known beforehand, by `(1 - done / batches)^power`
 * (DeepLab's "poly"; PyTorch's `PolynomialLR`).
 */
export class Poly implements Schedule {
  #first: number;
  #batches: number;
  #done = 0;
  readonly #power: number;

  /**
   * @param first the rate of the first batch
   * @param batches how many batches the run has
   */
  constructor(first: number, batches: number, power = 0.9) {
    if (!(batches >= 1)) {
      throw new InputError(`Poly was asked for ${batches} batches; a run has at least one.`);
    }
    this.#first = first;
    this.#batches = batches;
    this.#power = power;
  }

  /** The rate to use now; 0 once all batches are done. */
  get learningRate(): number {
    return this.#first * Math.max(0, 1 - this.#done / this.#batches) ** this.#power;
  }

  /** A batch was trained. */
  stepBatch(): void {
    this.#done++;
  }

  /** The first rate and batches done. */
  get state(): ScheduleState {
    return { first: this.#first, done: this.#done };
  }

  /** Goes on from `state`. */
  restore(state: ScheduleState): void {
    this.#first = state.first ?? this.#first;
    this.#done = state.done ?? 0;
  }

  /** Scales the rates from here on. */
  restart(factor: number): void {
    this.#first *= factor;
  }

  /** Makes the run end after `batches` batches, counted from its beginning. */
  resize(batches: number): void {
    this.#batches = Math.max(1, batches);
  }
}

/** Raises the rate of another schedule in equal steps from almost 0 over the first batches. */
export class WarmUp implements Schedule {
  readonly #inner: Schedule;
  readonly #batches: number;
  #done = 0;

  /** @param batches the first one that gets the full rate is the one after so many */
  constructor(inner: Schedule, batches: number) {
    this.#inner = inner;
    this.#batches = batches;
  }

  /** The rate to use now. */
  get learningRate(): number {
    return this.#inner.learningRate * Math.min(1, (this.#done + 1) / (this.#batches + 1));
  }

  /** A score; while the rate still rises it is not counted. */
  step(score: number): void {
    if (this.#done >= this.#batches) this.#inner.step?.(score);
  }

  /** A batch was trained. */
  stepBatch(): void {
    this.#done++;
    this.#inner.stepBatch?.();
  }

  /** The inner schedule's, and batches done as `warmUp`. */
  get state(): ScheduleState {
    return { ...this.#inner.state, warmUp: this.#done };
  }

  /** Goes on from `state`. */
  restore(state: ScheduleState): void {
    this.#done = state.warmUp ?? 0;
    this.#inner.restore(state);
  }

  /** Hands on. */
  restart(factor: number): void {
    this.#inner.restart?.(factor);
  }

  /** Hands on. */
  resize(batches: number): void {
    this.#inner.resize?.(batches);
  }
}
