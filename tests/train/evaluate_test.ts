import { assert, assertEquals, assertRejects } from "@std/assert";
import { valueToClass } from "../../src/data/dataset.ts";
import { PixelCache } from "../../src/data/pixel_cache.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { InputError, ShapeError } from "../../src/errors.ts";
import type { PhotoBatch, PredictOptions } from "../../src/nn/segmenter.ts";
import { evaluateSamples, predictPhoto, scalePhoto } from "../../src/train/evaluate.ts";
import { canRead, canWrite } from "../support.ts";

const valueMap = valueToClass({
  classes: [0, 1].map((id) => ({
    id,
    name: `c${id}`,
    color: [id, id, id],
    value: id,
    pixels: 1,
    trainPixels: 1,
  })),
  ignore: 255,
});

Deno.test("scalePhoto: floor(scale x size) pixels of opaque RGBA", () => {
  const data = Uint8Array.from({ length: 5 * 3 * 3 }, (_, i) => [10, 20, 30][i % 3] ?? 0);
  const { batch, width, height, pixels } = scalePhoto({ width: 5, height: 3, data }, 0.5);
  assertEquals([batch, width, height], [1, 2, 1]);
  assertEquals([...pixels], [10, 20, 30, 255, 10, 20, 30, 255]);
});

Deno.test("evaluateSamples: scaled photos in, class maps of the masks' own size out", {
  ignore: !canRead || !canWrite,
}, async () => {
  const folder = await Deno.makeTempDir({ prefix: "unet-evaluate-" });
  try {
    const pixels = Uint8Array.from({ length: 144 }, (_, i) => (i * 37) % 256);
    const photo = encodePng({ width: 8, height: 6, channels: 3, data: pixels });
    const mask = (fill: number) =>
      encodePng({ width: 8, height: 6, channels: 1, data: new Uint8Array(48).fill(fill) });
    await Deno.writeFile(`${folder}/p.png`, photo);
    for (const id of [0, 1, 255]) await Deno.writeFile(`${folder}/m${id}.png`, mask(id));
    const asked: unknown[] = [];
    const segmenter = {
      predict: ({ batch, height, width }: PhotoBatch, { size }: PredictOptions = {}) => {
        asked.push([batch, height, width, size]);
        return Promise.resolve(new Uint8Array(48));
      },
    };
    const image = `${folder}/p.png`;
    const samples = [0, 1, 255].map((id) => ({ image, mask: `${folder}/m${id}.png` }));
    const options = { scale: 0.5, valueMap, classes: 2 };
    let calls = 0;
    const onProgress = () => {
      calls++;
    };
    const { scores, images, matrix } = await evaluateSamples(segmenter, samples, {
      ...options,
      onProgress,
    });
    assertEquals(asked, Array(3).fill([1, 3, 4, [6, 8]]));
    assertEquals(calls, 3);
    assertEquals([...matrix.counts], [48, 0, 48, 0]);
    // All is class 0 to this network: the first image is right, the second wrong, the third unknown.
    assertEquals(images.map(({ meanIoU }) => meanIoU), [1, 0, null]);
    assertEquals([scores.pixelAccuracy, scores.meanIoU], [0.5, 0.25]);

    // Further scales come along with each photo.
    const shapes: unknown[] = [];
    const several = {
      predict: (photo: PhotoBatch, { alsoAt = [], flips }: PredictOptions = {}) => {
        shapes.push([flips, ...[photo, ...alsoAt].map(({ height, width }) => [height, width])]);
        assertEquals(alsoAt.map(({ pixels }) => pixels.length), [6 * 8 * 4, 2 * 4]);
        return Promise.resolve(new Uint8Array(48));
      },
    };
    const disk = await PixelCache.open(folder, 0.25);
    const alsoAt = [{ scale: 1 }, { scale: 0.25, disk }];
    const all = { ...options, alsoAt, flips: "all" } as const;
    assertEquals((await evaluateSamples(several, samples, all)).scores, scores);
    assertEquals(shapes, Array(3).fill(["all", [3, 4], [6, 8], [1, 2]]));
    assert(await disk.read(await disk.entry(image)));
    // Masks that are kept at their own size are taken from there, whichever scale is the first.
    const whole = await PixelCache.open(folder, 1);
    const wrong = { kind: "gray", width: 8, height: 6, data: new Uint8Array(48).fill(1) } as const;
    await whole.write(await whole.entry(samples[0]!.mask), wrong);
    const kept = await evaluateSamples(segmenter, samples, {
      ...options,
      alsoAt: [{ scale: 0.25, disk }, { scale: 1, disk: whole }],
    });
    assertEquals(kept.images.map(({ meanIoU }) => meanIoU), [0, 0, null]);
    await Deno.remove(`${folder}/interim`, { recursive: true });

    // What was decoded once is what is seen again, at the masks' own scale too.
    const seen: Uint8Array[] = [];
    const looking = {
      predict: ({ pixels }: PhotoBatch) => {
        seen.push(Uint8Array.from(pixels));
        return Promise.resolve(new Uint8Array(48));
      },
    };
    for (const scale of [0.5, 1]) {
      const disk = await PixelCache.open(folder, scale);
      const plain = await evaluateSamples(looking, samples, { ...options, scale });
      const filling = await evaluateSamples(looking, samples, { ...options, scale, disk });
      const entry = await disk.entry(image);
      const kept = await disk.read(entry);
      assert(kept?.kind === "photo");
      await disk.write(entry, { ...kept, data: kept.data.map((value) => value ^ 1) });
      const reading = await evaluateSamples(looking, samples, { ...options, scale, disk });
      assertEquals([filling, reading], [plain, plain]);
      const [first, , , second, , , third] = seen.splice(0);
      assertEquals(second, first);
      assertEquals(third, first?.map((value, i) => i % 4 < 3 ? value ^ 1 : value));
    }

    await assertRejects(
      () => evaluateSamples(segmenter, [{ image }], options),
      InputError,
      "p.png has no mask",
    );
    // At this scale both are 4 x 3, and the prediction takes the mask's size either way.
    await Deno.writeFile(
      `${folder}/other.png`,
      encodePng({ width: 9, height: 7, channels: 3, data: new Uint8Array(189) }),
    );
    const unlike = [{ image: `${folder}/other.png`, mask: `${folder}/m0.png` }];
    for (const disk of [undefined, whole]) {
      await whole.write(await whole.entry(unlike[0]!.mask), wrong);
      const how = { ...options, alsoAt: [{ scale: 1, ...(disk ? { disk } : {}) }] };
      await assertRejects(
        () => evaluateSamples(segmenter, unlike, how),
        InputError,
        "m0.png is 8 x 6; both must have one size, run deno task data again",
      );
    }
    const failing = { predict: () => Promise.reject(new ShapeError("the network needs more.")) };
    await assertRejects(
      () => evaluateSamples(failing, samples, options),
      InputError,
      "p.png at 4 x 3 pixels: the network needs more; use a larger scale (-s)",
    );
    await assertRejects(
      () => evaluateSamples(failing, samples, { ...options, scale: 1, alsoAt: [{ scale: 0.5 }] }),
      InputError,
      "p.png at 8 x 6, 4 x 3 pixels: the network needs more; use a larger scale (-s)",
    );
    await assertRejects(
      () => evaluateSamples(failing, samples, { ...options, scale: 1 }),
      InputError,
      "p.png at 8 x 6 pixels: the network needs more; remove this photo, or leave it out",
    );
    const tight = { predict: () => Promise.reject(new InputError("it plans much; use less.")) };
    await assertRejects(
      () => evaluateSamples(tight, samples, { ...options, alsoAt }),
      InputError,
      "p.png at 4 x 3, 8 x 6, 2 x 1 pixels: it plans much; use fewer or smaller scales (-s)",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("predictPhoto: what would help depends on what went wrong", async () => {
  const photo = scalePhoto({ width: 2, height: 1, data: new Uint8Array(6) }, 1);
  const full = new InputError("cannot write a.npy: no space left");
  const segmenter = {
    predict: async (_: PhotoBatch, { onProbabilities }: PredictOptions = {}) => {
      await onProbabilities?.({ firstRow: 0, rows: 1, pitch: 4, values: new Uint16Array(4) });
      throw new InputError("it plans much; use less.");
    },
    largestFit: () => 0.5,
  };
  for (const alsoAt of [[], [photo]]) {
    const predict = (onProbabilities: () => Promise<void>) =>
      predictPhoto(segmenter, photo, "a.png", { alsoAt, onProbabilities });
    const error = await assertRejects(() => predict(() => Promise.reject(full)), InputError);
    assertEquals(error.message, full.message);
    await assertRejects(() => predict(() => Promise.resolve()), InputError, "2 x 1 pixels: it");
  }
  const tiled = { alsoAt: [photo], window: { side: 512 } };
  await assertRejects(
    () => predictPhoto(segmenter, photo, "a.png", tiled),
    InputError,
    "it plans much; use a smaller tile (--tile), fewer or smaller scales (-s)",
  );
  await assertRejects(
    () => predictPhoto(segmenter, photo, "a.png", { window: { side: 512 } }),
    InputError,
    "it plans much; use a smaller tile (--tile); what would fit: -s 0.5",
  );
});
