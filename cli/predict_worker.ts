/**
 * The worker thread of `predict`: does what it is told, one request at a time, and hands the pixels
 * over without copying them.
 * @module
 */
/// <reference lib="deno.worker" />

import { InputError } from "../src/errors.ts";
import { loadPhoto, type LoadRequest, savePhoto, type SaveRequest } from "./predict_work.ts";

/** What a thread is asked. */
export type WorkerRequest =
  | { readonly load: LoadRequest }
  | { readonly save: SaveRequest };

/** What it answers: the result of the function, or the error. */
export type WorkerReply =
  | { readonly result: unknown }
  | { readonly error: string; readonly isInput: boolean };

/** The memory of a message that can change hands: whole buffers of byte arrays. */
export function transfers(value: unknown): ArrayBuffer[] {
  if (value instanceof Uint8Array) {
    const { buffer } = value;
    return buffer instanceof ArrayBuffer && buffer.byteLength === value.byteLength ? [buffer] : [];
  }
  if (typeof value !== "object" || value === null) return [];
  return [...new Set(Object.values(value).flatMap(transfers))];
}

async function answer(request: WorkerRequest): Promise<WorkerReply> {
  try {
    const result = await ("load" in request ? loadPhoto(request.load) : savePhoto(request.save));
    return { result };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { error: message, isInput: error instanceof InputError };
  }
}

// The main thread imports this module for its types and `transfers` only.
if (
  typeof DedicatedWorkerGlobalScope !== "undefined" && self instanceof DedicatedWorkerGlobalScope
) {
  self.addEventListener("message", async ({ data }: MessageEvent<WorkerRequest>) => {
    const reply = await answer(data);
    self.postMessage(reply, transfers(reply));
  });
}
