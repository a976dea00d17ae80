/** Where rows of images end up in textures. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { c4Geometry, storageBytes } from "../../src/graph/layout.ts";
import type { ImageView } from "../../src/graph/lower.ts";
import { bandGeometry, stageBands } from "../../src/graph/staging.ts";
import { Stream } from "../../src/nn/random.ts";

function view(shape: readonly number[]): ImageView {
  const sizeBytes = storageBytes(shape, "c4", "f32");
  return { shape, memory: { kind: "buffer", label: "x", sizeBytes } };
}

Deno.test("stageBands: every texel of every row is where the geometry says, once", () => {
  const random = new Stream(3);
  const below = (n: number) => Math.floor(random.next() * n);
  for (let round = 0; round < 60; round++) {
    const [batch, height, width] = [1 + below(3), 1 + below(9), 1 + below(40)];
    const views = Array.from(
      { length: 1 + below(3) },
      () => view([batch, 1 + below(13), height, width]),
    );
    const { pitch, rows } = c4Geometry([1, 1, height, width], "f32");
    const first = below(batch * rows);
    const count = 1 + below(batch * rows - first);
    const most = pitch * (1 + below(5)) + below(pitch) + 200;
    const planes = views.reduce((sum, v) => sum + Math.ceil((v.shape[1] ?? 0) / 4), 0);
    const staged = stageBands(views, { first, count }, "f32", most);
    const { bandRows, ...size } = bandGeometry(planes, count, pitch, most);
    assertEquals({ width: staged.width, height: staged.height }, {
      width: size.width,
      height: size.height,
    });
    assert(
      size.height / planes * bandRows < count + size.height / planes,
      "less than a row a band is for nothing",
    );

    // By texel: view and byte in it.
    const texels = new Map<string, string>();
    for (const copy of staged.copies) {
      assertEquals(copy.bytesPerRow % 256, 0);
      assert(copy.x + copy.width <= size.width && copy.y + copy.height <= size.height);
      const number = views.findIndex((v) => v.memory === copy.source);
      for (let y = 0; y < copy.height; y++) {
        for (let x = 0; x < copy.width; x++) {
          const byte = copy.offsetBytes + y * copy.bytesPerRow + x * 16;
          assert(byte + 16 <= copy.source.sizeBytes);
          const place = `${copy.x + x},${copy.y + y}`;
          assert(!texels.has(place), "no texel is copied twice");
          texels.set(place, `${number}:${byte}`);
        }
      }
    }
    assertEquals(texels.size, planes * count * pitch);
    let plane = 0;
    views.forEach((v, number) => {
      const { channelBlocks, planeSize } = c4Geometry(v.shape, "f32");
      for (let block = 0; block < channelBlocks; block++, plane++) {
        for (let r = 0; r < count; r++) {
          const image = Math.floor((first + r) / rows);
          const row = (image * channelBlocks + block) * planeSize + (first + r) % rows * pitch;
          for (const x of [0, width, pitch - 1]) {
            const at = `${r % bandRows * pitch + x},${Math.floor(r / bandRows) * planes + plane}`;
            assertEquals(texels.get(at), `${number}:${(row + x) * 16}`);
          }
        }
      }
    });
  }
});

Deno.test("bandGeometry: says what does not fit", () => {
  assertThrows(() => bandGeometry(1, 4, 300, 256), RangeError, "do not fit");
  assertThrows(() => bandGeometry(300, 1, 16, 256), RangeError, "do not fit");
});
