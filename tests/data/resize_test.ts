import { assert, assertEquals } from "@std/assert";
import type { Photo } from "../../src/data/photo.ts";
import { resizeArea, resizeNearest, scaledSize } from "../../src/data/resize.ts";

function noise(width: number, height: number): Photo {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const hash = Math.imul(i + 1, 0x9e3779b1);
    return Math.imul(hash ^ (hash >>> 15), 0x85ebca77) >>> 24;
  });
  return { width, height, data };
}

/** One output sample along an axis as `[source index, weight]`, straight from the definition. */
function definition(from: number, to: number, i: number): [number, number][] {
  if (to < from) {
    const [low, high] = [(i * from) / to, ((i + 1) * from) / to];
    return Array.from({ length: from }, (_, k): [number, number] => {
      const covered = Math.max(0, Math.min(k + 1, high) - Math.max(k, low));
      return [k, covered / (high - low)];
    });
  }
  const centre = ((i + 0.5) * from) / to - 0.5;
  const low = Math.floor(centre);
  const inside = (k: number) => Math.min(Math.max(k, 0), from - 1);
  return [[inside(low), 1 - (centre - low)], [inside(low + 1), centre - low]];
}

function expected(photo: Photo, width: number, height: number, x: number, y: number, c: number) {
  let sum = 0;
  for (const [sy, wy] of definition(photo.height, height, y)) {
    for (const [sx, wx] of definition(photo.width, width, x)) {
      sum += wy * wx * photo.data[(sy * photo.width + sx) * 3 + c]!;
    }
  }
  return sum;
}

Deno.test("resizeArea is area coverage when shrinking and bilinear when enlarging, per axis", () => {
  const cases = [
    [[8, 6], [4, 3]],
    [[7, 5], [3, 2]],
    [[10, 9], [9, 8]],
    [[13, 11], [1, 1]],
    [[5, 4], [12, 9]],
    [[9, 4], [4, 9]],
    [[4, 9], [9, 4]],
    [[1, 1], [3, 2]],
    [[6, 1], [4, 1]],
    [[6, 5], [6, 3]],
  ] as const;
  for (const [[w, h], [width, height]] of cases) {
    const photo = noise(w, h);
    const resized = resizeArea(photo, width, height);
    assertEquals([resized.width, resized.height], [width, height]);
    assertEquals(resized.data.length, width * height * 3);
    for (let i = 0; i < resized.data.length; i++) {
      const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
      const exact = expected(photo, width, height, x, y, c);
      const off = Math.abs(resized.data[i]! - exact);
      assert(off < 0.501, `${w}x${h} to ${width}x${height}: ${resized.data[i]}, not ${exact}`);
    }
  }
});

Deno.test("resizeArea leaves a constant photo constant, white included", () => {
  for (const value of [0, 127, 255]) {
    const photo = { width: 37, height: 23, data: new Uint8Array(37 * 23 * 3).fill(value) };
    for (const [width, height] of [[11, 7], [36, 22], [80, 50]] as const) {
      assert(resizeArea(photo, width, height).data.every((out) => out === value));
    }
  }
});

Deno.test("resizing to the same size costs nothing", () => {
  const photo = noise(4, 3);
  assert(resizeArea(photo, 4, 3) === photo);
  assert(resizeNearest(photo, 4, 3) === photo);
});

Deno.test("resizeNearest takes the pixel under each centre and no value but the mask's", () => {
  const data = Uint16Array.from({ length: 6 * 5 }, (_, i) => i * 1000);
  const mask = { width: 6, height: 5, data, kind: "gray" };
  const smaller = resizeNearest(mask, 3, 2);
  assertEquals(smaller, {
    width: 3,
    height: 2,
    data: Uint16Array.of(7000, 9000, 11000, 19000, 21000, 23000),
    kind: "gray",
  });
  const row = { width: 3, height: 1, data: Uint8Array.of(1, 2, 3) };
  assertEquals([...resizeNearest(row, 5, 1).data], [1, 1, 2, 3, 3]);
  assertEquals([...resizeNearest(row, 6, 2).data], [1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3]);
  assertEquals([...resizeNearest(row, 1, 1).data], [2]);
});

Deno.test("scaledSize rounds down, but not to nothing", () => {
  assertEquals(scaledSize(6000, 4000, 0.1), { width: 600, height: 400 });
  assertEquals(scaledSize(481, 359, 0.5), { width: 240, height: 179 });
  assertEquals(scaledSize(9, 3, 0.1), { width: 1, height: 1 });
  assertEquals(scaledSize(7, 5, 1), { width: 7, height: 5 });
});
