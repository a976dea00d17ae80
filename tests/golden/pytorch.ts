/**
 * PyTorch for tests, where it is installed.
 * @module
 */
import { fileURLToPath } from "node:url";
import type { UnetConfig } from "../../src/nn/unet_spec.ts";
import { canRead, canRun, canWrite } from "../support.ts";

/** A run of a `.pth` file; see `run_pth.py`. */
export interface TorchJob {
  file: string;
  config: UnetConfig;
  bias: boolean;
  image: string;
  shape: readonly [number, number, number, number];
  logits: string;
}

/** The PATH's python may be one without packages. */
const CANDIDATES = Deno.build.os === "windows" ? ["python"] : ["python3", "/usr/bin/python3"];
const FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** A python that has PyTorch with `weights_only`, if there is one. */
const python: string | undefined = canRead && canWrite && canRun ? await findPython() : undefined;

/** Whether PyTorch is there. */
export const hasPyTorch: boolean = python !== undefined;

async function findPython(): Promise<string | undefined> {
  const check = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)";
  for (const name of CANDIDATES) {
    try {
      const found = await command(name, ["-c", check], "null").output();
      // Finding it takes milliseconds, importing it seconds: only where it was found.
      if (!found.success) continue;
      const probe = await command(name, [`${FOLDER}run_pth.py`, "--probe"], "null").output();
      if (probe.success) return name;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return undefined;
}

/** Runs the jobs; fails with Python's message. */
export async function runTorch(jobs: readonly TorchJob[]): Promise<void> {
  if (python === undefined) throw new Error("there is no PyTorch here");
  const child = command(python, [`${FOLDER}run_pth.py`], "piped").spawn();
  await new Blob([JSON.stringify(jobs)]).stream().pipeTo(child.stdin);
  const { success, stderr } = await child.output();
  if (!success) throw new Error(`PyTorch: ${new TextDecoder().decode(stderr)}`);
}

function command(name: string, args: readonly string[], stdin: "null" | "piped"): Deno.Command {
  return new Deno.Command(name, {
    // No __pycache__ in the working copy.
    args: ["-B", ...args],
    env: { OMP_NUM_THREADS: "1" },
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
}
