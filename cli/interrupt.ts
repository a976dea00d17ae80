/**
 * Ctrl-C while a command works: the first one asks it to save and stop, the second ends it at once.
 * @module
 */

import type { Log } from "./log.ts";

/** What shells call "ended by Ctrl-C". */
export const INTERRUPTED_STATUS = 130;

/** Listens until it is disposed of. */
export class Interrupts {
  readonly #asked = new AbortController();
  readonly #signals: readonly Deno.Signal[];
  readonly #onSignal: () => void;

  /** @param message said at the first Ctrl-C */
  constructor(log: Log, message: string) {
    // Windows knows no SIGTERM; there and elsewhere it is what a system sends before it shuts down.
    this.#signals = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
    this.#onSignal = () => {
      if (this.requested) Deno.exit(INTERRUPTED_STATUS);
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
