/**
 * onnxruntime for tests, where it can be had.
 * @module
 */
import { fileURLToPath } from "node:url";
import { canRead, canRun, canWrite } from "../support.ts";
import type { OnnxJob } from "./run_onnx.ts";

const PACKAGE = "npm:onnxruntime-web@1.20.1";
/** The first time, about 20 MB are downloaded. */
const PROBE_MS = 120_000;

/** Whether models can be run here: the package is in the cache or can be downloaded. */
export const hasOnnxRuntime: boolean = canRead && canWrite && canRun && await probe();

async function probe(): Promise<boolean> {
  const { success, stderr } = await command(["--probe"], {
    stdin: "null",
    signal: AbortSignal.timeout(PROBE_MS),
  }).output();
  if (!success) console.warn("no onnxruntime:", new TextDecoder().decode(stderr).trimEnd());
  return success;
}

/**
 * Runs the jobs one after the other.
 * @returns the shapes of their logits.
 */
export async function runOnnx(jobs: readonly OnnxJob[]): Promise<number[][]> {
  const child = command([], { stdin: "piped" }).spawn();
  await new Blob([JSON.stringify(jobs)]).stream().pipeTo(child.stdin);
  const { success, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  if (!success) throw new Error(`onnxruntime failed: ${text.decode(stderr)}`);
  return JSON.parse(text.decode(stdout));
}

function command(args: readonly string[], options: Deno.CommandOptions): Deno.Command {
  const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--no-config", `--lock=${here("onnxruntime.lock")}`],
      ...["--frozen", "--allow-read", "--allow-write", "--allow-env"],
      ...[here("run_onnx.ts"), PACKAGE, ...args],
    ],
    stdout: "piped",
    stderr: "piped",
    ...options,
  });
}
