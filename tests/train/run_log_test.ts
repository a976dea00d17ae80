import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { Message } from "../../src/io/protobuf.ts";
import { ConfusionMatrix } from "../../src/train/metrics.ts";
import type { EpochResult } from "../../src/train/run_events.ts";
import { RunLog, type RunLogOptions } from "../../src/train/run_log.ts";
import { newRunState } from "../../src/train/run_state.ts";
import { shortest } from "../../src/train/run_table.ts";
import { inFolder, namesIn } from "../cli/run_command.ts";
import { readEvents, shownScalars } from "../io/read_tfevents.ts";
import { canRead, canWrite } from "../support.ts";

const ignore = !canRead || !canWrite;

const STEPS = 3;
const [WIDTH, HEIGHT] = [6, 5];
const AREA = WIDTH * HEIGHT;

const CLASSES = [
  { name: "sky, clear", color: [10, 200, 255] },
  { name: "</table>road", color: [90, 90, 90] },
] as const;

function optionsIn(folder: string): RunLogOptions {
  return {
    runs: `${folder}/runs`,
    name: "try",
    config: { settings: { epochs: 3 }, network: {}, data: {}, versions: {}, device: {} },
    classes: CLASSES,
    images: ["a.png", "b.png"],
    arrays: {
      weights: () => Promise.resolve(new Map([["inc.0.weight", Float32Array.of(1, 2)]])),
      gradients: () => Promise.resolve(new Map([["inc.0.weight", Float32Array.of(3)]])),
    },
    graph: () => new Message(),
    notes: [],
  };
}

/**
 * Epoch `epoch` of a made-up run; `take` tells takes of one epoch apart.
 * @param wrong Pixels of the second image: the later the epoch, the fewer.
 */
async function tellEpoch(
  log: RunLog,
  epoch: number,
  take = 0,
  wrong = 12 - 3 * epoch,
): Promise<EpochResult> {
  for (let i = 1; i <= STEPS; i++) {
    const step = (epoch - 1) * STEPS + i;
    log.stepDone({ step, epoch, loss: Math.fround(1 / step + take), learningRate: 0.1 / epoch });
  }
  const labels = Uint8Array.from({ length: 2 * AREA }, (_, i) => i % 2);
  const predicted = labels.map((id, i) => i < Math.min(wrong, AREA) ? 1 - id : id);
  const pixels = new Uint8Array(2 * AREA * 4).fill(100);
  const batch = { batch: 2, height: HEIGHT, width: WIDTH, pixels, labels, predicted };
  log.imagesScored({ ...batch, indices: [1, 0] });
  const matrix = new ConfusionMatrix(2);
  matrix.add(labels, predicted);
  const result: EpochResult = {
    ...{ epoch, lastEpoch: 3, step: epoch * STEPS, matrix },
    ...{ loss: 1 / 3 / epoch + take, validLoss: 1 / 7 / epoch + take },
    ...{ scores: matrix.scores(), learningRate: 0.1 / epoch, best: true, last: epoch === 3 },
    ...{ trainImages: 2, trainMs: 1000 * epoch, validMs: 250 },
  };
  await log.epochScored(result);
  return result;
}

const ended = { reason: "done", state: newRunState({ firstEpoch: 0, epochs: 3 }) } as const;
const eventFiles = async (folder: string) =>
  (await namesIn(folder)).filter((name) => name.includes("tfevents"))
    .map((name) => Deno.readFileSync(`${folder}/${name}`));
const rowsOf = (path: string) => Deno.readTextFileSync(path).trimEnd().split("\r\n");

Deno.test({
  name: "a run's folder: a row an epoch, a row a step, events, the page",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const log = await RunLog.open(optionsIn(folder));
      for (let epoch = 1; epoch <= 3; epoch++) {
        await tellEpoch(log, epoch);
        // Whatever happens next, this epoch is on the disk.
        assertEquals(rowsOf(`${log.folder}/results.csv`).length, 1 + epoch);
        assertEquals(rowsOf(`${log.folder}/losses.csv`).length, 1 + epoch * STEPS);
        const [file] = await eventFiles(log.folder);
        const scored = readEvents(file ?? new Uint8Array())
          .filter(({ values }) => values.some(({ tag }) => tag === "IoU/val"));
        assertEquals(scored.length, epoch);
      }
      await log.ended(ended);
      assertEquals((await namesIn(log.folder)).filter((name) => !name.includes("tfevents")), [
        ...["best_images.safetensors", "config.json", "losses.csv", "report.html", "results.csv"],
      ]);
      const [head] = rowsOf(`${log.folder}/results.csv`);
      assertEquals(
        head,
        "epoch,step,train_loss,valid_loss,mean_iou,mean_dice,pixel_accuracy,learning_rate,seconds," +
          '"iou/sky, clear",iou/</table>road',
      );
      const events = (await eventFiles(log.folder)).flatMap(readEvents);
      assertEquals(events.map(({ version }) => version)[0], "brain.Event:2");
      const images = events.flatMap(({ step, values }) =>
        values.flatMap(({ tag, image }) => image ? [[step, tag, image.width, image.height]] : [])
      );
      const told = ["images", "masks/true", "masks/pred"];
      assertEquals(
        images,
        [3, 9].flatMap((step) => told.map((tag) => [step, tag, 2 * WIDTH, HEIGHT])),
      );
      const histograms = events.flatMap(({ values }) =>
        values.flatMap(({ tag, histogram }) => histogram ? [[tag, histogram.sum]] : [])
      );
      const one = [["weights/inc/0/weight", 3], ["grads/inc/0/weight", 3]];
      assertEquals(histograms, [...one, ...one]);

      const page = Deno.readTextFileSync(`${log.folder}/report.html`);
      assertStringIncludes(page, "Finished");
      assertStringIncludes(page, "The 2 validation images after epoch 3, the best");
      assert(!page.includes("</table>road"), "a class's name is no markup");
      assert(
        !/(src|href)="(?!data:)|url\((?!data:)|@import|https?:/.test(page),
        "nothing is loaded",
      );
      // The image without errors is among the best, the other among the worst.
      assert(page.indexOf("b.png") > 0 && page.indexOf("b.png") < page.indexOf("a.png"));
    }),
});

Deno.test({
  name: "a run that goes on keeps its folder and drops what came after its checkpoint",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const first = await RunLog.open(optionsIn(folder));
      await tellEpoch(first, 1);
      await tellEpoch(first, 2, 100);
      first.stepDone({ step: 7, epoch: 3, loss: 5, learningRate: 1 });
      // Killed: nothing is closed, and the disk was full in the middle of a line.
      const results = `${first.folder}/results.csv`;
      Deno.writeTextFileSync(results, "3,9,0.1", { append: true });

      const resumed = { run: first.run, epoch: 1, step: STEPS };
      const again = await RunLog.open({ ...optionsIn(folder), resumed });
      assertEquals(again.folder, first.folder);
      await tellEpoch(again, 2);
      await tellEpoch(again, 3);
      await again.ended(ended);

      const whole = await RunLog.open(optionsIn(`${folder}/other`));
      for (const epoch of [1, 2, 3]) await tellEpoch(whole, epoch);
      await whole.ended(ended);
      for (const name of ["results.csv", "losses.csv"]) {
        assertEquals(rowsOf(`${again.folder}/${name}`), rowsOf(`${whole.folder}/${name}`), name);
      }
      const shown = async (log: RunLog) => shownScalars(await eventFiles(log.folder));
      assertEquals(await shown(again), await shown(whole));
      const graphs = (await eventFiles(again.folder)).flatMap(readEvents)
        .filter(({ graph }) => graph);
      assertEquals(graphs.length, 1, "TensorBoard wants one");
      const config = JSON.parse(Deno.readTextFileSync(`${again.folder}/config.json`));
      assertEquals([config.settings.epochs, config.resumed.length], [3, 1]);
      assertEquals(config.resumed[0].afterEpoch, 1);

      // A folder that is gone is made anew; a name never leads out of the runs.
      const lost = { run: "../../elsewhere", epoch: 1, step: STEPS };
      const fresh = await RunLog.open({ ...optionsIn(folder), resumed: lost });
      assert(fresh.folder.startsWith(`${folder}/runs/`) && fresh.folder !== first.folder);
      await fresh.ended(ended);
    }),
});

Deno.test({
  name:
    "a run that a version without validation loss began goes on; a table of another set does not",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const first = await RunLog.open(optionsIn(folder));
      await tellEpoch(first, 1);
      await tellEpoch(first, 2);
      const results = `${first.folder}/results.csv`;
      const older = rowsOf(results).map((row) => row.split(",").toSpliced(3, 1).join());
      assertStringIncludes(older[0] ?? "", "train_loss,mean_iou");
      Deno.writeTextFileSync(results, older.map((row) => `${row}\r\n`).join(""));

      const resumed = { run: first.run, epoch: 2, step: 2 * STEPS };
      const again = await RunLog.open({ ...optionsIn(folder), resumed });
      await tellEpoch(again, 3);
      await again.ended(ended);
      const whole = await RunLog.open(optionsIn(`${folder}/other`));
      for (const epoch of [1, 2, 3]) await tellEpoch(whole, epoch);
      await whole.ended(ended);
      const expected = rowsOf(`${whole.folder}/results.csv`).map((row, at) =>
        at === 1 || at === 2 ? row.split(",").with(3, "").join() : row
      );
      assertEquals(rowsOf(results), expected);
      const page = Deno.readTextFileSync(`${again.folder}/report.html`);
      assertStringIncludes(page, "epoch 3: validation 0.0476<");
      assert(!page.includes("epoch 2: validation "), "nobody knows it");

      for (const change of [/valid_loss,/, /,"iou\/sky, clear"/]) {
        const other = rowsOf(results).map((row) => row.replace(change, "x"));
        Deno.writeTextFileSync(results, other.map((row) => `${row}\r\n`).join(""));
        await assertRejects(
          () => RunLog.open({ ...optionsIn(folder), resumed }),
          InputError,
          "move it away, or start a new run",
        );
      }
    }),
});

/** The page without what tells the time. */
const sectionsOf = (log: RunLog) => {
  const page = Deno.readTextFileSync(`${log.folder}/report.html`);
  return page.slice(page.indexOf("<h2>Classes"), page.indexOf("<details>"));
};

Deno.test({
  name: "the best epoch's images are shown where the run was taken up again after it",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const wrongIn = [, 9, 2, 5, 4];
      const tell = async (log: RunLog, epochs: readonly number[]) => {
        for (const epoch of epochs) await tellEpoch(log, epoch, 0, wrongIn[epoch]);
      };
      const whole = await RunLog.open(optionsIn(`${folder}/whole`));
      await tell(whole, [1, 2, 3, 4]);
      await whole.ended(ended);
      assertStringIncludes(sectionsOf(whole), "validation images after epoch 2, the best");
      assertEquals(sectionsOf(whole).match(/<figure>/g)?.length, 2);

      // Killed after its third epoch, before the checkpoint of that.
      const killed = await RunLog.open(optionsIn(folder));
      await tell(killed, [1, 2, 3]);
      const resumed = { run: killed.run, epoch: 2, step: 2 * STEPS };
      const again = await RunLog.open({ ...optionsIn(folder), resumed });
      await tell(again, [3, 4]);
      await again.ended(ended);
      assertEquals(sectionsOf(again), sectionsOf(whole));

      // From before the best epoch, of which another take may come out otherwise.
      const earlier = { ...resumed, epoch: 1, step: STEPS };
      const other = await RunLog.open({ ...optionsIn(folder), resumed: earlier });
      await tellEpoch(other, 2, 0, 11);
      await other.ended(ended);
      assertStringIncludes(sectionsOf(other), "after epoch 2, the last; the best, 1, was before");

      // A file that cannot be used costs the images, not the run.
      const path = `${whole.folder}/best_images.safetensors`;
      const bytes = Deno.readFileSync(path);
      const renamed = bytes.slice();
      // One byte, one character.
      const at = new TextDecoder("latin1").decode(bytes).indexOf("1.truth");
      renamed.set(new TextEncoder().encode("7"), at);
      for (
        const [file, found] of [[bytes, true], [bytes.slice(0, 200), false], [
          renamed,
          false,
        ]] as const
      ) {
        Deno.writeFileSync(path, file);
        const resumed = { run: whole.run, epoch: 3, step: 3 * STEPS };
        const last = await RunLog.open({ ...optionsIn(`${folder}/whole`), resumed });
        await tell(last, [4]);
        await last.ended(ended);
        const shown = found ? "epoch 2, the best," : "epoch 4, the last; the best, 2, was before";
        assertStringIncludes(sectionsOf(last), `validation images after ${shown}`);
      }
    }),
});

Deno.test({
  name: "a run that an error ends still has its page; names that are no folder are refused",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const failed = await assertRejects(async () => {
        await using log = await RunLog.open(optionsIn(folder));
        await tellEpoch(log, 1);
        throw new InputError(log.folder);
      }, InputError);
      const page = Deno.readTextFileSync(`${failed.message}/report.html`);
      assertStringIncludes(page, "stopped by an error");
      for (const name of ["", "a/b", "..", ".x", "a\\b", "x ", "a\nb"]) {
        await assertRejects(
          () => RunLog.open({ ...optionsIn(folder), name }),
          InputError,
          "cannot name a run",
        );
      }
      Deno.writeTextFileSync(`${folder}/file`, "");
      await assertRejects(
        () => RunLog.open({ ...optionsIn(folder), runs: `${folder}/file` }),
        InputError,
        "choose another with --runs",
      );
    }),
});

Deno.test({
  name: "a log that cannot be written ends the run once the epoch's checkpoint is",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const { writeSync } = Deno.FsFile.prototype;
      const run = async (fails: (log: RunLog) => Promise<EpochResult>) => {
        await using log = await RunLog.open(optionsIn(folder));
        Deno.FsFile.prototype.writeSync = () => {
          throw new Error("No space left on device (os error 28)");
        };
        await fails(log);
        log.saved();
      };
      const inSteps = (log: RunLog) => {
        for (let step = 1; step <= 100; step++) {
          log.stepDone({ step, epoch: 1, loss: 1, learningRate: 1 });
        }
        return tellEpoch(log, 1);
      };
      for (const fails of [inSteps, (log: RunLog) => tellEpoch(log, 1)]) {
        try {
          const { message } = await assertRejects(() => run(fails), InputError);
          assertMatch(message, /^cannot write .*tfevents.* No space left .* with --runs$/);
        } finally {
          Deno.FsFile.prototype.writeSync = writeSync;
        }
      }
    }),
});

Deno.test("a loss is written with the fewest digits that give it again", () => {
  assertEquals(["0.1", "3.226", "16777216"].map((t) => shortest(Math.fround(Number(t)))), [
    ...["0.1", "3.226", "16777216"],
  ]);
  for (let i = 1; i < 500; i++) {
    const value = Math.fround(Math.exp(Math.sin(i) * 20));
    assertEquals(Math.fround(Number(shortest(value))), value);
  }
});
