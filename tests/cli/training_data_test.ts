import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  explainMemory,
  openTrainingData,
  type OpenTrainingSettings,
} from "../../cli/training_data.ts";
import { trainAndSave } from "../../cli/training.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { DeviceError, InputError } from "../../src/errors.ts";
import { rmsprop } from "../../src/nn/optimizers.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { UNet } from "../../src/nn/unet.ts";
import { ReduceOnPlateau } from "../../src/train/schedule.ts";
import type { PairSource } from "../../src/train/training_batches.ts";
import { testGpu } from "../ops/harness.ts";
import { canWrite } from "../support.ts";
import { inFolder, namesIn } from "./run_command.ts";

const nothing = () => Promise.reject(new Error("no photo is read"));
const train: PairSource = {
  sizes: Array.from({ length: 9 }, () => ({ width: 150, height: 100 })),
  length: 9,
  pair: nothing,
  batch: nothing,
};

Deno.test({
  name: "a device that runs out of memory: the message says which batch, scale or crop to try",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const gpu = await testGpu();
    const net = new UNet({ classes: 3, width: 8 });
    const settings = { net, optimizer: rmsprop(), batchSize: 4, seed: 1, scale: 0.5 };
    const run = (error: Error) => explainMemory(gpu, settings, train, () => Promise.reject(error));
    const failure = new DeviceError(
      "Allocating 90 MiB of GPU memory failed (Out of memory); use a smaller batch, scale or width.",
    );
    const { message } = await assertRejects(() => run(failure), DeviceError);
    assertMatch(
      message,
      /ran out of memory \(Allocating 90 MiB of GPU memory failed \(Out of memory\)\); what would fit: -b [123] \(\d+ MiB\)(?: or --precision f16 \(\d+ MiB\))? or -s 0\.\d+ \(\d+ MiB\) or --crop /,
    );
    for (const other of [new DeviceError("The GPU device was lost."), new InputError("memory")]) {
      assertEquals(await assertRejects(() => run(other)), other);
    }
    assertEquals(await explainMemory(gpu, settings, train, () => Promise.resolve(5)), 5);
  },
});

/** A run on one photo, which is the validation split, too. */
function settingsOf(folder: string, image: string, mask = image): OpenTrainingSettings {
  const sample = { image, mask };
  const images = { train: 1, valid: 1, test: 0 };
  const classes = ["sky", "road", "tree"].map((name, id) => {
    const color = [id, id, id] as const;
    return { id, name, color, value: id, pixels: 256, trainPixels: 256 };
  });
  const info = { version: 1, classes, ignore: null, ignoredPixels: 0, channels: 3 };
  return {
    dataset: {
      folder,
      info: { ...info, ratio: 0.5, seed: 1, images, sizes: [] },
      ...{ train: [sample], valid: [sample], test: [] },
    },
    ...{ net: new UNet({ classes: 3, width: 8 }), optimizer: rmsprop() },
    ...{ batchSize: "auto", seed: 1, scale: 1, epochs: 1, checkpoints: folder },
    schedule: () => new ReduceOnPlateau(0.1),
  };
}

/** Writes a gray image of zeros; its path. */
async function blackPng(path: string, width: number, height: number): Promise<string> {
  const data = new Uint8Array(width * height);
  await Deno.writeFile(path, encodePng({ width, height, channels: 1, data }));
  return path;
}

Deno.test({
  name: "a validation image that does not fit is found before training, though its crops fit",
  ignore: !canWrite,
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () =>
    inFolder(async (folder) => {
      using gpu = await requestGpu({ memoryBudgetBytes: 8 * 2 ** 20 });
      const image = await blackPng(`${folder}/photo.png`, 640, 480);
      const settings = { ...settingsOf(folder, image), crop: { width: 16, height: 16 } };
      const { message } = await assertRejects(() => openTrainingData(gpu, settings), InputError);
      assertMatch(message, /^A validation image of 640 x 480 pixels at scale 1 .* 8 MiB .* \(-s\)/);
    }),
});

Deno.test({
  name: "a mask of another size than its photo: the advice names the data folder",
  ignore: !canWrite,
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () =>
    inFolder(async (folder) => {
      using gpu = await requestGpu();
      const photo = await blackPng(`${folder}/photo.png`, 16, 16);
      const mask = await blackPng(`${folder}/mask.png`, 17, 16);
      const settings = settingsOf(folder, photo, mask);
      const opened = await openTrainingData(gpu, settings);
      const { message } = await assertRejects(() => opened.train.pair(0), InputError);
      assert(message.endsWith(` run deno task data --data ${folder} again`), message);
    }),
});

Deno.test({
  name: "a run that is stopped within its first epoch names no report, for there is none",
  ignore: !canWrite,
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () =>
    inFolder(async (folder) => {
      using gpu = await requestGpu();
      const image = await blackPng(`${folder}/photo.png`, 16, 16);
      const settings = {
        ...{ ...settingsOf(folder, image), batchSize: 1, checkpoints: `${folder}/c` },
        logs: { runs: `${folder}/runs`, options: {} },
      };
      const lines: string[] = [];
      const write = (line: string) => void lines.push(line);
      const log = { info: write, warn: write, error: write };
      const opened = await openTrainingData(gpu, settings);
      const stopped = await trainAndSave(gpu, settings, opened, {
        log,
        stopRequested: () => true,
      });
      assertEquals(stopped.reason, "interrupted");
      const [run = ""] = await namesIn(`${folder}/runs`);
      assert(!(await namesIn(`${folder}/runs/${run}`)).includes("report.html"));
      assert(!lines.join().includes("report.html"), lines.join("\n"));
    }),
});

Deno.test({
  name: "16 bits are refused before any photo is read where the adapter has none",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    using gpu = await requestGpu();
    Object.defineProperty(gpu, "supportsF16", { value: false });
    const settings = { ...settingsOf("missing", "missing.png"), precision: "f16" as const };
    const { message } = await assertRejects(() => openTrainingData(gpu, settings), InputError);
    assertMatch(
      message,
      /^--precision f16 needs .* shader-f16, but .* has none; .* --precision f32$/,
    );
  },
});
