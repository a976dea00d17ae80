/** `deno task bench ops`: every op and shape of a U-Net, checked. @module */

import { type OpProgram, recordExtras, recordTrainStep } from "../src/bench/op_programs.ts";
import { benchOps, type OpResult } from "../src/bench/ops.ts";
import { measurePeaks } from "../src/bench/peaks.ts";
import { textTable } from "../src/bench/tables.ts";
import { UPSAMPLES } from "../src/nn/unet_spec.ts";
import { choice, flag, int, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { openGpu } from "./gpu.ts";

const MODELS = ["unet-small", "unet", "extras"] as const;

type Model = typeof MODELS[number];

const options = {
  model: choice(
    "network; extras: what a step may have besides (augmentation, focal loss, soft Dice)",
    ["all", ...MODELS],
    { default: "all" },
  ),
  "first-level": int("channels of the first level", { default: 16, min: 1 }),
  upsample: choice("upsampling", UPSAMPLES, { default: "bilinear" }),
  batch: int("images in a batch", { default: 1, min: 1 }),
  height: int("rows of an image", { default: 64, min: 16 }),
  width: int("pixels of a row", { default: 96, min: 16 }),
  steps: int("profiled steps; the fastest counts", { default: 3, min: 1 }),
  json: flag("print one line of JSON instead of a table"),
};

/** Measures and prints; wrong numbers are a failure. */
export async function run(o: Values<typeof options>, context: Context): Promise<number> {
  const { log } = context;
  using gpu = await openGpu(context);
  const peaks = await measurePeaks(gpu);
  const models = o.model === "all" ? MODELS : [o.model];
  const rows: (OpResult & { model: Model })[] = [];
  for (const model of models) {
    const of = model === "extras" ? "" : ` of width ${o.firstLevel}`;
    log.info(`Measuring ${model}${of}, shaders may have to be compiled first`);
    const { steps } = o;
    for (const row of await benchOps(gpu, programOf(model, o), { steps, peaks })) {
      rows.push({ model, ...row });
    }
  }
  const wrong = rows.filter((row) => !isRight(row));
  if (o.json) {
    const { batch, height, width, firstLevel, upsample } = o;
    const setting = { batch, height, width, firstLevel, upsample };
    const { description: adapter, kernels } = gpu;
    console.log(JSON.stringify({ adapter, kernels, ...setting, peaks, ops: rows.map(rounded) }));
  } else {
    console.log(
      `Peaks: ${peaks.gflops.toFixed(0)} GFLOP/s, ${peaks.gigabytesPerSecond.toFixed(1)} GB/s ` +
        "(read and written)",
    );
    for (const model of models) {
      console.log(`\n${model}\n${opsTable(rows.filter((row) => row.model === model))}`);
    }
    console.log(
      "\nms and rates are of one; peak: the time at the device's peaks over the time it took; " +
        "error: max|d| / max|y| of samples against double precision.",
    );
  }
  for (const { model, op, shape, error, allowed } of wrong) {
    log.error(`${model} ${op} ${shape}: error ${error?.toExponential(1)}, allowed ${allowed}`);
  }
  return wrong.length > 0 ? 1 : 0;
}

function programOf(
  model: Model,
  { firstLevel, upsample, batch, height, width }: Values<typeof options>,
): OpProgram {
  const shape = { batch, height, width };
  return model === "extras"
    ? recordExtras(shape)
    : recordTrainStep({ model, width: firstLevel, upsample }, shape);
}

function isRight({ error, allowed }: OpResult): boolean {
  return error === null || error <= allowed;
}

/** The table, the most expensive first. */
export function opsTable(rows: readonly OpResult[]): string {
  const sorted = [...rows].sort((a, b) => b.timeMs * b.count - a.timeMs * a.count);
  const wholeMs = rows.reduce((sum, { timeMs, count }) => sum + timeMs * count, 0);
  return textTable(
    ["op", "shape", "count", "ms", "of step", "rate", "", "peak", "error"],
    sorted.map((row) => [
      row.op,
      row.shape,
      String(row.count),
      row.timeMs.toFixed(3),
      percent(row.timeMs * row.count / wholeMs),
      row.timeMs > 0 ? (workOf(row) / row.timeMs / 1e6).toFixed(1) : "-",
      row.bound === "compute" ? "GFLOP/s" : "GB/s",
      percent(row.peakShare),
      row.error === null ? "-" : row.error.toExponential(0) + (isRight(row) ? "" : " WRONG"),
    ]),
    [false, false, true, true, true, true, false, true, true],
  );
}

/** What the rate counts: operations or bytes. */
const workOf = ({ bound, flops, bytes }: OpResult): number => bound === "compute" ? flops : bytes;

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

function rounded<T extends OpResult>(row: T): T {
  return {
    ...row,
    timeMs: Number(row.timeMs.toFixed(4)),
    peakShare: Number(row.peakShare.toFixed(4)),
  };
}

/** The command. */
export const command: Command = defineCommand({
  name: "bench ops",
  summary: "Times every op and shape of a train step, forward and gradients, on 23 classes, and " +
    "augmentation, focal loss and soft Dice; says what that is of the device's peaks, which are " +
    "measured first, and checks samples of every result against double precision. The exit " +
    "status is 1 where a number is wrong.",
  options,
  gpu: true,
  examples: [
    "deno task bench ops",
    "deno task bench ops --model unet-small --first-level 64 --height 128 --width 192 --json",
  ],
  run,
});
