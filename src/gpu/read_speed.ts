/**
 * A measurement of 0.05 to 0.2 seconds: how much longer a software adapter takes to read buffers
 * than to read textures.
 * @module
 */

import code from "../../shaders/read_speed.wgsl" with { type: "text" };
import { describe, isLlvmpipe } from "./adapter.ts";
import { compileKernel } from "./pipeline.ts";
import { INPUT_WIDTH } from "./template.ts";

/** vec4s that are read, and lanes that read them, as the shader says. */
const [VECTORS, LANES, WORKGROUP] = [4096, 4096, 16];

/** The first run of each compiles it; the least time counts. */
const RUNS = 10;

/** The kernels that are compared, the one that reads a texture last. */
const KERNELS = [
  { TEXTURES: "", SAME: 0 },
  { TEXTURES: "", SAME: 1 },
  { TEXTURES: "x", SAME: 0 },
] as const;

/** Where buffers are read so much slower than textures, kernels read textures. */
const SLOW_READ_COST = 4;
/** Where what all lanes read is read so much sooner than what each does, Mesa is of the newer kind. */
const MOST_SAME_COST = { ofEach: 0.7, ofTexture: 1.2 };
/** Measurements of llvmpipe until one says that textures are better: other programs may disturb one. */
const MOST_MEASUREMENTS = 2;

/** How many times as long as a read from a texture one from a buffer takes, dispatching included. */
interface ReadCosts {
  /**
   * Where every lane reads another element: for Mesa 22.3 on a processor without AVX-512 4 to 24, for
   * Mesa 25.0 1 to 2.3.
   */
  readonly each: number;
  /** Where all read the same: for Mesa 22.3 0.7 to 1 times that, for Mesa 25.0 0.4 to 0.6 times. */
  readonly same: number;
}

/** Whether kernels had better read large buffers through textures on a software adapter. */
export async function suitsTextures(device: GPUDevice, info: GPUAdapterInfo): Promise<boolean> {
  const isMesa = isLlvmpipe(describe(info));
  for (let i = 0; i < (isMesa ? MOST_MEASUREMENTS : 1); i++) {
    // A device that is lost meanwhile says so when it is used.
    const costs = await readCosts(device).catch(() => undefined);
    if (!costs) return false;
    const isSlow = costs.each > SLOW_READ_COST;
    // Newer Mesa reads once what all lanes share, and writes out for each lane what else it reads from
    // buffers: that is fast in small kernels only, and translating large ones takes five times as long.
    const isWrittenOut = isMesa &&
      costs.same < Math.min(MOST_SAME_COST.ofEach * costs.each, MOST_SAME_COST.ofTexture);
    if (isSlow || isWrittenOut) return true;
  }
  return false;
}

/**
 * What reading costs on a device that other programs may use, too.
 * @returns `undefined` where the device has no clock, the feature `timestamp-query`
 */
async function readCosts(device: GPUDevice): Promise<ReadCosts | undefined> {
  if (!device.features.has("timestamp-query")) return undefined;
  const pipelines = await Promise.all(
    KERNELS.map((constants) =>
      compileKernel(device, { name: "read_speed", source: code, constants })
    ),
  );
  const resources: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(resource: T): T => {
    resources.push(resource);
    return resource;
  };
  const buffer = (size: number, usage: number) => own(device.createBuffer({ size, usage }));
  const count = RUNS * pipelines.length;
  const y = buffer(LANES * 16, GPUBufferUsage.STORAGE);
  const x = buffer(VECTORS * 16, GPUBufferUsage.STORAGE);
  const texture = own(device.createTexture({
    size: [INPUT_WIDTH, VECTORS / INPUT_WIDTH],
    format: "rgba32float",
    usage: GPUTextureUsage.STORAGE_BINDING,
  }));
  const querySet = own(device.createQuerySet({ type: "timestamp", count }));
  const resolved = buffer(count * 8, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
  const readable = buffer(count * 8, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ);
  try {
    const groups = pipelines.map((pipeline, i) => ({
      pipeline,
      group: device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [
          { binding: 0, resource: { buffer: y } },
          { binding: 1, resource: KERNELS[i]?.TEXTURES ? texture.createView() : { buffer: x } },
        ],
      }),
    }));
    for (let run = 0; run < count; run++) {
      const kind = run % groups.length;
      const { pipeline, group } = groups[kind] ?? {};
      if (!pipeline || !group) throw new RangeError(`There is no kernel ${kind}`);
      // A submission each: until its end lavapipe puts off writing times.
      const encoder = device.createCommandEncoder({ label: "read speed" });
      const timestampWrites = { querySet, endOfPassWriteIndex: run };
      const pass = encoder.beginComputePass({ timestampWrites });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(LANES / WORKGROUP);
      pass.end();
      device.queue.submit([encoder.finish()]);
    }
    const encoder = device.createCommandEncoder({ label: "read speed" });
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, readable, 0, count * 8);
    device.queue.submit([encoder.finish()]);
    await readable.mapAsync(GPUMapMode.READ);
    const stamps = new BigUint64Array(readable.getMappedRange());
    const least = KERNELS.map(() => Infinity);
    for (let run = 1; run < count; run++) {
      const kind = run % groups.length;
      const ns = Number((stamps[run] ?? 0n) - (stamps[run - 1] ?? 0n));
      least[kind] = Math.min(least[kind] ?? Infinity, ns);
    }
    const [fromEach = NaN, fromSame = NaN, fromTexture = NaN] = least;
    return Math.min(...least) > 0
      ? { each: fromEach / fromTexture, same: fromSame / fromTexture }
      : undefined;
  } finally {
    for (const resource of resources) resource.destroy();
  }
}
