/**
 * Where the time of a run goes, by timestamp queries around every dispatch.
 * @module
 */
import { DeviceError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";

/** Time of one dispatch, or of the copies between two of them. */
export interface ProfileEntry {
  /** Label of the node. */
  label: string;
  /** Kernel, or `copy`. */
  kernel: string;
  /** Milliseconds on the device, by its timestamps. */
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

/**
 * Runs `commands` one after the other, each dispatch in a pass of its own, and returns their times.
 * The sum is larger than an ordinary run, which puts many dispatches into a pass.
 *
 * @throws {DeviceError} where the adapter has no timestamp queries.
 */
export async function profileCommands(
  gpu: Gpu,
  commands: readonly ProfiledCommand[],
): Promise<ProfileEntry[]> {
  const { device } = gpu;
  if (!device.features.has("timestamp-query")) {
    throw new DeviceError("Profiling needs timestamp queries, which this adapter does not have.");
  }
  const dispatches = commands.filter((c) => c.dispatch);
  const querySet = device.createQuerySet({ type: "timestamp", count: dispatches.length * 2 });
  const sizeBytes = dispatches.length * 16;
  const resolved = gpu.createBuffer(
    "timestamps",
    sizeBytes,
    GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  );
  try {
    const encoder = device.createCommandEncoder({ label: "profile" });
    let query = 0;
    for (const command of commands) {
      command.copy?.(encoder);
      if (!command.dispatch) continue;
      const pass = encoder.beginComputePass({
        timestampWrites: {
          querySet,
          beginningOfPassWriteIndex: query * 2,
          endOfPassWriteIndex: query * 2 + 1,
        },
      });
      command.dispatch(pass);
      pass.end();
      query++;
    }
    encoder.resolveQuerySet(querySet, 0, dispatches.length * 2, resolved, 0);
    device.queue.submit([encoder.finish()]);
    const ticks = new BigUint64Array(await gpu.readBuffer(resolved, 0, sizeBytes));
    return entries(commands, ticks);
  } finally {
    querySet.destroy();
    resolved.destroy();
  }
}

function entries(commands: readonly ProfiledCommand[], ticks: BigUint64Array): ProfileEntry[] {
  const result: ProfileEntry[] = [];
  const ms = (from: number, to: number) => Number((ticks[to] ?? 0n) - (ticks[from] ?? 0n)) / 1e6;
  let query = 0;
  let copies: ProfiledCommand[] = [];
  for (const command of commands) {
    if (!command.dispatch) {
      copies.push(command);
      continue;
    }
    const [copy] = copies;
    // The gap before a dispatch is what its copies took.
    if (copy && query > 0) {
      result.push({
        label: copy.label,
        kernel: "copy",
        timeMs: ms(query * 2 - 1, query * 2),
      });
    }
    copies = [];
    const { label, kernel } = command;
    result.push({ label, kernel, timeMs: ms(query * 2, query * 2 + 1) });
    query++;
  }
  return result;
}
