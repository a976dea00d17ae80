/** `deno task bench scale`: how time and memory grow. @module */

import { benchGrowth, type GrowthRow, pixelsOf } from "../src/bench/growth.ts";
import { textTable } from "../src/bench/tables.ts";
import { MODELS } from "../src/nn/unet_spec.ts";
import { choice, flag, int, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { openGpu } from "./gpu.ts";

const options = {
  mode: choice("what to measure", ["train", "infer"], { default: "train" }),
  model: choice("network", MODELS, { default: "unet-small" }),
  "first-level": int("channels of the first level", { default: 64, min: 1 }),
  steps: int("times taken of each size, as by deno task bench step", { default: 2, min: 1 }),
  seconds: int("time only what is expected to take no longer, each", { default: 60, min: 0 }),
  json: flag("print one line of JSON instead of a table"),
};

/** Measures and prints. */
export async function run(o: Values<typeof options>, context: Context): Promise<number> {
  using gpu = await openGpu(context);
  const { mode, model, firstLevel, steps } = o;
  const rows = await benchGrowth(gpu, {
    mode,
    model,
    firstLevel,
    steps,
    limitMs: o.seconds * 1000,
    onRow: ({ batch, height, width }) =>
      context.log.info(`Timing ${batch} x ${height} x ${width} (${mode}, ${model})`),
  });
  if (o.json) {
    const { description: adapter, kernels } = gpu;
    console.log(JSON.stringify({ adapter, kernels, mode, model, firstLevel, steps, rows }));
  } else console.log(growthTable(rows));
  return 0;
}

/** The table: absolute figures and those of a pixel. */
export function growthTable(rows: readonly GrowthRow[]): string {
  const figures = (row: GrowthRow): string[] => {
    const pixels = pixelsOf(row);
    const { plannedBytes, medianMs } = row;
    return [
      plannedBytes === undefined ? "-" : (plannedBytes / 2 ** 20).toFixed(0),
      plannedBytes === undefined ? "-" : (plannedBytes / pixels).toFixed(0),
      medianMs === undefined ? "-" : medianMs.toFixed(1),
      medianMs === undefined ? "-" : (medianMs * 1e6 / pixels).toFixed(0),
    ];
  };
  return textTable(
    ["batch", "height", "width", "planned MiB", "bytes/pixel", "ms", "ns/pixel", ""],
    rows.map((row) => [
      String(row.batch),
      String(row.height),
      String(row.width),
      ...figures(row),
      row.note ?? "",
    ]),
    [true, true, true, true, true, true, true, false],
  );
}

/** The command. */
export const command: Command = defineCommand({
  name: "bench scale",
  summary:
    "How the cost of a step grows: time and planned memory, in all and for each pixel, for " +
    "images from 128 x 192 to 1024 x 1536 and for batches from 1 to 8. Memory is known without " +
    "running; times are measured where the step fits into memory and is expected to end in time.",
  options,
  gpu: true,
  examples: ["deno task bench scale", "deno task bench scale --mode infer --first-level 16"],
  run,
});
