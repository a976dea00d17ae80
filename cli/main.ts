/**
 * The one entry of the command line. Commands are loaded when they are called, so that starting one
 * does not load the others.
 *
 * Exit status: 0 done, 1 the input or the run failed, 2 wrong usage.
 * @module
 */

import { InputError, UsageError } from "../src/errors.ts";
import { nearest } from "./nearest.ts";
import { type Command, commandHelp } from "./command.ts";
import { variable } from "./environment.ts";
import { type Terminal, terminal } from "./log.ts";

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  demo: {
    summary: "everything in one go on a generated sample set",
    load: () => import("./demo.ts"),
  },
  data: {
    summary: "check photos and masks, split them into training and validation",
    load: () => import("./data.ts"),
  },
  train: { summary: "train a network", load: () => import("./train.ts") },
  predict: { summary: "masks for photos", load: () => import("./predict.ts") },
  evaluate: { summary: "scores of a network", load: () => import("./evaluate.ts") },
  models: {
    summary: "list checkpoints with their scores, copy the best to models/",
    load: () => import("./models.ts"),
  },
  export: {
    summary: "write a network in another format",
    load: () => import("./export.ts"),
  },
  web: {
    summary: "segment photos in a browser, on a page of this machine",
    load: () => import("./web.ts"),
  },
  bench: { summary: "measure speed and memory", load: () => import("./bench.ts") },
  doctor: {
    summary: "look at the GPU adapter and say what is missing",
    load: () => import("./doctor.ts"),
  },
};

/**
 * Runs a command line (without the program's name).
 * @returns the exit status
 */
export async function main(argv: readonly string[], output: Terminal = terminal): Promise<number> {
  let name: string | undefined;
  try {
    const at = commandAt(argv);
    name = argv[at];
    const leading = argv.slice(0, at);
    if (name === undefined) return await withoutCommand(leading, output);
    const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (entry === undefined) {
      const near = nearest(name, Object.keys(COMMANDS));
      const hint = near === undefined ? "" : `, did you mean ${near}?`;
      name = undefined;
      throw new UsageError(`unknown command '${argv[at]}'${hint}`);
    }
    const rest = [...leading, ...argv.slice(at + 1)];
    if (asksFor(rest, "--version")) return await printVersion();
    const { command } = await entry.load();
    if (asksFor(rest, "--help", "-h")) {
      console.log(await command.help?.(rest) ?? commandHelp(command));
      return 0;
    }
    return await command.execute(rest, output);
  } catch (error) {
    return report(error, name, output);
  }
}

/** Options that may stand before the command and have their value as the next word. */
const TAKES_VALUE = ["--adapter", "--kernels"];

/** Where the command's name stands: after flags of the program, which may come first. */
function commandAt(argv: readonly string[]): number {
  let at = 0;
  while (argv[at]?.startsWith("-")) at += TAKES_VALUE.includes(argv[at] ?? "") ? 2 : 1;
  return Math.min(at, argv.length);
}

function asksFor(argv: readonly string[], ...names: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return argv.slice(0, end < 0 ? argv.length : end).some((item) => names.includes(item));
}

async function withoutCommand(leading: readonly string[], output: Terminal): Promise<number> {
  if (asksFor(leading, "--version")) return await printVersion();
  const [first] = leading.filter((item) => item !== "--help" && item !== "-h");
  if (first !== undefined) {
    const problem = TAKES_VALUE.some((option) => first.startsWith(option))
      ? `${first} needs a command after it`
      : `unknown option ${first}`;
    return report(new UsageError(problem), undefined, output);
  }
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) =>
    `  ${name.padEnd(10)}${summary}`
  );
  console.log([
    "usage: deno task COMMAND [options]",
    "",
    "Trains U-Nets for semantic segmentation on the GPU, through WebGPU.",
    "",
    "commands:",
    ...lines,
    "",
    "deno task COMMAND --help says more about one; --version shows the version.",
    "Start with: deno task demo",
  ].join("\n"));
  return 0;
}

async function printVersion(): Promise<number> {
  const { default: config } = await import("../deno.json", { with: { type: "json" } });
  console.log(`webgpu-unet ${config.version}`);
  return 0;
}

/** Turns what was thrown into one line and an exit status. */
function report(error: unknown, name: string | undefined, output: Terminal): number {
  output.status("");
  const message = (error instanceof Error ? error.message : String(error)).replace(
    /\s*\n\s*/g,
    " ",
  );
  const label = output.paint("error:", "31");
  if (error instanceof UsageError) {
    output.line(`${label} ${message}`);
    output.line(`try \`${name === undefined ? "unet --help" : `deno task ${name} --help`}\``);
    return 2;
  }
  const known = error instanceof InputError;
  const kind = error instanceof Error && error.name !== "Error" ? `${error.name}: ` : "";
  output.line(
    known
      ? `${label} ${message}`
      : `${label} unexpected failure, ${kind}${message} (UNET_DEBUG=1 shows where)`,
  );
  if (!known && debugging() && error instanceof Error && error.stack !== undefined) {
    output.line(error.stack);
  }
  return 1;
}

function debugging(): boolean {
  return variable("UNET_DEBUG") === "1";
}

if (import.meta.main) Deno.exit(await main(Deno.args));
