/**
 * Adapters: which there are, what they say of themselves, and opening a device on one.
 * @module
 */
import { checkChoice } from "../choices.ts";

/** Which adapter to ask for: the fast one, the frugal one, or a processor-only one. */
export type AdapterChoice = "high" | "low" | "software";

/** What WebGPU calls each choice. */
const ADAPTER_REQUESTS: Readonly<Record<AdapterChoice, GPURequestAdapterOptions>> = {
  high: { powerPreference: "high-performance" },
  low: { powerPreference: "low-power" },
  software: { forceFallbackAdapter: true },
};

/** Limits worth having above WebGPU's defaults; asked for at the adapter's own maximum. */
const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxTextureDimension2D",
  "maxStorageBuffersPerShaderStage",
  "maxStorageTexturesPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

/**
 * The adapter of that choice; `undefined` where the system offers none.
 * @throws {InputError} for an unknown choice.
 */
export async function requestAdapter(choice: AdapterChoice): Promise<GPUAdapter | undefined> {
  checkChoice("adapter", choice, Object.keys(ADAPTER_REQUESTS));
  return await navigator.gpu?.requestAdapter(ADAPTER_REQUESTS[choice]) ?? undefined;
}

/** Opens a device with all that the engine can use of the adapter. */
export function openDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const requiredLimits: Record<string, number> = {};
  for (const name of WANTED_LIMITS) requiredLimits[name] = adapter.limits[name];
  const requiredFeatures: GPUFeatureName[] = [];
  for (const feature of ["timestamp-query", "shader-f16"] as const) {
    if (adapter.features.has(feature)) requiredFeatures.push(feature);
  }
  return adapter.requestDevice({ requiredLimits, requiredFeatures, label: "unet" });
}

/** Browsers tell maker and family only, so that pages cannot recognise a machine by its card. */
export function describe({ description, device, vendor, architecture }: GPUAdapterInfo): string {
  return description || device || `${vendor} ${architecture}`.trim() || "unnamed adapter";
}

/** Software rasterisers announce themselves as fallback adapters; older ones only by name. */
export function isSoftwareAdapter(info: GPUAdapterInfo): boolean {
  const flagged = (info as GPUAdapterInfo & { isFallbackAdapter?: boolean }).isFallbackAdapter;
  const names = `${info.description} ${info.architecture} ${info.device} ${info.vendor}`;
  return flagged === true || /llvmpipe|lavapipe|swiftshader|basic render|warp/i.test(names);
}

/** Whether that is the description of Mesa's software adapter. */
export function isLlvmpipe(description: string): boolean {
  return description.startsWith("llvmpipe");
}

/** Width of a software adapter's vectors; Mesa's says `llvmpipe (LLVM 15.0.6, 256 bits)`. */
export function vectorBits(description: string): number {
  return Number(/(\d+) bits/.exec(description)?.[1] ?? 256);
}
