/**
 * What a command is: a table of options, a text for its help and the function that does the work.
 * @module
 */

import { choice, flag, type OptionTable, type Values } from "./args.ts";
import { parseOptions } from "./parse_options.ts";
import type { AdapterChoice } from "../src/gpu/adapter.ts";
import type { KernelFamily } from "../src/gpu/device.ts";
import type { Log } from "./log.ts";

/** What every command gets beside its options. */
export interface Context {
  /** Which adapter the user asked for; `undefined` leaves it to the program. */
  readonly adapter: AdapterChoice | undefined;
  /** Which convolution kernels the user asked for; `undefined` leaves it to the program. */
  readonly kernels?: KernelFamily | undefined;
  readonly log: Log;
}

/** Options that every command has. */
export const COMMON_OPTIONS = {
  adapter: choice("GPU adapter: the fast one, the frugal one or the software one", [
    "high",
    "low",
    "software",
  ]),
  help: flag("show this help and exit", { short: "h" }),
  version: flag("show the version and exit"),
};

/** Options that every command has that opens a GPU. */
export const GPU_OPTIONS = {
  kernels: choice(
    "convolution kernels: by adapter, those for GPUs or those for processors (default: auto)",
    ["auto", "gpu", "cpu"],
  ),
};

/** A command as its module describes it. */
export interface CommandSpec<S extends OptionTable> {
  readonly name: string;
  /** What it does, in a sentence or a paragraph. */
  readonly summary: string;
  readonly options: S;
  /** Whether it opens a GPU, and so has {@linkcode GPU_OPTIONS}. */
  readonly gpu?: boolean;
  /** Command lines to copy, each starting with `deno task`. */
  readonly examples: readonly string[];
  /** Does the work. @returns the exit status: 0 done, 1 failed. */
  readonly run: (options: Values<S>, context: Context) => Promise<number>;
}

/** A command ready to be called with a command line. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly options: OptionTable;
  readonly examples: readonly string[];
  /**
   * Parses the command line and runs.
   * @throws UsageError where the options do not fit the table, and whatever the command throws.
   */
  readonly execute: (argv: readonly string[], log: Log) => Promise<number>;
  /** The help for a command line, where it depends on more than the command. */
  readonly help?: (argv: readonly string[]) => Promise<string>;
}

/** Makes a {@linkcode Command} of a description whose `run` gets typed options. */
export function defineCommand<const S extends OptionTable>(spec: CommandSpec<S>): Command {
  const { name, summary, examples } = spec;
  const options: OptionTable = {
    ...spec.options,
    ...(spec.gpu ? GPU_OPTIONS : {}),
    ...COMMON_OPTIONS,
  };
  return {
    name,
    summary,
    examples,
    options,
    execute: (argv, log) => {
      const values = parseOptions(options, argv);
      const { adapter, kernels } = values as Partial<
        Values<typeof COMMON_OPTIONS & typeof GPU_OPTIONS>
      >;
      return spec.run(values as Values<S>, { adapter, kernels, log });
    },
  };
}

/** The help of a command: usage, what it does, options with defaults, examples. */
export function commandHelp(command: Command): string {
  const entries = Object.entries(command.options);
  const words = entries.filter(([, spec]) => spec.kind === "positional");
  const usage = ["deno task", command.name, ...words.map(([, spec]) => spec.placeholder)];
  for (const [key, spec] of entries) {
    if (spec.required && spec.kind !== "positional") usage.push(`--${key} ${spec.placeholder}`);
  }
  const rows = entries.map(([key, spec]): [string, string] => {
    if (spec.kind === "positional") return [`  ${spec.placeholder}`, spec.help];
    const short = spec.short === undefined ? "    " : `-${spec.short}, `;
    const value = spec.kind === "flag"
      ? ""
      : spec.kind === "optional"
      ? ` [${spec.placeholder}]`
      : ` ${spec.placeholder}`;
    const more = spec.kind === "list" ? " ..." : "";
    const notes = [
      ...(spec.unavailable ? ["not available yet"] : []),
      ...(spec.required ? ["required"] : []),
      ...(spec.defaultText === undefined ? [] : [`default: ${spec.defaultText}`]),
    ];
    const note = notes.length === 0 ? "" : ` (${notes.join("; ")})`;
    return [`  ${short}--${key}${value}${more}`, spec.help + note];
  });
  return [
    `usage: ${usage.join(" ")} [options]`,
    "",
    ...wrap(command.summary, 96),
    "",
    "options:",
    ...rows.flatMap(([left, right]) => column(left, right)),
    "",
    command.examples.length === 1 ? "example:" : "examples:",
    ...command.examples.map((line) => `  ${line}`),
  ].join("\n");
}

const LEFT_COLUMN = 34;

function column(left: string, right: string): string[] {
  const [first = "", ...rest] = wrap(right, 96 - LEFT_COLUMN);
  const indent = " ".repeat(LEFT_COLUMN);
  const head = left.length < LEFT_COLUMN - 1
    ? [left.padEnd(LEFT_COLUMN) + first]
    : [left, indent + first];
  return [...head, ...rest.map((line) => indent + line)];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return line === "" ? lines : [...lines, line];
}
