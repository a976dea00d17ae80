/**
 * Ctrl-C while a command works: the first one asks it to save and stop, the second ends it at once.
 * @module
 */

import type { Log } from "./log.ts";

/** What shells call "ended by Ctrl-C". */
export const INTERRUPTED_STATUS = 130;

/**
 * Signals so soon after each other are one Ctrl-C: a terminal tells all programs that run in it, and
 * `deno task` tells the one that it runs once more.
 */
const ONE_MS = 500;

/** Listens until it is disposed of. */
export class Interrupts {
  #askedAtMs = 0;
  readonly #asked = new AbortController();
  readonly #signals: readonly Deno.Signal[];
  readonly #onSignal: () => void;

  /** @param message said at the first Ctrl-C */
  constructor(log: Log, message: string) {
    // Windows knows no SIGTERM; there and elsewhere it is what a system sends before it shuts down.
    this.#signals = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
    this.#onSignal = () => {
      const now = performance.now();
      if (this.requested) {
        if (now - this.#askedAtMs > ONE_MS) Deno.exit(INTERRUPTED_STATUS);
        return;
      }
      this.#askedAtMs = now;
      log.info(message);
      this.#asked.abort();
    };
    for (const signal of this.#signals) Deno.addSignalListener(signal, this.#onSignal);
  }

  /** Whether to stop. */
  get requested(): boolean {
    return this.signal.aborted;
  }

  /** For what can be told to stop. */
  get signal(): AbortSignal {
    return this.#asked.signal;
  }

  [Symbol.dispose](): void {
    for (const signal of this.#signals) Deno.removeSignalListener(signal, this.#onSignal);
  }
}
