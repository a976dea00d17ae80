/**
 * The file that remembers which tiles are fastest: in the user's cache folder, by adapter, and only
 * as long as the kernels are those that were measured.
 * @module
 */

import { join } from "node:path";
import { isTuning, type Tuning } from "../src/gpu/tuning.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import { cacheFolder } from "./cache_folder.ts";

/** What the file holds of an adapter. */
interface Entry {
  readonly kernels: string;
  readonly tuning: Tuning;
}

/** Where it lies; `undefined` where there is no cache folder. */
export function tuningFile(): string | undefined {
  const folder = cacheFolder();
  return folder === undefined ? undefined : join(folder, "tuning.json");
}

/** All that WebGPU tells of an adapter and its driver, and the runtime that compiles for it. */
export function adapterKey(info: GPUAdapterInfo): string {
  const { vendor, architecture, device, description } = info;
  return [vendor, architecture, device, description, `Deno ${Deno.version.deno}`].join(" | ");
}

/**
 * A digest of the convolutions' shaders and of the modules that choose their tiles; `undefined`
 * where they cannot be read, such as when the program runs from a URL.
 */
async function kernelDigest(): Promise<string | undefined> {
  try {
    const parts: string[] = [];
    for (
      const [folder, pattern] of [["../shaders/", /^conv2d/], ["../src/ops/", /^conv/]] as const
    ) {
      const url = new URL(folder, import.meta.url);
      const names = await Array.fromAsync(Deno.readDir(url), ({ name }) => name);
      for (const name of names.filter((n) => pattern.test(n)).sort()) {
        parts.push(name, await Deno.readTextFile(new URL(name, url)));
      }
    }
    const bytes = new TextEncoder().encode(parts.join("\0"));
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return [...digest.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch {
    return undefined;
  }
}

/** What is remembered for an adapter; `undefined` where nothing is, or nothing that is still true. */
export async function readTuning(
  info: GPUAdapterInfo,
  file: string | undefined = tuningFile(),
): Promise<Tuning | undefined> {
  if (file === undefined) return undefined;
  const entries = await readEntries(file);
  const key = adapterKey(info);
  const entry = Object.hasOwn(entries, key) ? entries[key] : undefined;
  // Most machines have no file, so the digest is made last.
  return isEntry(entry) && entry.kernels === await kernelDigest() ? entry.tuning : undefined;
}

/**
 * Remembers choices for an adapter, beside those for other shapes.
 * @param measured keys that were measured, whose earlier choices are forgotten
 * @returns whether it could
 * @throws InputError where the file cannot be written.
 */
export async function saveTuning(
  info: GPUAdapterInfo,
  tuning: Tuning,
  measured: readonly string[],
  file: string | undefined = tuningFile(),
): Promise<boolean> {
  const kernels = await kernelDigest();
  if (file === undefined || kernels === undefined) return false;
  const before = Object.entries(await readTuning(info, file) ?? {})
    .filter(([key]) => !measured.includes(key));
  const entry: Entry = { kernels, tuning: { ...Object.fromEntries(before), ...tuning } };
  const entries = { ...await readEntries(file), [adapterKey(info)]: entry };
  const text = JSON.stringify(entries, null, 2) + "\n";
  await writeFileAtomic(file, new TextEncoder().encode(text));
  return true;
}

/** Forgets everything. @returns whether there was something */
export async function forgetTuning(file: string | undefined = tuningFile()): Promise<boolean> {
  try {
    if (file === undefined) return false;
    await Deno.remove(file);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A damaged file is as good as none: it only holds what can be measured again. */
async function readEntries(file: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await Deno.readTextFile(file));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const { kernels, tuning }: Partial<Entry> = value;
  return typeof kernels === "string" && isTuning(tuning);
}
