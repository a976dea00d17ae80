/**
 * The vector width of Mesa's software adapter. llvmpipe computes 8 lanes at a time, on processors
 * with AVX-512 it can do 16, but has to be told so by its environment. AMD's are up to 1.5 times
 * faster then; the one of Intel's that was measured was slower by 13 %, waiting for lanes of vectors
 * of 64 bytes that were just stored. Whether it works is tried at every start, since a driver may be
 * updated any day.
 * @module
 */

import { join } from "node:path";
import { DeviceError } from "../src/errors.ts";
import { type AdapterChoice, isLlvmpipe } from "../src/gpu/adapter.ts";
import { cacheFolder } from "./cache_folder.ts";
import { settable, variable } from "./environment.ts";
import type { WidthAnswer, WidthQuestion } from "./vector_width_worker.ts";

const WIDTH = "LP_NATIVE_VECTOR_WIDTH";
const SHADER_CACHE = "MESA_SHADER_CACHE_DIR";
const BITS = "512";

/** `--allow-run` of the tasks names it: Deno lets nobody but itself read /proc. */
const GREP = "/usr/bin/grep";

/** What was found about the vector width; for people. */
export interface VectorWidth {
  /** Whether this program set it. */
  readonly set: boolean;
  readonly reason: string;
}

/** What decides about the width, to be replaced in tests. */
export interface WidthTools {
  readonly os: string;
  /** Whether the processor is one that gains; `undefined` where that cannot be found out. */
  gains(): Promise<boolean | undefined>;
  /** Asks a worker of its own, and with it a driver loaded anew. */
  ask(question: WidthQuestion): Promise<WidthAnswer>;
}

const TOOLS: WidthTools = { os: Deno.build.os, gains, ask };

let decided: Promise<VectorWidth> | undefined;

/**
 * Sets the width for the adapter that `choice` stands for, before anything loads the driver: once a
 * process, later calls return what the first one found.
 */
export function chooseVectorWidth(choice: AdapterChoice): Promise<VectorWidth> {
  return decided ??= decideVectorWidth(choice, TOOLS);
}

/**
 * Sets the environment for the wide vectors, or leaves it as it was.
 * @throws {DeviceError} when the driver computes wrong and cannot be loaded anew.
 */
export async function decideVectorWidth(
  choice: AdapterChoice,
  tools: WidthTools,
): Promise<VectorWidth> {
  const left = (reason: string): VectorWidth => ({ set: false, reason });
  if (tools.os !== "linux") return left("only Mesa's llvmpipe on Linux has a choice");
  if (![WIDTH, SHADER_CACHE].every(settable)) {
    return left(`Deno may not set ${WIDTH} and ${SHADER_CACHE} (--allow-env)`);
  }
  const own = variable(WIDTH);
  const ownCache = variable(SHADER_CACHE);
  if (own !== undefined) {
    const shaders = /^\d+$/.test(own) ? await shaderFolder(ownCache, own) : undefined;
    if (shaders !== undefined) Deno.env.set(SHADER_CACHE, shaders);
    return left(`${WIDTH}=${own} is in the environment`);
  }
  const able = await tools.gains();
  if (able === undefined) return left(`Deno may not look at the processor (--allow-run=${GREP})`);
  if (!able) return left("the processor has no AVX-512, or is not one of AMD's, which alone gain");
  const shaders = await shaderFolder(ownCache, BITS);
  if (shaders === undefined) return left("there is no folder for its shaders");

  Deno.env.set(WIDTH, BITS);
  Deno.env.set(SHADER_CACHE, shaders);
  const { description, right } = await tools.ask({ adapter: choice, test: true });
  const isMesa = isLlvmpipe(description);
  if (isMesa && right) return { set: true, reason: "AVX-512, and the adapter computes right" };
  Deno.env.delete(WIDTH);
  if (ownCache === undefined) Deno.env.delete(SHADER_CACHE);
  else Deno.env.set(SHADER_CACHE, ownCache);
  if (!isMesa) return left("only Mesa's llvmpipe has a choice");
  await unloaded(choice, tools);
  return left(`with ${BITS} bits the adapter computes wrong`);
}

/** How long a worker's driver takes to go, at most. */
const [ATTEMPTS, PAUSE_MS] = [40, 50];

/** Waits until the driver that was told the width is gone. */
async function unloaded(adapter: AdapterChoice, { ask }: WidthTools): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { description } = await ask({ adapter, test: false });
    if (!description.includes(`${BITS} bits`)) return;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  throw new DeviceError(
    `The software adapter computes wrong with vectors of ${BITS} bits and keeps them; set ` +
      `${WIDTH}=256 in the environment and run again.`,
  );
}

/**
 * The driver's own shader cache does not tell the widths apart: with Mesa 25.0 kernels from it compute
 * wrong or crash.
 */
async function shaderFolder(own: string | undefined, bits: string): Promise<string | undefined> {
  const base = own ?? cacheFolder();
  if (base === undefined) return undefined;
  const folder = join(base, `llvmpipe-${bits}`);
  try {
    await Deno.mkdir(folder, { recursive: true });
    return folder;
  } catch {
    return undefined;
  }
}

async function gains(): Promise<boolean | undefined> {
  const { state } = await Deno.permissions.query({ name: "run", command: GREP });
  if (state !== "granted") return undefined;
  try {
    return await processorSays("AuthenticAMD") && await processorSays("avx512f");
  } catch {
    return undefined;
  }
}

async function processorSays(word: string): Promise<boolean> {
  const { success } = await new Deno.Command(GREP, {
    args: ["-qw", word, "/proc/cpuinfo"],
    // Deno refuses to hand on the variables of the dynamic linker.
    clearEnv: true,
    stderr: "null",
  }).output();
  return success;
}

/** Asks a worker, which is ended then. */
export async function ask(question: WidthQuestion): Promise<WidthAnswer> {
  const worker = new Worker(new URL("./vector_width_worker.ts", import.meta.url), {
    type: "module",
  });
  try {
    return await new Promise<WidthAnswer>((resolve, reject) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }: MessageEvent<WidthAnswer>) => {
        port1.close();
        resolve(data);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        port1.close();
        reject(new DeviceError(`Trying the software adapter failed: ${event.message}.`));
      };
      worker.postMessage(question, [port2]);
    });
  } finally {
    worker.terminate();
  }
}
