/**
 * What a device can do at most, measured by kernels that do nothing else: multiply-adds in
 * registers, and memory read and written. The best of a few shapes counts.
 * @module
 */
import copySource from "../../shaders/peak_copy.wgsl" with { type: "text" };
import flopSource from "../../shaders/peak_multiply_add.wgsl" with { type: "text" };
import { DeviceError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { KernelSpec } from "../gpu/kernel_spec.ts";
import { COPY, profileCommands, type ProfiledCommand } from "../graph/profile.ts";

/** The most that was reached. */
export interface Peaks {
  /** 10^9 additions and multiplications a second. */
  readonly gflops: number;
  /** 10^9 bytes a second, read and written ones together. */
  readonly gigabytesPerSecond: number;
}

/** Far larger than any cache but those of the largest servers. */
const COPY_BYTES = 128 * 2 ** 20;

/** Runs of which the fastest counts. */
const RUNS = 5;

/** Measures both; the results of the kernels are checked, so that no driver can skip their work. */
export async function measurePeaks(gpu: Gpu): Promise<Peaks> {
  const flops = await measureFlops(gpu);
  return { gflops: flops, gigabytesPerSecond: await measureCopy(gpu) };
}

const [MULTIPLIER, TERM] = [0.5, 1];

async function measureFlops(gpu: Gpu): Promise<number> {
  const [lanesInAll, rounds, unrolled] = gpu.isSoftware ? [4096, 512, 8] : [2 ** 20, 256, 8];
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const x = gpu.createBuffer("peak terms", 16, STORAGE | COPY_DST);
  const y = gpu.createBuffer("peak sums", lanesInAll * 16, STORAGE | COPY_SRC);
  gpu.device.queue.writeBuffer(x, 0, Float32Array.of(MULTIPLIER, TERM));
  try {
    let best = 0;
    for (const lanes of [16, 64, 256]) {
      for (const accumulators of [3, 6]) {
        const command = await dispatchOf(
          gpu,
          {
            name: "peak_multiply_add",
            source: flopSource,
            constants: { LANES: lanes, ACCUMULATORS: accumulators, ROUNDS: rounds },
          },
          [x, y],
          lanesInAll / lanes,
        );
        const flops = lanesInAll * accumulators * 4 * rounds * unrolled * 2;
        best = Math.max(best, flops / await fastestMs(gpu, [command], command.kernel) / 1e6);
        // Every accumulator ends at b / (1 - m).
        const [sum] = new Float32Array(await gpu.readBuffer(y, 0, 4));
        checkEqual("multiply-adds", sum, accumulators * TERM / (1 - MULTIPLIER));
      }
    }
    return best;
  } finally {
    x.destroy();
    y.destroy();
  }
}

async function measureCopy(gpu: Gpu): Promise<number> {
  const limit = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  const bytes = Math.min(COPY_BYTES, 2 ** Math.floor(Math.log2(limit)));
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const x = gpu.createBuffer("peak source", bytes, STORAGE | COPY_SRC | COPY_DST);
  const y = gpu.createBuffer("peak copy", bytes, STORAGE | COPY_SRC | COPY_DST);
  const kernel = (lanes: number, run: number, groups: number) =>
    dispatchOf(
      gpu,
      {
        name: "peak_copy",
        source: copySource,
        constants: { LANES: lanes, RUN: run },
      },
      [x, y],
      groups,
    );
  try {
    let bestMs = Infinity;
    let stamp = 0;
    const measure = async (commands: readonly ProfiledCommand[], name: string) => {
      const before = () =>
        gpu.device.queue.writeBuffer(x, bytes - 16, Float32Array.of(0, 0, 0, ++stamp));
      bestMs = Math.min(bestMs, await fastestMs(gpu, commands, name, before));
      const [last] = new Float32Array(await gpu.readBuffer(y, bytes - 4, 4));
      checkEqual("copies", last, stamp);
    };
    for (const [lanes, run] of [[64, 1], [64, 4], [256, 4]] as const) {
      await measure([await kernel(lanes, run, bytes / 16 / lanes / run)], "peak_copy");
    }
    // Only between two dispatches can timestamps tell what a copy takes.
    const tiny = await kernel(64, 1, 1);
    const copy: ProfiledCommand = {
      label: COPY,
      kernel: COPY,
      copy: (encoder) => encoder.copyBufferToBuffer(x, 0, y, 0, bytes),
    };
    await measure([tiny, copy, tiny], COPY);
    return 2 * bytes / bestMs / 1e6;
  } finally {
    x.destroy();
    y.destroy();
  }
}

async function dispatchOf(
  gpu: Gpu,
  kernel: KernelSpec,
  buffers: readonly GPUBuffer[],
  groups: number,
): Promise<ProfiledCommand> {
  const pipeline = await gpu.pipeline(kernel);
  const group = gpu.device.createBindGroup({
    label: kernel.name,
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const { name } = kernel;
  // Rows of at most 65535 workgroups; all numbers here are powers of two.
  const rows = Math.max(1, groups / 32768);
  return {
    label: name,
    kernel: name,
    dispatch(pass) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(groups / rows, rows);
    },
  };
}

/** The shortest time of what `kernel` names among the commands. */
async function fastestMs(
  gpu: Gpu,
  commands: readonly ProfiledCommand[],
  kernel: string,
  before: () => void = () => {},
): Promise<number> {
  let bestMs = Infinity;
  for (let run = 0; run < RUNS; run++) {
    before();
    const entry = (await profileCommands(gpu, commands, [])).find((e) => e.kernel === kernel);
    if (entry && entry.timeMs > 0) bestMs = Math.min(bestMs, entry.timeMs);
  }
  return bestMs;
}

function checkEqual(what: string, found: number | undefined, expected: number): void {
  if (found === expected) return;
  throw new DeviceError(
    `Measuring ${what} gave ${found} instead of ${expected}: the adapter computes wrong numbers; ` +
      "update its driver, or try --adapter software.",
  );
}
