/**
 * Writes the demo's sample set as files, laid out as a user's own data would be. Scenes are drawn on
 * all processor cores.
 * @module
 */

import { join } from "node:path";
import { type JobKind, runJobs } from "../data/worker_pool.ts";
import { writeFileAtomic } from "../io/atomic_file.ts";
import { SCENE_CLASSES } from "./scene.ts";
import { runSceneJob, type SceneFiles, type SceneJob } from "./scene_job.ts";

/** Pixels; twice what the network sees, so that the masks are worth looking at. */
const SIZE = { width: 384, height: 256 } as const;

/** One of so many scenes is kept for testing. */
const TEST_SHARE = 10;

/** What to draw. */
export interface SampleOptions {
  /** Folder of photos and masks; absolute. */
  readonly raw: string;
  readonly scenes: number;
  readonly seed: number;
  /** Threads that draw, 0 for the main thread (default: as many as there are processor cores). */
  readonly workers?: number;
  /** Called after each scene. */
  readonly onProgress?: () => void;
}

/** A worker takes about 40 MB, and draws its first scenes slowly: it has to be worth some of them. */
const MOST_WORKERS = 16;

/** How many threads so many scenes are worth; 0 for the main thread. */
function workersFor(scenes: number): number {
  const cores = navigator.hardwareConcurrency;
  return cores < 2 ? 0 : Math.min(cores, MOST_WORKERS, scenes);
}

/** What runs {@linkcode runSceneJob}. */
const SCENE_JOBS: JobKind<SceneJob, SceneFiles> = {
  run: runSceneJob,
  start: () => new Worker(new URL("./scene_worker.ts", import.meta.url), { type: "module" }),
  subject: ({ name }) => name,
};

/** How many of the scenes are kept for testing: one in ten, but two at least. */
function testScenes(scenes: number): number {
  return Math.max(2, Math.round(scenes / TEST_SHARE));
}

/**
 * Draws photos and their masks (indexed PNG in the class colours) for training and testing, and
 * writes the class names. The files do not depend on how many threads draw.
 * @throws {InputError} naming a file that cannot be written.
 */
export async function writeSamples(
  { raw, scenes, seed, workers = workersFor(scenes), onProgress }: SampleOptions,
): Promise<void> {
  // Seeds lie far enough apart for two demos never to share a scene.
  const jobs = Array.from({ length: scenes }, (_, i): SceneJob => ({
    name: sceneName(i),
    seed: seed * 10_000 + i,
    ...SIZE,
  }));
  const test = new Set(jobs.slice(scenes - testScenes(scenes)));
  let begun = 0;
  const next = () => Promise.resolve(jobs[begun++]);
  await runJobs(SCENE_JOBS, next, async (job, { photo, mask }) => {
    const part = join(raw, test.has(job) ? "test" : "train");
    await writeFileAtomic(join(part, "images", job.name), photo);
    await writeFileAtomic(join(part, "masks", job.name), mask);
    onProgress?.();
  }, workers);
  const names = SCENE_CLASSES.map(({ name }) => `${name}\n`).join("");
  await writeFileAtomic(join(raw, "labels.txt"), new TextEncoder().encode(names));
}

/** What {@linkcode sceneName} makes, and what a demo that was stopped was about to call so. */
export const SCENE_FILE = /^(scene_\d{3,}\.png|\.scene_\d{3,}\.png\.\d+\.tmp)$/;

function sceneName(index: number): string {
  return `scene_${String(index + 1).padStart(3, "0")}.png`;
}
