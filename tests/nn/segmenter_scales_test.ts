/** One photo at several scales. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { chooseWindows } from "../../src/nn/choose_windows.ts";
import { initialTensors } from "../../src/nn/init.ts";
import { Segmenter } from "../../src/nn/segmenter.ts";
import { UNet, type UnetOptions } from "../../src/nn/unet.ts";
import { fromValues } from "../reference/array.ts";
import { upsampleBilinear2d } from "../reference/upsample_bilinear2d.ts";
import { differing, probabilitiesOf, scene } from "./scene.ts";

/** A fresh network is sure of nothing; one with a larger head is, and so differences show. */
function netWith(headScale: number, options: UnetOptions): UNet {
  const net = new UNet(options, 1);
  const head = initialTensors(net.config, 1).get("outc.conv.weight")!;
  net.store.set("outc.conv.weight", head.map((value) => value * headScale));
  return net;
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a, (value, i) => Math.abs(value - b[i]!)).reduce((x, y) => Math.max(x, y));
}

Deno.test("segmenter: several scales average the probabilities of each", async () => {
  using gpu = await requestGpu();
  const classes = 3;
  using segmenter = new Segmenter(gpu, netWith(10, { classes, width: 4 }));
  // The largest, which the others are added to, is not the first.
  const [first, ...alsoAt] = [[24, 36], [30, 45], [21, 33]].map(([h, w]) => scene(h!, w!));
  const size = [30, 45] as const;
  const single = await Promise.all([first!, ...alsoAt].map(async (photo) => {
    const { all } = await probabilitiesOf(segmenter, classes, photo);
    const map = fromValues([1, classes, photo.height, photo.width], all);
    return upsampleBilinear2d(map, { size, alignCorners: false }).data;
  }));
  const mean = single[0]!.map((_, i) => single.reduce((sum, data) => sum + data[i]!, 0) / 3);
  const { ids, all } = await probabilitiesOf(segmenter, classes, first!, { size, alsoAt });
  // float16, once in each that is averaged and once in what came out.
  assert(largestDifference(all, mean) < 1e-3, `${largestDifference(all, mean)}`);
  // No one scale says the same: so the test can fail.
  for (const data of single) assert(largestDifference(data, mean) > 0.01);
  ids.forEach((id, i) => {
    const values = Array.from({ length: classes }, (_, k) => mean[k * ids.length + i]!);
    assert(values[id]! >= Math.max(...values) - 1e-3, `${id} at ${i} of ${values}`);
  });
  assertEquals(await segmenter.predict(first!, { size, alsoAt }), ids);
});

for (const [height, width] of [[117, 203], [203, 117]] as const) {
  Deno.test(`segmenter: several scales by windows, ${height} x ${width}`, async () => {
    using gpu = await requestGpu();
    using segmenter = new Segmenter(gpu, netWith(100, { classes: 5, width: 4 }));
    const at = (scale: number) => scene(Math.floor(height * scale), Math.floor(width * scale));
    const photo = at(1);
    // One of them is a single window, the others get ahead of each other.
    const cases = [
      { alsoAt: [at(0.61)], size: [height, width] },
      { alsoAt: [at(0.35), at(0.83)], size: [height * 2 + 1, width + 30] },
      { alsoAt: [at(0.97), at(0.5), at(0.75)], size: [50, 61] },
    ] as const;
    for (const options of cases) {
      const whole = await probabilitiesOf(segmenter, 5, photo, options);
      const counts: string[] = [];
      const onProgress = (done: number, total: number) => counts.push(`${done}/${total}`);
      const window = { side: 80, overlap: 0.75 };
      const cut = await probabilitiesOf(segmenter, 5, photo, { ...options, window, onProgress });
      assert(counts.length > 20);
      assertEquals(counts.at(-1), `${counts.length}/${counts.length}`);
      // float16, and 100 times float32's rounding of the features.
      const most = largestDifference(cut.all, whole.all);
      assert(most < 2e-3, `${most} to ${options.size}`);
      assert(differing(cut.ids, whole.ids) < 1e-3);
    }
  });
}

Deno.test("segmenter: several scales with flips and a threshold", async () => {
  using gpu = await requestGpu();
  using segmenter = new Segmenter(gpu, netWith(10, { classes: 2, width: 4 }));
  const photo = scene(40, 52);
  const how = { alsoAt: [scene(30, 39)], flips: "all" } as const;
  const { all } = await probabilitiesOf(segmenter, 2, photo, how);
  const one = all.slice(40 * 52);
  // Which cuts the pixels in two halves.
  const threshold = one.toSorted()[one.length / 2]!;
  const options = { ...how, threshold };
  const ids = await segmenter.predict(photo, options);
  const clear = Array.from(one.keys()).filter((i) => Math.abs(one[i]! - threshold) > 1e-3);
  assert(clear.length > 1000, `${clear.length} of ${one.length} pixels`);
  for (const i of clear) assertEquals(ids[i], one[i]! > threshold ? 1 : 0, `${one[i]} at ${i}`);
  // The mirrored photo's map is the mirrored map, at every scale.
  const turned = await segmenter.predict(scene(40, 52, true), {
    ...options,
    alsoAt: [scene(30, 39, true)],
  });
  const mirrored = ids.map((_, i) => ids[i - i % 52 + 51 - i % 52]!);
  assert(differing(turned, mirrored) < 2e-3, `${differing(turned, mirrored)}`);
});

Deno.test("segmenter: several scales run in the memory that they plan together", async () => {
  const net = () => new UNet({ classes: 9, width: 8 }, 1);
  const photo = scene(150, 141);
  const options = { window: { side: 64 }, alsoAt: [scene(110, 103), scene(75, 70)] };
  using roomy = await requestGpu({ kernels: "cpu" });
  const plan = chooseWindows(roomy, net(), photo, options, "f32");
  assert(plan);
  // A plan is kept; the photos' pixels are not kept with it.
  assertEquals(plan.job.views, [
    { height: 150, width: 141 },
    { height: 110, width: 103 },
    { height: 75, width: 70 },
  ]);
  const { plans, plannedBytes, besidesBytes } = plan.plans();
  const areaBytes = plan.views.reduce((sum, { area }) => sum + area.sizeBytes, 0);
  assert(besidesBytes > areaBytes && areaBytes > plan.main.area.sizeBytes);
  // Merges and the band come on top of the windows.
  assert(plans.length >= 3 + 2 + 1);
  using gpu = await requestGpu({ kernels: "cpu", memoryBudgetBytes: plannedBytes });
  using segmenter = new Segmenter(gpu, net());
  await segmenter.predict(photo, options);
  assertEquals(segmenter.plannedBytes, plannedBytes);
  assert(segmenter.poolBytes <= plannedBytes - besidesBytes);
  const two = { ...scene(20, 30), batch: 2, pixels: new Uint8Array(2 * 20 * 30 * 4) };
  await assertRejects(
    () => segmenter.predict(scene(40, 60), { alsoAt: [two] }),
    ShapeError,
    "at several scales",
  );
});

Deno.test("segmenter: the order of scales changes neither memory nor windows nor probabilities", async () => {
  const net = () => netWith(100, { classes: 5, width: 8 });
  const [large, small, middle] = [scene(150, 200), scene(75, 100), scene(112, 150)];
  const ask = async (photos: (typeof large)[], memoryBudgetBytes = Infinity) => {
    const [photo = large, ...alsoAt] = photos;
    using gpu = await requestGpu({ kernels: "cpu", memoryBudgetBytes });
    using segmenter = new Segmenter(gpu, net());
    let windows = 0;
    const { all } = await probabilitiesOf(segmenter, 5, photo, {
      ...{ alsoAt, window: { side: 0 }, size: [150, 200] },
      onProgress: () => windows++,
    });
    return { windows, all, plannedBytes: segmenter.plannedBytes };
  };
  const falling = await ask([large, middle, small]);
  assertEquals(falling.windows, 3);
  // With no byte to spare, as every order finds.
  assertEquals(await ask([small, middle, large], falling.plannedBytes), falling);
  assertEquals(await ask([middle, large, small], falling.plannedBytes), falling);
});
