/**
 * An event file being written: events gather in memory and go to the disk now and then.
 * @module
 */
import { join } from "node:path";
import { AppendFile } from "./append_file.ts";
import type { Message } from "./protobuf.ts";
import { fileHeader, graphEvent, record, sessionStart, summaryEvent } from "./tfevents.ts";
import type { StepSummary } from "./tfevents.ts";

/** Events in memory go to the disk at this size. */
const BUFFER_BYTES = 2 ** 18;

/** A file of a run's folder that TensorBoard reads. */
export class EventFile {
  readonly #file: AppendFile;
  readonly #now: () => number;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  /**
   * Starts a file of its own, whatever `folder` holds.
   * @param firstStep Later events of earlier files, of steps from this one on, no longer count.
   * @param now Milliseconds since 1970.
   * @throws {InputError} naming the file when it cannot be written.
   */
  constructor(folder: string, firstStep: number, now: () => number = Date.now) {
    this.#now = now;
    // TensorBoard reads files in the order of their names and knows them by `tfevents`. With
    // milliseconds, two starts within a second do not share a file.
    const time = (now() / 1000).toFixed(3).padStart(14, "0");
    this.#file = new AppendFile(join(folder, `events.out.tfevents.${time}.${Deno.pid}`));
    this.#add(fileHeader(now()));
    if (firstStep > 1) this.#add(sessionStart(now(), firstStep));
    this.flush();
  }

  /** The file. */
  get path(): string {
    return this.#file.path;
  }

  /** Tells of a step. */
  add(step: number, told: StepSummary): void {
    this.#add(summaryEvent(this.#now(), step, told));
  }

  /** Tells the network's graph, a `GraphDef`. */
  addGraph(graph: Message): void {
    this.#add(graphEvent(this.#now(), graph));
  }

  /** Brings everything to the disk. */
  flush(): void {
    const all = new Uint8Array(this.#waitingBytes);
    let at = 0;
    for (const part of this.#waiting) {
      all.set(part, at);
      at += part.length;
    }
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#file.append(all);
  }

  /** Brings everything to the disk and closes the file. */
  close(): void {
    try {
      this.flush();
    } finally {
      this.#file.close();
    }
  }

  #add(event: Message): void {
    const bytes = record(event);
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes >= BUFFER_BYTES) this.flush();
  }
}
