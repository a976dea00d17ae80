/** Sliding windows along a side, at every length and window. @module */
import { assert } from "@std/assert";
import { type AxisWindow, axisWindows } from "../../src/nn/windows.ts";

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

Deno.test("windows count next to nothing at edges that a neighbour sees beyond", () => {
  for (const multiple of [4, 16]) {
    for (const window of [40, 116, 512]) {
      for (const overlap of [0.1, 0.25, 0.75]) {
        for (let length = window + 1; length < 3 * window; length += 1 + window % 37) {
          const what = `${length} pixels, windows of ${window}, cells of ${multiple}, ${overlap}`;
          const windows = axisWindows(length, { window, overlap, multiple });
          windows.forEach(({ start, weights }, i) => {
            assert(weights.every((weight) => weight >= 0 && weight <= 1), what);
            const [before, after] = [windows[i - 1], windows[i + 1]];
            const shared = (first: AxisWindow, second: AxisWindow) =>
              first.start + first.length - second.start;
            const self = windows[i]!;
            if (before && shared(before, self) > 1) {
              assert(weights[0]! < 1e-6, `${what}, at ${start}`);
            }
            if (after && shared(self, after) > 1) {
              assert(weights.at(-1)! < 1e-6, `${what}, to ${start}`);
            }
          });
        }
      }
    }
  }
});
