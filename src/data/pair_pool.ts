/**
 * Pair jobs on every processor core. Twelve pairs of 24 megapixels: 10.2 s on the main thread, 5.0 s
 * in two workers (2 cores). Starting workers takes a twentieth of a second and loading the decoder
 * anew as much, so 156 small pairs of 12 MB in all take 0.7 s either way.
 * @module
 */

import { type PairJob, type PairResult, runPairJob } from "./pair_job.ts";
import type { JobKind } from "./worker_pool.ts";

/** Files of fewer bytes in all gain nothing from workers. */
const WORTH_WORKERS_BYTES = 16 * 2 ** 20;

/** A worker at 24-megapixel pairs takes about 300 MB. */
const MOST_WORKERS = 8;

/** How many workers files of so many bytes are worth; 0 for the main thread. */
export function workersFor(totalBytes: number, files: number): number {
  if (totalBytes < WORTH_WORKERS_BYTES) return 0;
  return Math.min(navigator.hardwareConcurrency, MOST_WORKERS, files);
}

/** What runs {@linkcode runPairJob}. */
export const PAIR_JOBS: JobKind<PairJob, PairResult> = {
  run: runPairJob,
  start: () => new Worker(new URL("./pair_worker.ts", import.meta.url), { type: "module" }),
  subject: ({ photo }) => photo,
};
