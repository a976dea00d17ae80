import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  c4Geometry,
  elementCount,
  packC4,
  stageGeometry,
  storageBytes,
  unpackC4,
} from "../../src/graph/layout.ts";

const shapes = [[1, 1, 1, 1], [2, 3, 5, 7], [3, 4, 1, 14], [1, 9, 2, 30], [2, 8, 3, 31]];

for (const dtype of ["f32", "f16"] as const) {
  const bytes = dtype === "f16" ? 2 : 4;

  for (const shape of shapes) {
    Deno.test(`c4 ${dtype}[${shape}]: values come back, and everything around them is zero`, () => {
      const count = elementCount(shape);
      const values = Float32Array.from({ length: count }, (_, i) => i + 1);
      const packed = packC4(values, shape, dtype);
      assertEquals(packed.byteLength, storageBytes(shape, "c4", dtype));
      assertEquals(unpackC4(packed, shape, dtype), values);
      assertEquals(packed.filter((v) => v !== 0).length, count);
    });

    Deno.test(`c4 ${dtype}[${shape}]: every element lies where the layout says`, () => {
      const [batch = 1, channels = 1, height = 1, width = 1] = shape;
      const blocks = Math.ceil(channels / 4);
      const unit = 64 / bytes;
      const pitch = Math.ceil((width + 2) / unit) * unit;
      const packed = packC4(
        Float32Array.from({ length: elementCount(shape) }, (_, i) => i + 1),
        shape,
        dtype,
      );
      for (let n = 0, i = 1; n < batch; n++) {
        for (let c = 0; c < channels; c++) {
          for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++, i++) {
              const plane = n * blocks + Math.floor(c / 4);
              const vec4 = (plane * (height + 2) + y + 1) * pitch + x + 1;
              assertEquals(packed[vec4 * 4 + c % 4], i);
            }
          }
        }
      }
    });
  }

  Deno.test(`c4 ${dtype}: rows are multiples of 256 bytes, as copies to textures demand`, () => {
    for (let width = 1; width < 70; width++) {
      const g = c4Geometry([1, 1, 3, width], dtype);
      assertEquals(g.vectorBytes, 4 * bytes);
      assertEquals((g.pitch * g.vectorBytes) % 256, 0);
      assert(g.pitch >= width + 2 && (g.pitch - width - 2) * g.vectorBytes < 256);
      assertEquals([g.rows, g.planeSize], [5, 5 * g.pitch]);
    }
  });
}

Deno.test("flat tensors take whole vec4s", () => {
  assertEquals(
    [[], [1], [4], [5], [2, 3]].map((shape) => storageBytes(shape, "flat", "f32")),
    [16, 16, 16, 32, 32],
  );
});

/** The texel rectangle of each plane. */
function rectangles(planes: number, rows: number, pitch: number, limit: number): number[][] {
  const { planesPerColumn } = stageGeometry(planes, rows, pitch, limit);
  return Array.from({ length: planes }, (_, p) => [
    Math.floor(p / planesPerColumn) * pitch,
    (p % planesPerColumn) * rows,
  ]);
}

Deno.test("staged planes fill columns downwards, within the texture and without overlap", () => {
  for (
    const [planes, rows, pitch, limit, columns] of [
      [3, 10, 16, 64, 1],
      [6, 10, 16, 64, 1],
      [7, 10, 16, 64, 2],
      [24, 10, 16, 64, 4],
      [1, 64, 64, 64, 1],
      [5, 64, 16, 80, 5],
    ] as const
  ) {
    const stack = stageGeometry(planes, rows, pitch, limit);
    assertEquals(stack.width, columns * pitch);
    assertEquals(stack.height, stack.planesPerColumn * rows);
    assert(stack.width <= limit && stack.height <= limit);
    const corners = rectangles(planes, rows, pitch, limit);
    assertEquals(new Set(corners.map(String)).size, planes);
    for (const [x = -1, y = -1] of corners) {
      assert(x % pitch === 0 && y % rows === 0);
      assert(x + pitch <= stack.width && y + rows <= stack.height);
    }
  }
});

Deno.test("planes that fit no texture are refused", () => {
  assertThrows(() => stageGeometry(25, 10, 16, 64), RangeError, "64 x 64");
  assertThrows(() => stageGeometry(1, 65, 16, 64), RangeError, "1 planes");
  assertThrows(() => stageGeometry(1, 10, 80, 64), RangeError, "do not fit");
});
