/**
 * Photos on their way through decoding, GPU and encoding: the three work on consecutive photos at
 * the same time, as many as memory allows.
 * @module
 */

import { InputError } from "../src/errors.ts";
import type { Job } from "./predict_files.ts";
import type { LoadedPhoto } from "./predict_work.ts";

/** What happens to a photo; each throws an InputError where only this photo is to blame. */
export interface Stages {
  readonly load: (job: Job) => Promise<LoadedPhoto>;
  readonly predict: (job: Job, photo: LoadedPhoto) => Promise<Uint8Array>;
  /** @returns the time it took, in ms. */
  readonly save: (job: Job, photo: DrawnPhoto, ids: Uint8Array) => Promise<number>;
  /** Called once for each photo, with what went wrong. */
  readonly done: (job: Job, error?: InputError) => void;
}

/** What is left of a photo once the network has seen it. */
export type DrawnPhoto = Omit<LoadedPhoto, "batch" | "alsoAt">;

/** Milliseconds that each stage was at work. */
export interface Spent {
  decodeMs: number;
  gpuMs: number;
  encodeMs: number;
}

/**
 * Decoded photos that wait, at most. A photo that is larger by itself goes through all stages alone,
 * so that the process stays small.
 */
const WAITING_BYTES = 96 * 2 ** 20;
const MOST_WAITING = 8;

/**
 * Photos that the device may have while the first one's mask is on its way, at most: reading takes
 * 10 ms in Deno however little there is to wait for.
 */
const MOST_PREDICTED_AHEAD = 3;

/** Takes all jobs through all stages. @throws what a stage throws that is no InputError. */
export async function throughStages(jobs: readonly Job[], stages: Stages): Promise<Spent> {
  const spent: Spent = { decodeMs: 0, gpuMs: 0, encodeMs: 0 };
  const gpu = new Busy();
  const loading: { job: Job; photo: Promise<LoadedPhoto> }[] = [];
  const saving = new Set<Promise<void>>();
  let next = 0;
  let most = 1;
  const running: Promise<void>[] = [];

  const loadAhead = () => {
    while (loading.length < most) {
      const job = jobs[next++];
      if (!job) return;
      const photo = stages.load(job);
      // Its turn to fail comes when it is awaited.
      photo.catch(() => undefined);
      loading.push({ job, photo });
    }
  };
  const failed = (job: Job, error: unknown) => {
    if (!(error instanceof InputError)) throw error;
    stages.done(job, error);
  };
  const save = async (job: Job, photo: DrawnPhoto, ids: Uint8Array) => {
    try {
      // One turn of the event loop, in which the GPU gets the next photo.
      await new Promise((resolve) => setTimeout(resolve, 0));
      spent.encodeMs += await stages.save(job, photo, ids);
      stages.done(job);
    } catch (error) {
      failed(job, error);
    }
  };
  const predict = async (job: Job, photo: LoadedPhoto) => {
    try {
      const ids = await gpu.during(stages.predict(job, photo));
      // The pixels that the network saw are as large as all of the rest.
      const { batch: _, alsoAt: __, ...drawn } = photo;
      const saved: Promise<void> = save(job, drawn, ids);
      const settled = saved.finally(() => saving.delete(settled));
      settled.catch(() => undefined);
      saving.add(settled);
    } catch (error) {
      failed(job, error);
    }
  };

  loadAhead();
  for (let first = loading.shift(); first; first = loading.shift()) {
    const { job } = first;
    let photo: LoadedPhoto;
    try {
      photo = await first.photo;
    } catch (error) {
      failed(job, error);
      loadAhead();
      continue;
    }
    spent.decodeMs += photo.spentMs;
    most = Math.min(MOST_WAITING, Math.floor(WAITING_BYTES / bytesOf(photo)));
    while (saving.size >= Math.max(1, most)) await Promise.race(saving);
    loadAhead();
    const predicting = predict(job, photo);
    predicting.catch(() => undefined);
    running.push(predicting);
    // The device has this photo's work already when the ones before are done.
    const ahead = Math.min(MOST_PREDICTED_AHEAD, Math.max(1, Math.floor(most / 2)));
    while (running.length > ahead) await running.shift();
    if (most > 0) continue;
    await Promise.all(running.splice(0));
    await Promise.all(saving);
    most = 1;
    loadAhead();
  }
  await Promise.all(running);
  await Promise.all(saving);
  spent.gpuMs = gpu.ms;
  return spent;
}

function bytesOf({ batch, alsoAt, photo, width, height }: LoadedPhoto): number {
  const pixelBytes = [batch, ...alsoAt].map(({ pixels }) => pixels.length);
  return pixelBytes.reduce((a, b) => a + b) + width * height * (photo ? 4 : 1);
}

/** Time during which at least one thing was going on. */
class Busy {
  #ms = 0;
  #count = 0;
  #sinceMs = 0;

  get ms(): number {
    return this.#ms;
  }

  async during<T>(work: Promise<T>): Promise<T> {
    if (this.#count++ === 0) this.#sinceMs = performance.now();
    try {
      return await work;
    } finally {
      if (--this.#count === 0) this.#ms += performance.now() - this.#sinceMs;
    }
  }
}
