import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { Segmenter } from "../../src/nn/segmenter.ts";
import { UNet } from "../../src/nn/unet.ts";
import { predictPhoto } from "../../src/train/evaluate.ts";

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

Deno.test("segmenter: says by how much a photo must shrink to fit", async () => {
  const net = new UNet({ classes: 3, width: 4 }, 1);
  const shape = { batch: 1, height: 200, width: 300 };
  const photo = { ...shape, pixels: new Uint8Array(200 * 300 * 4) };
  const planned = async (factor: number) => {
    using gpu = await requestGpu();
    using segmenter = new Segmenter(gpu, net);
    const [height, width] = [200 * factor, 300 * factor];
    await segmenter.predict({
      ...photo,
      height,
      width,
      pixels: photo.pixels.subarray(0, height * width * 4),
    }, {
      size: [200, 300],
    });
    return segmenter.poolBytes;
  };
  // Parameters and inputs come on top of the slots, but take less than the next tenth would.
  const memoryBudgetBytes = Math.round(await planned(0.5) * 1.2);
  using gpu = await requestGpu({ memoryBudgetBytes });
  using segmenter = new Segmenter(gpu, net);
  await assertRejects(() => segmenter.predict(photo), InputError, "budget");
  assertEquals(segmenter.largestFit(shape), 0.5);
  assertEquals(segmenter.largestFit({ batch: 1, height: 10, width: 10 }), 0.9);
  const size = [400, 600] as const;
  const message = "what would fit: -s 0.25";
  await assertRejects(() => predictPhoto(segmenter, photo, "a.png", { size }), InputError, message);
});
