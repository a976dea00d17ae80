import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { loadDataset } from "../../src/data/dataset.ts";
import { stem } from "../../src/data/files.ts";
import { PixelCache } from "../../src/data/pixel_cache.ts";
import { encodePng } from "../../src/data/png_write.ts";
import type { CheckpointClass } from "../../src/io/checkpoint.ts";
import { ConfusionMatrix } from "../../src/train/metrics.ts";
import { inFolder, namesIn, noProcesses, runCommand } from "./run_command.ts";
import { CLASSES, tinyCheckpoint } from "./tiny_model.ts";

const ignore = noProcesses;

const [WIDTH, HEIGHT] = [22, 13];
const PIXELS = WIDTH * HEIGHT;

/** What the network of tiny_model.ts sees in photo `n`: blocks of every class. */
function seen(n: number, classes: number): Uint8Array {
  return Uint8Array.from({ length: PIXELS }, (_, i) => {
    const [x, y] = [i % WIDTH, Math.floor(i / WIDTH)];
    return ((x >> 2) + (y >> 2) + n) % classes;
  });
}

/** The truth: mostly that, but every seventh pixel or so is of the next class. */
function truth(n: number, classes: number): Uint8Array {
  return seen(n, classes).map((id, i) => (i + n) % 7 === 0 ? (id + 1) % classes : id);
}

function photo(n: number, classes: number): Uint8Array {
  const data = new Uint8Array(PIXELS * 3).fill(20);
  seen(n, classes).forEach((id, i) => {
    if (id > 0) data[3 * i + id - 1] = 230;
  });
  return encodePng({ width: WIDTH, height: HEIGHT, channels: 3, data });
}

/** Writes and prepares a set of eight pairs and three test photos, two of them with masks. */
async function writeSet(
  folder: string,
  classes: readonly CheckpointClass[],
  more: readonly string[] = [],
): Promise<void> {
  const raw = `${folder}/data/raw`;
  for (const part of ["train/images", "train/masks", "test/images", "test/masks"]) {
    await Deno.mkdir(`${raw}/${part}`, { recursive: true });
  }
  const mask = (n: number) => {
    const data = truth(n, classes.length).map((id) => classes[id]?.value ?? 0);
    return encodePng({ width: WIDTH, height: HEIGHT, channels: 1, data });
  };
  for (let n = 0; n < 11; n++) {
    const part = n < 8 ? "train" : "test";
    await Deno.writeFile(`${raw}/${part}/images/${n}.png`, photo(n, classes.length));
    if (n < 10) await Deno.writeFile(`${raw}/${part}/masks/${n}.png`, mask(n));
  }
  const names = classes.map(({ name }) => name);
  await Deno.writeTextFile(`${raw}/labels.txt`, names.join("\n") + "\n");
  const { code, err } = await runCommand(folder, ["data", ...more]);
  assertEquals(code, 0, err);
  await Deno.writeFile(`${folder}/m.safetensors`, tinyCheckpoint(classes));
}

/** The scores of photos by their numbers, straight from truth and prediction. */
function expectedScores(numbers: readonly number[], classes: number) {
  const matrix = new ConfusionMatrix(classes);
  for (const n of numbers) matrix.add(truth(n, classes), seen(n, classes));
  return matrix.scores();
}

Deno.test(
  "evaluate: the scores of the validation split, as table and JSON",
  { ignore },
  () =>
    inFolder(async (folder) => {
      await writeSet(folder, CLASSES);
      const { code, out, err } = await runCommand(folder, [
        ...["evaluate", "-m", "m.safetensors", "--json", "new/scores.json"],
      ]);
      assertEquals(code, 0, err);
      const { valid } = await loadDataset(`${folder}/data`, ["valid"]);
      assert(valid.length > 0);
      const numbers = valid.map(({ image }) => Number(stem(image)));
      const { classes, ...means } = expectedScores(numbers, CLASSES.length);
      const report = JSON.parse(await Deno.readTextFile(`${folder}/new/scores.json`));
      assertEquals(report, {
        model: "m.safetensors",
        split: "valid",
        images: valid.length,
        ...means,
        classes: classes.map(({ id, ...scores }) => ({ id, name: CLASSES[id]?.name, ...scores })),
      });
      assertEquals(await namesIn(`${folder}/new`), ["scores.json"]);
      assertMatch(out, /^class +IoU +Dice +precision +recall +pixels\n-+\nground +/);
      const roof = classes[1];
      assert(roof && roof.iou !== null);
      assertMatch(out, new RegExp(`\\nroof +${roof.iou.toFixed(3)} .* ${roof.pixels}\\n`));
      assertStringIncludes(out, `mean (3 classes)  ${means.meanIoU.toFixed(3)}`);
      assertStringIncludes(out, `pixel accuracy ${means.pixelAccuracy.toFixed(3)}`);
      assertStringIncludes(err, "Using device ");
    }),
);

Deno.test(
  "evaluate: a page with every score, the confusion matrix and the images",
  { ignore },
  () =>
    inFolder(async (folder) => {
      await writeSet(folder, CLASSES);
      const args = ["evaluate", "-m", "m.safetensors", "--split", "train", "--json", "s.json"];
      const { code, err } = await runCommand(folder, [...args, "--report", "pages"]);
      assertEquals(code, 0, err);
      assertStringIncludes(err, "pages/evaluation.html");
      const page = await Deno.readTextFile(`${folder}/pages/evaluation.html`);
      const report = JSON.parse(await Deno.readTextFile(`${folder}/s.json`));
      for (const { iou, dice, precision, recall, pixels } of report.classes) {
        const cells = [iou, dice, precision, recall].map((value: number) => value.toFixed(4));
        const [first, ...rest] = [...cells, pixels.toLocaleString("en")];
        const text = page.replace(/<[^>]*>/g, " ");
        assertMatch(text, new RegExp([first, ...rest].join("\\s+")));
      }
      const { train } = await loadDataset(`${folder}/data`, ["train"]);
      const matrix = new ConfusionMatrix(CLASSES.length);
      for (const { image } of train) {
        const n = Number(stem(image));
        matrix.add(truth(n, CLASSES.length), seen(n, CLASSES.length));
      }
      for (const [cell, pixels] of matrix.counts.entries()) {
        const [t, p] = [Math.floor(cell / CLASSES.length), cell % CLASSES.length];
        const title = `${CLASSES[t]?.name} as ${CLASSES[p]?.name}: ${pixels.toLocaleString("en")} `;
        assertStringIncludes(page, title);
      }
      for (const { image } of train) assertStringIncludes(page, `images/${stem(image)}.png`);
      assertEquals(/(src|href)="(?!data:)|url\((?!data:)|@import|https?:/.test(page), false);

      const named = await runCommand(folder, [...args, "--report", "one.html"]);
      assertEquals(named.code, 0, named.err);
      assertEquals((await Deno.stat(`${folder}/one.html`)).isFile, true);
    }),
);

Deno.test(
  "evaluate: test photos without a mask are left out, with a warning",
  { ignore },
  () =>
    inFolder(async (folder) => {
      await writeSet(folder, CLASSES);
      const args = ["evaluate", "-m", "m.safetensors", "--split", "test", "--json", "s.json"];
      const { code, err } = await runCommand(folder, args);
      assertEquals(code, 0, err);
      assertStringIncludes(err, "1 of 3 test images have no mask in data/raw/test/masks: left out");
      const report = JSON.parse(await Deno.readTextFile(`${folder}/s.json`));
      assertEquals(
        [report.split, report.images, report.meanIoU],
        ["test", 2, expectedScores([8, 9], CLASSES.length).meanIoU],
      );

      // The photos are decoded once: changed entries change the scores. A data run keeps them.
      const kept = `${folder}/data/interim/cache/scale-1`;
      const names = await namesIn(kept);
      assertEquals(names.length, 4, "two photos, two masks");
      const again = await runCommand(folder, ["data", "-s", "1"]);
      assertEquals(again.code, 0, again.err);
      assertEquals((await namesIn(kept)).filter((name) => names.includes(name)), names);
      const disk = await PixelCache.open(`${folder}/data`, 1);
      for (const n of [8, 9]) {
        const entry = await disk.entry(`${folder}/data/raw/test/images/${n}.png`);
        const pixels = await disk.read(entry);
        assert(pixels?.kind === "photo");
        await disk.write(entry, { ...pixels, data: new Uint8Array(PIXELS * 3) });
      }
      await runCommand(folder, args);
      const changed = JSON.parse(await Deno.readTextFile(`${folder}/s.json`));
      const black = new ConfusionMatrix(CLASSES.length);
      for (const n of [8, 9]) black.add(truth(n, CLASSES.length), new Uint8Array(PIXELS));
      assertEquals([changed.images, changed.meanIoU], [2, black.scores().meanIoU]);

      await Deno.remove(`${folder}/data/raw/test/masks`, { recursive: true });
      const bare = await runCommand(folder, args);
      assertEquals(bare.code, 1);
      assertStringIncludes(bare.err, "error: the test images have no masks");
      assertStringIncludes(bare.err, "data/raw/test/masks");
    }),
);

Deno.test(
  "evaluate: masks of 0 and 255; ignored pixels count nowhere",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const classes = [
        { name: "cell", color: [0, 0, 0], value: 0 },
        { name: "nucleus", color: [255, 255, 255], value: 255 },
      ] as const;
      await writeSet(folder, classes);
      const args = ["evaluate", "-m", "m.safetensors", "--split", "train", "--json", "s.json"];
      const { code, err } = await runCommand(folder, args);
      assertEquals(code, 0, err);
      const { train } = await loadDataset(`${folder}/data`, ["train"]);
      const numbers = train.map(({ image }) => Number(stem(image)));
      const report = JSON.parse(await Deno.readTextFile(`${folder}/s.json`));
      assertEquals(report.meanIoU, expectedScores(numbers, 2).meanIoU);
      assertEquals(report.images * PIXELS, report.classes[0].pixels + report.classes[1].pixels);
    }),
);

Deno.test(
  "evaluate: an ignored value has no row and its pixels count nowhere",
  { ignore },
  () =>
    inFolder(async (folder) => {
      // Class 2 is to be ignored: the network knows two classes, the masks three values.
      await writeSet(folder, CLASSES, ["--ignore", "2"]);
      await Deno.writeFile(`${folder}/m.safetensors`, tinyCheckpoint(CLASSES.slice(0, 2)));
      const args = ["evaluate", "-m", "m.safetensors", "--split", "train", "--json", "s.json"];
      const { code, err } = await runCommand(folder, args);
      assertEquals(code, 0, err);
      const { train } = await loadDataset(`${folder}/data`, ["train"]);
      const matrix = new ConfusionMatrix(2);
      for (const { image } of train) {
        const n = Number(stem(image));
        // To this network the green of class 2 is ground.
        const found = seen(n, 3).map((id) => id === 1 ? 1 : 0);
        matrix.add(truth(n, 3).map((id) => id === 2 ? 255 : id), found);
      }
      const report = JSON.parse(await Deno.readTextFile(`${folder}/s.json`));
      const { meanIoU, pixelAccuracy } = matrix.scores();
      assertEquals([report.meanIoU, report.pixelAccuracy], [meanIoU, pixelAccuracy]);
      assertEquals(report.classes.map(({ name }: { name: string }) => name), ["ground", "roof"]);
    }),
);

Deno.test(
  "evaluate: classes that differ, a strange mask and missing data are told",
  { ignore },
  () =>
    inFolder(async (folder) => {
      await writeSet(folder, CLASSES);
      const refused = async (args: readonly string[], message: string) => {
        const { code, err } = await runCommand(folder, ["evaluate", ...args]);
        assertStringIncludes(err, message);
        assertEquals([code, err.trimEnd().split("\n").length], [1, 1], err);
      };
      const [ground, roof, tree] = CLASSES;
      assert(ground && roof && tree);
      await Deno.writeFile(`${folder}/two.safetensors`, tinyCheckpoint([ground, roof]));
      await refused(
        ["-m", "two.safetensors"],
        "two.safetensors has 2 classes, but data has 3 (the difference: tree)",
      );
      await Deno.writeFile(`${folder}/other.safetensors`, tinyCheckpoint([ground, tree, roof]));
      await refused(
        ["-m", "other.safetensors"],
        "class 1 is tree in other.safetensors, but roof in data",
      );
      await refused(["-m", "gone.safetensors"], "gone.safetensors does not exist");
      await Deno.writeTextFile(`${folder}/m.pth`, "this is no network");
      await refused(["-m", "m.pth"], "m.pth: could not be read as a PyTorch file: it begins like");
      await refused(["-m", "m.safetensors", "--data", "none"], "no data folder none");

      // What a slip would overwrite.
      const photo = "data/raw/train/images/0.png";
      const usage = await runCommand(folder, ["evaluate", "-m", "m.safetensors", "--json", photo]);
      assertStringIncludes(usage.err, `--json must end with .json, got '${photo}'`);
      assertEquals(usage.code, 2);
      for (const flag of ["--json", "--report"]) {
        const inFile = flag === "--json" ? ["two.safetensors/s.json"] : ["two.safetensors"];
        await refused(
          ["-m", "m.safetensors", flag, ...inFile],
          `cannot write into ${flag} two.safetensors: it is no folder`,
        );
      }

      await Deno.mkdir(`${folder}/s.json`);
      await refused(["-m", "m.safetensors", "--json", "s.json"], "--json s.json: it is a folder");

      const { valid: [first] } = await loadDataset(`${folder}/data`, ["valid"]);
      assert(first?.mask);
      const data = new Uint8Array(PIXELS).fill(77);
      await Deno.writeFile(
        first.mask,
        encodePng({ width: WIDTH, height: HEIGHT, channels: 1, data }),
      );
      const strange = await runCommand(folder, ["evaluate", "-m", "m.safetensors"]);
      assertEquals(strange.code, 1);
      assertStringIncludes(strange.err, `${stem(first.mask)}.png holds the value 77`);
    }),
);
