/** `deno task doctor`: whether this machine can run the rest. @module */

import { join } from "node:path";
import { isFolder, shownPath, userFolder } from "../src/data/files.ts";
import {
  type AdapterChoice,
  type Gpu,
  isSoftwareAdapter,
  type KernelFamily,
  requestGpu,
} from "../src/gpu/device.ts";
import type { Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { driverAdvice, findAdapter, memoryBudget, systemMemory } from "./gpu.ts";
import { readTuning } from "./tuning_file.ts";
import { chooseVectorWidth } from "./vector_width.ts";
import { checkUnet, measureConv } from "./self_test.ts";

const options = {};

const CHOICES: readonly AdapterChoice[] = ["high", "low", "software"];

/** Limits that decide how large images and networks can be, with what they are counted in. */
const LIMITS = {
  maxBufferSize: "bytes",
  maxStorageBufferBindingSize: "bytes",
  maxTextureDimension2D: "texels",
  maxStorageBuffersPerShaderStage: "",
  maxComputeWorkgroupStorageSize: "bytes",
  maxComputeInvocationsPerWorkgroup: "",
} as const;

/** Features that make some things faster or measurable. */
const FEATURES: readonly GPUFeatureName[] = ["shader-f16", "timestamp-query", "subgroups"];

/** Folders that commands write into, below the one the user stands in. */
const FOLDERS = ["data", "checkpoints", "reports"];

/** Says what is there and tries it. */
export async function run(
  _: Values<typeof options>,
  { adapter: choice = "high", kernels = "auto" }: Context,
): Promise<number> {
  section("Runtime", [
    ["Deno", `${Deno.version.deno} (V8 ${Deno.version.v8}), ${Deno.build.target}`],
    ["WebGPU", navigator.gpu ? "yes" : "no: use Deno 2.9 or newer"],
    ["processors", String(navigator.hardwareConcurrency)],
    ["memory", memoryText()],
  ]);
  section("Files", await fileRows());

  // The adapter that the rest is about decides, not the first one of all.
  await findAdapter(choice);
  const width = await chooseVectorWidth(choice);
  const found = await Promise.all(CHOICES.map(async (name) => [name, await findAdapter(name)]));
  const adapters = new Map(found as [AdapterChoice, GPUAdapter | undefined][]);
  section(
    "Adapters",
    CHOICES.map((name): Row => [`--adapter ${name}`, describeAdapter(adapters.get(name))]),
  );
  console.log(`  vector width: ${width.set ? "512 bits" : "the driver's own"} (${width.reason})`);
  const adapter = adapters.get(choice);
  if (adapter === undefined) {
    const others = CHOICES.filter((name) => adapters.get(name) !== undefined);
    if (others.length > 0) {
      console.log(`\nNo adapter for --adapter ${choice}; use --adapter ${others.join(" or ")}.`);
    } else {
      console.log("\nNo adapter was found: nothing can run. What brings one:");
      for (const { system, action } of driverAdvice()) console.log(`  ${system}: ${action}`);
    }
    return 1;
  }
  section(`Limits and features (${choice})`, [
    ...Object.entries(LIMITS).map(([name, unit]): Row => [
      name,
      limitText(adapter.limits[name as keyof typeof LIMITS], unit),
    ]),
    ...FEATURES.map((name): Row => [name, adapter.features.has(name) ? "yes" : "no"]),
  ]);
  return await selfTest(choice, kernels, adapter.info);
}

/** Computes something known. @returns the exit status */
async function selfTest(
  choice: AdapterChoice,
  kernels: KernelFamily,
  info: GPUAdapterInfo,
): Promise<number> {
  const budget = memoryBudget(info);
  try {
    using gpu = await requestGpu({
      adapter: choice,
      kernels,
      ...(budget === undefined ? {} : { memoryBudgetBytes: budget }),
    });
    const rows = await selfTestRows(gpu, Object.keys(await readTuning(info) ?? {}).length);
    section(`Self-test (${choice})`, rows.map(({ name, text }) => [name, text]));
    const failed = rows.filter(({ right }) => !right);
    console.log(
      failed.length === 0
        ? "\nEverything works. Next: deno task demo"
        : "\nThe adapter computes wrong numbers: update its driver, or try --adapter software.",
    );
    return failed.length === 0 ? 0 : 1;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.log(`\nSelf-test (${choice}) failed: ${reason}`);
    console.log("Update the graphics driver, or try --adapter software.");
    return 1;
  }
}

async function selfTestRows(
  gpu: Gpu,
  tunedShapes: number,
): Promise<{ name: string; text: string; right: boolean }[]> {
  const started = performance.now();
  const numbers = await checkUnet(gpu);
  const unetMs = performance.now() - started;
  const rows = numbers.map(({ name, found, expected, right }) => ({
    name,
    text: right
      ? `${found.toPrecision(7)}, as PyTorch`
      : `${found.toPrecision(7)}, but PyTorch gives ${expected.toPrecision(7)}`,
    right,
  }));
  const { gflops, coldMs } = await measureConv(gpu);
  const rate = Number(gflops.toPrecision(2));
  return [
    {
      name: "small U-Net",
      text: `a train step in ${unetMs.toFixed(0)} ms, shaders compiled`,
      right: true,
    },
    ...rows,
    {
      name: "3x3 convolution",
      text: `about ${rate} GFLOP/s (64 channels at 128x128; first run ${coldMs.toFixed(0)} ms)`,
      right: rate > 0,
    },
    {
      name: "kernels",
      text: `those for ${FAMILIES[gpu.kernelFamily]}, ` +
        (tunedShapes > 0
          ? `${tunedShapes} shapes tuned`
          : "no shapes tuned (deno task bench tune)"),
      right: true,
    },
    { name: "GPU memory", text: `programs may plan ${gib(gpu.memoryBudgetBytes)}`, right: true },
  ];
}

const FAMILIES = { cpu: "processors (cpu)", gpu: "GPUs (gpu)" };

type Row = [name: string, text: string];

function section(title: string, rows: readonly Row[]): void {
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(`\n${title}`);
  for (const [name, text] of rows) console.log(`  ${name.padEnd(width)}  ${text}`);
}

function describeAdapter(adapter: GPUAdapter | undefined): string {
  if (adapter === undefined) return "none";
  const { description, device, vendor } = adapter.info;
  const name = description || device || vendor || "unnamed";
  return `${name}, ${
    isSoftwareAdapter(adapter.info) ? "software (runs on the processor)" : "hardware"
  }`;
}

function limitText(value: number, unit: "bytes" | "texels" | ""): string {
  if (unit !== "bytes") return `${value}${unit === "" ? "" : ` ${unit}`}`;
  return value >= 2 ** 20
    ? `${Math.round(value / 2 ** 20)} MiB`
    : `${Math.round(value / 2 ** 10)} KiB`;
}

function memoryText(): string {
  const memory = systemMemory();
  if (memory === undefined) return "unknown (not allowed to look: --allow-sys=systemMemoryInfo)";
  return `${gib(memory.total)}, ${gib(memory.available)} available`;
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

async function fileRows(): Promise<Row[]> {
  const folder = userFolder();
  const rows: Row[] = [[
    "folder",
    `${shownPath(folder) === "." ? folder : shownPath(folder)}: ${await access(folder)}`,
  ]];
  for (const name of FOLDERS) {
    const path = join(folder, name);
    rows.push([name, await exists(path) ? await access(path) : "not there yet, made when needed"]);
  }
  return rows;
}

async function exists(path: string): Promise<boolean> {
  try {
    return await isFolder(path);
  } catch {
    // Not allowed to look: the attempt to write will say so.
    return true;
  }
}

/** Tries it: permissions on paper are not what a read-only file system or a full disk grants. */
async function access(folder: string): Promise<string> {
  const read = await works(async () => {
    for await (const _ of Deno.readDir(folder)) break;
  });
  const reading = read ? "can be read" : "cannot be read";
  if (Deno.permissions.querySync({ name: "write", path: folder }).state !== "granted") {
    return `${reading}, writing not tried (Deno was started without --allow-write)`;
  }
  const write = await works(async () => {
    const path = join(folder, `.doctor.${Deno.pid}.tmp`);
    await Deno.writeFile(path, new Uint8Array(4096));
    await Deno.remove(path);
  });
  return `${reading}, ${write ? "can be written" : "cannot be written"}`;
}

async function works(attempt: () => Promise<void>): Promise<boolean> {
  try {
    await attempt();
    return true;
  } catch {
    return false;
  }
}

/** The command. */
export const command: Command = defineCommand({
  name: "doctor",
  summary: "Looks at this machine: Deno, memory, folders, GPU adapters with their limits, and a " +
    "self-test of about a second that compares a small U-Net's train step with PyTorch's " +
    "numbers. Says what to install where no adapter is found; the exit status is 1 then.",
  options,
  gpu: true,
  examples: ["deno task doctor", "deno task doctor --adapter software"],
  run,
});
