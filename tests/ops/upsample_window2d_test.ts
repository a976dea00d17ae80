import { assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { upsampleWindow2d, type WindowAxis, windowTaps } from "../../src/ops/upsample_window2d.ts";
import { type Array64, dims4, fromValues, random, zeros } from "../reference/array.ts";
import { upsampleBilinear2d } from "../reference/upsample_bilinear2d.ts";
import { type OpCase, testOps } from "./harness.ts";

/** A window of [N, C, H, W]; beyond the image its edge is repeated. */
function cut(x: Array64, columns: WindowAxis, rows: WindowAxis): Array64 {
  const [n, channels, h, w] = dims4("cut", x);
  const out = zeros([n, channels, rows.length, columns.length]);
  for (let i = 0; i < out.data.length; i++) {
    const column = columns.start + i % columns.length;
    const row = rows.start + Math.floor(i / columns.length) % rows.length;
    const plane = Math.floor(i / (columns.length * rows.length));
    const at = (plane * h + Math.min(row, h - 1)) * w + Math.min(column, w - 1);
    out.data[i] = x.data[at]!;
  }
  return out;
}

const double = ({ whole, start, length }: WindowAxis): WindowAxis => ({
  whole: 2 * whole,
  start: 2 * start,
  length: 2 * length,
});

const windows: [channels: number, columns: WindowAxis, rows: WindowAxis][] = [
  [5, { whole: 9, start: 0, length: 9 }, { whole: 7, start: 0, length: 7 }],
  [3, { whole: 40, start: 8, length: 12 }, { whole: 23, start: 16, length: 7 }],
  [4, { whole: 1, start: 0, length: 1 }, { whole: 300, start: 100, length: 40 }],
];

function* cases(): Generator<OpCase> {
  for (const [index, [channels, columns, rows]] of windows.entries()) {
    const whole = random(index, [1, channels, rows.whole, columns.whole]);
    const large = upsampleBilinear2d(whole, { scaleFactor: [2, 2], alignCorners: true });
    const expected = cut(large, double(columns), double(rows));
    const taps = windowTaps(columns, rows);
    // The first row or column of a window that is not the image's may need what lies before it.
    const inner = (y: Array64, x: Array64) => {
      const edges = zeros(y.shape);
      const [, , h, w] = dims4("inner", y);
      const window = upsampleWindow(x, columns, rows);
      y.data.forEach((value, i) => {
        const [column, row] = [i % w, Math.floor(i / w) % h];
        const cutOff = (column === 0 && columns.start > 0) || (row === 0 && rows.start > 0) ||
          (column === w - 1 && columns.start + columns.length < columns.whole) ||
          (row === h - 1 && rows.start + rows.length < rows.whole);
        edges.data[i] = cutOff ? window.data[i]! : value;
      });
      return edges;
    };
    const x = cut(whole, columns, rows);
    yield {
      name: `upsample_window2d ${channels} channels, columns ${columns.start}+${columns.length}`,
      inputs: { x: { value: x }, taps: { value: fromValues([taps.length], taps), dtype: "u32" } },
      record: ({ x, taps }) => upsampleWindow2d(x!, taps!),
      output: inner(expected, x),
    };
  }
}

/** The window by itself, its edge repeated. */
function upsampleWindow(x: Array64, columns: WindowAxis, rows: WindowAxis): Array64 {
  const [, channels, h, w] = dims4("upsampleWindow", x);
  const y = zeros([1, channels, 2 * h, 2 * w]);
  const source = ({ whole, start, length }: WindowAxis, i: number) => {
    const at = (2 * start + i) * ((whole - 1) / (2 * whole - 1)) - start;
    return Math.max(0, Math.min(at, length - 1));
  };
  y.data.forEach((_, i) => {
    const plane = Math.floor(i / (4 * h * w));
    const [sx, sy] = [
      source(columns, i % (2 * w)),
      source(rows, Math.floor(i / (2 * w)) % (2 * h)),
    ];
    const [x0, y0] = [Math.floor(sx), Math.floor(sy)];
    const value = (r: number, c: number) =>
      x.data[(plane * h + Math.min(r, h - 1)) * w + Math.min(c, w - 1)]!;
    const row = (r: number) => (1 - sx + x0) * value(r, x0) + (sx - x0) * value(r, x0 + 1);
    y.data[i] = (1 - sy + y0) * row(y0) + (sy - y0) * row(y0 + 1);
  });
  return y;
}

testOps(cases());

Deno.test("upsample_window2d: taps of another size are refused", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 3, 5, 8], layout: "c4" });
  const taps = graph.input("taps", { shape: [13], dtype: "u32" });
  assertThrows(() => upsampleWindow2d(x, taps), ShapeError, "u32[52]");
});
