import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { initialTensors } from "../../src/nn/init.ts";
import { type PhotoBatch, type PredictOptions, Segmenter } from "../../src/nn/segmenter.ts";
import { chooseWindows } from "../../src/nn/choose_windows.ts";
import { UNet } from "../../src/nn/unet.ts";
import type { Flips } from "../../src/nn/window_plan.ts";
import { predictPhoto } from "../../src/train/evaluate.ts";
import { differing, probabilitiesOf, scene } from "./scene.ts";

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
  // But for the factors of 8 channels: larger slots have gaps for them, those of 8 pixels have none.
  assert(segmenter.poolBytes <= heldBytes + 64, "a smaller one needs nothing new");
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

for (const upsample of ["bilinear", "transposed"] as const) {
  Deno.test(`segmenter: windows give what the whole photo gives, ${upsample}`, async () => {
    using gpu = await requestGpu();
    const net = new UNet({ classes: 5, width: 4, upsample }, 1);
    // A fresh network is sure of nothing; this one is, and so differences show.
    const head = initialTensors(net.config, 1).get("outc.conv.weight")!;
    net.store.set("outc.conv.weight", head.map((value) => value * 100));
    using segmenter = new Segmenter(gpu, net);
    const photo = scene(117, 203);
    const largest = (a: Float32Array, b: Float32Array) =>
      a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
    for (const size of [[117, 203], [200, 333], [50, 61]] as const) {
      const whole = await probabilitiesOf(segmenter, 5, photo, { size });
      assertEquals(whole.ids, await segmenter.predict(photo, { size }));
      // Also windows that are a pixel shorter than the photo, and so hardly apart.
      for (const [side, windows] of [[80, 3 * 8], [116, 2 * 5]] as const) {
        let count = 0;
        const onProgress = () => count++;
        const window = { side, overlap: 0.75 };
        const cut = await probabilitiesOf(segmenter, 5, photo, { size, window, onProgress });
        assertEquals(count, windows);
        // float16, and 100 times float32's rounding of the features.
        assert(largest(cut.all, whole.all) < 2e-3, `${side}: ${largest(cut.all, whole.all)}`);
        assert(differing(cut.ids, whole.ids) < 1e-3, `${side}: ${differing(cut.ids, whole.ids)}`);
      }
      // Windows that see less than the network would, differ: so the test can fail.
      const blind = { size, window: { side: 40, overlap: 0 } };
      const wrong = await probabilitiesOf(segmenter, 5, photo, blind);
      assert(largest(wrong.all, whole.all) > 0.05, `${largest(wrong.all, whole.all)}`);
    }
  });
}

Deno.test("segmenter: 16 bits take less memory and change few pixels, whole and by windows", async () => {
  using gpu = await requestGpu();
  if (!gpu.supportsF16) return;
  const net = new UNet({ classes: 5, width: 8 }, 1);
  const head = initialTensors(net.config, 1).get("outc.conv.weight")!;
  net.store.set("outc.conv.weight", head.map((value) => value * 100));
  using wide = new Segmenter(gpu, net);
  using narrow = new Segmenter(gpu, net, { images: "f16" });
  const photo = scene(117, 203);
  const ways: PredictOptions[] = [{}, { window: { side: 80 } }, { flips: "horizontal" }];
  for (const options of ways) {
    const exact = await probabilitiesOf(wide, 5, photo, options);
    const rounded = await probabilitiesOf(narrow, 5, photo, options);
    const largest = Math.max(...rounded.all.map((value, i) => Math.abs(value - exact.all[i]!)));
    // 11 bits of every activation; none at all would mean that 32 were kept.
    assert(largest > 0 && largest < 0.01, `${largest} with ${JSON.stringify(options)}`);
    assert(differing(rounded.ids, exact.ids) < 0.01);
    assertEquals(await narrow.predict(photo, options), rounded.ids);
  }
  assert(narrow.poolBytes < 0.6 * wide.poolBytes, `${narrow.poolBytes} of ${wide.poolBytes}`);
});

Deno.test("segmenter: photos that do not fit are cut into windows that do", async () => {
  const net = new UNet({ classes: 9, width: 8 }, 1);
  const photo = scene(300, 400);
  using roomy = await requestGpu();
  using whole = new Segmenter(roomy, net);
  const expected = await whole.predict(photo, { window: { side: 0 } });
  assert(whole.plannedBytes > 2 ** 20, `${whole.plannedBytes}`);
  using gpu = await requestGpu({ memoryBudgetBytes: whole.plannedBytes / 2 });
  using segmenter = new Segmenter(gpu, new UNet({ classes: 9, width: 8 }, 1));
  const ids = await segmenter.predict(photo, { window: { side: 0 } });
  assert(differing(ids, expected) < 1e-3);
  assert(segmenter.plannedBytes <= gpu.memoryBudgetBytes, `${segmenter.plannedBytes}`);
  await assertRejects(
    () => segmenter.predict(photo, { window: { side: 399, overlap: 0.5 } }),
    InputError,
    "use a smaller tile",
  );
});

Deno.test("segmenter: windows of several sizes run in the memory that they plan together", async () => {
  const net = () => new UNet({ classes: 5, width: 8, upsample: "transposed" }, 1);
  const photo = scene(75, 141);
  const window = { side: 64 };
  using roomy = await requestGpu({ kernels: "cpu" });
  const plan = chooseWindows(roomy, net(), photo, { window }, "f32");
  assert(plan);
  const { plans, plannedBytes } = plan.plans();
  assertEquals(plans.length, 5);
  using gpu = await requestGpu({ kernels: "cpu", memoryBudgetBytes: plannedBytes });
  using segmenter = new Segmenter(gpu, net());
  await segmenter.predict(photo, { window });
  assert(segmenter.poolBytes <= plannedBytes);
});

Deno.test("segmenter: flips average the probabilities of the four photos", async () => {
  using gpu = await requestGpu();
  using segmenter = new Segmenter(gpu, new UNet({ classes: 3, width: 4 }, 1));
  const [height, width, classes] = [30, 45, 3];
  const probabilities = (photo: ReturnType<typeof scene>, tta: boolean) =>
    probabilitiesOf(segmenter, classes, photo, { flips: tta ? "all" : "none" });
  const { ids, all } = await probabilities(scene(height, width), true);
  const flips: { mirrored: boolean; upsideDown: boolean; all: Float32Array }[] = [];
  for (const mirrored of [false, true]) {
    for (const upsideDown of [false, true]) {
      const turned = await probabilities(scene(height, width, mirrored, upsideDown), false);
      flips.push({ mirrored, upsideDown, all: turned.all });
    }
  }
  const mean = all.map((_, i) => {
    const [x, y, k] = [i % width, Math.floor(i / width) % height, Math.floor(i / (width * height))];
    const values = flips.map(({ mirrored, upsideDown, all }) => {
      const row = upsideDown ? height - 1 - y : y;
      return all[(k * height + row) * width + (mirrored ? width - 1 - x : x)]!;
    });
    return values.reduce((a, b) => a + b) / 4;
  });
  mean.forEach((p, i) => assert(Math.abs(p - all[i]!) < 1e-3, `${all[i]} at ${i}, expected ${p}`));
  ids.forEach((id, i) => {
    const values = Array.from({ length: classes }, (_, k) => all[k * height * width + i]!);
    assert(values[id]! >= Math.max(...values) - 1e-3, `${id} at ${i} of ${values}`);
  });
  const plain = await segmenter.predict(scene(height, width));
  assertEquals((await probabilities(scene(height, width), false)).ids, plain);
});

Deno.test("segmenter: wrong pixels and options are refused, whole and by windows", async () => {
  using gpu = await requestGpu();
  using segmenter = new Segmenter(gpu, new UNet({ classes: 2, width: 4 }, 1));
  const photo = scene(20, 30);
  const refuses = (
    text: string,
    options: PredictOptions,
    pixels: PhotoBatch["pixels"] = photo.pixels,
  ) => assertRejects(() => segmenter.predict({ ...photo, pixels }, options), InputError, text);
  const window = { side: 16 };
  for (const options of [{}, { window }, { flips: "all" }, { alsoAt: [photo] }] as const) {
    for (const share of [0.5, 0.75, 2]) {
      const pixels = new Uint8Array(2400 * share);
      await refuses(`20 x 30 pixels got ${2400 * share} values`, options, pixels);
    }
  }
  await refuses("got 5 values", { alsoAt: [{ ...photo, pixels: new Uint8Array(5) }] });
  for (const threshold of [NaN, -0.1, 7]) await refuses("threshold", { threshold, window });
  for (const side of [NaN, -5, 2.5]) await refuses("window.side", { window: { side } });
  for (const overlap of [NaN, -1, 1]) {
    await refuses("window.overlap", { window: { side: 9, overlap } });
  }
  await refuses("flips was given 'foo', expected one of none, horizontal, all", {
    flips: "foo" as Flips,
  });
});

Deno.test("segmenter: pixels may be a canvas's, and may start at any byte", async () => {
  using gpu = await requestGpu();
  using segmenter = new Segmenter(gpu, new UNet({ classes: 3, width: 4 }, 1));
  const photo = scene(24, 30);
  const shifted = new Uint8Array(photo.pixels.length + 1);
  shifted.set(photo.pixels, 1);
  for (const options of [{}, { window: { side: 16 } }]) {
    const ids = await segmenter.predict(photo, options);
    for (const pixels of [Uint8ClampedArray.from(photo.pixels), shifted.subarray(1)]) {
      assertEquals(await segmenter.predict({ ...photo, pixels }, options), ids);
    }
  }
});
