import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { parse } from "@std/csv";
import { loadDataset, valueToClass } from "../../src/data/dataset.ts";
import { SampleSource } from "../../src/data/samples.ts";
import { Graph } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { decodeCheckpoint, networkOf } from "../../src/io/checkpoint.ts";
import { imageInput } from "../../src/ops/image_input.ts";
import { planBatches } from "../../src/train/batches.ts";
import { classWeights } from "../../src/train/class_weights.ts";
import { IGNORED } from "../../src/train/metrics.ts";
import { readEvents, shownScalars } from "../io/read_tfevents.ts";
import { testGpu } from "../ops/harness.ts";
import { crossEntropy, fromValues } from "../reference/mod.ts";
import { inFolder, namesIn, noProcesses, runCommand } from "./run_command.ts";
import { writeRaw } from "./tiny_data.ts";

const BATCH_SIZE = 3;
const TRAIN = [
  ...["train", "-s", "1", "--width", "4", "-b", String(BATCH_SIZE), "--optimizer", "adamw"],
  ...["--ema", "0.9", "--loss", "focal", "--class-weights", "auto"],
];

/**
 * The loss of a checkpoint on the validation split by the float64 reference, from its logits in
 * inference: the mean over the images of their batches' losses.
 */
async function validationLoss(folder: string, bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  const { info, valid } = await loadDataset(`${folder}/data`);
  const source = await SampleSource.open(valid, 1, valueToClass(info));
  const weight = classWeights(info.classes.map(({ trainPixels }) => trainPixels));
  const gpu = await testGpu();
  const net = networkOf(decodeCheckpoint(bytes, "checkpoint"), "checkpoint");
  let sum = 0;
  for (const plan of planBatches(source.sizes, BATCH_SIZE, 0, 0)) {
    const { batch, height, width, pixels, labels } = await source.batch(plan);
    const shape = [batch, height, width];
    const graph = new Graph();
    const image = imageInput(graph.input("pixels", { shape, dtype: "u32" }), 3);
    const outputs = { logits: net.forward(image, { training: false }) };
    using program = await compile(gpu, graph, { outputs, stores: [net.store] });
    program.write("pixels", pixels);
    program.run();
    const logits = fromValues([batch, 2, height, width], await program.read("logits"));
    const target = { shape, data: Int32Array.from(labels) };
    sum += batch * crossEntropy(logits, target, { weight, ignoreIndex: IGNORED, gamma: 2 });
  }
  net.store.destroy();
  return sum / valid.length;
}

/** Cells of the rows of a table of the page, without markup. */
function cellsOf(page: string, id: string): string[][] {
  const table = page.match(new RegExp(`<table id="${id}">.*?</table>`, "s"))?.[0] ?? "";
  const rows = [...table.matchAll(/<tr.*?<\/tr>/gs)].map(([row]) =>
    [...row.matchAll(/<td.*?<\/td>/gs)].map(([cell]) => cell.replace(/<[^>]*>/g, ""))
  );
  return rows.filter((row) => row.length > 0);
}

Deno.test({
  name:
    "every number in results.csv, event files, report and checkpoint agrees, after --resume too",
  ignore: noProcesses,
  // The device stays open for the file.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () =>
    inFolder(async (folder) => {
      writeRaw(folder);
      assertEquals((await runCommand(folder, ["data"])).code, 0);
      const first = await runCommand(folder, [
        ...[...TRAIN, "-e", "3", "-l", "0.01", "--schedule", "cosine", "--save-every", "2"],
        ...["--runs", "logs", "--name", "tiny"],
      ]);
      assertEquals(first.code, 0, first.err);
      const resume = ["train", "--resume", "checkpoints/CP_epoch2.safetensors", "-e", "4"];
      const second = await runCommand(folder, [...resume, "--runs", "logs"]);
      assertEquals(second.code, 0, second.err);

      const [name = "", ...others] = await namesIn(`${folder}/logs`);
      assertEquals(others, [], "the run went on in its folder");
      assert(/^\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_tiny$/.test(name), name);
      assertStringIncludes(second.err, `logs/${name}/report.html`);
      const run = `${folder}/logs/${name}`;
      const rows = parse(Deno.readTextFileSync(`${run}/results.csv`), { skipFirstRow: true });
      const steps = parse(Deno.readTextFileSync(`${run}/losses.csv`), { skipFirstRow: true });
      assertEquals(rows.map((row) => row.epoch), ["1", "2", "3", "4"]);
      const perEpoch = Number(rows[0]?.step);
      assertEquals(steps.map((row) => Number(row.step)), steps.map((_, i) => i + 1));
      assertEquals(steps.length, 4 * perEpoch);

      // Losses of steps, and what epochs say of them.
      for (const [at, row] of rows.entries()) {
        const own = steps.filter(({ epoch }) => epoch === row.epoch);
        assertEquals(own.length, perEpoch);
        const mean = own.reduce((sum, { loss }) => sum + Math.fround(Number(loss)), 0) / perEpoch;
        assert(Math.abs(mean - Number(row.train_loss)) < 1e-12, `${mean}, ${row.train_loss}`);
        assertEquals(row.learning_rate, own[0]?.learning_rate);
        assertEquals(Number(row.step), (at + 1) * perEpoch);
      }

      // Event files.
      const files = (await namesIn(run)).filter((file) => file.includes("tfevents"));
      assertEquals(files.length, 2);
      const contents = files.map((file) => Deno.readFileSync(`${run}/${file}`));
      const shown = shownScalars(contents);
      const scalars = (tag: string) => shown.get(tag) ?? [];
      const column = (table: Record<string, string>[], key: string) =>
        table.map((row): [number, number] => [Number(row.step), Math.fround(Number(row[key]))]);
      assertEquals(scalars("Loss/train"), column(steps, "loss"));
      assertEquals(scalars("learning_rate"), column(steps, "learning_rate"));
      const epochTags = {
        ...{
          "Loss/epoch": "train_loss",
          "Loss/val": "valid_loss",
          "IoU/val": "mean_iou",
          "Dice/val": "mean_dice",
        },
        ...{ "Accuracy/val": "pixel_accuracy", epoch: "epoch", seconds: "seconds" },
        ...{ "IoU_class/ground": "iou/ground", "IoU_class/roof": "iou/roof" },
      };
      for (const [tag, key] of Object.entries(epochTags)) {
        assertEquals(scalars(tag), column(rows, key), tag);
      }
      assertEquals(shown.size, 2 + Object.keys(epochTags).length);
      const tags = new Set(
        contents.flatMap(readEvents).flatMap(({ values }) =>
          values.flatMap(({ tag, image, histogram }) => image || histogram ? [tag] : [])
        ),
      );
      for (const tag of ["images", "masks/true", "masks/pred", "grads/outc/conv/bias"]) {
        assert(tags.has(tag), `${tag} is told`);
      }

      // The page.
      const page = Deno.readTextFileSync(`${run}/report.html`);
      const four = (key: string) => (row: Record<string, string>) => Number(row[key]).toFixed(4);
      const shownCells = ["train_loss", "valid_loss", "mean_iou", "mean_dice", "pixel_accuracy"]
        .map(four);
      assertEquals(
        cellsOf(page, "epochs"),
        rows.map((row) => [
          ...[row.epoch ?? "", row.step ?? ""],
          ...shownCells.map((cell) => cell(row)),
          String(Number(Number(row.learning_rate).toPrecision(4))),
          Number(row.seconds).toFixed(1),
        ]),
      );
      const scores = rows.map((row) => Number(row.mean_iou));
      const best = rows[scores.indexOf(Math.max(...scores))] ?? {};
      assertStringIncludes(page, `<b class="num">${four("mean_iou")(best)}</b>`);
      assertStringIncludes(page, `validation images after epoch ${best.epoch}, the best`);
      const classes = cellsOf(page, "classes");
      assertEquals(classes.map(([label, iou]) => [label, iou]), [
        ["ground", four("iou/ground")(best)],
        ["roof", four("iou/roof")(best)],
        ["mean of 2", four("mean_iou")(best)],
      ]);
      // Each point of a curve tells its value.
      for (const row of rows) {
        assertStringIncludes(page, `epoch ${row.epoch}: mean IoU ${four("mean_iou")(row)}<`);
        assertStringIncludes(page, `epoch ${row.epoch}: training ${four("train_loss")(row)}<`);
        assertStringIncludes(page, `epoch ${row.epoch}: validation ${four("valid_loss")(row)}<`);
        // The screen.
        const line = new RegExp(
          `Epoch ${row.epoch}: loss ${four("train_loss")(row)}, validation loss ` +
            `${four("valid_loss")(row)}, mean IoU ${four("mean_iou")(row)}, `,
        );
        assertMatch(first.err + second.err, line);
      }

      // The checkpoint.
      const bytes = Deno.readFileSync(`${folder}/checkpoints/last.safetensors`);
      const { info } = decodeCheckpoint(bytes, "last");
      const last = rows[3] ?? {};
      assertEquals([info.epoch, info.step], [Number(last.epoch), Number(last.step)]);
      assertEquals(info.metrics, {
        loss: Number(last.train_loss),
        validLoss: Number(last.valid_loss),
        meanIoU: Number(last.mean_iou),
        meanDice: Number(last.mean_dice),
        pixelAccuracy: Number(last.pixel_accuracy),
      });

      const expected = await validationLoss(folder, bytes);
      assertAlmostEquals(Number(last.valid_loss), expected, 1e-4 * expected);

      const config = JSON.parse(Deno.readTextFileSync(`${run}/config.json`));
      assertEquals(config.settings.optimizer, "adamw");
      assertEquals([config.network.width, config.data.classes], [4, ["ground", "roof"]]);
      assertEquals(config.resumed.length, 1);
    }),
});
