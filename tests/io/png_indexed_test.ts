import { assertEquals, assertRejects } from "@std/assert";
import { decodePng } from "../../src/data/png.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { encodeIndexedPng } from "../../src/io/png_indexed.ts";

const PALETTE = [[10, 20, 30], [200, 40, 40], [40, 180, 60]] as const;

Deno.test("encodeIndexedPng: ids and colours come back, as from the other writer", async () => {
  // 300 rows need more than one piece of the compressor's input.
  for (const [width, height] of [[1, 1], [7, 300], [513, 2]] as const) {
    const data = Uint8Array.from({ length: width * height }, (_, i) => (i * i + (i >> 3)) % 3);
    const image = { width, height, data, palette: PALETTE };
    const read = decodePng(await encodeIndexedPng(image), "mask.png");
    assertEquals(read, decodePng(encodePng({ ...image, channels: 1 }), "mask.png"));
    assertEquals(read.data, data);
    assertEquals(read.palette, Uint8Array.from(PALETTE.flat()));
  }
});

Deno.test("encodeIndexedPng refuses what does not fit together", async () => {
  const refused = (change: Partial<Parameters<typeof encodeIndexedPng>[0]>, message: string) =>
    assertRejects(
      () =>
        encodeIndexedPng({
          width: 2,
          height: 1,
          data: Uint8Array.of(0, 2),
          palette: PALETTE,
          ...change,
        }),
      RangeError,
      message,
    );
  await refused({ height: 2 }, "a mask of 2x2 needs 4 ids, there are 2");
  const sides = "cannot be a PNG, sides must be whole numbers of at least 1";
  for (const [width, height] of [[0, 2], [2, -1], [2.5, 2], [NaN, 1]] as const) {
    const data = new Uint8Array(Math.max(0, width * height || 0));
    await refused({ width, height, data }, `a mask of ${width}x${height} ${sides}`);
  }
  await refused({ palette: [] }, "1 to 256 colours, this one has 0");
  await refused({ palette: PALETTE.slice(0, 2) }, "class 2 has no colour in a palette of 2");
});
