import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readMask } from "../../src/data/mask.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { type Checkpoint, decodeCheckpoint } from "../../src/io/checkpoint.ts";
import { decodeModel } from "../../src/io/decode_model.ts";
import { encodePthTensors } from "../../src/io/pth_write.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { inFolder, namesIn, noProcesses, runCommand } from "./run_command.ts";
import { CLASSES, tinyCheckpoint } from "./tiny_model.ts";

const ignore = noProcesses;

async function modelAt(path: string): Promise<Checkpoint> {
  return await decodeModel(await Deno.readFile(path), path);
}

/** The network of tiny_model.ts as somebody's .pth: weights only, no biases in front of batch norm. */
function foreignPth(classes: readonly (typeof CLASSES)[number][]): Uint8Array {
  const { tensors } = parseSafetensors(tinyCheckpoint(classes), "tiny");
  const kept = [...tensors].filter(([name]) =>
    !/double_conv\.[03]\.bias|num_batches_tracked/.test(name)
  );
  return encodePthTensors(kept);
}

Deno.test(
  "export: every format, what was written and how to read it",
  { ignore },
  () =>
    inFolder(async (folder) => {
      await Deno.mkdir(`${folder}/checkpoints`);
      await Deno.writeFile(`${folder}/checkpoints/best.safetensors`, tinyCheckpoint());
      const original = decodeCheckpoint(tinyCheckpoint(), "tiny");
      const written = async (name: string, python: string, ...args: string[]) => {
        const { code, out, err } = await runCommand(folder, ["export", "-o", name, ...args]);
        assertEquals([code, out], [0, ""], err);
        assertStringIncludes(
          err,
          ` written to ${name}: unet-small of width 4, bilinear upsampling`,
        );
        assertStringIncludes(err, "3 classes (ground, roof, tree)");
        const { size } = await Deno.stat(`${folder}/${name}`);
        assertStringIncludes(err, `${size.toLocaleString("en")} bytes`);
        assertStringIncludes(err, `In Python: ${python}`);
      };
      await written("new/a.pth", 'weights = torch.load("new/a.pth", weights_only=True)');
      await written("a.onnx", 'session = onnxruntime.InferenceSession("a.onnx")');
      await written(
        "b.safetensors",
        'weights = safetensors.torch.load_file("b.safetensors")',
        ...["-m", "new/a.pth"],
      );
      await written("less.PTH", "weights = torch.load", "--drop-bias");
      const before = await Deno.readFile(`${folder}/new/a.pth`);
      await written("new/a.pth", "weights = torch.load", "--drop-bias");
      assertEquals(await Deno.readFile(`${folder}/new/a.pth.backup`), before);
      await Deno.rename(`${folder}/new/a.pth.backup`, `${folder}/new/a.pth`);
      // Nothing is lost on the way, names and colours included.
      assertEquals(await modelAt(`${folder}/new/a.pth`), original);
      assertEquals(await modelAt(`${folder}/b.safetensors`), original);
      const less = await modelAt(`${folder}/less.PTH`);
      assertEquals([less.config, less.info], [original.config, original.info]);
      assertEquals(less.tensors.size, original.tensors.size - 10);
      assertEquals(await namesIn(folder), [
        ...["a.onnx", "b.safetensors", "checkpoints", "less.PTH", "new"],
      ]);
    }),
);

Deno.test(
  "export: wrong usage and bad files cost nothing",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const bytes = tinyCheckpoint();
      await Deno.writeFile(`${folder}/m.safetensors`, bytes);
      await Deno.symlink(`${folder}/m.safetensors`, `${folder}/link.safetensors`);
      await Deno.writeFile(`${folder}/cut.pth`, foreignPth(CLASSES).slice(0, 5000));
      await Deno.writeFile(`${folder}/kept.pth`, Uint8Array.of(1, 2, 3));
      await Deno.writeFile(`${folder}/kept.pth.backup`, bytes);
      for (
        const [status, args, message] of [
          [2, ["-m", "m.safetensors"], "--output must be given"],
          [2, ["-m", "m.safetensors", "-o", "m.safetensors"], "would overwrite the network itself"],
          [
            2,
            ["-m", "m.safetensors", "-o", "link.safetensors"],
            "would overwrite the network itself",
          ],
          [2, ["-m", "kept.pth.backup", "-o", "kept.pth"], "kept.pth.backup would overwrite the"],
          [2, ["-m", "m.safetensors", "-o", "x.txt"], ".safetensors, .pth or .onnx, got 'x.txt'"],
          [1, ["-o", "kept.pth"], "checkpoints/best.safetensors does not exist"],
          [1, ["-m", "cut.pth", "-o", "kept.pth"], "cut.pth: could not be read as a PyTorch file"],
        ] as const
      ) {
        const { code, err } = await runCommand(folder, ["export", ...args]);
        assertStringIncludes(err, message);
        assertEquals([code, message], [status, message]);
      }
      assertEquals(await Deno.readFile(`${folder}/m.safetensors`), bytes);
      assertEquals(await Deno.readFile(`${folder}/kept.pth`), Uint8Array.of(1, 2, 3));
      assertEquals(await namesIn(folder), [
        ...["cut.pth", "kept.pth", "kept.pth.backup", "link.safetensors", "m.safetensors"],
      ]);
    }),
);

Deno.test(
  "predict and train take .pth files, of one class too",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const [ground, roof] = CLASSES;
      assert(ground && roof);
      // Under a name that says nothing: the content decides.
      await Deno.writeFile(`${folder}/weights`, foreignPth([ground, roof]));
      // Its only logit is 0.5 everywhere, a probability of 0.62.
      await Deno.writeFile(`${folder}/one.pth`, foreignPth([roof]));
      const side = 16;
      const raw = `${folder}/data/raw/train`;
      await Deno.mkdir(`${raw}/images`, { recursive: true });
      await Deno.mkdir(`${raw}/masks`);
      const right = Uint8Array.from({ length: side * side }, (_, i) => i % side > 6 ? 1 : 0);
      for (let n = 0; n < 6; n++) {
        const data = new Uint8Array(3 * side * side);
        right.forEach((id, i) => data[3 * i] = id > 0 ? 230 : 20);
        // Equal photos would all land in one part of the split.
        data[1] = n;
        const photo = encodePng({ width: side, height: side, channels: 3, data });
        await Deno.writeFile(`${raw}/images/${n}.png`, photo);
        const mask = encodePng({ width: side, height: side, channels: 1, data: right });
        await Deno.writeFile(`${raw}/masks/${n}.png`, mask);
      }
      await Deno.writeTextFile(`${folder}/data/raw/labels.txt`, "ground\nroof\n");

      const predicted = async (...args: string[]) => {
        const { code, err } = await runCommand(folder, [
          ...["predict", "-i", "data/raw/train/images/0.png", "-o", "mask.png", "-s", "1", ...args],
        ]);
        assertEquals(code, 0, err);
        return readMask(await Deno.readFile(`${folder}/mask.png`), "mask.png").data;
      };
      assertEquals(await predicted("-m", "weights"), right);
      const all = (id: number) => new Uint8Array(side * side).fill(id);
      assertEquals(await predicted("-m", "one.pth"), all(1));
      assertEquals(await predicted("-m", "one.pth", "-t", "0.6"), all(1));
      assertEquals(await predicted("-m", "one.pth", "-t", "0.65"), all(0));

      assertEquals((await runCommand(folder, ["data"])).code, 0);
      const still = ["-e", "1", "-s", "1", "-l", "1e-9"];
      for (const name of ["weights", "one.pth"]) {
        const { code, err } = await runCommand(folder, ["train", "-f", name, ...still]);
        assertEquals(code, 0, err);
        const last = await modelAt(`${folder}/checkpoints/last.safetensors`);
        assertEquals(last.info.classes.map(({ name }) => name), ["ground", "roof"]);
        const start = await modelAt(`${folder}/${name}`);
        assertEquals(last.config, start.config);
        const weight = "up4.conv.double_conv.0.weight";
        const [now, before] = [last.tensors.get(weight), start.tensors.get(weight)];
        assert(now && before);
        assert(now.every((value, i) => Math.abs(value - (before[i] ?? NaN)) < 1e-3));
      }
      const { code, err } = await runCommand(folder, ["evaluate", "-m", "weights", "-s", "1"]);
      assertEquals(code, 0, err);
    }),
);
