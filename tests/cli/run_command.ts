/**
 * The command line as users run it: a process of its own, in a folder of its own, with the
 * permissions that deno.json gives its task.
 * @module
 */
import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };
import { canRead, canRun, canWrite } from "../support.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Whether tests of processes cannot run here. */
export const noProcesses: boolean = !canRead || !canWrite || !canRun;

/** What came of a command. */
export interface Outcome {
  code: number;
  /** Standard output. */
  out: string;
  /** Standard error: log lines. */
  err: string;
}

/** Runs `unet ARGS` in `folder` with the permissions of the task that the first word names. */
export async function runCommand(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const { code, stdout, stderr } = await commandOf(folder, args, env).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

/** Starts what {@linkcode runCommand} runs, for commands that end when they are told to. */
export function startCommand(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Deno.ChildProcess {
  return commandOf(folder, args, env).spawn();
}

function commandOf(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--config",
      `${ROOT}deno.json`,
      ...permissionsOf(args[0] ?? ""),
      `${ROOT}cli/main.ts`,
      ...args,
    ],
    cwd: folder,
    env: { NO_COLOR: "1", INIT_CWD: folder, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Words without a task, such as `--help`, get the permissions of `data`. */
function permissionsOf(word: string): string[] {
  const tasks: Record<string, { command: string }> = config.tasks;
  const line = (tasks[word] ?? config.tasks.data).command;
  return line.split(" ").filter((part) => part.startsWith("--allow"));
}

/** Runs `body` in a temporary folder that is removed afterwards. */
export async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "unet-test-" }));
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
