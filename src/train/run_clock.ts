/**
 * Where the time of an epoch goes: what the loop does, one thing after the other, adds up to all of
 * it. Work of the host that overlaps with the device's, such as decoding the next batch, is inside
 * the waiting for the device.
 * @module
 */

/** What a loop spends time on. */
export type ClockPart =
  | "photos of training"
  | "uploading and encoding"
  | "GPU, training"
  | "compiling"
  | "GPU, statistics of the set"
  | "reading losses"
  | "photos of validation"
  | "GPU, validation"
  | "counting pixels"
  | "screen, logs and report"
  | "checkpoints";

/** Adds up times. */
export class RunClock {
  #parts = new Map<ClockPart, number>();
  #startMs: number;
  readonly #now: () => number;

  /**
   * Starts counting.
   * @param now Milliseconds; tests replace it.
   */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#startMs = now();
  }

  /** Waits for `work` and adds how long that took. */
  async wait<T>(part: ClockPart, work: Promise<T> | T): Promise<T> {
    const started = this.#now();
    try {
      return await work;
    } finally {
      this.#add(part, started);
    }
  }

  /** Does `work` and adds how long that took. */
  do<T>(part: ClockPart, work: () => T): T {
    const started = this.#now();
    try {
      return work();
    } finally {
      this.#add(part, started);
    }
  }

  /** The parts since the last call, the longest first, and the time that passed. */
  take(): { parts: [ClockPart, number][]; totalMs: number } {
    const now = this.#now();
    const parts = [...this.#parts].sort((a, b) => b[1] - a[1]);
    const totalMs = now - this.#startMs;
    this.#parts = new Map();
    this.#startMs = now;
    return { parts, totalMs };
  }

  #add(part: ClockPart, started: number): void {
    this.#parts.set(part, (this.#parts.get(part) ?? 0) + this.#now() - started);
  }
}

/** Whether a part is the device's work, or making its programs. */
export function isDevicePart(part: ClockPart): boolean {
  return part.startsWith("GPU") || part === "compiling";
}
