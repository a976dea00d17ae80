/**
 * A worker that does pair jobs: the entry module of a thread of its own.
 * @module
 */

import { type PairJob, runPairJob } from "./pair_job.ts";

/** A worker's global scope, as far as it is used; the standard types describe a window. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<PairJob>) => void) | null;
  postMessage(message: unknown): void;
}

const scope = globalThis as unknown as WorkerScope;

scope.onmessage = async ({ data }) => {
  try {
    scope.postMessage({ result: await runPairJob(data) });
  } catch (error) {
    // Errors do not survive the way between threads whole.
    const message = error instanceof Error ? error.stack ?? error.message : String(error);
    scope.postMessage({ failure: message });
  }
};
