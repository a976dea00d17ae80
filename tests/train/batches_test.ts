import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { batchShapes, planBatches } from "../../src/train/batches.ts";

const sizes = Array.from({ length: 23 }, (_, i) => ({ height: i % 3 === 0 ? 10 : 20, width: 30 }));

Deno.test("batches hold every image once, of one size each, remainders kept", () => {
  const batches = planBatches(sizes, 4, 7, 1);
  assertEquals(batches.flatMap((b) => b.indices).sort((a, b) => a - b), sizes.map((_, i) => i));
  for (const { indices, height } of batches) {
    assert(indices.length >= 1 && indices.length <= 4);
    assert(indices.every((i) => sizes[i]?.height === height));
  }
  // 8 images of one size and 15 of the other.
  assertEquals(batches.map((b) => b.indices.length).sort(), [3, 4, 4, 4, 4, 4]);
});

Deno.test("batches are shuffled anew every epoch, and the same for the same seed", () => {
  assertEquals(planBatches(sizes, 4, 7, 1), planBatches(sizes, 4, 7, 1));
  assertNotEquals(planBatches(sizes, 4, 7, 1), planBatches(sizes, 4, 7, 2));
  assertNotEquals(planBatches(sizes, 4, 7, 1), planBatches(sizes, 4, 8, 1));
  const members = (epoch: number) =>
    planBatches(sizes, 4, 7, epoch).map((b) => [...b.indices].sort().join()).sort();
  assertNotEquals(members(1), members(2));
});

Deno.test("batch shapes come largest first, each once", () => {
  assertEquals(batchShapes(planBatches(sizes, 4, 7, 1)), [
    { batch: 4, height: 20, width: 30 },
    { batch: 3, height: 20, width: 30 },
    { batch: 4, height: 10, width: 30 },
  ]);
});
