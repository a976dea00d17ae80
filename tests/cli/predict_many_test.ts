import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { shardOf, shareOf } from "../../cli/predict_shard.ts";
import { nameKey } from "../../cli/predict_files.ts";
import { matchingFiles } from "../../cli/glob.ts";
import { readMask } from "../../src/data/mask.ts";
import { decodePng } from "../../src/data/png.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { InputError, UsageError } from "../../src/errors.ts";
import {
  encodeSafetensors,
  float32Tensor,
  parseSafetensors,
  type SafeTensor,
} from "../../src/io/safetensors.ts";
import { inFolder, namesIn, noProcesses, runCommand } from "./run_command.ts";
import { CLASSES, tinyCheckpoint } from "./tiny_model.ts";

const ignore = noProcesses;

const [WIDTH, HEIGHT] = [21, 14];

/** Class 1 on the left, 2 on the right of `edge`, to the network of tiny_model.ts. */
function photo(edge: number): Uint8Array {
  const data = new Uint8Array(WIDTH * HEIGHT * 3);
  for (let i = 0; i < WIDTH * HEIGHT; i++) data[3 * i + (i % WIDTH < edge ? 0 : 1)] = 240;
  return encodePng({ width: WIDTH, height: HEIGHT, channels: 3, data });
}

const truth = (edge: number) =>
  Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => i % WIDTH < edge ? 1 : 2);

/** A folder with the network and `photos` of rising edges, and the command for it. */
function withPhotos(
  photos: number,
  body: (
    folder: string,
    predict: (args: string[], env?: Record<string, string>) => ReturnType<
      typeof runCommand
    >,
  ) => Promise<void>,
): Promise<void> {
  return inFolder(async (folder) => {
    await Deno.writeFile(`${folder}/m.safetensors`, tinyCheckpoint());
    await Deno.mkdir(`${folder}/photos`);
    for (let i = 0; i < photos; i++) {
      await Deno.writeFile(`${folder}/photos/${i}.png`, photo(i + 3));
    }
    await body(
      folder,
      (args, env) => runCommand(folder, ["predict", "-m", "m.safetensors", ...args], env),
    );
  });
}

Deno.test(
  "predict: colours, overlay and probabilities beside the mask",
  { ignore },
  () =>
    withPhotos(1, async (folder, predict) => {
      // What killed runs left behind; the young one may be another machine's, still at work.
      await Deno.mkdir(`${folder}/out`);
      for (const [name, hours] of [["old.npy", 2], ["young.npy", 0], ["foreign", 2]] as const) {
        const path = `${folder}/out/.${name}.99999999.tmp`;
        await Deno.writeTextFile(path, "");
        const time = Date.now() / 1000 - hours * 3600;
        await Deno.utime(path, time, time);
      }
      const { code, err } = await predict([
        ...["-i", "photos/0.png", "-o", "out/m.png", "--color", "--overlay", "--probabilities"],
      ]);
      assertEquals(code, 0, err);
      const left = [".foreign.99999999.tmp", ".young.npy.99999999.tmp"];
      const names = [...left, "m.npy", "m.png", "m_color.png", "m_overlay.png"];
      assertEquals(await namesIn(`${folder}/out`), names);
      const pixels = async (name: string) =>
        decodePng(await Deno.readFile(`${folder}/out/${name}`), name);
      const ids = readMask(await Deno.readFile(`${folder}/out/m.png`), "m.png").data;
      assertEquals(ids, truth(3));
      const color = await pixels("m_color.png");
      const overlay = await pixels("m_overlay.png");
      const input = decodePng(photo(3), "photo");
      for (let i = 0; i < WIDTH * HEIGHT; i++) {
        for (let c = 0; c < 3; c++) {
          const wanted = CLASSES[ids[i]!]!.color[c]!;
          assertEquals(color.data[3 * i + c], wanted);
          const mean = (wanted + input.data[3 * i + c]!) / 2;
          assert(Math.abs(overlay.data[3 * i + c]! - mean) <= 0.5);
        }
      }
      const npy = await Deno.readFile(`${folder}/out/m.npy`);
      const header = new TextDecoder("latin1").decode(npy.subarray(0, 128));
      assertStringIncludes(
        header,
        "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 14, 21), }",
      );
      assertEquals([...npy.subarray(0, 10)], [0x93, 78, 85, 77, 80, 89, 1, 0, 118, 0]);
      const values = new Float16Array(npy.slice(128).buffer);
      assertEquals(values.length, 3 * HEIGHT * WIDTH);
      const pixelsOfClass = WIDTH * HEIGHT;
      ids.forEach((id, i) => {
        const each = [0, 1, 2].map((k) => values[k * pixelsOfClass + i]!);
        assertEquals(each.indexOf(Math.max(...each)), id);
        assert(Math.abs(each.reduce((a, b) => a + b) - 1) < 2e-3);
      });
      // Their sides fit, so nothing but the probabilities' own file is left out by --nosave.
      const nothing = await predict(["-i", "photos/0.png", "-n", "--probabilities"]);
      assertEquals(nothing.code, 0, nothing.err);
      assertEquals(await namesIn(folder), ["m.safetensors", "out", "photos"]);
    }),
);

Deno.test(
  "predict: probabilities that are no numbers are told",
  { ignore },
  () =>
    withPhotos(1, async (folder, predict) => {
      const { tensors, metadata } = parseSafetensors(tinyCheckpoint(), "tiny");
      const scaled = [...tensors].map(([name, tensor]): [string, SafeTensor] => {
        const factors = new Map([["inc.double_conv.0.weight", 300], ["outc.conv.weight", 3e38]]);
        const factor = factors.get(name);
        if (factor === undefined) return [name, tensor];
        const { buffer, byteOffset, byteLength } = tensor.data;
        const values = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
        return [name, float32Tensor(tensor.shape, values.map((value) => value * factor))];
      });
      await Deno.writeFile(`${folder}/m.safetensors`, encodeSafetensors(scaled, metadata));
      const { code, err } = await predict(["-i", "photos/0.png", "-o", "m.png", "--probabilities"]);
      assertEquals(code, 0, err);
      assertMatch(err, /WARNING - \d+ probabilities of photos\/0\.png are no numbers/);
    }),
);

Deno.test("predict: names that differ in capitals only are one file on Windows and macOS", () => {
  const [a, b] = ["/x/Photo.png", "/x/photo.png"];
  for (const system of ["windows", "darwin"]) assertEquals(nameKey(a, system), nameKey(b, system));
  assert(nameKey(a, "linux") !== nameKey(b, "linux"));
});

Deno.test("predict: many photos; what is bad or missing costs only itself; --resume goes on", {
  ignore,
}, () =>
  withPhotos(7, async (folder, predict) => {
    await Deno.writeTextFile(`${folder}/photos/4.png`, "no picture");
    await Deno.mkdir(`${folder}/empty`);
    const args = ["-i", "photos", "empty", "photos/*.jpg", "--out", "masks"];
    const first = await predict(args);
    assertEquals(first.code, 1);
    assertStringIncludes(first.err, "ERROR - no photo in empty");
    assertStringIncludes(first.err, "ERROR - no photo in 'photos/*.jpg'");
    assertStringIncludes(first.err, "ERROR - cannot read photos/4.png");
    assertStringIncludes(first.err, "1 of 7 photos failed");
    const made = ["0.png", "1.png", "2.png", "3.png", "5.png", "6.png"];
    assertEquals(await namesIn(`${folder}/masks`), made);
    for (const i of [0, 1, 2, 3, 5, 6]) {
      const mask = readMask(await Deno.readFile(`${folder}/masks/${i}.png`), `${i}`);
      assertEquals(mask.data, truth(i + 3));
    }

    // What nothing can be written to is told once, before any work.
    const nowhere = await predict(["-i", "photos", "--out", "m.safetensors"]);
    assertEquals([nowhere.code, nowhere.err.trimEnd().split("\n").length], [1, 1], nowhere.err);
    assertStringIncludes(nowhere.err, "cannot write into --out m.safetensors: it is no folder");

    // A mask that is there is left as it is, whatever it holds.
    await Deno.writeTextFile(`${folder}/masks/2.png`, "mine");
    await Deno.remove(`${folder}/masks/5.png`);
    await Deno.writeFile(`${folder}/photos/4.png`, photo(9));
    const second = await predict(["-i", "photos", "--out", "masks", "--resume"]);
    assertEquals(second.code, 0, second.err);
    assertStringIncludes(second.err, "5 of 7 photos done before");
    assertEquals(await Deno.readTextFile(`${folder}/masks/2.png`), "mine");
    assertEquals((await namesIn(`${folder}/masks`)).length, 7);
    const third = await predict(["-i", "photos", "--out", "masks", "--resume"]);
    assertEquals(third.code, 0, third.err);
    assert(!third.err.includes("Using device"), "nothing is left to do");
  }));

Deno.test(
  "predict: shares of a Slurm array and of --shard are all photos, each once",
  { ignore },
  () =>
    withPhotos(5, async (folder, predict) => {
      const args = ["-i", "photos", "--out", "masks"];
      const array = { SLURM_ARRAY_TASK_ID: "8", SLURM_ARRAY_TASK_COUNT: "2" };
      const slurm = { ...array, SLURM_ARRAY_TASK_MIN: "7", SLURM_ARRAY_TASK_MAX: "8" };
      const second = await predict(args, slurm);
      assertEquals(second.code, 0, second.err);
      assertStringIncludes(second.err, "Share 2 of 2 (SLURM_ARRAY_TASK_ID");
      assertEquals(await namesIn(`${folder}/masks`), ["1.png", "3.png"]);
      const first = await predict([...args, "--shard", "1/2"], slurm);
      assertEquals(first.code, 0, first.err);
      assertEquals((await namesIn(`${folder}/masks`)).length, 5);
      const beyond = await predict([...args, "--shard", "9/9"]);
      assertEquals([beyond.code, beyond.err.includes("0 of 5 photos")], [0, true], beyond.err);
    }),
);

Deno.test("predict: shards by environment", () => {
  const from = (env: Record<string, string>) => {
    const shard = shardOf(undefined, (name) => env[name]);
    return shard && [shard.index, shard.count];
  };
  assertEquals(from({}), undefined);
  assertEquals(from({ JOB_COMPLETION_INDEX: "0", JOB_COMPLETIONS: "4" }), [1, 4]);
  const slurm = (id: string, count: string, min: string, max: string, step = "1") => ({
    ...{ SLURM_ARRAY_TASK_ID: id, SLURM_ARRAY_TASK_COUNT: count, SLURM_ARRAY_TASK_MIN: min },
    ...{ SLURM_ARRAY_TASK_MAX: max, SLURM_ARRAY_TASK_STEP: step },
  });
  assertEquals(from(slurm("10", "4", "1", "10", "3")), [4, 4]);
  assertEquals(from(slurm("0", "16", "0", "15")), [1, 16]);
  assertThrows(() => from(slurm("5", "3", "1", "9")), UsageError, "unevenly spaced");
  assertThrows(() => from({ JOB_COMPLETION_INDEX: "2" }), UsageError, "JOB_COMPLETIONS is not set");
  for (const wrong of ["0/4", "5/4", "1", "a/b", "1/2/3"]) {
    assertThrows(() => shardOf(wrong), UsageError, "--shard takes i/n");
  }
  const all = Array.from({ length: 11 }, (_, i) => i);
  const shares = [1, 2, 3].map((index) => shareOf(all, { index, count: 3, source: "" }));
  assertEquals(shares.flat().sort((a, b) => a - b), all);
  assertEquals(shares.map(({ length }) => length), [4, 4, 3]);
});

Deno.test(
  "predict: pipes and devices are refused at once",
  { ignore: ignore || Deno.build.os === "windows" },
  () =>
    withPhotos(1, async (folder, predict) => {
      const made = await new Deno.Command("mkfifo", { args: [`${folder}/pipe.png`] }).output();
      assert(made.success);
      const { code, err } = await predict(["-i", "pipe.png", "photos/0.png", "--out", "masks"]);
      assertEquals(code, 1);
      assertStringIncludes(
        err,
        "ERROR - cannot read --input pipe.png: a file is needed, and this is a named pipe; save",
      );
      assertEquals(await namesIn(`${folder}/masks`), ["0.png"]);
      for (const [file, kind] of [["pipe.png", "named pipe"], ["/dev/zero", "device"]] as const) {
        // The later one of two counts.
        const model = await predict(["-i", "photos", "--out", "masks", "-m", file]);
        assertEquals(model.code, 1);
        assertStringIncludes(model.err, `error: cannot read --model ${file}: a file is needed`);
        assertStringIncludes(model.err, `this is a ${kind}; save what it gives to a file first\n`);
      }
    }),
);

Deno.test("patterns: names, folders, any depth", { ignore }, () =>
  inFolder(async (folder) => {
    for (const path of ["a/x.png", "a/b/y.png", "a/b/c/z.png", "d/x.png", "a/.h/h.png", "q.jpg"]) {
      await Deno.mkdir(`${folder}/${path.slice(0, path.lastIndexOf("/") + 1)}`, {
        recursive: true,
      });
      await Deno.writeTextFile(`${folder}/${path}`, "");
    }
    const find = async (pattern: string) =>
      (await matchingFiles(`${folder}/${pattern}`)).map((path) => path.slice(folder.length + 1));
    assertEquals(await find("*/x.png"), ["a/x.png", "d/x.png"]);
    assertEquals(await find("**/*.png"), ["a/b/c/z.png", "a/b/y.png", "a/x.png", "d/x.png"]);
    assertEquals(await find("a/**/?.png"), ["a/b/c/z.png", "a/b/y.png", "a/x.png"]);
    assertEquals(await find("*.jpg"), ["q.jpg"]);
    assertEquals(await find("nowhere/*.jpg"), []);
    assertEquals(await find("*"), ["q.jpg"]);

    // Permissions would not keep root out.
    const { readDir } = Deno;
    Deno.readDir = (path) => {
      if (!String(path).endsWith("/b")) return readDir(path);
      throw new Deno.errors.PermissionDenied("Permission denied (os error 13): readdir");
    };
    try {
      const says = "a/b: its permissions forbid it";
      await assertRejects(() => find("a/**/*.png"), InputError, says);
    } finally {
      Deno.readDir = readDir;
    }
  }));
