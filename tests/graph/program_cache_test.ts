import { assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../src/errors.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { Graph } from "../../src/graph/graph.ts";
import { compile, type Program } from "../../src/graph/program.ts";
import { ProgramCache } from "../../src/graph/program_cache.ts";
import { scale } from "../../src/ops/elementwise.ts";

Deno.test("program cache: makes each program once, and drops what was used longest ago", async () => {
  using gpu = await requestGpu();
  const made: string[] = [];
  using cache = new ProgramCache(2);
  const get = (key: string): Promise<Program> =>
    cache.get(key, () => {
      made.push(key);
      const graph = new Graph();
      const y = scale(graph.input("x", { shape: [4] }), 2);
      return compile(gpu, graph, { outputs: { y } });
    });
  const a = await get("a");
  const b = await get("b");
  assertEquals(await get("a"), a);
  await get("c");
  assertEquals(made, ["a", "b", "c"]);
  assertEquals([cache.has("a"), cache.has("b"), cache.has("c")], [true, false, true]);
  a.run();
  assertThrows(() => b.run(), DeviceError, "destroyed");
  await get("b");
  assertEquals(made, ["a", "b", "c", "b"]);
  cache.destroy();
  assertThrows(() => a.run(), DeviceError, "destroyed");
  assertEquals(cache.programs, []);
});
