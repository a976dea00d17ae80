/** `deno task doctor`: whether this machine can run the rest. @module */

import { join } from "node:path";
import { isFile, isFolder, shownPath, userFolder } from "../src/data/files.ts";
import { type AdapterChoice, isSoftwareAdapter } from "../src/gpu/adapter.ts";
import { type Gpu, type KernelFamily, requestGpu } from "../src/gpu/device.ts";
import { keysOf } from "../src/gpu/tuning.ts";
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
const FOLDERS = ["data", "checkpoints", "runs", "reports", "models"];

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
  const files = await fileRows();
  section("Files", files.map(({ row }) => row));

  // The adapter that the rest is about decides, not the first one of all.
  await findAdapter(choice);
  const width = await chooseVectorWidth(choice);
  const found = await Promise.all(CHOICES.map(async (name) => [name, await findAdapter(name)]));
  const adapters = new Map(found as [AdapterChoice, GPUAdapter | undefined][]);
  section(
    "Adapters",
    CHOICES.map((name): Row => [`--adapter ${name}`, describeAdapter(adapters.get(name))]),
  );
  const hasSoftware = adapters.values().some((a) => a !== undefined && isSoftwareAdapter(a.info));
  if (hasSoftware) {
    console.log(`  vector width: ${width.set ? "512 bits" : "the driver's own"} (${width.reason})`);
  }
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
  if (!await selfTest(choice, kernels, adapter.info)) return 1;
  const blocked = files.filter(({ isUsable }) => !isUsable).map(({ row: [name] }) => name);
  console.log(
    blocked.length === 0
      ? "\nEverything works. Next: deno task demo"
      : `\nThe adapter works, but commands cannot write into ${
        blocked.join(", ")
      }: see Files above.`,
  );
  return 0;
}

/** Computes something known. @returns whether it is right */
async function selfTest(
  choice: AdapterChoice,
  kernels: KernelFamily,
  info: GPUAdapterInfo,
): Promise<boolean> {
  const elsewhere = choice === "software" ? "" : ", or try --adapter software";
  const budget = memoryBudget(info);
  try {
    using gpu = await requestGpu({
      adapter: choice,
      kernels,
      ...(budget === undefined ? {} : { memoryBudgetBytes: budget }),
    });
    const rows = await selfTestRows(
      gpu,
      keysOf(await readTuning(info) ?? {}, gpu.kernelFamily).length,
    );
    section(`Self-test (${choice})`, rows.map(({ name, text }) => [name, text]));
    const isRight = rows.every(({ right }) => right);
    if (!isRight) {
      console.log(`\nThe adapter computes wrong numbers: update its driver${elsewhere}.`);
    }
    return isRight;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.log(`\nSelf-test (${choice}) failed: ${reason}`);
    console.log(`Update the graphics driver${elsewhere}.`);
    return false;
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
          ? `${tunedShapes} ${tunedShapes === 1 ? "shape" : "shapes"} tuned`
          : "no shapes tuned (deno task bench tune)"),
      right: true,
    },
    {
      name: "large buffers",
      text: gpu.textureReadBytes < Infinity
        ? "read through textures, which is faster here"
        : "read as they are",
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

/** A row about a folder, and whether commands can write into it. */
interface FolderRow {
  readonly row: Row;
  readonly isUsable: boolean;
}

async function fileRows(): Promise<FolderRow[]> {
  const folder = userFolder();
  const shown = shownPath(folder) === "." ? folder : shownPath(folder);
  const own = await access(folder);
  const rows: FolderRow[] = [{ ...own, row: ["folder", `${shown}: ${own.text}`] }];
  for (const name of FOLDERS) {
    const { text, isUsable } = await lookInto(join(folder, name));
    rows.push({ row: [name, text], isUsable });
  }
  return rows;
}

/** What can be done in a folder, in words, and whether it can be written. */
interface Access {
  readonly text: string;
  readonly isUsable: boolean;
}

async function lookInto(path: string): Promise<Access> {
  try {
    if (await isFile(path)) return { text: "a file is where the folder belongs", isUsable: false };
    if (!await isFolder(path)) return { text: "not there yet, made when needed", isUsable: true };
  } catch {
    // Not allowed to look: the attempt to write will say so.
  }
  return await access(path);
}

/** Tries it: permissions on paper are not what a read-only file system or a full disk grants. */
async function access(folder: string): Promise<Access> {
  const read = await works(async () => {
    for await (const _ of Deno.readDir(folder)) break;
  });
  const reading = read ? "can be read" : "cannot be read";
  if (Deno.permissions.querySync({ name: "write", path: folder }).state !== "granted") {
    const text = `${reading}, writing not tried (Deno was started without --allow-write)`;
    return { text, isUsable: true };
  }
  const path = join(folder, `.doctor.${Deno.pid}.tmp`);
  const isUsable = await works(() => Deno.writeFile(path, new Uint8Array(4096)));
  // A full disk may take the name and not the bytes.
  await works(() => Deno.remove(path));
  return { text: `${reading}, ${isUsable ? "can be written" : "cannot be written"}`, isUsable };
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
    "numbers. Says what to install where no adapter is found; the exit status is 1 then, and where " +
    "the self-test fails.",
  options,
  gpu: true,
  examples: ["deno task doctor", "deno task doctor --adapter software"],
  run,
});
