/** `deno task bench`: speed and memory of a step. @module */

import { benchStep } from "../src/bench/step.ts";
import { UsageError } from "../src/errors.ts";
import { choice, flag, int, positional, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { openGpu } from "./gpu.ts";

const options = {
  what: positional("step: a whole train or inference step", ["step", "ops"], { default: "step" }),
  batch: int("images in a batch", { default: 1, min: 1 }),
  height: int("rows of an image", { default: 128, min: 4 }),
  width: int("pixels of a row", { default: 192, min: 4 }),
  mode: choice("what to time", ["train", "infer"], { default: "train" }),
  steps: int("timed steps after the first one", { default: 5, min: 1 }),
  json: flag("print one line of JSON instead of a table"),
};

/** Runs UNetSmall of width 64 on 23 classes and prints what it cost. */
export async function run(o: Values<typeof options>, context: Context): Promise<number> {
  if (o.what !== "step") throw new UsageError(`bench ${o.what} is not available yet`);
  using gpu = await openGpu(context);
  let rssBytes = 0;
  const result = await benchStep(gpu, {
    ...o,
    firstLevel: 64,
    onStep: () => rssBytes = Math.max(rssBytes, Deno.memoryUsage().rss),
  });
  const line = {
    adapter: gpu.description,
    mode: o.mode,
    model: "unet-small",
    batch: o.batch,
    height: o.height,
    width: o.width,
    classes: 23,
    steps: o.steps,
    coldMs: round(result.coldMs, 1),
    medianMs: round(result.medianMs, 1),
    minMs: round(result.minMs, 1),
    gflops: round(result.gflops, 2),
    plannedBytes: result.plannedBytes,
    rssPeakBytes: Math.max(rssBytes, peakRssBytes()),
    dispatches: result.dispatches,
    ...(result.losses ? { losses: result.losses.map((v) => round(v, 5)) } : {}),
    ...(result.checksum === undefined ? {} : { checksum: round(result.checksum, 7) }),
  };
  if (o.json) console.log(JSON.stringify(line));
  else for (const [key, value] of Object.entries(line)) console.log(`${key.padEnd(14)}${value}`);
  return 0;
}

/** The most memory this process ever held, where the system tells (Linux, with all permissions). */
function peakRssBytes(): number {
  try {
    const status = Deno.readTextFileSync("/proc/self/status");
    return Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** The command. */
export const command: Command = defineCommand({
  name: "bench",
  summary:
    "Times UNetSmall (width 64, 23 classes) on fixed weights and data, the same that other " +
    "frameworks can be given. The first step, which plans and compiles, is timed apart.",
  options,
  gpu: true,
  examples: ["deno task bench step --batch 1 --height 128 --width 192 --json"],
  run,
});
