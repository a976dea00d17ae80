import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { loadDataset } from "../../src/data/dataset.ts";
import { readMask } from "../../src/data/mask.ts";
import { imageSize } from "../../src/data/photo.ts";
import { decodeCheckpoint } from "../../src/io/checkpoint.ts";
import { inFolder, namesIn, noProcesses, runCommand } from "./run_command.ts";

const demo = (folder: string, ...args: string[]) => runCommand(folder, ["demo", ...args]);

/** The number after `label` in `text`. */
function numberAfter(text: string, label: string): number {
  const at = text.indexOf(label);
  assert(at >= 0, `no "${label}" in ${text}`);
  return parseFloat(text.slice(at + label.length));
}

Deno.test({
  name: "demo: leaves pictures, data, a network and a summary whose numbers evaluate confirms",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      const first = await demo(folder, "--scenes", "10", "--epochs", "1", "--seed", "5");
      assertEquals(first.code, 0, first.err);
      // What is no demo's is never removed.
      Deno.mkdirSync(`${folder}/demo/runs/mine`);
      const photos = `${folder}/demo/data/raw/train/images`;
      Deno.writeTextFileSync(
        `${photos}/.scene_009.png.123.tmp`,
        "begun by a demo that was stopped",
      );
      const second = await demo(folder, "--scenes", "8", "--epochs", "2", "--seed", "7");
      assertEquals(second.code, 0, second.err);

      assertEquals(await namesIn(folder), ["demo"]);
      assertEquals(await namesIn(`${folder}/demo`), [
        ".made-by-demo",
        "checkpoints",
        "data",
        "overlays",
        "predictions",
        "runs",
        "summary.png",
      ]);
      // Of the second demo: the first one's run went with all that it had left.
      const [name = "", ...others] = await namesIn(`${folder}/demo/runs`);
      assertEquals(others, ["mine"]);
      const report = `demo/runs/${name}/report.html`;
      assertStringIncludes(second.err, `Curves, scores and images of this run: ${report}`);
      assertStringIncludes(second.out, "demo/runs ");
      const config = JSON.parse(Deno.readTextFileSync(`${folder}/demo/runs/${name}/config.json`));
      assertEquals([config.settings.seed, config.settings.scenes], [7, 8]);
      const rows = Deno.readTextFileSync(`${folder}/demo/runs/${name}/results.csv`).trimEnd();
      assertEquals(rows.split("\r\n").length, 3);
      assertStringIncludes(Deno.readTextFileSync(`${folder}/${report}`), "Finished");
      assertEquals(await namesIn(`${folder}/demo/checkpoints`), [
        "CP_epoch2.safetensors",
        "best.safetensors",
        "last.safetensors",
      ]);
      const test = ["scene_007.png", "scene_008.png"];
      for (const part of ["predictions", "overlays", "data/raw/test/images"]) {
        assertEquals(await namesIn(`${folder}/demo/${part}`), test);
      }
      assertEquals((await namesIn(photos)).length, 6);
      const { info, train, valid } = await loadDataset(`${folder}/demo/data`, ["train", "test"]);
      assertEquals([train.length + valid.length, info.images.test], [6, 2]);
      assert(info.classes.length >= 6);

      const mask = readMask(Deno.readFileSync(`${folder}/demo/predictions/${test[0]}`), "mask");
      assertEquals([mask.width, mask.height], [384, 256]);
      assert(mask.data.every((id) => id < info.classes.length));
      const sheet = imageSize(Deno.readFileSync(`${folder}/demo/summary.png`), "sheet");
      assert(sheet.width > 3 * 384 && sheet.height > 2 * 256);
      const best = "demo/checkpoints/best.safetensors";
      const checkpoint = decodeCheckpoint(Deno.readFileSync(`${folder}/${best}`), best);
      assertEquals(checkpoint.info.scale, 0.5);

      const { code, err } = await runCommand(folder, [
        ...["evaluate", "--data", "demo/data", "-m", best, "--split", "test", "--json", "s.json"],
      ]);
      assertEquals(code, 0, err);
      const scores = JSON.parse(Deno.readTextFileSync(`${folder}/s.json`));
      assertAlmostEquals(numberAfter(second.out, "mean IoU "), scores.meanIoU, 6e-4);
      for (const { name, iou } of scores.classes) {
        const shown = numberAfter(second.out, `\n  ${name.padEnd(10)}  `);
        assertAlmostEquals(shown, iou, 6e-4, name);
      }
      assertGuess(second.out, scores.classes);
      assertStringIncludes(second.out, "demo/summary.png");
      assertStringIncludes(second.out, "deno task predict");
    }),
});

/** Predicting one class everywhere scores its share of the pixels, and nothing for all others. */
function assertGuess(text: string, classes: readonly { name: string; pixels: number }[]): void {
  const name = /guessing "(.*)" everywhere/.exec(text)?.[1];
  const pixels = classes.find((entry) => entry.name === name)?.pixels ?? NaN;
  const total = classes.reduce((sum, entry) => sum + entry.pixels, 0);
  const present = classes.filter((entry) => entry.pixels > 0).length;
  assertAlmostEquals(numberAfter(text, "everywhere gives "), pixels / total / present, 6e-4);
}

Deno.test({
  name: "demo: a folder that no demo made is refused and left alone",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      Deno.mkdirSync(`${folder}/demo/data`, { recursive: true });
      Deno.writeTextFileSync(`${folder}/demo/notes.txt`, "mine");
      const { code, out, err } = await demo(folder, "--scenes", "8", "--epochs", "1");
      assertEquals([code, out], [1, ""]);
      assertStringIncludes(err, "error: demo exists and was not made by deno task demo");
      assertEquals(await namesIn(`${folder}/demo`), ["data", "notes.txt"]);
      assertEquals(await namesIn(`${folder}/demo/data`), []);
    }),
});

Deno.test({
  name: "demo: wrong flags are refused before anything is written",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      for (const args of [["--scenes", "3"], ["--epochs", "0"], ["--width", "4"]]) {
        assertEquals((await demo(folder, ...args)).code, 2);
      }
      assertEquals((await demo(folder, "-h")).code, 0);
      assertEquals(await namesIn(folder), []);
    }),
});
