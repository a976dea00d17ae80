/** Sliding windows along a side, at every length and window. @module */
import { assert } from "@std/assert";
import { axisWindows } from "../../src/nn/windows.ts";

Deno.test("windows cover every side, each with a whole pooling cell, and their weights add up to 1", () => {
  for (const multiple of [4, 16]) {
    for (const window of [1, 17, 40]) {
      for (const overlap of [0, 0.9]) {
        for (let length = multiple; length < 100; length++) {
          const what = `${length} pixels, windows of ${window}, cells of ${multiple}, ${overlap}`;
          const windows = axisWindows(length, { window, overlap, multiple });
          const sums = new Float64Array(length);
          for (const { start, length: pixels, weights } of windows) {
            assert(start % multiple === 0 && start + pixels <= length, what);
            assert(pixels >= multiple, `${what}: one of ${pixels}`);
            weights.forEach((weight, x) => sums[start + x]! += weight);
          }
          assert(windows.at(-1)!.start + windows.at(-1)!.length === length, what);
          assert(sums.every((sum) => Math.abs(sum - 1) < 1e-5), what);
        }
      }
    }
  }
});
