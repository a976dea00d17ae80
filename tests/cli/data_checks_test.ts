import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { loadDataset, valueToClass } from "../../src/data/dataset.ts";
import { decodeMask } from "../../src/data/mask.ts";
import { decodePng, type PngImage } from "../../src/data/png.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { InputError } from "../../src/errors.ts";
import { testData } from "../support.ts";
import { redBlueTurned } from "../data/sample_jpeg.ts";
import { inFolder, noProcesses, runCommand } from "./run_command.ts";
import { grayPng, prepareSet, SIDE, writeSet } from "./small_set.ts";

const ignore = noProcesses;
const unet = (folder: string, ...args: string[]) => runCommand(folder, args);

/** A mask drawn in three colours. */
function colourMask(side = SIDE, odd = false): Uint8Array {
  const colours = [[128, 64, 128], [70, 130, 180], [0, 0, 0]];
  const data = Uint8Array.from(
    { length: side * side * 3 },
    (_, at) => colours[Math.floor(at / 3) % 3]?.[at % 3] ?? 0,
  );
  // Two pixels off by one: a smooth edge.
  if (odd) [data[0], data[9]] = [127, 127];
  return encodePng({ width: side, height: side, channels: 3, data });
}

Deno.test(
  "data: masks in colours, by class_dict.csv; what is in no table is told",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const raw = `${folder}/data/raw`;
      for (let i = 0; i < 8; i++) Deno.writeFileSync(`${raw}/train/masks/p${i}.png`, colourMask());
      Deno.writeFileSync(`${raw}/test/masks/t0.png`, colourMask());
      const missing = await unet(folder, "data");
      assertEquals(missing.code, 1);
      assertStringIncludes(missing.err, "8 of 8 masks hold colours");
      assertStringIncludes(missing.err, "class_dict.csv");

      await Deno.remove(`${raw}/labels.txt`);
      await Deno.writeTextFile(
        `${raw}/class_dict.csv`,
        "name, r, g, b\nroad, 128, 64, 128\nsky, 70, 130, 180\nvoid, 0, 0, 0\n",
      );
      const { code, err } = await unet(folder, "data", "--ignore", "2");
      assertEquals(code, 0, err);
      const { info, train, test } = await loadDataset(`${folder}/data`, ["train", "test"]);
      assertEquals(
        info.classes.map(({ name, value, color, pixels }) => [name, value, color, pixels]),
        [
          ["road", 0, [128, 64, 128], 96],
          ["sky", 1, [70, 130, 180], 96],
        ],
      );
      assertEquals([info.ignore, info.ignoredPixels, info.maskColors?.length], [2, 96, 3]);
      // What train and evaluate make of it.
      for (const mask of [train[0]?.mask ?? "", test[1]?.mask ?? ""]) {
        const labels = valueToClass(info).labelsOf(decodeMask(Deno.readFileSync(mask), mask), mask);
        assertEquals([...labels.subarray(0, 4)], [0, 1, 255, 0]);
      }

      Deno.writeFileSync(`${raw}/train/masks/p5.png`, colourMask(SIDE, true));
      const odd = await unet(folder, "data", "--ignore", "2");
      assertEquals(odd.code, 1);
      for (
        const part of [
          "data/raw/train/masks/p5.png holds 1 colour that data/raw/class_dict.csv does not list",
          "(127, 64, 128) in 2 pixels (nearest: road (128, 64, 128))",
          "--skip-bad",
        ]
      ) assertStringIncludes(odd.err, part);
      const skipped = await unet(folder, "data", "--ignore", "2", "--skip-bad");
      assertEquals(skipped.code, 0, skipped.err);
      assertStringIncludes(skipped.err, "skipped: data/raw/train/masks/p5.png holds 1 colour");
      assertStringIncludes(skipped.err, "5 images for training, 2 for validation");
    }),
);

Deno.test(
  "data: --skip-bad goes on without the bad files and lists them",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const raw = `${folder}/data/raw`;
      Deno.truncateSync(`${raw}/train/images/p1.png`, 60);
      Deno.renameSync(`${raw}/train/masks/p2.png`, `${raw}/train/masks/q.png`);
      Deno.writeFileSync(`${raw}/train/masks/p3.png`, grayPng(() => 0, 5));
      Deno.truncateSync(`${raw}/test/images/t1.png`, 0);
      Deno.writeFileSync(`${raw}/test/masks/t7.png`, grayPng(() => 0));
      Deno.writeFileSync(`${raw}/test/masks/t1.jpg`, redBlueTurned(1));
      Deno.copyFileSync(`${raw}/train/images/p0.png`, `${raw}/train/images/p4.png`);
      Deno.copyFileSync(`${raw}/test/images/t0.png`, `${raw}/train/images/p5.png`);
      const { code, err } = await unet(folder, "data", "--skip-bad");
      assertEquals(code, 0, err);
      for (
        const part of [
          "skipped: cannot read data/raw/train/images/p1.png",
          "skipped: data/raw/train/images/p2.png has no mask",
          "skipped: data/raw/train/masks/q.png has no photo of its name",
          "data/raw/train/images/p3.png is 6x6 but its mask data/raw/train/masks/p3.png is 5x5",
          "skipped: cannot read data/raw/test/images/t1.png as a photo: it is an empty file",
          "1 of 2 masks in data/raw/test/masks have no photo (t7.png)",
          "left out of data/raw/test/masks, no PNG: t1.jpg",
          "p4.png is the same photo as data/raw/train/images/p0.png, with the same mask",
          "p5.png is the same photo as the test photo data/raw/test/images/t0.png",
        ]
      ) assertStringIncludes(err, part);
      const { train, valid, test } = await loadDataset(`${folder}/data`, [
        "train",
        "valid",
        "test",
      ]);
      const used = [...train, ...valid].map(({ image }) => image.slice(-6, -4)).sort();
      assertEquals(used, ["p0", "p6", "p7"]);
      assertEquals(test.length, 1);
      const page = await Deno.readTextFile(`${folder}/reports/data.html`);
      assertStringIncludes(page, "Left out: 7");
      assertStringIncludes(page, "data/raw/train/images/p1.png");
    }),
);

Deno.test(
  "data: copies are told, and never part training from validation",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const raw = `${folder}/data/raw`;
      for (const [copy, of] of [[1, 0], [3, 2], [5, 4]]) {
        Deno.copyFileSync(`${raw}/train/images/p${of}.png`, `${raw}/train/images/p${copy}.png`);
      }
      Deno.writeFileSync(`${raw}/train/masks/p3.png`, grayPng((at) => at % 2));
      for (const seed of ["1", "2", "3", "4"]) {
        const { code, err } = await unet(folder, "data", "--ratio", "0.5", "--seed", seed);
        assertEquals(code, 0, err);
        assertStringIncludes(err, "p1.png is the same photo as data/raw/train/images/p0.png");
        assertStringIncludes(err, "p2.png, with another mask");
        const { train, valid } = await loadDataset(`${folder}/data`);
        assertEquals(train.length + valid.length, 8);
        const hash = ({ image }: { image: string }) => Deno.readFileSync(image).join();
        const trained = new Set(train.map(hash));
        assertEquals(valid.filter((sample) => trained.has(hash(sample))), []);
      }
    }),
);

Deno.test(
  "data: masks drawn on photos before their EXIF turn are told apart",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const raw = `${folder}/data/raw`;
      const mask = (width: number, height: number) =>
        encodePng({
          width,
          height,
          channels: 1,
          data: Uint8Array.from({ length: width * height }, (_, at) => at % 3),
        });
      for (const [i, orientation] of [6, 3].entries()) {
        await Deno.remove(`${raw}/train/images/p${i}.png`);
        await Deno.writeFile(`${raw}/train/images/p${i}.jpg`, redBlueTurned(orientation));
        await Deno.writeFile(`${raw}/train/masks/p${i}.png`, mask(16, 8));
      }
      const wrong = await unet(folder, "data");
      assertEquals(wrong.code, 1);
      assertStringIncludes(
        wrong.err,
        "p0.jpg is 8x16 once it is turned as its EXIF orientation (6)",
      );
      assertStringIncludes(wrong.err, "is 16x8, like the photo before the turn");
      await Deno.writeFile(`${raw}/train/masks/p0.png`, mask(8, 16));
      const right = await unet(folder, "data");
      assertEquals(right.code, 0, right.err);
      assertStringIncludes(right.err, "1 photo has an EXIF turn that does not change the size");
      assertStringIncludes(right.err, "data/raw/train/images/p1.jpg");
    }),
);

Deno.test(
  "data: what was looked at once is not decoded again, until it changes",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const photo = `${folder}/data/raw/train/images/p4.png`;
      const first = await unet(folder, "data");
      assertEquals(first.code, 0, first.err);
      const table = await Deno.readTextFile(`${folder}/data/processed/df_train.csv`);
      const scales = [...Deno.readDirSync(`${folder}/data/interim/cache`)].map(({ name }) => name);
      assertEquals(scales.sort(), ["facts.json", "scale-0.1"]);
      assertEquals([...Deno.readDirSync(`${folder}/data/interim/cache/scale-0.1`)].length, 16);
      // Damaged, but as long and as old as before: whoever decodes it fails.
      const { mtime } = await Deno.stat(photo);
      const bytes = await Deno.readFile(photo);
      const damaged = bytes.slice();
      damaged[bytes.length - 20] = damaged[bytes.length - 20]! ^ 255;
      await Deno.writeFile(photo, damaged);
      await Deno.utime(photo, mtime ?? 0, mtime ?? 0);
      const facts = `${folder}/data/interim/cache/facts.json`;
      const known = await Deno.readTextFile(facts);
      assertEquals((await prepareSet(folder)).train.length, 6);
      assertEquals(await Deno.readTextFile(`${folder}/data/processed/df_train.csv`), table);
      assertEquals(await Deno.readTextFile(facts), known);
      await Deno.utime(photo, 1, 1);
      await assertRejects(() => prepareSet(folder), InputError, "p4.png");
    }),
);

Deno.test(
  "data: on a full disk tables take the place of scaled photos",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const { writeFile } = Deno;
      let room = 3;
      Deno.writeFile = async (...args) => {
        if (room-- === 0) throw new Error("No space left on device (os error 28)");
        await writeFile(...args);
      };
      try {
        const { cache } = await prepareSet(folder, 1);
        assertEquals(room, -1);
        assertEquals(cache?.refusal, "No space left on device (os error 28)");
        assertEquals([...Deno.readDirSync(`${folder}/data/interim/cache/scale-1`)], []);
        assertEquals((await loadDataset(`${folder}/data`)).train.length, 6);
      } finally {
        Deno.writeFile = writeFile;
      }
    }),
);

Deno.test(
  "data: leaves a page that needs nothing else, and the original's figures",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      await Deno.writeTextFile(`${folder}/data/raw/labels.txt`, "<sky>\nroad\ntree & bush\n");
      const { code, err } = await unet(folder, "data");
      assertEquals(code, 0, err);
      const page = await Deno.readTextFile(`${folder}/reports/data.html`);
      for (const part of ["&#60;sky&#62;", "tree &#38; bush", "33 %", "6 of 6", "Fingerprint"]) {
        assertStringIncludes(page, part);
      }
      assert(!page.includes("<sky>"), "names are escaped");
      const addresses = [...page.matchAll(/(?:src|href)="([^"]*)"|url\(([^)]*)\)/g)];
      assertEquals(addresses.length, 16, "photo and mask of eight samples");
      for (const [, address] of addresses) assert(address?.startsWith("data:image/"), address);
      assert(!/https?:/.test(page), "nothing is loaded from anywhere");
      const pair = await readFigure(`${folder}/reports/figures/image_pair_gray.png`);
      const jet = await readFigure(`${folder}/reports/figures/image_pair_jet.png`);
      assertEquals([jet.width, jet.height], [pair.width, pair.height]);
      assert(pair.data.join() !== jet.data.join());
      const sample = await readFigure(`${folder}/reports/figures/sample.png`);
      assert(sample.height > SIDE && sample.width > SIDE);
    }),
);

async function readFigure(path: string): Promise<PngImage> {
  return decodePng(await Deno.readFile(path), path);
}

Deno.test(
  "data: JPEG masks and masks of other names are told as such",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const masks = `${folder}/data/raw/train/masks`;
      Deno.removeSync(`${masks}/p0.png`);
      Deno.writeFileSync(`${masks}/p0.jpg`, redBlueTurned(1));
      const jpeg = await unet(folder, "data");
      assertEquals(jpeg.code, 1);
      assertStringIncludes(jpeg.err, "1 of 8 photos have no mask (p0.png)");
      assertStringIncludes(jpeg.err, "p0.jpg is a JPEG, which cannot hold a mask");
      Deno.renameSync(`${masks}/p0.jpg`, `${masks}/p0.png`);
      const renamed = await unet(folder, "data");
      assertEquals(renamed.code, 1);
      assertStringIncludes(
        renamed.err,
        "cannot read data/raw/train/masks/p0.png as a mask: it is a JPEG",
      );
      for (let i = 0; i < 8; i++) Deno.renameSync(`${masks}/p${i}.png`, `${masks}/p${i}_mask.png`);
      const named = await unet(folder, "data");
      assertEquals(named.code, 1);
      assertStringIncludes(named.err, "8 of 8 photos have no mask");
      assertStringIncludes(named.err, "take _mask out of the masks' names");
    }),
);

const oddities = ignore ? undefined : testData("oddities");

Deno.test("data: real palette masks keep their colours, real broken files are told", {
  ignore: oddities === undefined,
}, () =>
  inFolder(async (folder) => {
    const train = `${folder}/data/raw/train`;
    for (const part of ["images", "masks"]) {
      Deno.mkdirSync(`${train}/${part}`, { recursive: true });
      for (const { name } of Deno.readDirSync(`${oddities}/voc-palette/${part}`)) {
        Deno.copyFileSync(`${oddities}/voc-palette/${part}/${name}`, `${train}/${part}/${name}`);
      }
    }
    const names = Deno.readTextFileSync(`${oddities}/voc-palette/class_names.txt`);
    Deno.writeTextFileSync(`${folder}/data/raw/labels.txt`, names);
    const unnamed = await unet(folder, "data");
    assertEquals(unnamed.code, 0, unnamed.err);
    assertStringIncludes(
      unnamed.err,
      "255 (now unknown_1, in 2 masks, such as data/raw/train/masks",
    );
    assertStringIncludes(unnamed.err, "add --ignore 255");
    const { code, err } = await unet(folder, "data", "--ignore", "255");
    assertEquals(code, 0, err);
    const { info } = await loadDataset(`${folder}/data`);
    assertEquals(info.classes.length, names.trim().split("\n").length);
    assertEquals(info.classes[1]?.color, [128, 0, 0], "the VOC colour of aeroplane");
    assert(info.ignoredPixels > 0);

    const broken = [
      "broken/truncated_image.png",
      "broken/empty.jpg",
      "jpeg/jpeg_lossless_sel1.jpg",
    ];
    for (const path of broken) {
      const name = path.slice(path.indexOf("/") + 1);
      Deno.copyFileSync(`${oddities}/${path}`, `${train}/images/${name}`);
      const mask = `${train}/masks/${name.slice(0, -4)}.png`;
      Deno.copyFileSync(`${train}/masks/2011_000003.png`, mask);
    }
    // Masks drawn for another photo: only the photos' own faults are to be told.
    const bad = await unet(folder, "data", "--ignore", "255", "--skip-bad");
    assertEquals(bad.code, 0, bad.err);
    for (const path of broken) {
      const name = path.slice(path.indexOf("/") + 1);
      assertStringIncludes(bad.err, `skipped: cannot read data/raw/train/images/${name}`);
    }
    assertStringIncludes(bad.err, "2 images for training, 1 for validation");
  }));
