/**
 * A progress bar for what takes longer than a second: rate, time left and a text of the caller's
 * (such as the loss). On a terminal it is redrawn in place; elsewhere a plain line appears now and
 * then, so that log files stay short.
 * @module
 */

import { type Terminal, terminal } from "./log.ts";

/** Settings of {@linkcode Progress}. */
export interface ProgressOptions {
  /** What is being done, such as `Epoch 3/50`. */
  readonly label: string;
  /** How many units there are. */
  readonly total: number;
  /** What is counted, in the plural (default `images`). */
  readonly unit?: string;
  readonly terminal?: Terminal;
  /** Width of the terminal; tests replace it. */
  readonly columns?: () => number;
  /** Clock in milliseconds; tests replace it. */
  readonly now?: () => number;
}

const DELAY_MS = 1000;
const REDRAW_MS = 100;
const PLAIN_LINE_MS = 10_000;
const BAR_CELLS = 24;

/** A running count. Nothing shows before a second has passed. */
export class Progress {
  #done = 0;
  #suffix = "";
  #shownAtMs: number;
  #shown = false;
  readonly #startMs: number;
  readonly #terminal: Terminal;
  readonly #now: () => number;

  constructor(readonly options: ProgressOptions) {
    this.#terminal = options.terminal ?? terminal;
    this.#now = options.now ?? (() => performance.now());
    this.#startMs = this.#now();
    this.#shownAtMs = this.#startMs;
  }

  /** Counts `units` more as done; `suffix` is shown at the end of the line. */
  advance(units: number, suffix: string = this.#suffix): void {
    this.#done += units;
    this.#suffix = suffix;
    const nowMs = this.#now();
    if (nowMs - this.#startMs < DELAY_MS) return;
    const interval = this.#terminal.isTerminal ? REDRAW_MS : PLAIN_LINE_MS;
    // The first bar of a terminal appears at once; the first plain line waits its turn.
    const first = !this.#shown && this.#terminal.isTerminal;
    if (!first && nowMs - this.#shownAtMs < interval) return;
    this.#shownAtMs = nowMs;
    this.#shown = true;
    if (this.#terminal.isTerminal) this.#terminal.status(this.#bar(nowMs));
    else this.#terminal.line(this.#plain(nowMs));
  }

  /** Takes the bar away. Safe to call twice. */
  finish(): void {
    this.#terminal.status("");
  }

  [Symbol.dispose](): void {
    this.finish();
  }

  #fraction(): number {
    return this.options.total > 0 ? Math.min(1, this.#done / this.options.total) : 1;
  }

  #numbers(nowMs: number): string {
    const elapsed = (nowMs - this.#startMs) / 1000;
    const rate = elapsed > 0 ? this.#done / elapsed : 0;
    const left = rate > 0 ? (this.options.total - this.#done) / rate : Infinity;
    const unit = this.options.unit ?? "images";
    const parts = [
      `${this.#done}/${this.options.total}`,
      `${rate >= 10 ? rate.toFixed(0) : rate.toPrecision(2)} ${unit}/s`,
      `${duration(left)} left`,
      ...(this.#suffix === "" ? [] : [this.#suffix]),
    ];
    return parts.join(", ");
  }

  #bar(nowMs: number): string {
    const cells = Math.round(this.#fraction() * BAR_CELLS);
    const bar = "█".repeat(cells) + "░".repeat(BAR_CELLS - cells);
    const text = `${this.options.label} ${bar} ${this.#numbers(nowMs)}`;
    // A line that wraps could not be redrawn in place.
    return [...text].slice(0, (this.options.columns ?? columns)() - 1).join("");
  }

  #plain(nowMs: number): string {
    const percent = Math.floor(this.#fraction() * 100);
    return `${this.options.label}: ${percent} %, ${this.#numbers(nowMs)}`;
  }
}

function columns(): number {
  try {
    // A pseudo-terminal without a window reports 0.
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

/** Seconds as `0.5 s`, `12 s`, `3:05 min` or `1:02:03 h`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  // An epoch on a fast GPU takes less than a second.
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const [s, m, h] = [whole % 60, Math.floor(whole / 60) % 60, Math.floor(whole / 3600)];
  if (h > 0) return `${h}:${two(m)}:${two(s)} h`;
  return m > 0 ? `${m}:${two(s)} min` : `${s} s`;
}
