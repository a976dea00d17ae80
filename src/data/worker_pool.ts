/**
 * Jobs on several processor cores: both ends of the line to worker threads. What goes in and comes
 * out is plain data.
 * @module
 */

import { InputError } from "../errors.ts";

/** One kind of job. */
export interface JobKind<Job, Result> {
  /** Does a job in the main thread. */
  readonly run: (job: Job) => Result | Promise<Result>;
  /** Starts a thread; its module hands the same function to {@linkcode serveJobs}. */
  readonly start: () => Worker;
  /** What a job is about, for the message when a thread stops at it. */
  readonly subject: (job: Job) => string;
}

/**
 * Does jobs, several at a time. After a failure no more are begun, but those that have been are
 * finished, so that no file is left half written.
 * @param next the next job, or `undefined` when there is none left; asked one at a time
 * @param done called with each job and its result, in the order they end; a thread goes on when it
 *   has returned
 * @param workers how many threads; 0 for the main thread
 * @throws the first thing that `next`, a job or `done` throws
 */
export async function runJobs<Job, Result>(
  kind: JobKind<Job, Result>,
  next: () => Promise<Job | undefined>,
  done: (job: Job, result: Result) => void | Promise<void>,
  workers: number,
): Promise<void> {
  if (workers < 1) {
    for (let job = await next(); job !== undefined; job = await next()) {
      await done(job, await kind.run(job));
    }
    return;
  }
  const threads = Array.from({ length: workers }, () => new JobThread(kind));
  // Jobs are made one after the other: how many bytes the cache has left is counted between them.
  let turn: Promise<unknown> = Promise.resolve();
  const take = () => {
    const taken = turn.then(next);
    turn = taken.catch(() => undefined);
    return taken;
  };
  const failures: unknown[] = [];
  await Promise.all(threads.map(async (thread) => {
    try {
      while (failures.length === 0) {
        const job = await take();
        if (job === undefined) break;
        await done(job, await thread.run(job));
      }
    } catch (error) {
      failures.push(error);
    } finally {
      thread.stop();
    }
  }));
  if (failures.length > 0) throw failures[0];
}

/** What a thread answers. */
type Reply<Result> = { readonly result: Result } | { readonly failure: Failure };

/** An error as plain data: errors do not survive the way between threads whole. */
interface Failure {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly isInput: boolean;
}

function toFailure(error: unknown): Failure {
  if (!(error instanceof Error)) {
    return { name: "Error", message: String(error), stack: undefined, isInput: false };
  }
  const { name, message, stack } = error;
  return { name, message, stack, isInput: error instanceof InputError };
}

function toError({ name, message, stack, isInput }: Failure): Error {
  const error = isInput ? new InputError(message) : new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** One worker, doing one job at a time. */
class JobThread<Job, Result> {
  readonly #kind: JobKind<Job, Result>;
  readonly #worker: Worker;

  constructor(kind: JobKind<Job, Result>) {
    this.#kind = kind;
    this.#worker = kind.start();
  }

  run(job: Job): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }: MessageEvent<Reply<Result>>) =>
        "result" in data ? resolve(data.result) : reject(toError(data.failure));
      this.#worker.onerror = (event) => {
        event.preventDefault();
        const subject = this.#kind.subject(job);
        reject(new Error(`a worker thread stopped at ${subject}: ${event.message}`));
      };
      this.#worker.postMessage(job);
    });
  }

  stop(): void {
    this.#worker.terminate();
  }
}

/** A worker's global scope, as far as it is used; the standard types describe a window. */
interface WorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown): void;
}

/** Makes the worker thread that calls this do the jobs it is sent. */
export function serveJobs<Job, Result>(run: (job: Job) => Result | Promise<Result>): void {
  const scope = globalThis as unknown as WorkerScope;
  scope.onmessage = async ({ data }: MessageEvent<Job>) => {
    try {
      scope.postMessage({ result: await run(data) });
    } catch (error) {
      scope.postMessage({ failure: toFailure(error) });
    }
  };
}
