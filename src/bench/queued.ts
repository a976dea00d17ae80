/**
 * Timing runs as training makes them: queued, not waited for one by one. Asking a device whether it
 * is done takes 10 ms in Deno, which is nothing to a processor and much to a GPU.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";

/** Runs of about so long are queued before one waits for the device. */
const QUEUED_MS = 500;

/** The same of whole steps: of this the wait at the end is 1 %. */
const STEPS_QUEUED_MS = 1000;

/** No more than this, so that what is queued stays small. */
export const MOST_QUEUED = 4096;

/** For how long to queue train steps: at least as long as training does. */
export function stepsQueuedMs({ fenceMs }: Pick<Gpu, "fenceMs">): number {
  return Math.max(STEPS_QUEUED_MS, fenceMs);
}

/** How many runs of that time to queue. */
export function queueLength(runMs: number, queuedMs = QUEUED_MS): number {
  return Math.min(MOST_QUEUED, Math.max(1, Math.floor(queuedMs / runMs)));
}

/** Runs `count` times, waits, and returns the time of one run in milliseconds. */
export async function timeQueued(
  gpu: Pick<Gpu, "idle">,
  count: number,
  run: (index: number) => void,
): Promise<number> {
  const started = performance.now();
  for (let index = 0; index < count; index++) run(index);
  await gpu.idle();
  return (performance.now() - started) / count;
}

/**
 * Times of a step, each the mean of a group of steps that take about as long as training queues. A
 * group of less than half of that says only how many steps the next one needs: too much of it was
 * the wait at its end.
 * @param count how many times to take
 * @param run of a step by its number, from 0 over all groups
 * @param onGroup called after each wait for the device, with the steps since the last one
 */
export async function timeSteps(
  gpu: Pick<Gpu, "fenceMs" | "idle">,
  count: number,
  run: (index: number) => void,
  onGroup: (steps: number) => void | Promise<void> = () => {},
): Promise<number[]> {
  const queuedMs = stepsQueuedMs(gpu);
  const times: number[] = [];
  for (let first = 0, steps = 1; times.length < count;) {
    const stepMs = await timeQueued(gpu, steps, (i) => run(first + i));
    await onGroup(steps);
    if (stepMs * steps >= queuedMs / 2 || steps === MOST_QUEUED) times.push(stepMs);
    first += steps;
    steps = queueLength(stepMs, queuedMs);
  }
  return times;
}
