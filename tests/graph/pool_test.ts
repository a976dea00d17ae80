import { assert, assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../src/errors.ts";
import { type Gpu, requestGpu } from "../../src/gpu/device.ts";
import { Graph } from "../../src/graph/graph.ts";
import type { Slot } from "../../src/graph/plan.ts";
import { MemoryPool } from "../../src/graph/pool.ts";
import { compile, type Program } from "../../src/graph/program.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { relu } from "../../src/ops/elementwise.ts";

/** Two convolutions with weights of ones: stages textures with the kernels for processors. */
async function network(gpu: Gpu, size: number, pool?: MemoryPool): Promise<Program> {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 2, size, size], layout: "c4" });
  const w = graph.constant("w", [2, 2, 3, 3], new Float32Array(36).fill(1));
  const y = conv2d(relu(conv2d(x, w, undefined, { padding: 1 })), w, undefined, { padding: 1 });
  return await compile(gpu, graph, { outputs: { y }, ...(pool ? { pool } : {}) });
}

async function run(program: Program, size: number): Promise<Float32Array> {
  program.write("x", new Float32Array(2 * size * size).fill(1));
  program.run();
  return await program.read("y");
}

/** Pixels that two 3x3 windows reach from each pixel, twice over two channels. */
function expected(size: number): Float32Array {
  const reach = (i: number) => {
    let count = 0;
    for (const a of [i - 1, i, i + 1]) {
      if (a < 0 || a >= size) continue;
      for (const b of [a - 1, a, a + 1]) if (b >= 0 && b < size) count++;
    }
    return count;
  };
  return Float32Array.from({ length: 2 * size * size }, (_, i) => {
    const [y, x] = [Math.floor(i / size) % size, i % size];
    return 4 * reach(y) * reach(x);
  });
}

Deno.test("pool: programs of different sizes share memory of the largest and stay right", async () => {
  using gpu = await requestGpu({ kernels: "cpu" });
  using alone = await network(gpu, 21);
  const pool = new MemoryPool(gpu);
  const large = await network(gpu, 21, pool);
  assertEquals(pool.sizeBytes, large.plan.memory.slotBytes);
  assertEquals(pool.sizeBytes, alone.plan.memory.slotBytes);
  const small = await network(gpu, 9, pool);
  assert(small.plan.memory.slotBytes < large.plan.memory.slotBytes);
  assertEquals(pool.sizeBytes, large.plan.memory.slotBytes, "the small one fits into the large");
  large.fill(NaN);
  for (const [program, size] of [[small, 9], [large, 21], [small, 9]] as const) {
    assertEquals(await run(program, size), expected(size));
  }
  small.destroy();
  assertEquals(await run(large, 21), expected(21), "the pool outlives its programs");
  large.destroy();
  pool.destroy();
  assertEquals(pool.sizeBytes, 0);
});

Deno.test("pool: the order of sizes costs memory, not results", async () => {
  using gpu = await requestGpu({ kernels: "cpu" });
  const pool = new MemoryPool(gpu);
  using small = await network(gpu, 9, pool);
  const before = pool.sizeBytes;
  using large = await network(gpu, 21, pool);
  assert(pool.sizeBytes <= before + large.plan.memory.slotBytes);
  large.fill(NaN);
  assertEquals(await run(large, 21), expected(21));
  assertEquals(await run(small, 9), expected(9));
  pool.destroy();
});

Deno.test("pool: a program that would make it outgrow the budget evicts the others", async () => {
  const planOf = async (size: number) => {
    using gpu = await requestGpu({ kernels: "cpu" });
    using program = await network(gpu, size);
    return program.plan;
  };
  const [small, large] = [await planOf(9), await planOf(21)];
  const memoryBudgetBytes = large.plannedBytes;
  assert(small.memory.slotBytes + large.plannedBytes > memoryBudgetBytes);
  using gpu = await requestGpu({ kernels: "cpu", memoryBudgetBytes });
  const pool = new MemoryPool(gpu);
  using first = await network(gpu, 9, pool);
  assertEquals(await run(first, 9), expected(9));
  using second = await network(gpu, 21, pool);
  assertEquals([first.isEvicted, second.isEvicted], [true, false]);
  assertThrows(() => first.run(), DeviceError, "compile it again");
  assertEquals(await run(second, 21), expected(21));
  assertEquals(pool.sizeBytes, large.memory.slotBytes);
  using third = await network(gpu, 9, pool);
  assertEquals(second.isEvicted, false, "what fits into the memory at hand evicts nobody");
  assertEquals(await run(third, 9), expected(9));
  pool.destroy();
});

Deno.test("pool: slots of one call get different memory that fits, free memory is taken again", async () => {
  using gpu = await requestGpu();
  const pool = new MemoryPool(gpu);
  const buffer = (sizeBytes: number): Slot => ({ kind: "buffer", sizeBytes });
  const texture = (width: number, height: number): Slot => ({
    kind: "texture",
    width,
    height,
    type: "f32",
  });
  const first = [buffer(256), buffer(1024), texture(16, 8), texture(8, 16)];
  const taken = pool.take(first);
  assertEquals(new Set(taken.values()).size, 4);
  const sizeBytes = 256 + 1024 + 2 * 128 * 16;
  assertEquals(pool.sizeBytes, sizeBytes);
  // The smaller slot must not take the only buffer that the larger one fits into.
  const second = [buffer(200), buffer(1000), texture(8, 8)];
  const again = pool.take(second);
  assertEquals(pool.sizeBytes, sizeBytes);
  for (const slot of second) assert([...taken.values()].includes(mapped(again, slot)));
  // Two textures of one area, but neither is wide and high enough.
  pool.take([texture(16, 16)]);
  assertEquals(pool.sizeBytes, sizeBytes + 256 * 16);
  pool.destroy();
});

function mapped<K, V>(map: Map<K, V>, key: K): V {
  const value = map.get(key);
  assert(value !== undefined);
  return value;
}
