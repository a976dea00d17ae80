/**
 * Who decodes and writes: worker threads, so that the GPU never waits for the one or the other, or,
 * for a photo or two, this thread.
 * @module
 */

import { InputError } from "../src/errors.ts";
import {
  type LoadedPhoto,
  loadPhoto,
  type LoadRequest,
  savePhoto,
  type SaveRequest,
} from "./predict_work.ts";
import { transfers } from "./predict_transfers.ts";
import type { WorkerReply, WorkerRequest } from "./predict_worker.ts";

/** Decodes photos and writes masks; requests may overlap. */
export interface Hands extends Disposable {
  load(request: LoadRequest): Promise<LoadedPhoto>;
  /** @returns the time it took, in ms. */
  save(request: SaveRequest): Promise<number>;
}

/** Starting a thread takes as long as decoding some photos. */
const FEWEST_PHOTOS = 3;

/** More decode faster than a GPU predicts. */
const MOST_THREADS = 8;

/** Hands for so many photos. */
export function handsFor(photos: number): Hands {
  if (photos < FEWEST_PHOTOS) {
    return { load: loadPhoto, save: savePhoto, [Symbol.dispose]: () => undefined };
  }
  // One processor core is for the thread that feeds the GPU.
  const threads = Math.min(MOST_THREADS, photos, Math.max(1, navigator.hardwareConcurrency - 1));
  return new Threads(threads);
}

interface Waiting {
  readonly request: WorkerRequest;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  worker: Worker | undefined;
  port: MessagePort | undefined;
  current: Waiting | undefined;
}

class Threads implements Hands {
  readonly #threads: Thread[];
  readonly #waiting: Waiting[] = [];

  constructor(count: number) {
    this.#threads = Array.from({ length: count }, () => ({
      worker: undefined,
      port: undefined,
      current: undefined,
    }));
  }

  load(request: LoadRequest): Promise<LoadedPhoto> {
    return this.#ask({ load: request }) as Promise<LoadedPhoto>;
  }

  save(request: SaveRequest): Promise<number> {
    return this.#ask({ save: request }) as Promise<number>;
  }

  [Symbol.dispose](): void {
    for (const { worker, port } of this.#threads) {
      port?.close();
      worker?.terminate();
    }
  }

  #ask(request: WorkerRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      this.#assign();
    });
  }

  /** The first idle thread gets the next request: each keeps the memory of its largest photo. */
  #assign(): void {
    for (const thread of this.#threads) {
      if (thread.current) continue;
      const next = this.#waiting.shift();
      if (!next) return;
      thread.current = next;
      thread.port ??= this.#start(thread);
      thread.port.postMessage(next.request, transfers(next.request));
    }
  }

  #start(thread: Thread): MessagePort {
    const worker = new Worker(new URL("./predict_worker.ts", import.meta.url), { type: "module" });
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener(
      "message",
      ({ data }: MessageEvent<WorkerReply>) =>
        this.#finish(thread, ({ resolve, reject }) => {
          if ("result" in data) resolve(data.result);
          else reject(data.isInput ? new InputError(data.error) : new Error(data.error));
        }),
    );
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      // A thread that fails outside of a request is of no use any more.
      port1.close();
      thread.worker = thread.port = undefined;
      this.#finish(thread, ({ reject }) => reject(new Error(event.message)));
    });
    port1.start();
    worker.postMessage(undefined, [port2]);
    thread.worker = worker;
    return port1;
  }

  #finish(thread: Thread, settle: (waiting: Waiting) => void): void {
    const { current } = thread;
    thread.current = undefined;
    if (current) settle(current);
    this.#assign();
  }
}
