import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { encodePng } from "../../src/data/png_write.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { decodeCheckpoint } from "../../src/io/checkpoint.ts";
import { inFolder, noProcesses, runCommand } from "./run_command.ts";
import { checkpointContent, writeRaw } from "./tiny_data.ts";

const unet = (folder: string, ...args: string[]) => runCommand(folder, args);

const SMALL = ["-s", "1", "--width", "4", "-b", "3"];

function read(folder: string, name: string) {
  const bytes = Deno.readFileSync(`${folder}/checkpoints/${name}.safetensors`);
  return decodeCheckpoint(bytes, name);
}

Deno.test({
  name: "train learns, saves, adds epochs with -f, and evaluate agrees",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      // 0 and 255 are two classes, whatever their values.
      writeRaw(folder, [0, 255]);
      assertEquals((await unet(folder, "data")).code, 0);
      const first = await unet(
        folder,
        "train",
        "-e",
        "12",
        ...SMALL,
        "--optimizer",
        "adamw",
        "-l",
        "0.01",
      );
      assertEquals(first.code, 0, first.err);
      assertStringIncludes(first.err, "unet-small of width 4");
      const last = read(folder, "last");
      assertEquals(last.info.epoch, 12);
      const steps = last.info.step / 12;
      assert(steps >= 3 && Number.isInteger(steps), `${steps} steps an epoch`);
      assertEquals(last.info.scale, 1);
      assertEquals(last.info.classes.map((c) => [c.name, c.value]), [["ground", 0], ["roof", 255]]);
      assertEquals(last.config, read(folder, "CP_epoch12").config);
      assertEquals(read(folder, "CP_epoch10").info.epoch, 10);
      const best = read(folder, "best");
      assert((best.info.metrics?.meanIoU ?? 0) > 0.8, `mean IoU ${best.info.metrics?.meanIoU}`);

      const scored = await unet(folder, "evaluate", "--json", "scores.json");
      assertEquals(scored.code, 0, scored.err);
      const scores = JSON.parse(Deno.readTextFileSync(`${folder}/scores.json`));
      // At scale 1 both score the same pixels.
      assertAlmostEquals(scores.meanIoU, best.info.metrics?.meanIoU ?? NaN, 1e-9);

      const load = ["-f", "checkpoints/CP_epoch10.safetensors"];
      const more = await unet(folder, "train", ...load, "-e", "1", "-s", "1", "-b", "3");
      assertEquals(more.code, 0, more.err);
      assertEquals(read(folder, "last").info.epoch, 11);
      assertEquals(read(folder, "last").config.width, 4);
      // Two sizes: the network keeps the statistics that it knows, and what it has learnt.
      assertStringIncludes(more.err, "uses the statistics that came with the loaded weights");
      const score = (name: string) => read(folder, name).info.metrics?.meanIoU ?? NaN;
      assert(score("last") > score("CP_epoch10") - 0.1, `${score("last")} after -f`);

      // Going on from weights that learned nothing must not replace the best.
      const idle = [...SMALL, "-e", "1", "-l", "1e-9"];
      await unet(folder, "train", ...idle, "--checkpoints", "idle");
      const worse = await unet(folder, "train", ...idle, "-f", "idle/last.safetensors");
      assertEquals(worse.code, 0, worse.err);
      assert(score("last") < score("best"), `${score("last")} is not worse`);
      assertEquals(read(folder, "best").info, best.info);

      // The best of another network is not in the way, and not lost.
      const wide = ["-s", "1", "-e", "1", "-b", "3", "-l", "1e-9"];
      await unet(folder, "train", ...wide, "--width", "5", "--checkpoints", "idle");
      const wider = await unet(folder, "train", ...wide, "-f", "idle/last.safetensors");
      assertEquals(wider.code, 0, wider.err);
      assertEquals(read(folder, "best").config.width, 5);
      assertEquals(read(folder, "best.backup").info, best.info);

      const other = await unet(folder, "train", ...load, "--width", "8");
      assertEquals(other.code, 1);
      assertStringIncludes(other.err, "width 4");
      assertStringIncludes(other.err, "width 8");
    }),
});

Deno.test({
  name: "train gives the same weights for the same seed",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      writeRaw(folder);
      assertEquals((await unet(folder, "data")).code, 0);
      const run = async (seed: string, name: string, ...more: string[]) => {
        const where = ["--seed", seed, "--checkpoints", name, ...more];
        const { code, err } = await unet(folder, "train", "-e", "1", ...SMALL, ...where);
        assertEquals(code, 0, err);
        return Deno.readFileSync(`${folder}/${name}/last.safetensors`);
      };
      const a = await run("1", "a");
      assertEquals(checkpointContent(await run("1", "b"), "b"), checkpointContent(a, "a"));
      const best = Deno.readFileSync(`${folder}/b/best.safetensors`);
      await run("3", "b");
      assertEquals(Deno.readFileSync(`${folder}/b/best.backup.safetensors`), best);
      const c = decodeCheckpoint(await run("2", "c"), "c");
      const recipe = ["--schedule", "cosine", "--class-weights", "auto"];
      const d = await run("1", "d", ...recipe);
      assertEquals(
        checkpointContent(await run("1", "e", ...recipe), "e"),
        checkpointContent(d, "d"),
      );
      assertNotEquals(decodeCheckpoint(d, "d").tensors, decodeCheckpoint(a, "a").tensors);
      const weight = "inc.double_conv.0.weight";
      assert(
        c.tensors.get(weight)?.join() !== decodeCheckpoint(a, "a").tensors.get(weight)?.join(),
      );
    }),
});

Deno.test({
  name: "train refuses what it cannot do, in one line, and keeps old checkpoints",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      const fails = async (status: number, says: string, ...args: string[]) => {
        const { code, err } = await unet(folder, "train", ...args);
        const errors = err.split("\n").filter((line) => line.startsWith("error:"));
        assertEquals([code, errors.length], [status, 1], err);
        assertStringIncludes(errors[0] ?? "", says);
      };
      await fails(1, "deno task data");
      await fails(2, "--name becomes a part of a folder's name", "--name", "../../x", "--dry-run");
      writeRaw(folder);
      assertEquals((await unet(folder, "data")).code, 0);
      await fails(2, "--crop must be a number of pixels", "--crop", "64x");
      await fails(1, "--crop 3x3 is too small", "--crop", "3", ...SMALL);
      const whole = "--crop 25x24 (height x width) is larger than every photo: none is above 23x24";
      await fails(1, whole, "--crop", "25x24", ...SMALL);
      await fails(2, "no effect on --loss dice", "--loss", "dice", "--class-weights", "auto");
      await fails(1, "x does not exist", "--resume", "x");
      await fails(1, "neither last.safetensors nor INTERRUPTED", "--resume");
      await fails(1, "use one of them", "--resume", "-f", "x");
      await fails(2, "--batch-size", "-b", "many");
      await fails(2, "--epochs", "-e", "0");
      if (Deno.build.os !== "windows") {
        const made = await new Deno.Command("mkfifo", { args: [`${folder}/pipe`] }).output();
        assert(made.success);
        const refused = "pipe: a file is needed, and this is a named pipe; save what it gives";
        await fails(1, `cannot read --load ${refused}`, "-f", "pipe");
        await fails(1, `cannot read --resume ${refused}`, "--resume", "pipe");
        await fails(1, `cannot read ${refused}`, "--class-weights", "pipe");
      }
      await fails(1, "nothing.safetensors", "-f", "nothing.safetensors");
      await fails(1, "pixels at scale 0.1, but unet-small needs at least 4 x 4", "-s", "0.1");
      await fails(2, "--scale", "-s", "0");
      Deno.writeTextFileSync(`${folder}/file`, "no folder");
      const dry = [...SMALL, "--dry-run"];
      const cannot = (flag: string) => `cannot write into ${flag} file: it is no folder`;
      await fails(1, cannot("--checkpoints"), ...dry, "--checkpoints", "file");
      await fails(1, "file/a/b: file is no folder", ...SMALL, "--checkpoints", "file/a/b");
      await fails(1, cannot("--runs"), ...dry, "--runs", "file");
      await fails(1, "what would fit", ...SMALL, "--width", "40000");

      // Weights of 1e15 overflow in the second step; what was saved before stays.
      Deno.mkdirSync(`${folder}/checkpoints`);
      Deno.writeTextFileSync(`${folder}/checkpoints/last.safetensors`, "precious");
      const hot = [...SMALL, "--clip", "0", "--optimizer", "sgd", "-l", "9e15"];
      const where = "(step 3): the loss became NaN; in step 2, the output of inc.double_conv.4";
      await fails(1, where, ...hot);
      using gpu = await requestGpu();
      if (gpu.supportsF16) {
        const advice = "(-f) with --precision f32 or a lower learning rate";
        await fails(1, advice, ...hot, "--precision", "f16");
      }
      assertEquals(Deno.readTextFileSync(`${folder}/checkpoints/last.safetensors`), "precious");

      // One photo that is too small, last in the validation split.
      const valid = `${folder}/data/processed/df_valid.csv`;
      const table = Deno.readTextFileSync(valid);
      const tiny = (channels: 1 | 3) =>
        encodePng({ width: 3, height: 40, channels, data: new Uint8Array(3 * 40 * channels) });
      Deno.writeFileSync(`${folder}/data/raw/train/images/tiny.png`, tiny(3));
      Deno.writeFileSync(`${folder}/data/raw/train/masks/tiny.png`, tiny(1));
      const [images, masks] = ["data/raw/train/images/tiny.png", "data/raw/train/masks/tiny.png"];
      Deno.writeTextFileSync(valid, `${table.trimEnd()}\n${images},${masks},0,0,1,[0]\n`);
      await fails(1, "images/tiny.png is 3 x 40 pixels at scale 1", ...SMALL);
      Deno.removeSync(valid);
      await fails(1, "df_valid.csv is missing; run deno task data again", ...SMALL);
      Deno.writeTextFileSync(valid, table);

      // A value that `data` did not see.
      Deno.mkdirSync(`${folder}/checkpoints`, { recursive: true });
      Deno.writeTextFileSync(`${folder}/checkpoints/best.safetensors`, "precious");
      const mask = new Uint8Array(24 * 20).fill(7);
      for (const i of [0, 1, 3, 4, 5, 7, 8, 9]) {
        const png = encodePng({ width: 24, height: 20, channels: 1, data: mask });
        Deno.writeFileSync(`${folder}/data/raw/train/masks/p${i}.png`, png);
      }
      await fails(1, "holds the value 7", "-e", "1", ...SMALL);
      assertEquals(Deno.readTextFileSync(`${folder}/checkpoints/best.safetensors`), "precious");
    }),
});
