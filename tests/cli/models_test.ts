import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { decodeCheckpoint } from "../../src/io/checkpoint.ts";
import { decodeModel } from "../../src/io/decode_model.ts";
import { encodePth } from "../../src/io/pth_checkpoint.ts";
import { Gallery } from "../../src/report/gallery.ts";
import { writeBestImages } from "../../src/train/best_images.ts";
import { ConfusionMatrix } from "../../src/train/metrics.ts";
import { encodeZip } from "../../src/io/zip_write.ts";
import { goldenPths } from "../golden/load_pth.ts";
import { inFolder, namesIn, noProcesses, runCommand } from "./run_command.ts";
import { CLASSES, tinyCheckpoint } from "./tiny_model.ts";

const scored = (meanIoU: number, epoch: number) =>
  tinyCheckpoint(CLASSES, { epoch, scale: 0.5, metrics: { meanIoU, meanDice: 0.5 } });

Deno.test({
  name: "models lists checkpoints, the best first, and promotes one",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      const models = (...args: string[]) => runCommand(folder, ["models", ...args]);
      const empty = await models();
      assertEquals([empty.code, empty.out], [0, ""]);
      assertStringIncludes(empty.err, "No checkpoints in checkpoints and runs");
      assertEquals((await models("promote")).code, 1);

      Deno.mkdirSync(`${folder}/checkpoints`);
      Deno.mkdirSync(`${folder}/runs/one/checkpoints`, { recursive: true });
      const [last, best, other] = [scored(0.4, 9), scored(0.6, 7), scored(0.55, 3)];
      Deno.writeFileSync(`${folder}/checkpoints/last.safetensors`, last);
      Deno.writeFileSync(`${folder}/checkpoints/CP_epoch7.safetensors`, best);
      Deno.writeFileSync(`${folder}/checkpoints/best.safetensors`, best);
      Deno.writeFileSync(`${folder}/runs/one/checkpoints/best.safetensors`, other);
      Deno.writeFileSync(`${folder}/checkpoints/cut.safetensors`, best.slice(0, -9));
      Deno.writeTextFileSync(`${folder}/checkpoints/text.safetensors`, "no checkpoint at all");
      await writeBestImages(`${folder}/runs/one`, {
        epoch: 3,
        matrix: new ConfusionMatrix(3),
        gallery: new Gallery(3),
      });
      const listed = await models();
      assertEquals(listed.code, 0, listed.err);
      const lines = listed.out.trimEnd().split("\n").slice(2);
      assertEquals(lines.map((line) => line.split(/\s+/).slice(0, 5)), [
        ["checkpoints/best.safetensors", "0.6000", "0.5000", "-", "7"],
        ["checkpoints/CP_epoch7.safetensors", "0.6000", "0.5000", "-", "7"],
        ["runs/one/checkpoints/best.safetensors", "0.5500", "0.5000", "-", "3"],
        ["checkpoints/last.safetensors", "0.4000", "0.5000", "-", "9"],
      ]);
      assertEquals(listed.err.trimEnd().split("\n").length, 2, "what a run keeps is no checkpoint");
      assertStringIncludes(lines[0] ?? "", "3: ground, roof, tree");
      for (const name of ["cut", "text"]) {
        assertStringIncludes(listed.err, `checkpoints/${name}.safetensors is no checkpoint`);
      }

      // PyTorch's files, ours and others', of both containers; what would run something is not run.
      const exported = await decodeModel(other, "other");
      exported.info.metrics = { meanIoU: 0.7 };
      Deno.writeFileSync(`${folder}/runs/one/ours.pth`, encodePth(exported));
      for (const { name, bytes } of goldenPths) {
        if (name === "zip" || name === "legacy") {
          Deno.writeFileSync(`${folder}/checkpoints/${name}.pth`, bytes);
        }
      }
      const evil = "\x80\x02cposix\nsystem\nX\x05\0\0\0touch\x85R.";
      Deno.writeFileSync(
        `${folder}/checkpoints/evil.pth`,
        encodeZip([{
          name: "a/data.pkl",
          data: Uint8Array.from(evil, (letter) => letter.charCodeAt(0)),
        }]),
      );
      Deno.writeTextFileSync(`${folder}/checkpoints/text.pth`, "no network at all");
      const more = await models();
      assertEquals(more.code, 0, more.err);
      const rows = more.out.trimEnd().split("\n").slice(2).map((line) => line.split(/\s+/));
      assertEquals(rows.map((row) => row.slice(0, 5)), [
        ["runs/one/ours.pth", "0.7000", "-", "-", "3"],
        ...lines.map((line) => line.split(/\s+/).slice(0, 5)),
        ["checkpoints/legacy.pth", "-", "-", "-", "-"],
        ["checkpoints/zip.pth", "-", "-", "-", "-"],
      ]);
      assertEquals(rows.slice(-2).map((row) => row.slice(5, 9)), [
        ["unet-small", "4", "transposed", "-"],
        ["unet-small", "8", "bilinear", "-"],
      ]);
      assertStringIncludes(more.err, "checkpoints/evil.pth: could not be read as PyTorch weights");
      assertStringIncludes(more.err, "checkpoints/text.pth: could not be read as a PyTorch file");

      const read = (name: string) => Deno.readFileSync(`${folder}/models/${name}`);
      const converted = await models("promote");
      assertEquals(converted.code, 0, converted.err);
      assertEquals(decodeCheckpoint(read("best.safetensors"), "best"), exported);
      Deno.removeSync(`${folder}/runs/one/ours.pth`);
      Deno.removeSync(`${folder}/models`, { recursive: true });
      const first = await models("promote");
      assertEquals(first.code, 0, first.err);
      assertEquals(read("best.safetensors"), best);
      const second = await models("promote", "checkpoints/last.safetensors");
      assertEquals(second.code, 0, second.err);
      assertEquals(read("best.safetensors"), last);
      assertEquals(read("best.safetensors.backup"), best);
      assert((await models()).out.includes("models/best.safetensors"));

      // What cannot be promoted changes nothing.
      Deno.writeFileSync(
        `${folder}/runs/other.safetensors`,
        tinyCheckpoint(CLASSES.slice(0, 2), {
          metrics: { meanIoU: 0.1 },
        }),
      );
      const refused = async (code: number, text: string, ...args: string[]) => {
        const { code: got, err } = await models(...args);
        assertStringIncludes(err, text);
        assertEquals(got, code, err);
      };
      await refused(1, "have different classes", "promote");
      await refused(1, "does not exist", "promote", "gone.safetensors");
      await refused(1, "is no checkpoint", "promote", "checkpoints/cut.safetensors");
      Deno.writeTextFileSync(`${folder}/m.pth`, "");
      await refused(1, "m.pth: could not be read as a PyTorch file", "promote", "m.pth");
      await refused(2, "list takes no file", "list", "m.pth");
      await refused(2, "must be list or promote", "demote");
      assertEquals(await namesIn(`${folder}/models`), [
        ...["best.safetensors", "best.safetensors.backup"],
      ]);
      assertEquals(read("best.safetensors"), last);
    }),
});
