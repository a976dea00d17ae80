/** `deno task bench step`: speed and memory of a step. @module */

import { benchStep } from "../src/bench/step.ts";
import { profileRows, totalMs } from "../src/bench/profile_table.ts";
import { textTable } from "../src/bench/tables.ts";
import type { ProfileEntry } from "../src/graph/profile.ts";
import { MODELS } from "../src/nn/unet_spec.ts";
import { choice, flag, int, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { openGpu } from "./gpu.ts";

const options = {
  batch: int("images in a batch", { default: 1, min: 1 }),
  height: int("rows of an image", { default: 128, min: 4 }),
  width: int("pixels of a row", { default: 192, min: 4 }),
  model: choice("network", MODELS, { default: "unet-small" }),
  channels: int("channels of the first level", { default: 64, min: 1 }),
  mode: choice("what to time", ["train", "infer"], { default: "train" }),
  steps: int("times taken after the first step, for median and least", { default: 5, min: 1 }),
  precision: choice("how images are kept on the GPU; sums are made in 32 bits", ["f32", "f16"], {
    default: "f32",
  }),
  profile: flag("say where the time goes, by op and kernel"),
  json: flag("print one line of JSON instead of a table"),
};

/** The profile shown is that of median time. */
const PROFILED_STEPS = 3;

/** Runs a network on 23 classes and prints what it cost. */
export async function run(o: Values<typeof options>, context: Context): Promise<number> {
  using gpu = await openGpu(context);
  let rssBytes = 0;
  const result = await benchStep(gpu, {
    ...o,
    firstLevel: o.channels,
    images: o.precision,
    ...(o.profile ? { profiledSteps: PROFILED_STEPS } : {}),
    onStep: () => rssBytes = Math.max(rssBytes, Deno.memoryUsage().rss),
  });
  const line = {
    adapter: gpu.description,
    mode: o.mode,
    model: o.model,
    channels: o.channels,
    precision: o.precision,
    kernels: gpu.kernelFamily,
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
    sinceStartMs: round(result.sinceStartMs, 1),
    ...(result.losses ? { losses: result.losses.map((v) => round(v, 5)) } : {}),
    ...(result.profile ? { profile: profileRows(result.profile).map(rounded) } : {}),
    ...(result.checksum === undefined ? {} : { checksum: round(result.checksum, 7) }),
  };
  if (o.json) console.log(JSON.stringify(line));
  else {
    for (const [key, value] of Object.entries(line)) {
      if (key !== "profile") console.log(`${key.padEnd(14)}${value}`);
    }
    if (result.profile) console.log(`\n${profileTable(result.profile, result.medianMs)}`);
  }
  return 0;
}

/** The table of `--profile`, with what an ordinary step takes next to its sum. */
export function profileTable(entries: readonly ProfileEntry[], stepMs: number): string {
  const rows = profileRows(entries).map((row) => [
    row.op === "" ? "-" : row.op,
    row.kernel,
    String(row.count),
    row.timeMs.toFixed(2),
    `${(row.share * 100).toFixed(1)} %`,
  ]);
  const sumMs = totalMs(entries);
  const count = entries.length;
  const table = textTable(
    ["op", "kernel", "count", "ms", "share"],
    [...rows, ["sum", "", String(count), sumMs.toFixed(2), "100.0 %"]],
    [false, false, true, true, true],
  );
  const change = (sumMs / stepMs - 1) * 100;
  return `${table}\n\nAn ordinary step takes ${stepMs.toFixed(1)} ms by the clock (median), this ` +
    `profiled one ${sumMs.toFixed(1)} ms on the device: ${Math.abs(change).toFixed(0)} % ` +
    `${change < 0 ? "less" : "more"}.`;
}

function rounded<T extends { timeMs: number; share: number }>(row: T): T {
  return { ...row, timeMs: round(row.timeMs, 4), share: round(row.share, 5) };
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
  name: "bench step",
  summary:
    "Times UNetSmall (width 64, 23 classes) or another network on fixed weights and data, the " +
    "same that other frameworks can be given. The first step, which plans and compiles, is timed " +
    "apart. Each further time is that of one step: the mean of a group of steps that takes " +
    "about a second, on llvmpipe two, without a wait in between, as in training; a longer step is a " +
    "group of its own. Losses are those of the first steps.",
  options,
  gpu: true,
  examples: [
    "deno task bench step --batch 1 --height 128 --width 192 --json",
    "deno task bench step --model unet --channels 16 --batch 4 --profile",
  ],
  run,
});
