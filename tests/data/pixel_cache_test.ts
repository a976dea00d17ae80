import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fillCache } from "../../src/data/check.ts";
import { valueToClass } from "../../src/data/dataset.ts";
import { PixelCache } from "../../src/data/pixel_cache.ts";
import { decodePixels, encodePixels, type Pixels } from "../../src/data/pixel_file.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { SampleSource } from "../../src/data/samples.ts";
import { canRead, canWrite } from "../support.ts";

const ignore = !canRead || !canWrite;
const size = { width: 3, height: 2 };
const IMAGES: Pixels[] = [
  { ...size, kind: "photo", data: Uint8Array.from({ length: 18 }, (_, i) => i * 14) },
  { ...size, kind: "gray", data: Uint8Array.of(0, 1, 2, 3, 10, 255) },
  { ...size, kind: "gray", data: Uint16Array.of(0, 1, 256, 3, 10, 65535) },
  { ...size, kind: "rgb", data: Uint8Array.of(9, 1, 2, 3, 4, 5) },
  {
    ...size,
    kind: "palette",
    data: Uint8Array.of(1, 1, 0, 0, 1, 0),
    palette: [[1, 2, 3], [4, 5, 6]],
  },
  { ...size, kind: "colour", data: Uint32Array.of(0, 0xffffff, 0x804080, 1, 2, 3) },
];

Deno.test("scaled images come back as they were, damaged or foreign ones do not", () => {
  for (const image of IMAGES) {
    const bytes = encodePixels("a key", image);
    assertEquals(decodePixels("a key", bytes), image);
    assertEquals(decodePixels("another key", bytes), undefined);
    assertEquals(decodePixels("a key", bytes.subarray(0, bytes.length - 1)), undefined);
    for (const at of [0, 5, bytes.length - 1]) {
      const damaged = bytes.slice();
      damaged[at] = damaged[at]! ^ 1;
      assertEquals(decodePixels("a key", damaged), undefined, `${image.kind} at ${at}`);
    }
  }
  assertEquals(decodePixels("a key", new Uint8Array()), undefined);
});

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "unet-cache-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const image = IMAGES[0]!;

Deno.test(
  "the cache notices changed sources, other scales and sources that are gone",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const source = `${folder}/p.png`;
      await Deno.writeTextFile(source, "one");
      const cache = await PixelCache.open(folder, 0.5);
      const entry = await cache.entry(source);
      assertEquals(await cache.has(entry), false);
      await cache.write(entry, image);
      assertEquals(await cache.has(entry), true);
      assertEquals(await cache.read(await cache.entry(source)), image);
      const other = await PixelCache.open(folder, 0.25);
      assertEquals(await other.read(await other.entry(source)), undefined);

      await Deno.utime(source, new Date(), new Date(Date.now() - 100_000));
      assertEquals(await cache.has(await cache.entry(source)), false, "another time");
      await Deno.writeTextFile(source, "three");
      assertEquals(await cache.read(await cache.entry(source)), undefined, "another size");

      await cache.write(await cache.entry(source), image);
      await cache.keepOnly([]);
      assertEquals(await cache.has(await cache.entry(source)), false);
      assertEquals(await cache.entry(`${folder}/none.png`), undefined);
    }),
);

Deno.test(
  "a full cache drops the scales that were not used for longest, then stops",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const sources = [0, 1, 2].map((i) => `${folder}/${i}.png`);
      for (const source of sources) await Deno.writeTextFile(source, "x");
      const fill = async (scale: number, limit: number) => {
        const cache = await PixelCache.open(folder, scale, limit);
        for (const source of sources) await cache.write(await cache.entry(source), image);
        return cache;
      };
      const old = await fill(0.1, 1e9);
      // Headers name the scale and the source; all of these take equally much.
      const each = old.usedBytes / 3;
      await Deno.utime(`${folder}/interim/cache/scale-0.1`, 0, 0);
      await fill(0.2, 1e9);
      // Room for two scales: the third one makes the first go.
      const limit = 6 * each;
      assertEquals((await fill(0.3, limit)).full, false);
      const scales = [...Deno.readDirSync(`${folder}/interim/cache`)].map(({ name }) => name)
        .sort();
      assertEquals(scales, ["scale-0.2", "scale-0.3"]);
      // Room for less than one scale.
      await Deno.remove(`${folder}/interim`, { recursive: true });
      const small = await fill(0.4, 2.5 * each);
      assertEquals([small.full, small.usedBytes === 2 * each], [true, true]);
      assertStringIncludes(small.refusal ?? "", "GiB at most");
      assertEquals(await small.has(await small.entry(sources[0] ?? "")), true);
      assertEquals(await small.has(await small.entry(sources[2] ?? "")), false);
    }),
);

Deno.test(
  "a cache that cannot be written to is none, and nothing fails",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const source = `${folder}/p.png`;
      await Deno.writeTextFile(source, "one");
      // A file where the folder should be.
      await Deno.writeTextFile(`${folder}/interim`, "");
      const cache = await PixelCache.open(folder, 0.5);
      await cache.write(await cache.entry(source), image);
      assertEquals([cache.full, await cache.has(await cache.entry(source))], [true, false]);
      assertMatch(cache.refusal ?? "", /\(os error \d+\)$/);
      const photo = `${folder}/q.png`;
      await Deno.writeFile(photo, encodePng({ ...size, channels: 3, data: new Uint8Array(18) }));
      const filled = await PixelCache.open(folder, 0.5);
      await fillCache([{ photo }], filled, () => {});
      assertEquals([filled.failed, filled.refusal], [true, cache.refusal]);
    }),
);

Deno.test(
  "a cache without room is filled no further, and nobody waits for the rest",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const pairs: { photo: string }[] = [];
      for (const photo of [0, 1, 2, 3].map((i) => `${folder}/${i}.png`)) {
        const data = new Uint8Array(18);
        await Deno.writeFile(photo, encodePng({ ...size, channels: 3, data }));
        pairs.push({ photo });
      }
      let done = 0;
      // The first one oversteps the limit.
      const cache = await PixelCache.open(folder, 1, 10);
      await fillCache(pairs, cache, () => done++);
      const there = await Promise.all(
        pairs.map(async ({ photo }) => await cache.has(await cache.entry(photo))),
      );
      assertEquals([done, there], [4, [true, false, false, false]]);
    }),
);

Deno.test(
  "pairs are decoded once: later runs and epochs read the scaled pixels",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const [width, height] = [8, 6];
      const photo = `${folder}/p.png`;
      const mask = `${folder}/m.png`;
      const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 256);
      await Deno.writeFile(photo, encodePng({ width, height, channels: 3, data }));
      const ids = Uint8Array.from({ length: width * height }, (_, i) => i % 3);
      await Deno.writeFile(mask, encodePng({ width, height, channels: 1, data: ids }));
      const values = valueToClass({
        classes: [0, 1].map((id) => ({
          id,
          name: `c${id}`,
          color: [0, 0, 0],
          value: id,
          pixels: 1,
          trainPixels: 1,
        })),
        ignore: 2,
      });
      const samples = [{ image: photo, mask }];
      const plain = await (await SampleSource.open(samples, 0.5, values)).pair(0);
      const disk = await PixelCache.open(folder, 0.5);
      let pairs = 0;
      await fillCache([{ photo, mask }], disk, () => pairs++);
      assertEquals(pairs, 1);
      const source = await SampleSource.open(samples, 0.5, values, { disk });
      // Pixels that no decoder would give, under the same key: whoever shows them has read them.
      const entry = await disk.entry(photo);
      const kept = await disk.read(entry);
      assert(kept?.kind === "photo" && entry !== undefined);
      const marked = kept.data.map((value) => value ^ 1);
      await disk.write(entry, { ...kept, data: marked });
      const again = await source.pair(0);
      assertEquals([again.width, again.height, [...again.labels]], [4, 3, [...plain.labels]]);
      assert(again.labels.includes(255), "the ignored value is in the sample");
      assertEquals([...again.pixels].filter((_, i) => i % 4 < 3), [...marked]);
      assertEquals([...plain.pixels].filter((_, i) => i % 4 < 3), [...kept.data]);
      // A changed photo is decoded anew.
      await Deno.utime(photo, new Date(), new Date(Date.now() - 100_000));
      const fresh = await (await SampleSource.open(samples, 0.5, values, { disk })).pair(0);
      assertEquals([...fresh.pixels], [...plain.pixels]);
    }),
);
