/**
 * The worker thread of `predict`: does what it is told through the port that comes with its first
 * message, one request at a time, and hands the pixels over without copying them.
 * @module
 */

import { InputError } from "../src/errors.ts";
import { loadPhoto, type LoadRequest, savePhoto, type SaveRequest } from "./predict_work.ts";
import { transfers } from "./predict_transfers.ts";

/** What a thread is asked. */
export type WorkerRequest =
  | { readonly load: LoadRequest }
  | { readonly save: SaveRequest };

/** What it answers: the result of the function, or the error. */
export type WorkerReply =
  | { readonly result: unknown }
  | { readonly error: string; readonly isInput: boolean };

globalThis.addEventListener("message", (event) => {
  const { ports: [port] } = event as MessageEvent;
  if (!port) return;
  port.addEventListener("message", async ({ data }: MessageEvent<WorkerRequest>) => {
    const reply = await answer(data);
    port.postMessage(reply, transfers(reply));
  });
  port.start();
});

async function answer(request: WorkerRequest): Promise<WorkerReply> {
  try {
    const result = await ("load" in request ? loadPhoto(request.load) : savePhoto(request.save));
    return { result };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { error: message, isInput: error instanceof InputError };
  }
}
