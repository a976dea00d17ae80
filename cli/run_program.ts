/**
 * Other programs' output: started, waited for with a limit, and what went wrong in a sentence.
 * @module
 */

import { stripVTControlCharacters as stripAnsiCode } from "node:util";

/** What a program printed, or why there is nothing. */
export type Printed = { readonly out: string } | { readonly problem: string };

/** How a program is run. */
export interface RunOptions {
  readonly limitMs: number;
  readonly cwd?: string;
  /** Ends the program; {@linkcode runProgram} then throws. */
  readonly signal?: AbortSignal;
}

/** Runs a program to its end. @throws the reason of a signal that ended it. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { limitMs, cwd, signal }: RunOptions,
): Promise<Printed> {
  const late = AbortSignal.timeout(limitMs);
  signal?.throwIfAborted();
  try {
    const { success, code, stdout, stderr } = await new Deno.Command(program, {
      args: [...args],
      ...(cwd === undefined ? {} : { cwd }),
      stdin: "null",
      signal: signal ? AbortSignal.any([late, signal]) : late,
    }).output();
    signal?.throwIfAborted();
    if (late.aborted) return { problem: `stopped after ${Math.round(limitMs / 1000)} s` };
    const text = new TextDecoder();
    if (success) return { out: text.decode(stdout) };
    return { problem: lastWords(text.decode(stderr)) || `ended with status ${code}` };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof Deno.errors.NotFound) return { problem: `there is no ${program}` };
    if (error instanceof Deno.errors.NotCapable) {
      return { problem: whyNotStarted(program, error.message) };
    }
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** Deno hands variables of the dynamic linker on only where it may start any program. */
function whyNotStarted(program: string, message: string): string {
  const [variable] = /\b(LD|DYLD)_\w+/.exec(message) ?? [];
  return variable === undefined
    ? `Deno may not start ${program} (--allow-run)`
    : `Deno may not start ${program} while ${variable} is set; unset it, or run ` +
      "deno run -A cli/main.ts in place of deno task";
}

const LONGEST = 160;

/** The line of an error output that says most: the first that names an error, else the last. */
function lastWords(text: string): string {
  const lines = stripAnsiCode(text).split("\n").map((line) => line.trim());
  const spoken = lines.filter((line) => line !== "");
  const line = spoken.findLast((item) => /^(error|\w*Error|Uncaught)\b/.test(item)) ??
    spoken.at(-1) ?? "";
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}...` : line;
}
