import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { loadDataset } from "../../src/data/dataset.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { testData } from "../support.ts";
import { inFolder, noProcesses, runCommand } from "./run_command.ts";
import { grayPng, prepareSet, SIDE, writeSet } from "./small_set.ts";

const ignore = noProcesses;
const unet = (folder: string, ...args: string[]) => runCommand(folder, args);

const lines = (text: string): string[] => text.trimEnd().split("\n");

Deno.test(
  "data: photos may be called like predict's masks",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const train = `${folder}/data/raw/train`;
      // p0_OUT lies beside p0, but has a mask; there is no q to which q_OUT could belong.
      for (const [from, to] of [["p1", "p0_OUT"], ["p2", "q_OUT"]]) {
        for (const part of ["images", "masks"]) {
          await Deno.rename(`${train}/${part}/${from}.png`, `${train}/${part}/${to}.png`);
        }
      }
      const { code, err } = await unet(folder, "data");
      assertEquals(code, 0, err);
      assertStringIncludes(err, "-INFO - 6 images for training, 2 for validation, 2 for testing");
    }),
);

Deno.test(
  "data: prepares a sound set, and the loader reads it back",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      // What predict leaves beside photos.
      for (const name of ["test/images/t0_OUT.png", "train/images/p0_OUT_overlay.png"]) {
        await Deno.writeFile(`${folder}/data/raw/${name}`, grayPng(() => 0));
      }
      const { code, out, err } = await unet(folder, "data");
      assertStringIncludes(
        err,
        "left out of data/raw/test/images, named as predict's masks: t0_OUT",
      );
      assertEquals([code, out], [0, ""], err);
      assertStringIncludes(err, "-INFO - 6 images for training, 2 for validation, 2 for testing");
      const all = lines(await Deno.readTextFile(`${folder}/data/interim/df_data.csv`));
      assertEquals(all.length, 9);
      assertEquals(
        all[1],
        "data/raw/train/images/p0.png,data/raw/train/masks/p0.png,0,2,3,[ 0  1  2]",
      );
      const test = lines(await Deno.readTextFile(`${folder}/data/processed/df_test.csv`));
      assertEquals(test, [
        "img_name,height,width,channel",
        "data/raw/test/images/t1.png,6,6,3",
        "data/raw/test/images/t0.png,6,6,3",
      ]);
      const labels = lines(await Deno.readTextFile(`${folder}/data/processed/df_label.csv`));
      assertEquals(labels, ["label_name", "sky", "road", "tree"]);

      await Deno.rename(`${folder}/data`, `${folder}/moved`);
      const set = await loadDataset(`${folder}/moved`, ["train", "valid", "test"]);
      assertEquals(set.info.classes.map(({ name, value }) => [name, value]), [
        ["sky", 0],
        ["road", 1],
        ["tree", 2],
      ]);
      assertEquals(set.info.classes.map(({ pixels }) => pixels), [96, 96, 96]);
      assertEquals(set.info.classes.map(({ trainPixels }) => trainPixels), [72, 72, 72]);
      assertEquals(set.info.sizes, [{ width: 6, height: 6, images: 8 }]);
      assertEquals(
        [...set.train, ...set.valid].map(({ image }) => image).sort()[0],
        `${folder}/moved/raw/train/images/p0.png`,
      );
      assertEquals(set.test.map(({ mask }) => mask), [
        undefined,
        `${folder}/moved/raw/test/masks/t0.png`,
      ]);
    }),
);

Deno.test(
  "data: same seed same split, another seed another; backups; --raw untouched",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const raw = `${folder}/data/raw`;
      const split = async (seed: string) => {
        const { code, err } = await unet(
          folder,
          "data",
          "--raw",
          raw,
          "--data",
          "out",
          "--seed",
          seed,
        );
        assertEquals(code, 0, err);
        return await Deno.readTextFile(`${folder}/out/processed/df_train.csv`);
      };
      const first = await split("1");
      assert((await split("2")) !== first);
      assertEquals(await Deno.readTextFile(`${folder}/out/processed/df_train.csv.backup`), first);
      assertEquals(await split("1"), first);
      assertStringIncludes(first, `${raw}/train/images/p`);
      assertEquals([...Deno.readDirSync(`${folder}/data`)].map(({ name }) => name), ["raw"]);
    }),
);

Deno.test(
  "data: an ignored value, a binary set and a colour table",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const names = async (...args: string[]) => {
        const { code, err } = await unet(folder, "data", ...args);
        assertEquals(code, 0, err);
        const { info } = await loadDataset(`${folder}/data`);
        return info;
      };
      const ignored = await names("--ignore", "2");
      assertEquals(ignored.classes.map(({ name }) => name), ["sky", "road"]);
      assertEquals([ignored.ignore, ignored.ignoredPixels], [2, 96]);

      await Deno.remove(`${folder}/data/raw`, { recursive: true });
      writeSet(folder, [0, 255]);
      await Deno.writeTextFile(
        `${folder}/table.csv`,
        "name, r, g, b\nback, 1, 2, 3\nfore, 4, 5, 6\n",
      );
      const binary = await names("--classes", "table.csv");
      assertEquals(binary.classes.map(({ name, value, color }) => [name, value, color]), [
        ["back", 0, [1, 2, 3]],
        ["fore", 255, [4, 5, 6]],
      ]);
    }),
);

Deno.test(
  "data: photos of 16 bits that use little of them are told",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      const deep = (i: number, largest: number) => {
        const data = Uint16Array.from({ length: SIDE * SIDE }, (_, at) => at * i * 5);
        data[0] = largest;
        const photo = encodePng({ width: SIDE, height: SIDE, channels: 1, data });
        return Deno.writeFile(`${folder}/data/raw/train/images/p${i}.png`, photo);
      };
      const warnings = async () => (await prepareSet(folder)).warnings.join("\n");
      assert(!(await warnings()).includes("16 bits"));
      for (let i = 2; i < 8; i++) await deep(i, 4000 + 16 * (i - 2));
      assertStringIncludes(
        await warnings(),
        "6 of 10 photos have 16 bits a sample, but use only 6.3 % of their range " +
          "(data/raw/train/images/p2.png, data/raw/train/images/p3.png",
      );
      assertStringIncludes(await warnings(), "17 of 256 levels are left");
      // A dark photo in a set that uses the range.
      await deep(2, 40000);
      assert(!(await warnings()).includes("16 bits"));
    }),
);

Deno.test(
  "data: photos that are too small for any network are told, test photos too",
  { ignore },
  () =>
    inFolder(async (folder) => {
      writeSet(folder);
      await Deno.writeFile(`${folder}/data/raw/test/images/t7.png`, grayPng((at) => at, 3));
      const warnings = async (scale: number) =>
        (await prepareSet(folder, scale)).warnings.join("\n");
      const always = "1 of 11 photos are smaller than 4 x 4 pixels (data/raw/test/images/t7.png)";
      const whole = await warnings(1);
      assertStringIncludes(whole, `${always}, too small for any network; remove them`);
      assertEquals(whole.match(/smaller/g)?.length, 1);
      const half = await warnings(0.5);
      assertStringIncludes(half, always);
      assertStringIncludes(
        half,
        "10 of 11 photos are smaller than 4 x 4 pixels at scale 0.5 (data",
      );
    }),
);

interface Failure {
  readonly about: string;
  /** Spoils a sound set whose raw folder is `raw`. */
  readonly spoil: (raw: string) => void;
  readonly args?: string[];
  /** What the message must say. */
  readonly says: string[];
}

const FAILURES: Failure[] = [
  {
    about: "no photos folder",
    spoil: (raw) => Deno.removeSync(raw, { recursive: true }),
    says: ["no data/raw/train/images folder", "only earlier results in data/processed", "--raw"],
  },
  {
    about: "no masks folder",
    spoil: (raw) => Deno.removeSync(`${raw}/train/masks`, { recursive: true }),
    says: ["no data/raw/train/masks folder"],
  },
  {
    about: "a photo without mask and a mask without photo",
    spoil: (raw) => Deno.renameSync(`${raw}/train/masks/p3.png`, `${raw}/train/masks/q.png`),
    says: ["1 of 8 photos have no mask (p3.png)", "1 of 8 masks have no photo (q.png)"],
  },
  {
    about: "sizes that differ",
    spoil: (raw) => Deno.writeFileSync(`${raw}/train/masks/p3.png`, grayPng(() => 0, 5)),
    says: ["data/raw/train/images/p3.png is 6x6", "data/raw/train/masks/p3.png is 5x5"],
  },
  {
    about: "a truncated photo",
    spoil: (raw) => Deno.truncateSync(`${raw}/train/images/p4.png`, 60),
    says: ["data/raw/train/images/p4.png"],
  },
  {
    about: "a truncated mask and an empty photo",
    spoil: (raw) => {
      Deno.truncateSync(`${raw}/train/masks/p2.png`, 50);
      Deno.truncateSync(`${raw}/train/images/p7.png`, 0);
    },
    says: ["2 files cannot be used", "masks/p2.png", "images/p7.png"],
  },
  {
    about: "a truncated test photo",
    spoil: (raw) => Deno.truncateSync(`${raw}/test/images/t1.png`, 60),
    says: ["data/raw/test/images/t1.png"],
  },
  {
    about: "no names",
    spoil: (raw) => Deno.removeSync(`${raw}/labels.txt`),
    says: ["no data/raw/labels.txt", "one class name a line"],
  },
  {
    about: "an empty line among the names",
    spoil: (raw) => Deno.writeTextFileSync(`${raw}/labels.txt`, "sky\n\ntree\n"),
    says: ["line 2 of data/raw/labels.txt is empty"],
  },
  {
    about: "names in UTF-16, as some Windows editors write them",
    spoil: (raw) =>
      Deno.writeFileSync(
        `${raw}/labels.txt`,
        new Uint8Array(
          Uint16Array.from([..."\ufeffsky\nroad\ntree\n"], (c) => c.charCodeAt(0)).buffer,
        ),
      ),
    says: ["data/raw/labels.txt", "not UTF-8 text; save it as UTF-8"],
  },
  {
    about: "names in Latin-1",
    spoil: (raw) => Deno.writeFileSync(`${raw}/labels.txt`, Uint8Array.of(0x57, 0xe4, 0x6c, 0x0a)),
    says: ["data/raw/labels.txt", "not UTF-8 text; save it as UTF-8"],
  },
  {
    about: "a label map without names",
    spoil: (raw) => Deno.writeTextFileSync(`${raw}/map.txt`, "# label:color_rgb:parts:actions\n"),
    args: ["--classes", "data/raw/map.txt"],
    says: ["map.txt names no class", "name:r,g,b::"],
  },
];

Deno.test("data: what is wrong with the files is one line and status 1, and loses nothing", {
  ignore,
}, async (t) => {
  await inFolder(async (folder) => {
    writeSet(folder);
    assertEquals((await unet(folder, "data")).code, 0);
    const table = `${folder}/data/processed/df_train.csv`;
    const before = await Deno.readTextFile(table);
    for (const { about, spoil, args = [], says } of FAILURES) {
      await t.step(about, async () => {
        await Deno.remove(`${folder}/data/raw`, { recursive: true }).catch(() => undefined);
        writeSet(folder);
        spoil(`${folder}/data/raw`);
        const { code, out, err } = await unet(folder, "data", ...args);
        assertEquals([code, out], [1, ""], err);
        const errors = lines(err).filter((line) => !line.includes("-INFO - "));
        assertEquals(errors.length, 1, err);
        assert(errors[0]?.startsWith("error: "), err);
        for (const part of says) assertStringIncludes(err, part);
        assertEquals(await Deno.readTextFile(table), before);
        const names = [...Deno.readDirSync(`${folder}/data/processed`)].map(({ name }) => name);
        assertEquals(names.filter((name) => name.endsWith(".backup")), []);
      });
    }
  });
});

Deno.test("the command line: help, version and wrong usage", { ignore }, async (t) => {
  await inFolder(async (folder) => {
    const cases: [string[], number, "out" | "err", string][] = [
      [[], 0, "out", "commands:"],
      [["--help"], 0, "out", "demo "],
      [["--version"], 0, "out", "webgpu-unet "],
      [["data", "--help"], 0, "out", "--ratio X"],
      [["--adapter", "software", "data", "--version"], 0, "out", "webgpu-unet "],
      [["data"], 1, "err", "error: no data/raw/train/images folder: put photos there"],
      [["data", "--ratio", "1.5"], 2, "err", "error: --ratio must be between 0 and 1, got 1.5"],
      [["data", "--ratoi", "1"], 2, "err", "did you mean --ratio?"],
      [["data", "--seed"], 2, "err", "try `deno task data --help`"],
      [["--kernels", "cpu", "data"], 2, "err", "unknown option --kernels"],
      [["data", "--adapter", "fast"], 2, "err", "--adapter must be high, low or software"],
      [["daat"], 2, "err", "unknown command 'daat', did you mean data?"],
      [["export", "-m", "x"], 2, "err", "--output must be given"],
    ];
    for (const [args, status, stream, part] of cases) {
      await t.step(`unet ${args.join(" ")}`, async () => {
        const result = await unet(folder, ...args);
        assertEquals(result.code, status, result.err);
        assertStringIncludes(result[stream], part);
      });
    }
  });
});

const nuclei = ignore ? undefined : testData("nuclei");

Deno.test("data: the nuclei set, from a folder that is not written to", {
  ignore: nuclei === undefined,
}, () =>
  inFolder(async (folder) => {
    const { code, err } = await unet(folder, "data", "--raw", `${nuclei}/data/raw`);
    assertEquals(code, 0, err);
    const { info, train, valid, test } = await loadDataset(`${folder}/data`, ["train", "test"]);
    assertEquals([train.length, valid.length, test.length], [117, 39, 38]);
    assertEquals(info.classes.map(({ name }) => name), ["background", "nucleus"]);
    const pixels = info.classes.map((item) => item.pixels);
    const share = (pixels[1] ?? 0) / ((pixels[0] ?? 0) + (pixels[1] ?? 0));
    assert(share > 0.15 && share < 0.17, `nuclei cover ${share}`);
    assert(test.every(({ mask }) => mask !== undefined));
    assertEquals(info.sizes.length, 6);
  }));
