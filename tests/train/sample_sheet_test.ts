import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { PairSource } from "../../src/train/training_batches.ts";
import { TrainingBatches } from "../../src/train/training_batches.ts";
import { sampleSheet, seenBatch } from "../../src/train/sample_sheet.ts";
import { testGpu } from "../ops/harness.ts";

/** Images whose pixels tell where they come from: red is the column, green the row, blue the image. */
function source(sizes: { width: number; height: number }[]): PairSource {
  const pair = (index: number) => {
    const { width, height } = sizes[index]!;
    const pixels = new Uint8Array(width * height * 4);
    const labels = new Uint8Array(width * height);
    for (let p = 0; p < labels.length; p++) {
      pixels.set([p % width, Math.floor(p / width), index, 255], p * 4);
      labels[p] = (p % width + Math.floor(p / width)) % 3;
    }
    return Promise.resolve({ width, height, pixels, labels });
  };
  return { sizes, length: sizes.length, pair, batch: () => Promise.reject(new Error("not asked")) };
}

const SIZES = [{ width: 30, height: 20 }, { width: 18, height: 25 }, { width: 40, height: 11 }];

Deno.test({
  name: "crops of images of all sizes in one batch are parts of them, labels with them",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const gpu = await testGpu();
    const crop = { width: 16, height: 14 };
    const batches = new TrainingBatches(source(SIZES), { batchSize: 3, seed: 1, crop });
    assertEquals(batches.shapes(1).length, 1);
    const seenOffsets = new Set<string>();
    for (const epoch of [1, 2, 3]) {
      const [plan] = batches.plan(epoch);
      const seen = await seenBatch(gpu, 3, await batches.load(plan!, epoch));
      const again = await seenBatch(gpu, 3, await batches.load(plan!, epoch));
      assertEquals(again, seen, "an epoch's view of an image is always the same");
      const area = crop.width * crop.height;
      for (let n = 0; n < 3; n++) {
        const index = plan!.indices[n]!;
        const value = (c: number, p: number) => seen.image[(n * 3 + c) * area + p]! * 255;
        let outside = 0;
        for (let p = 0; p < area; p++) {
          const id = seen.ids[n * area + p]!;
          if (id === 255) {
            outside++;
            assertEquals([value(0, p), value(1, p)], [0, 0]);
            continue;
          }
          const [x, y] = [Math.round(value(0, p)), Math.round(value(1, p))];
          assertAlmostEquals(value(0, p), x, 1e-4);
          assertEquals([Math.round(value(2, p)), id], [index, (x + y) % 3]);
        }
        // Only the third image is lower than the crop.
        assertEquals(outside, index === 2 ? 3 * crop.width : 0);
        seenOffsets.add(`${index} ${value(0, area - 1)} ${value(1, area - 1)}`);
      }
    }
    assertEquals(seenOffsets.size > 5, true, "epochs show different parts");
  },
});

Deno.test({
  name: "the sheet shows photos beside their masks",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const gpu = await testGpu();
    const options = { batchSize: 2, seed: 1, augment: "strong" as const };
    const batches = new TrainingBatches(source(SIZES), options);
    const seen = [];
    for (const plan of batches.plan(1)) {
      seen.push(await seenBatch(gpu, 1, await batches.load(plan, 1)));
    }
    const classes = [
      { name: "a", colour: [255, 0, 0] as const },
      { name: "b", colour: [0, 255, 0] as const },
      { name: "c", colour: [0, 0, 255] as const },
    ];
    const { width, height, data } = sampleSheet(seen, classes);
    assertEquals(data.length, width * height * 3);
    // Photos of one channel are grey, so every colour is that of a class.
    const coloured = (k: number) =>
      Array.from({ length: data.length / 3 }, (_, p) => p * 3).filter((at) =>
        [0, 1, 2].every((c) => c === k || data[at + c]! < data[at + k]! - 60)
      ).length;
    for (const k of [0, 1, 2]) {
      assertEquals(coloured(k) > 100, true, `${coloured(k)} of class ${k}`);
    }
  },
});
