/**
 * Looking at every photo and mask of a set once: facts that are known are taken from the last time,
 * the rest is decoded on all cores, and the scaled images are kept for training on the way.
 * @module
 */

import type { FactStore } from "./facts.ts";
import type { MaskFacts, PairJob, PairResult, PhotoFacts } from "./pair_job.ts";
import { PAIR_JOBS, workersFor } from "./pair_pool.ts";
import type { CacheEntry, PixelCache } from "./pixel_cache.ts";
import { runJobs } from "./worker_pool.ts";

/** A photo and its mask, absolute paths. */
export interface PairFiles {
  readonly photo: string;
  readonly mask?: string | undefined;
}

/** What was found in a pair. */
export interface Checked extends PairFiles {
  readonly photoFacts: PhotoFacts | { readonly problem: string };
  readonly maskFacts?: MaskFacts | { readonly problem: string };
}

/** A run that is stopped loses what it found since this long. */
const SAVE_EVERY_MS = 20_000;

interface Task {
  readonly at: number;
  readonly files: PairFiles;
  readonly photo: CacheEntry | undefined;
  readonly mask: CacheEntry | undefined;
}

/**
 * Looks at every pair.
 * @param cache keeps the scaled images where given
 * @param advance called after each pair
 * @returns what was found, in the order of `pairs`
 */
export async function checkPairs(
  pairs: readonly PairFiles[],
  facts: FactStore,
  cache: PixelCache | undefined,
  advance: () => void,
): Promise<Checked[]> {
  const results: Checked[] = [];
  const tasks: Task[] = [];
  let bytes = 0;
  for (const [at, files] of pairs.entries()) {
    const { photo, mask } = files;
    const photoFacts = await facts.photo(photo);
    const maskFacts = mask === undefined ? undefined : await facts.mask(mask);
    const entries = await missingEntries(files, cache);
    const known = photoFacts !== undefined && (mask === undefined || maskFacts !== undefined);
    if (known && !entries.photo && !entries.mask) {
      results[at] = { photo, mask, photoFacts, ...(maskFacts ? { maskFacts } : {}) };
      advance();
      continue;
    }
    tasks.push({ at, files, ...entries });
    bytes += await sizeOf(photo) + await sizeOf(mask);
  }
  const fresh: Checked[] = [];
  let savedMs = performance.now();
  const keep = async () => {
    for (const pair of fresh.splice(0)) await keepFacts(pair, facts);
    if (performance.now() - savedMs < SAVE_EVERY_MS) return true;
    await facts.save();
    savedMs = performance.now();
    return true;
  };
  await runTasks(tasks, cache, workersFor(bytes, tasks.length), (task, { photo, mask }) => {
    const pair = { ...task.files, photoFacts: photo, ...(mask ? { maskFacts: mask } : {}) };
    results[task.at] = pair;
    fresh.push(pair);
    advance();
  }, keep);
  await keep();
  await facts.save();
  return results;
}

async function keepFacts(
  { photo, mask, photoFacts, maskFacts }: Checked,
  facts: FactStore,
): Promise<void> {
  if (!("problem" in photoFacts)) await facts.set(photo, { photo: photoFacts });
  if (mask !== undefined && maskFacts && !("problem" in maskFacts)) {
    await facts.set(mask, { mask: maskFacts });
  }
}

/**
 * Makes the scaled images that are not on disk yet, until there is no room for more.
 * @param advance called for each pair, whether or not there was anything to do
 */
export async function fillCache(
  pairs: readonly PairFiles[],
  cache: PixelCache,
  advance: () => void,
): Promise<void> {
  const tasks: Task[] = [];
  let bytes = 0;
  for (const [at, files] of pairs.entries()) {
    const entries = await missingEntries(files, cache);
    if (!entries.photo && !entries.mask) {
      advance();
      continue;
    }
    tasks.push({ at, files, ...entries });
    bytes += await sizeOf(files.photo) + await sizeOf(files.mask);
  }
  let left = tasks.length;
  const done = () => {
    left--;
    advance();
  };
  const goOn = () => cache.hasRoom(0);
  await runTasks(tasks, cache, workersFor(bytes, tasks.length), done, goOn);
  while (left > 0) done();
}

/** The entries of a pair that the cache lacks. */
async function missingEntries(
  { photo, mask }: PairFiles,
  cache: PixelCache | undefined,
): Promise<{ photo: CacheEntry | undefined; mask: CacheEntry | undefined }> {
  const missing = async (file: string | undefined) => {
    if (cache === undefined || cache.full || file === undefined) return undefined;
    const entry = await cache.entry(file);
    return await cache.has(entry) ? undefined : entry;
  };
  return { photo: await missing(photo), mask: await missing(mask) };
}

async function runTasks(
  tasks: readonly Task[],
  cache: PixelCache | undefined,
  workers: number,
  done: (task: Task, result: PairResult) => void,
  /** Asked before each task. */
  goOn: () => Promise<boolean>,
): Promise<void> {
  const byJob = new Map<PairJob, Task>();
  let at = 0;
  const next = async (): Promise<PairJob | undefined> => {
    const task = await goOn() ? tasks[at++] : undefined;
    if (task === undefined) return undefined;
    const { files: { photo, mask } } = task;
    const keep = cache !== undefined && await cache.hasRoom(0);
    const job: PairJob = {
      photo,
      ...(mask === undefined ? {} : { mask }),
      ...(keep
        ? {
          keep: {
            scale: cache.scale,
            ...(task.photo === undefined ? {} : { photo: task.photo }),
            ...(task.mask === undefined ? {} : { mask: task.mask }),
          },
        }
        : {}),
    };
    byJob.set(job, task);
    return job;
  };
  await runJobs(PAIR_JOBS, next, (job, result) => {
    cache?.grow(result.keptBytes);
    if (result.unkept !== undefined) cache?.fail(result.unkept);
    const task = byJob.get(job);
    if (task !== undefined) done(task, result);
  }, workers);
}

async function sizeOf(file: string | undefined): Promise<number> {
  if (file === undefined) return 0;
  try {
    return (await Deno.stat(file)).size;
  } catch {
    // Told when it is read.
    return 0;
  }
}
