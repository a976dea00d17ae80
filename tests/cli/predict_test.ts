import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readMask } from "../../src/data/mask.ts";
import { decodePng } from "../../src/data/png.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { RED_BLUE_JPEG } from "../data/sample_jpeg.ts";
import { inFolder, namesIn, noProcesses, runCommand } from "./run_command.ts";
import { CLASSES, tinyCheckpoint } from "./tiny_model.ts";

const ignore = noProcesses;

/** Odd, and no multiple of four, so that padding and row lengths matter. */
const [WIDTH, HEIGHT] = [37, 23];

/** Class 1 in the left part, class 2 at the bottom, class 0 elsewhere. */
const classAt = (x: number, y: number): number => y > 12 ? 2 : x < 15 ? 1 : 0;

/** A photo whose colours are those classes to the network of tiny_model.ts. */
function photo(width = WIDTH, height = HEIGHT): Uint8Array {
  const data = new Uint8Array(width * height * 3).fill(20);
  for (let i = 0; i < width * height; i++) {
    const id = classAt(i % width, Math.floor(i / width));
    if (id > 0) data[3 * i + id - 1] = 230;
  }
  return encodePng({ width, height, channels: 3, data });
}

/** The ids of {@linkcode photo}. */
function truth(width = WIDTH, height = HEIGHT): Uint8Array {
  return Uint8Array.from(
    { length: width * height },
    (_, i) => classAt(i % width, Math.floor(i / width)),
  );
}

async function maskAt(path: string) {
  return readMask(await Deno.readFile(path), path);
}

/** A folder with the network as `m.safetensors` and photos of these names. */
function withPhotos(names: readonly string[], body: (folder: string) => Promise<void>) {
  return inFolder(async (folder) => {
    await Deno.writeFile(`${folder}/m.safetensors`, tinyCheckpoint());
    for (const name of names) await Deno.writeFile(`${folder}/${name}`, photo());
    await body(folder);
  });
}

Deno.test(
  "predict: an indexed mask of the photo's size in class colours",
  { ignore },
  () =>
    withPhotos(["a.png"], async (folder) => {
      await Deno.mkdir(`${folder}/checkpoints`);
      await Deno.rename(`${folder}/m.safetensors`, `${folder}/checkpoints/best.safetensors`);
      const { code, out, err } = await runCommand(folder, ["predict", "-i", "a.png"]);
      assertEquals([code, out], [0, ""], err);
      assertStringIncludes(err, "Using device ");
      assertStringIncludes(err, "at scale 1");
      assertStringIncludes(err, "Mask of a.png saved to a_OUT.png");
      const mask = await maskAt(`${folder}/a_OUT.png`);
      assertEquals([mask.width, mask.height, mask.kind], [WIDTH, HEIGHT, "palette"]);
      assertEquals(mask.palette, CLASSES.map(({ color }) => color));
      assertEquals(mask.data, truth());
      assertEquals(await namesIn(folder), ["a.png", "a_OUT.png", "checkpoints"]);
    }),
);

Deno.test(
  "predict: windows and flips find the same classes",
  { ignore },
  () =>
    withPhotos(["a.png"], async (folder) => {
      for (const flags of [["--tile", "16", "--overlap", "0.5"], ["--tta"]]) {
        const { code, err } = await runCommand(folder, [
          ...["predict", "-m", "m.safetensors", "-i", "a.png", "-o", "mask.png"],
          ...flags,
        ]);
        assertEquals(code, 0, err);
        assertEquals((await maskAt(`${folder}/mask.png`)).data, truth());
      }
    }),
);

/** The float16 numbers of an array of NumPy's. */
function halves(npy: Uint8Array): Float16Array {
  const start = 10 + new DataView(npy.buffer).getUint16(8, true);
  return new Float16Array(npy.buffer.slice(start));
}

Deno.test("predict and evaluate: several scales average the probabilities of each", {
  ignore,
}, () =>
  withPhotos(["a.png"], async (folder) => {
    const predict = async (scales: string) => {
      const args = ["-i", "a.png", "-o", "mask.png", "--probabilities", "-s", scales];
      const { code, err } = await runCommand(folder, [
        ...["predict", "-m", "m.safetensors", ...args],
      ]);
      assertEquals(code, 0, err);
      const { data } = await maskAt(`${folder}/mask.png`);
      return { err, data, values: halves(await Deno.readFile(`${folder}/mask.npy`)) };
    };
    const [whole, small, both] = [await predict("1"), await predict("0.6"), await predict("1,.6")];
    assertStringIncludes(both.err, "Predicting 1 photo at scales 1, 0.6");
    assertEquals(both.values.length, CLASSES.length * WIDTH * HEIGHT);
    both.values.forEach((value, i) => {
      const mean = (whole.values[i]! + small.values[i]!) / 2;
      // One scale alone is interpolated as logits, several as probabilities.
      assert(Math.abs(value - mean) < 0.02, `${value} at ${i}, expected ${mean}`);
    });
    assert(whole.values.some((value, i) => Math.abs(value - small.values[i]!) > 0.1));
    const shares = both.data.filter((id, i) => id === truth()[i]).length / both.data.length;
    assert(shares > 0.9, `${shares}`);

    for (const part of ["train/images", "train/masks"]) {
      await Deno.mkdir(`${folder}/data/raw/${part}`, { recursive: true });
    }
    const names = CLASSES.map(({ name }) => name);
    await Deno.writeTextFile(`${folder}/data/raw/labels.txt`, names.join("\n") + "\n");
    const mask = encodePng({ width: WIDTH, height: HEIGHT, channels: 1, data: both.data });
    for (const [n, size] of [WIDTH, WIDTH + 1].entries()) {
      const pair = `${folder}/data/raw/train`;
      await Deno.writeFile(`${pair}/images/${n}.png`, photo(size));
      const own = encodePng({ width: size, height: HEIGHT, channels: 1, data: truth(size) });
      await Deno.writeFile(`${pair}/masks/${n}.png`, n === 0 ? mask : own);
    }
    const prepared = await runCommand(folder, ["data"]);
    assertEquals(prepared.code, 0, prepared.err);
    const split = (await Deno.readTextFile(`${folder}/data/processed/df_valid.csv`))
        .includes("images/0.png")
      ? "valid"
      : "train";
    const scored = await runCommand(folder, [
      ...["evaluate", "-m", "m.safetensors", "--split", split, "-s", "1,0.6", "--json", "s.json"],
      ...["--report", "one.html"],
    ]);
    assertEquals(scored.code, 0, scored.err);
    assertStringIncludes(scored.err, `(${split}) at scales 1, 0.6`);
    // What predict wrote is taken for the truth here.
    assertStringIncludes(await Deno.readTextFile(`${folder}/s.json`), '"pixelAccuracy": 1,');
    const page = await Deno.readTextFile(`${folder}/one.html`);
    assertStringIncludes(page, "photos at scales 1, 0.6, masks of data");
  }));

Deno.test("predict: several photos, named masks, figures; a bad file costs only itself", {
  ignore,
}, () =>
  withPhotos(["a.png", "c.png"], async (folder) => {
    await Deno.writeTextFile(`${folder}/b.png`, "this is no picture");
    await Deno.writeFile(`${folder}/d.png`, photo(8, 9));
    const { code, err } = await runCommand(folder, [
      ...["predict", "-m", "m.safetensors", "-i", "a.png", "b.png", "c.png", "d.png", "gone.png"],
      ...["-o", "new/A.png", "new/B.png", "new/C.png", "new/D.png", "new/E.png", "--viz"],
    ]);
    assertEquals(code, 1, err);
    assertStringIncludes(err, "ERROR - cannot read b.png");
    assertStringIncludes(err, "ERROR - gone.png does not exist");
    assertStringIncludes(err, "2 of 5 photos failed");
    assertEquals(await namesIn(`${folder}/new`), ["A.png", "C.png", "D.png"]);
    assertEquals((await maskAt(`${folder}/new/C.png`)).data, truth());
    assertEquals((await maskAt(`${folder}/new/D.png`)).data, truth(8, 9));
    assertEquals(await namesIn(`${folder}/reports/predict`), [
      ...["image_pair_jet_a.png", "image_pair_jet_c.png", "image_pair_jet_d.png"],
      ...["sample_a.png", "sample_c.png", "sample_d.png"],
    ]);
  }));

Deno.test("predict: --nosave writes no mask; one photo's figures have the plain names", {
  ignore,
}, () =>
  withPhotos(["a.png"], async (folder) => {
    const { code, err } = await runCommand(folder, [
      ...["predict", "-m", "m.safetensors", "-i", "a.png", "-n", "-v"],
    ]);
    assertEquals(code, 0, err);
    assertEquals(await namesIn(folder), ["a.png", "m.safetensors", "reports"]);
    const figures = `${folder}/reports/predict`;
    assertEquals(await namesIn(figures), ["image_pair_jet.png", "sample.png"]);
    const pair = decodePng(await Deno.readFile(`${figures}/image_pair_jet.png`), "pair");
    assert(pair.width > 2 * WIDTH && pair.height > HEIGHT);
    const colours = new Set<string>();
    for (let i = 0; i < pair.data.length; i += 3) {
      colours.add(pair.data.subarray(i, i + 3).join());
    }
    // Jet's ends: the first class dark blue, the last one dark red.
    for (const colour of ["0,0,127", "127,0,0"]) assert(colours.has(colour), colour);
  }));

Deno.test(
  "predict: folders and patterns; masks of an earlier run are no photos",
  { ignore },
  () =>
    inFolder(async (folder) => {
      await Deno.writeFile(`${folder}/m.safetensors`, tinyCheckpoint());
      await Deno.mkdir(`${folder}/photos`);
      for (const name of ["b.png", "a.PNG", "b_OUT.png"]) {
        await Deno.writeFile(`${folder}/photos/${name}`, photo());
      }
      await Deno.writeFile(`${folder}/photos/c.jpg`, RED_BLUE_JPEG);
      await Deno.writeTextFile(`${folder}/photos/notes.txt`, "not a photo");
      const predict = (...args: string[]) =>
        runCommand(folder, ["predict", "-m", "m.safetensors", ...args]);

      const all = await predict("-i", "photos", "photos/b.png", "--out", "masks");
      assertEquals(all.code, 0, all.err);
      assertEquals(await namesIn(`${folder}/masks`), ["a.png", "b.png", "c.png"]);
      const some = await predict("-i", "photos/?.png", "--out", "some");
      assertEquals(some.code, 0, some.err);
      assertEquals(await namesIn(`${folder}/some`), ["b.png"]);
      const none = await predict("-i", "photos/*.tif");
      assertEquals(none.code, 1);
      assertStringIncludes(none.err, "no photo in 'photos/*.tif'");
    }),
);

Deno.test(
  "predict: nothing may overwrite a photo, and outputs fit the inputs",
  { ignore },
  () =>
    withPhotos(["a.png", "b.png"], async (folder) => {
      const before = await Deno.readFile(`${folder}/b.png`);
      await Deno.symlink(`${folder}/b.png`, `${folder}/link.png`);
      for (const part of ["images", "masks"]) {
        await Deno.mkdir(`${folder}/${part}`);
        await Deno.copyFile(`${folder}/a.png`, `${folder}/${part}/c.png`);
      }
      await Deno.writeTextFile(`${folder}/images/d.png`, "\xff\xd8 as a camera writes it");
      for (
        const [args, message] of [
          [["-i", "a.png", "b.png", "-o", "b.png", "x.png"], "b.png would overwrite a photo"],
          [["-i", "a.png", "b.png", "-o", "x.png", "link.png"], "link.png would overwrite a photo"],
          [["-i", "a.png", "--out", "."], "a.png would overwrite a photo"],
          [["-i", "images/c.png", "--out", "masks"], "masks/c.png would overwrite the true one"],
          [["-i", "a.png", "-o", "images/c.png"], "images/c.png would overwrite a PNG that is no"],
          [["-i", "a.png", "-o", "images/d.png"], "images/d.png would overwrite a file that is no"],
          [["-i", "a.png", "b.png", "-o", "x.png"], "names 1 mask, but --input gives 2 photos"],
          [["-i", "a.png", "b.png", "-o", "x.png", "x.png"], "would both be x.png"],
          [["-i", "a.png", "-o", "x.jpg"], "'x.jpg' does not end with .png"],
          [["-i", "a.png", "-o", "x.png", "--out", "y"], "give one of them"],
          [["-i", "a.png", "--shard", "3/2"], "--shard takes i/n"],
          [["-i", "a.png", "-n", "--resume"], "--nosave writes nothing"],
          [["-i", "a.png", "--flips", "all"], "give --tta, too"],
          [["-i", "a.png", "-s", "0.5,1,0.5"], "--scale names 0.5 twice, got '0.5,1,0.5'"],
          [["-i", "a.png", "-s", "0.5,"], "--scale takes a number, got ''"],
          [["-i", "a.png", "-s", "0.5,2"], "--scale must be between 0.001 and 1, got 2"],
          [["-i", "a.png", "--tile", "8"], "--tile must be between 16 and"],
          [["-i", "a.png", "-t", "0.5"], "for networks of two classes, m.safetensors has 3"],
          [["-o", "x.png"], "--input must be given"],
        ] as const
      ) {
        const { code, err } = await runCommand(folder, [
          "predict",
          "-m",
          "m.safetensors",
          ...args,
        ]);
        assertStringIncludes(err, message);
        assertEquals([code, message], [2, message]);
      }
      assertEquals(await Deno.readFile(`${folder}/b.png`), before);
      const names = ["a.png", "b.png", "images", "link.png", "m.safetensors", "masks"];
      assertEquals(await namesIn(folder), names);
    }),
);

Deno.test(
  "predict: the threshold of two-class networks; masks that can be seen",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const classes = [
        { name: "cell", color: [0, 0, 0], value: 0 },
        { name: "nucleus", color: [1, 1, 1], value: 255 },
      ] as const;
      await Deno.writeFile(`${folder}/m.safetensors`, tinyCheckpoint(classes));
      // Rising red: logits are 0.5 and red, so class 1 has the probability sigmoid(red - 0.5).
      const data = Uint8Array.from({ length: 256 * 4 * 3 }, (_, i) => i % 3 ? 0 : (i / 3) % 256);
      const ramp = encodePng({ width: 256, height: 4, channels: 3, data });
      await Deno.writeFile(`${folder}/ramp.png`, ramp);
      const firstOfClass1 = async (...args: string[]) => {
        const { code, err } = await runCommand(folder, [
          ...["predict", "-m", "m.safetensors", "-i", "ramp.png", "-o", "mask.png", ...args],
        ]);
        assertEquals(code, 0, err);
        const mask = await maskAt(`${folder}/mask.png`);
        assertEquals(mask.palette, [[0, 0, 0], [255, 255, 255]]);
        const row = [...mask.data.subarray(0, 256)];
        const first = row.indexOf(1);
        assertEquals(row, row.map((_, x) => first >= 0 && x >= first ? 1 : 0));
        return first;
      };
      const expected = (threshold: number) => 255 * (0.5 + Math.log(threshold / (1 - threshold)));
      for (
        const [args, threshold] of [[[], 0.5], [["-t", "0.4"], 0.4], [["-t", "0.6"], 0.6]] as const
      ) {
        const found = await firstOfClass1(...args);
        assert(Math.abs(found - expected(threshold)) <= 1.5, `${found} at ${threshold}`);
      }
      assertEquals(await firstOfClass1("-t", "1"), -1);
    }),
);

Deno.test(
  "predict: at another scale the mask still has the photo's size",
  { ignore },
  () =>
    withPhotos(["a.png"], async (folder) => {
      const { code, err } = await runCommand(folder, [
        ...["predict", "-m", "m.safetensors", "-i", "a.png", "-s", "0.5"],
      ]);
      assertEquals(code, 0, err);
      const { width, height, data } = await maskAt(`${folder}/a_OUT.png`);
      assertEquals([width, height], [WIDTH, HEIGHT]);
      const wrong = truth().filter((id, i) => id !== data[i]).length;
      // Only edges may differ, by a pixel or two.
      assert(wrong > 0 && wrong < 0.12 * data.length, `${wrong} of ${data.length}`);
      const small = await runCommand(folder, [
        ...["predict", "-m", "m.safetensors", "-i", "a.png", "-s", "0.01"],
      ]);
      assertEquals(small.code, 1);
      assertStringIncludes(small.err, "cannot predict a.png at 1 x 1 pixels");
      assertStringIncludes(small.err, "at least 4 x 4 pixels; use a larger scale (-s)");
      await Deno.writeFile(`${folder}/thin.png`, photo(3, 20));
      const thin = await runCommand(folder, [
        ...["predict", "-m", "m.safetensors", "-i", "thin.png", "-s", "1"],
      ]);
      assertEquals(thin.code, 1);
      assertStringIncludes(thin.err, "cannot predict thin.png at 3 x 20 pixels");
      // 1 is the largest scale.
      assertStringIncludes(thin.err, "at least 4 x 4 pixels; remove this photo, or leave it out");
    }),
);

Deno.test("predict: a missing model and a missing adapter are one line each", {
  ignore: ignore || Deno.build.os !== "linux",
}, () =>
  withPhotos(["a.png"], async (folder) => {
    const gone = await runCommand(folder, ["predict", "-i", "a.png"]);
    assertEquals(gone.code, 1);
    assertEquals(
      gone.err,
      "error: checkpoints/best.safetensors does not exist; train a network with deno task train, " +
        "or name another checkpoint\n",
    );
    // Linux has no Direct3D, so no adapter is left.
    const blind = await runCommand(
      folder,
      ["predict", "-m", "m.safetensors", "-i", "a.png"],
      { DENO_WEBGPU_BACKEND: "dx12" },
    );
    assertEquals(blind.code, 1);
    assertStringIncludes(blind.err, "error: no GPU adapter; run sudo apt-get install mesa-vulkan");
    assertEquals(blind.err.trimEnd().split("\n").length, 1, blind.err);
  }));
