/**
 * Timing runs as training makes them: queued, not waited for one by one. Asking a device whether it
 * is done takes 10 ms in Deno, which is nothing to a processor and much to a GPU.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";

/** Runs of about so long are queued before one waits for the device. */
const QUEUED_MS = 500;

/** No more than this, so that what is queued stays small. */
const MOST_QUEUED = 4096;

/** For how long to queue train steps: at least as long as training does. */
export function stepsQueuedMs({ fenceMs }: Gpu): number {
  return Math.max(QUEUED_MS, fenceMs);
}

/** How many runs of that time to queue. */
export function queueLength(runMs: number, queuedMs = QUEUED_MS): number {
  return Math.min(MOST_QUEUED, Math.max(1, Math.floor(queuedMs / runMs)));
}

/** Runs `count` times, waits, and returns the time of one run in milliseconds. */
export async function timeQueued(
  gpu: Gpu,
  count: number,
  run: (index: number) => void,
): Promise<number> {
  const started = performance.now();
  for (let index = 0; index < count; index++) run(index);
  await gpu.idle();
  return (performance.now() - started) / count;
}
