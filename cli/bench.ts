/** `deno task bench`: what to measure is the first word. @module */

import { UsageError } from "../src/errors.ts";
import { nearest } from "./nearest.ts";
import { type Command, commandHelp } from "./command.ts";

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
  /** Whether it starts other programs than the one that tells the processor's kind. */
  readonly starts?: boolean;
}

const BENCHES: Readonly<Record<string, Entry>> = {
  step: {
    summary: "a whole train or inference step, beside which other frameworks can be put",
    load: () => import("./bench_step.ts"),
  },
  ops: {
    summary: "every op and shape of a U-Net, checked and compared with the device's peaks",
    load: () => import("./bench_ops.ts"),
  },
  scale: {
    summary: "how time and memory grow with image and batch",
    load: () => import("./bench_scale.ts"),
  },
  tune: {
    summary: "finds the fastest tiles for a network's convolutions and remembers them",
    load: () => import("./bench_tune.ts"),
  },
  compare: {
    summary: "other frameworks' steps and ours in turns",
    load: () => import("./bench_compare.ts"),
    starts: true,
  },
};

/** What a bench without a word measures. */
const DEFAULT = "step";

/** Programs that the task may start for `compare`; the others give this right back. */
const STARTED = ["deno", "git", "python3", "/usr/bin/python3"];

/** The bench that a command line names, and what remains of the line. */
function select(argv: readonly string[]): { entry: Entry; rest: readonly string[] } {
  const at = argv.findIndex((word) => Object.hasOwn(BENCHES, word));
  const entry = BENCHES[argv[at] ?? DEFAULT];
  const [first] = argv;
  if (entry === undefined || (at !== 0 && first !== undefined && !first.startsWith("-"))) {
    const near = nearest(first ?? "", Object.keys(BENCHES));
    const hint = near === undefined ? "" : `, did you mean ${near}?`;
    throw new UsageError(
      `bench can measure ${Object.keys(BENCHES).join(", ")}, got '${first}'${hint}`,
    );
  }
  return { entry, rest: at < 0 ? argv : argv.toSpliced(at, 1) };
}

async function execute(
  ...[argv, log]: Parameters<Command["execute"]>
): ReturnType<Command["execute"]> {
  const { entry, rest } = select(argv);
  if (!entry.starts) {
    for (const command of STARTED) Deno.permissions.revokeSync({ name: "run", command });
  }
  const { command } = await entry.load();
  return await command.execute(rest, log);
}

async function help(argv: readonly string[]): Promise<string> {
  const named = argv.some((word) => Object.hasOwn(BENCHES, word));
  if (named) return commandHelp((await select(argv).entry.load()).command);
  return [
    "usage: deno task bench WHAT [options]",
    "",
    "Measures speed and memory.",
    "",
    "what:",
    ...Object.entries(BENCHES).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`),
    "",
    `Without a word it is ${DEFAULT}. deno task bench WHAT --help says more about one.`,
  ].join("\n");
}

/** The command. */
export const command: Command = {
  name: "bench",
  summary: "measures speed and memory",
  options: {},
  examples: [],
  execute,
  help,
};
