/**
 * Where the time of a run goes: by timestamp queries around every dispatch or, on adapters without
 * them, by waiting for each command on its own.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import type { PersistentBuffer } from "./memory.ts";
import { Snapshot } from "./snapshot.ts";

/** Time of one dispatch, of the copies before one, or of the device's pause between two. */
export interface ProfileEntry {
  /** Label of the node; empty for pauses. */
  label: string;
  /** Kernel, {@linkcode COPY} or {@linkcode PAUSE}. */
  kernel: string;
  /** Index of the command; for pauses of the one that follows. */
  step: number;
  /** Milliseconds on the device. */
  timeMs: number;
}

/** A command to be profiled. */
export interface ProfiledCommand {
  label: string;
  kernel: string;
  /** Encodes a dispatch into a pass; missing for copies. */
  dispatch?(pass: GPUComputePassEncoder): void;
  /** Encodes a copy. */
  copy?(encoder: GPUCommandEncoder): void;
}

/** In place of a kernel's name: copies into textures. */
export const COPY = "copy";

/** In place of a kernel's name: nothing ran. */
export const PAUSE = "between dispatches";

/** Queries of one set, by WebGPU's limit; an even number. */
const MAX_QUERIES = 4096;

/**
 * Runs `commands` one after the other, each dispatch in a pass of its own, and returns their times;
 * with timestamps their sum is the time from the first dispatch's begin to the last one's end. That
 * is more than an ordinary run takes, which puts many dispatches into a pass. Without timestamps
 * every command runs several times; then `persistent`, all that is not computed anew, is put back and
 * one ordinary run made, so that sums, weights and running statistics are those of one run.
 */
export async function profileCommands(
  gpu: Gpu,
  commands: readonly ProfiledCommand[],
  persistent: readonly PersistentBuffer[],
  timestamps: boolean = gpu.device.features.has("timestamp-query"),
): Promise<ProfileEntry[]> {
  const queries = commands.filter((command) => command.dispatch).length * 2;
  return timestamps
    ? await byTimestamps(gpu, commands, queries)
    : await byWaiting(gpu, commands, persistent);
}

async function byTimestamps(
  gpu: Gpu,
  commands: readonly ProfiledCommand[],
  queries: number,
): Promise<ProfileEntry[]> {
  const { device } = gpu;
  const querySets: GPUQuerySet[] = [];
  for (let first = 0; first < queries; first += MAX_QUERIES) {
    const count = Math.min(MAX_QUERIES, queries - first);
    querySets.push(device.createQuerySet({ type: "timestamp", count }));
  }
  const sizeBytes = queries * 8;
  const resolved = gpu.createBuffer(
    "timestamps",
    sizeBytes,
    GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  );
  try {
    let encoder = device.createCommandEncoder({ label: "profile" });
    let query = 0;
    for (const command of commands) {
      command.copy?.(encoder);
      if (!command.dispatch) continue;
      const querySet = querySets[Math.floor(query / MAX_QUERIES)];
      if (!querySet) throw new Error(`There is no query ${query} of ${queries}`);
      const index = query % MAX_QUERIES;
      const end = { querySet, endOfPassWriteIndex: index + 1 };
      if (gpu.isSoftware) {
        // llvmpipe may put off writing a time until the end of a submission.
        const begin = { querySet, endOfPassWriteIndex: index };
        encoder.beginComputePass({ timestampWrites: begin }).end();
        encoder = submitted(device, encoder);
      }
      const pass = encoder.beginComputePass({
        timestampWrites: gpu.isSoftware ? end : { ...end, beginningOfPassWriteIndex: index },
      });
      command.dispatch(pass);
      pass.end();
      if (gpu.isSoftware) encoder = submitted(device, encoder);
      query += 2;
    }
    querySets.forEach((querySet, i) => {
      encoder.resolveQuerySet(querySet, 0, querySet.count, resolved, i * MAX_QUERIES * 8);
    });
    device.queue.submit([encoder.finish()]);
    return entries(commands, new BigUint64Array(await gpu.readBuffer(resolved, 0, sizeBytes)));
  } finally {
    for (const querySet of querySets) querySet.destroy();
    resolved.destroy();
  }
}

/** Submits what is encoded; the encoder for what follows. */
function submitted(device: GPUDevice, encoder: GPUCommandEncoder): GPUCommandEncoder {
  device.queue.submit([encoder.finish()]);
  return device.createCommandEncoder({ label: "profile" });
}

function entries(commands: readonly ProfiledCommand[], ticks: BigUint64Array): ProfileEntry[] {
  const result: ProfileEntry[] = [];
  const ms = (from: number, to: number) => Number((ticks[to] ?? 0n) - (ticks[from] ?? 0n)) / 1e6;
  let query = 0;
  let copy: { label: string; step: number } | undefined;
  commands.forEach(({ label, kernel, dispatch }, step) => {
    if (!dispatch) {
      copy ??= { label, step };
      return;
    }
    if (query > 0) {
      const timeMs = ms(query - 1, query);
      result.push(
        copy ? { ...copy, kernel: COPY, timeMs } : { label: "", kernel: PAUSE, step, timeMs },
      );
    }
    copy = undefined;
    result.push({ label, kernel, step, timeMs: ms(query, query + 1) });
    query += 2;
  });
  return result;
}

/** Each command is repeated, since waiting for it takes some milliseconds. */
const REPEATS = 8;

async function byWaiting(
  gpu: Gpu,
  commands: readonly ProfiledCommand[],
  persistent: readonly PersistentBuffer[],
): Promise<ProfileEntry[]> {
  const before = new Snapshot(persistent);
  try {
    before.take(gpu);
    const result = await timesByWaiting(gpu, commands);
    before.restore(gpu);
    runOnce(gpu, commands);
    return result;
  } finally {
    before.destroy();
  }
}

function runOnce(gpu: Gpu, commands: readonly ProfiledCommand[]): void {
  const encoder = gpu.device.createCommandEncoder({ label: "run" });
  for (const command of commands) {
    command.copy?.(encoder);
    if (!command.dispatch) continue;
    const pass = encoder.beginComputePass();
    command.dispatch(pass);
    pass.end();
  }
  gpu.device.queue.submit([encoder.finish()]);
}

async function timesByWaiting(
  gpu: Gpu,
  commands: readonly ProfiledCommand[],
): Promise<ProfileEntry[]> {
  const submit = async (command: ProfiledCommand | undefined, times: number): Promise<number> => {
    await gpu.idle();
    const encoder = gpu.device.createCommandEncoder({ label: "profile" });
    const pass = command?.dispatch && encoder.beginComputePass();
    for (let i = 0; i < times; i++) {
      if (pass) command.dispatch?.(pass);
      else command?.copy?.(encoder);
    }
    pass?.end();
    const started = performance.now();
    gpu.device.queue.submit([encoder.finish()]);
    await gpu.idle();
    return performance.now() - started;
  };
  const waitingMs = Math.min(await submit(undefined, 0), await submit(undefined, 0));
  const result: ProfileEntry[] = [];
  for (const [step, command] of commands.entries()) {
    const { label, kernel } = command;
    const timeMs = Math.max(0, await submit(command, REPEATS) - waitingMs) / REPEATS;
    result.push({ label, kernel, step, timeMs });
  }
  return result;
}
