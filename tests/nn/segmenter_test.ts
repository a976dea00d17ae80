import { assert, assertEquals } from "@std/assert";
import { requestGpu } from "../../src/gpu/device.ts";
import { Segmenter } from "../../src/nn/segmenter.ts";
import { UNet } from "../../src/nn/unet.ts";

Deno.test("segmenter: photos of ever larger sizes hold no more than twice the largest", async () => {
  using gpu = await requestGpu();
  const net = new UNet({ classes: 3, width: 4 }, 1);
  const photo = (side: number) => ({
    batch: 1,
    height: side,
    width: side,
    pixels: Uint8Array.from({ length: side * side * 4 }, (_, i) => (i * 37) % 251),
  });
  const alone = async (side: number) => {
    using segmenter = new Segmenter(gpu, net);
    return { ids: await segmenter.predict(photo(side)), poolBytes: segmenter.poolBytes };
  };
  using segmenter = new Segmenter(gpu, net);
  for (const side of [8, 20, 32, 44, 56]) {
    const { ids, poolBytes } = await alone(side);
    assertEquals(await segmenter.predict(photo(side)), ids, `${side} pixels a side`);
    assert(segmenter.poolBytes <= 2 * poolBytes, `${segmenter.poolBytes} bytes at ${side}`);
  }
  const heldBytes = segmenter.poolBytes;
  assertEquals(await segmenter.predict(photo(8)), (await alone(8)).ids);
  assertEquals(segmenter.poolBytes, heldBytes, "a smaller one needs nothing new");
});
