import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DeviceError } from "../../src/errors.ts";
import { isSoftwareAdapter } from "../../src/gpu/adapter.ts";
import { Gpu, requestGpu } from "../../src/gpu/device.ts";
import { Graph } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { scale } from "../../src/ops/elementwise.ts";

Deno.test("device: an error nobody caught is raised by the next check, once", async () => {
  using gpu = await requestGpu();
  gpu.createBuffer("bad", 16, GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE);
  const error = await assertRejects(() => gpu.idle(), DeviceError, "The GPU reported an error");
  assert(error.message.length > "The GPU reported an error: ".length);
  await gpu.idle();
});

Deno.test("device: an invalid run is raised before its result is handed out", async () => {
  using gpu = await requestGpu();
  const graph = new Graph();
  const y = scale(graph.input("x", { shape: [4] }), 2);
  using program = await compile(gpu, graph, { outputs: { y } });
  graph.inputs.get("x")?.home?.buffer.existing?.destroy();
  program.run();
  await assertRejects(() => program.read("y"), DeviceError, "The GPU reported an error");
});

Deno.test("device: nothing works after destroy, which may be called twice", async () => {
  const gpu = await requestGpu();
  const graph = new Graph();
  const y = scale(graph.input("x", { shape: [4] }), 2);
  const program = await compile(gpu, graph, { outputs: { y } });
  gpu.destroy();
  gpu.destroy();
  const text = "GPU device after it was closed";
  assertThrows(() => gpu.check(), DeviceError, text);
  assertThrows(() => gpu.createBuffer("x", 16, GPUBufferUsage.STORAGE), DeviceError, text);
  assertThrows(() => program.run(), DeviceError, text);
  await assertRejects(() => program.read("y"), DeviceError, text);
  await assertRejects(() => gpu.idle(), DeviceError, text);
  await assertRejects(() => compile(gpu, graph, { outputs: { y } }), DeviceError, text);
  program.destroy();
});

Deno.test("device: a shader that does not compile is named with its line", async () => {
  using gpu = await requestGpu();
  const source = "@compute @workgroup_size(1)\nfn main() {\n  let x = nonsense;\n}\n";
  const spec = { name: "broken", source, constants: { SIZE: 3 } };
  const error = await assertRejects(() => gpu.pipeline(spec), DeviceError);
  for (const part of ["broken", '"SIZE":3', "line 3", "nonsense"]) {
    assert(error.message.includes(part), `${error.message} lacks ${part}`);
  }
});

Deno.test("device: equal kernels share a pipeline, other constants make another", async () => {
  using gpu = await requestGpu();
  const source = "@compute @workgroup_size(${SIZE})\nfn main() {\n}\n";
  const pipeline = (SIZE: number) => gpu.pipeline({ name: "sized", source, constants: { SIZE } });
  const first = await pipeline(4);
  assert(first === await pipeline(4));
  assert(first !== await pipeline(8));
});

Deno.test("device: the kernel family follows the adapter unless it is forced", async () => {
  for (const kernels of ["cpu", "gpu"] as const) {
    using gpu = await requestGpu({ kernels });
    assertEquals(gpu.kernelFamily, kernels);
  }
  using gpu = await requestGpu();
  assertEquals(gpu.kernelFamily, gpu.isSoftware ? "cpu" : "gpu");
  assert(gpu.description.length > 0);
});

Deno.test("device: software adapters are known by flag or name", () => {
  const info = { description: "", architecture: "", device: "", vendor: "" };
  const is = (more: Record<string, unknown>) =>
    isSoftwareAdapter({ ...info, ...more } as unknown as GPUAdapterInfo);
  assert(is({ isFallbackAdapter: true }));
  assert(is({ description: "llvmpipe (LLVM 15.0.6, 256 bits)" }));
  assert(is({ description: "Google SwiftShader" }));
  assert(is({ description: "Microsoft Basic Render Driver" }));
  assert(!is({ description: "NVIDIA GeForce RTX 3060", isFallbackAdapter: false }));
  assert(!is({ vendor: "apple" }));
});

/**
 * Submissions up to each fence of a device whose submissions take `submissionMs`, where asking for a
 * fence stops the program as in Deno.
 */
async function fencesOf(
  submissionMs: number,
  submissions: number,
  description = "fake",
): Promise<number[]> {
  const fences: number[] = [];
  const { now } = performance;
  let clockMs = 0;
  let doneMs = 0;
  let submitted = 0;
  performance.now = () => clockMs;
  try {
    const device = {
      addEventListener: () => {},
      lost: new Promise(() => {}),
      queue: {
        onSubmittedWorkDone: () => {
          fences.push(submitted);
          clockMs = Math.max(clockMs, doneMs);
          return Promise.resolve();
        },
      },
    } as unknown as GPUDevice;
    const gpu = new Gpu(device, { description } as unknown as GPUAdapterInfo, {
      kernels: "gpu",
    });
    while (submitted < submissions) {
      await gpu.throttle(2);
      clockMs += 1;
      doneMs = Math.max(clockMs, doneMs) + submissionMs;
      submitted++;
      gpu.submitted();
    }
    await gpu.throttle(0);
  } finally {
    performance.now = now;
  }
  return fences;
}

Deno.test("device: short submissions share a fence, and none is left without", async () => {
  const lengths = (fences: number[]) => fences.map((end, i) => end - (fences[i - 1] ?? 0));
  assertEquals(lengths(await fencesOf(1000, 5)), [1, 1, 1, 1, 1]);
  assertEquals(lengths(await fencesOf(30, 12)), [1, 2, 3, 3, 3]);
  assertEquals(lengths(await fencesOf(1, 20)), [1, 2, 4, 8, 5]);
  // llvmpipe lets nothing queue, so longer ones share a fence, too.
  assertEquals(lengths(await fencesOf(490, 11, "llvmpipe")), [1, 2, 4, 4]);
  assertEquals(lengths(await fencesOf(5000, 3, "llvmpipe")), [1, 1, 1]);
});
