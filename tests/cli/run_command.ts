/**
 * The command line as a process of its own, with no more permissions than a command needs.
 * @module
 */
import { canRead, canRun, canWrite } from "../support.ts";

const ROOT = new URL("../../", import.meta.url);
const MAIN = new URL("cli/main.ts", ROOT).pathname;
const CONFIG = new URL("deno.json", ROOT).pathname;

/** Whether tests of processes cannot run here. */
export const noProcesses: boolean = !canRead || !canWrite || !canRun;

/** What a command may do; reading is not narrowed further, since packages lie in Deno's cache. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-env=INIT_CWD,UNET_DEBUG,IMAGESCRIPT_WASM_SIMD",
  "--allow-sys=systemMemoryInfo",
];

/** What came of a command. */
export interface Outcome {
  code: number;
  /** Standard output. */
  out: string;
  /** Standard error: log lines. */
  err: string;
}

/** Runs `unet ARGS` in `folder`, which it may write into. */
export async function runCommand(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const allow = [...PERMISSIONS, `--allow-write=${folder}`, "--no-prompt"];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--config", CONFIG, ...allow, MAIN, ...args],
    cwd: folder,
    env: { NO_COLOR: "1", INIT_CWD: folder, ...env },
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** Runs `body` with an empty folder that is gone afterwards. */
export async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "unet-cli-" }));
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The names in a folder, sorted, hidden ones too. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), (entry) => entry.name)).sort();
}
