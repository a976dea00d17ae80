/**
 * Runs the command line as users do: a process of its own, in a folder of its own, with the
 * permissions of its task in deno.json.
 * @module
 */
import config from "../../deno.json" with { type: "json" };
import { canRead, canRun, canWrite } from "../support.ts";

/** Whether processes cannot be tested in this run. */
export const noProcesses: boolean = !canRead || !canWrite || !canRun;

const ROOT = new URL("../../", import.meta.url).pathname;

/** What a process came to. */
export interface Result {
  code: number;
  out: string;
  err: string;
}

/** Runs `deno task COMMAND ...` from `cwd`, as deno.json defines it. */
export async function unet(cwd: string, command: string, ...args: string[]): Promise<Result> {
  const tasks: Record<string, { command: string }> = config.tasks;
  const line = tasks[command]?.command.split(" ") ?? [];
  const [, , ...flags] = line.slice(0, line.indexOf("cli/main.ts"));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--config",
      `${ROOT}deno.json`,
      ...flags,
      `${ROOT}cli/main.ts`,
      command,
      ...args,
    ],
    cwd,
    env: { NO_COLOR: "1", INIT_CWD: cwd },
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
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
