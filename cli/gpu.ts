/**
 * The GPU of a command: the adapter that the user asked for, with a memory budget that this machine
 * can bear.
 * @module
 */

import { DeviceError, InputError } from "../src/errors.ts";
import { type AdapterChoice, isSoftwareAdapter, requestAdapter } from "../src/gpu/adapter.ts";
import { type Gpu, requestGpu } from "../src/gpu/device.ts";
import type { Tuning } from "../src/gpu/tuning.ts";
import type { ImageType } from "../src/graph/layout.ts";
import type { Context } from "./command.ts";
import { chooseDriverThreads } from "./driver_threads.ts";
import { setDefault } from "./environment.ts";
import { readTuning } from "./tuning_file.ts";
import { chooseVectorWidth } from "./vector_width.ts";

/** Of the memory that is free when a command starts; the rest is for photos, masks and the driver. */
const MEMORY_SHARE = 0.6;

/** The adapter for a choice, its vector width chosen with the first one; or `undefined` where the machine has none. */
export async function findAdapter(
  choice: AdapterChoice = "high",
): Promise<GPUAdapter | undefined> {
  quietenVulkanLoader();
  chooseDriverThreads();
  await chooseVectorWidth(choice);
  return await requestAdapter(choice);
}

/** What programs may plan at most, by kind of adapter. */
export interface MostMemory {
  readonly gpu: number;
  readonly software: number;
}

/**
 * Opens the GPU for a command and says which on the log.
 * @param mostMemoryBytes Holds where the machine could bear more.
 * @throws {DeviceError} where there is no such adapter or it cannot be opened.
 */
export async function openGpu(
  { adapter: choice, kernels, log, tuning: given }:
    & Pick<Context, "adapter" | "kernels" | "log">
    & { readonly tuning?: Tuning },
  mostMemoryBytes: MostMemory = { gpu: Infinity, software: Infinity },
): Promise<Gpu> {
  const adapter = await findAdapter(choice);
  if (adapter === undefined) throw new DeviceError(await noAdapter(choice));
  const most = mostMemoryBytes[isSoftwareAdapter(adapter.info) ? "software" : "gpu"];
  const bearable = Math.min(memoryBudget(adapter.info) ?? Infinity, most);
  const memoryBudgetBytes = bearable < Infinity ? bearable : undefined;
  const tuning = given ?? await readTuning(adapter.info);
  const gpu = await requestGpu({
    ...(choice === undefined ? {} : { adapter: choice }),
    ...(kernels === undefined ? {} : { kernels }),
    ...(tuning === undefined ? {} : { tuning }),
    ...(memoryBudgetBytes === undefined ? {} : { memoryBudgetBytes }),
  });
  const asked = kernels === undefined || kernels === "auto" ? "" : `, ${kernels} kernels`;
  log.info(`Using device ${gpu.description}${asked}`);
  return gpu;
}

/**
 * Before anything long begins.
 * @throws {InputError} where the adapter cannot keep images as `--precision` asks.
 */
export function checkPrecision(gpu: Gpu, precision: ImageType): void {
  if (precision === "f32" || gpu.supportsF16) return;
  throw new InputError(
    `--precision f16 needs an adapter with the feature shader-f16, but ${gpu.description} has none; ` +
      "choose another one with --adapter (deno task doctor lists them), or take --precision f32",
  );
}

/**
 * Without this folder (containers, cron) the Vulkan loader prints an error for every adapter that it
 * looks at, though nothing is wrong: compute shaders never use it.
 */
function quietenVulkanLoader(): void {
  if (Deno.build.os === "linux") setDefault("XDG_RUNTIME_DIR", "/tmp");
}

/**
 * Bytes of GPU memory that programs may plan on an adapter; `undefined` leaves it to the engine. A
 * software adapter takes its memory from the system and promises more than there is, so the bound
 * has to come from the machine.
 */
export function memoryBudget(info: GPUAdapterInfo): number | undefined {
  if (!isSoftwareAdapter(info)) return undefined;
  const available = systemMemory()?.available ?? 0;
  return available > 0 ? Math.floor(available * MEMORY_SHARE) : undefined;
}

/** The system's memory in bytes; `undefined` where Deno may not look. */
export function systemMemory(): { total: number; available: number } | undefined {
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "systemMemoryInfo" });
  if (state !== "granted") return undefined;
  const { total, available } = Deno.systemMemoryInfo();
  return { total, available };
}

/** One sentence: what was asked for, what is there instead, what to do. */
async function noAdapter(choice: AdapterChoice | undefined): Promise<string> {
  const asked = choice === undefined ? "" : ` for --adapter ${choice}`;
  const found = `no GPU adapter${asked}`;
  // A machine may well have a fast adapter and no software one.
  if (choice !== undefined && choice !== "high" && await findAdapter() !== undefined) {
    return `${found}, but there is another one; leave --adapter out, or see deno task doctor`;
  }
  const [first] = driverAdvice();
  return `${found}; ${first.action} (deno task doctor says more)`;
}

/** What brings an adapter to a kind of machine. */
export interface DriverAdvice {
  readonly system: string;
  readonly action: string;
}

/** At least one piece of advice. */
type AdviceList = readonly [DriverAdvice, ...DriverAdvice[]];

const OTHER_ADVICE: AdviceList = [
  { system: "your system", action: "install the Vulkan loader and Mesa's Vulkan drivers" },
];

/** Advice by `Deno.build.os`, the commonest system first. */
const DRIVER_ADVICE: Readonly<Record<string, AdviceList>> = {
  linux: [
    {
      system: "Debian, Ubuntu",
      action: "run sudo apt-get install mesa-vulkan-drivers libvulkan1",
    },
    { system: "Fedora, RHEL", action: "run sudo dnf install mesa-vulkan-drivers vulkan-loader" },
    { system: "Arch", action: "run sudo pacman -S vulkan-swrast vulkan-icd-loader" },
    { system: "openSUSE", action: "run sudo zypper install libvulkan_lvp libvulkan1" },
    { system: "NVIDIA cards", action: "install NVIDIA's own driver as well, it brings Vulkan" },
  ],
  windows: [
    {
      system: "Windows",
      action: "update Windows and the graphics driver (WebGPU needs Direct3D 12 or Vulkan)",
    },
    {
      system: "without a GPU",
      action: "nothing to install: Windows 10 and 11 bring a software adapter (WARP)",
    },
  ],
  darwin: [
    {
      system: "macOS",
      action:
        "use macOS 11 or newer on a Mac with Metal: every one since 2012 (nothing to install)",
    },
  ],
};

/** What to install for an adapter on this machine's operating system. */
export function driverAdvice(os: string = Deno.build.os): AdviceList {
  return DRIVER_ADVICE[os] ?? OTHER_ADVICE;
}
