/**
 * A command line read by a table of options. Splitting it into options and values is left to the
 * platform's `parseArgs`.
 * @module
 */

import { parseArgs } from "node:util";
import { UsageError } from "../src/errors.ts";
import { type Option, type OptionTable, quote, type Values } from "./args.ts";
import { nearest } from "./nearest.ts";

const camelCase = (name: string): string =>
  name.replace(/-(.)/g, (_, c: string) => c.toUpperCase());
const isNumber = (item: string): boolean => /^-(\d|\.\d)/.test(item);

/**
 * Reads a command line by a table.
 * @throws UsageError naming the option for anything that the table does not allow.
 */
export function parseOptions<S extends OptionTable>(table: S, argv: readonly string[]): Values<S> {
  const texts = collect(table, argv);
  const values: Record<string, unknown> = {};
  const missing: string[] = [];
  for (const [key, spec] of Object.entries(table)) {
    const name = spec.kind === "positional" ? key : `--${key}`;
    const given = texts.get(key);
    if (given !== undefined && spec.unavailable) {
      throw new UsageError(`${name} is not available yet`);
    }
    if (given === undefined && spec.required) missing.push(nameOf(key, spec));
    values[camelCase(key)] = given === undefined ? spec.fallback() : spec.read(given, name);
  }
  if (missing.length > 0) throw new UsageError(`${missing.join(" and ")} must be given`);
  return values as Values<S>;
}

function nameOf(key: string, spec: Option<unknown>): string {
  return spec.kind === "positional" ? spec.placeholder : `--${key}`;
}

function collect(table: OptionTable, argv: readonly string[]): Map<string, string[]> {
  const named = Object.entries(table).filter(([, spec]) => spec.kind !== "positional");
  const positionals = Object.entries(table).filter(([, spec]) => spec.kind === "positional");
  const { tokens } = parseArgs({
    args: argv.map((item, i) => withoutValue(item, argv[i + 1], table)),
    options: Object.fromEntries(named.map(([key, spec]) => [key, {
      type: spec.kind === "flag" ? "boolean" as const : "string" as const,
      ...(spec.short === undefined ? {} : { short: spec.short }),
    }])),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const texts = new Map<string, string[]>();
  let openList: string[] | undefined;
  for (const token of tokens) {
    if (token.kind === "option-terminator") {
      openList = undefined;
    } else if (token.kind === "positional") {
      if (openList !== undefined) {
        openList.push(token.value);
        continue;
      }
      const next = positionals.find(([key]) => !texts.has(key));
      if (next === undefined) throw new UsageError(`unexpected argument ${quote(token.value)}`);
      texts.set(next[0], [token.value]);
    } else {
      const spec = Object.hasOwn(table, token.name) ? table[token.name] : undefined;
      if (spec === undefined || spec.kind === "positional") {
        throw new UsageError(unknownFlag(token.rawName, named));
      }
      const value = optionValue(token, spec);
      const before = texts.get(token.name);
      const given = spec.kind === "list" ? [...before ?? [], value] : [value];
      texts.set(token.name, given);
      openList = spec.kind === "list" ? given : undefined;
    }
  }
  return texts;
}

/** An optional option in front of another one has no value, which `parseArgs` must be told. */
function withoutValue(item: string, next: string | undefined, table: OptionTable): string {
  const spec = item.startsWith("--") && Object.hasOwn(table, item.slice(2))
    ? table[item.slice(2)]
    : undefined;
  return spec?.kind === "optional" && (next === undefined || next.startsWith("-"))
    ? `${item}=`
    : item;
}

function optionValue(
  token: { name: string; rawName: string; value?: string | undefined; inlineValue?: boolean },
  spec: Option<unknown>,
): string {
  const { value, inlineValue = false } = token;
  if (spec.kind === "flag") {
    if (value !== undefined) throw new UsageError(`--${token.name} takes no value`);
    return "";
  }
  // A value that looks like an option is a forgotten value, unless it is a negative number.
  const looksLikeOption = value !== undefined && !inlineValue && /^-./.test(value) &&
    !isNumber(value);
  if (value === undefined || looksLikeOption) {
    throw new UsageError(`--${token.name} needs a value (${spec.placeholder})`);
  }
  const short = !token.rawName.startsWith("--");
  return short && inlineValue && value.startsWith("=") ? value.slice(1) : value;
}

function unknownFlag(given: string, named: readonly [string, Option<unknown>][]): string {
  if (!given.startsWith("--")) return `unknown option ${given}`;
  const near = nearest(given.slice(2), named.map(([key]) => key));
  return `unknown option ${given}` + (near === undefined ? "" : `, did you mean --${near}?`);
}
