/**
 * Options of a command as a table: what each is called, takes and defaults to. From one table come
 * the parsed values with their types (`parse_options.ts`), the help text and the messages for wrong
 * usage.
 * @module
 */

import { extname } from "node:path";
import { UsageError } from "../src/errors.ts";
import { resolveUserPath } from "../src/data/files.ts";

export { resolveUserPath };

/** One option: how it reads its values and what the help says about it. */
export interface Option<T> {
  /**
   * A flag takes no value, an optional one or none, a list one or more (`-i a b c`), a positional
   * has no name.
   */
  readonly kind: "value" | "flag" | "optional" | "list" | "positional";
  readonly help: string;
  /** One letter, without the dash. */
  readonly short?: string | undefined;
  /** What stands for the value in the help (`N`, `FILE`, `high|low`). */
  readonly placeholder: string;
  /** The default as a user would type it. */
  readonly defaultText?: string | undefined;
  readonly required?: boolean | undefined;
  /** Part of the contract, but not built: refused with status 2. */
  readonly unavailable?: boolean | undefined;
  /** The value when the option is not given. */
  readonly fallback: () => T;
  /** Reads the given texts (one, unless a list); `name` is how messages call the option. */
  readonly read: (texts: readonly string[], name: string) => T;
}

/** Options of a command by long name (kebab-case), in the order in which the help lists them. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

type CamelCase<S extends string> = S extends `${infer A}-${infer B}`
  ? `${A}${Capitalize<CamelCase<B>>}`
  : S;

/** The parsed values of a table, by camelCase name. */
export type Values<S extends OptionTable> = {
  -readonly [K in keyof S & string as CamelCase<K>]: S[K] extends Option<infer T> ? T : never;
};

interface Common {
  readonly short?: string;
  readonly placeholder?: string;
  readonly required?: boolean;
  readonly unavailable?: boolean;
}
interface Range {
  /** Smallest value allowed. */
  readonly min?: number;
  /** Largest value allowed. */
  readonly max?: number;
  /** `min` and `max` themselves are refused. */
  readonly open?: boolean;
}
/** What is sure to have a value: a default, or an error when it is missing. */
type Sure<T> = { readonly default: T } | { readonly required: true };

function option<T>(
  kind: Option<T>["kind"],
  help: string,
  placeholder: string,
  settings: Common & { readonly default?: T },
  read: Option<T>["read"],
  fallback: () => T,
): Option<T> {
  const given = settings.default;
  const shown = given === undefined || given === false ? undefined : String(given);
  return {
    kind,
    help,
    placeholder: settings.placeholder ?? placeholder,
    short: settings.short,
    required: settings.required,
    unavailable: settings.unavailable,
    defaultText: shown,
    read,
    fallback,
  };
}

const last = (texts: readonly string[]): string => texts[texts.length - 1] ?? "";

function checkRange(value: number, text: string, range: Range, name: string): void {
  const { min = -Infinity, max = Infinity, open = false } = range;
  const outside = open ? value <= min || value >= max : value < min || value > max;
  if (!outside) return;
  const bounds = max === Infinity
    ? open ? `above ${min}` : `at least ${min}`
    : min === -Infinity
    ? open ? `below ${max}` : `at most ${max}`
    : `between ${min} and ${max}`;
  const edge = open && (value === min || value === max) ? ` (${value} itself is not possible)` : "";
  throw new UsageError(`${name} must be ${bounds}, got ${text}${edge}`);
}

function number(
  kind: "int" | "float",
  help: string,
  settings: Common & Range & { readonly default?: number },
): Option<number | undefined> {
  return option<number | undefined>(
    "value",
    help,
    kind === "int" ? "N" : "X",
    settings,
    (texts, name) => readNumber(last(texts), kind, settings, name),
    () => settings.default,
  );
}

function readNumber(text: string, kind: "int" | "float", range: Range, name: string): number {
  const pattern = kind === "int" ? /^[+-]?\d+$/ : /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const value = Number(text);
  if (!pattern.test(text)) {
    throw new UsageError(
      `${name} takes a ${kind === "int" ? "whole number" : "number"}, got ${quote(text)}`,
    );
  }
  checkRange(value, text, range, name);
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  throw new UsageError(`${name} is too ${value < 0 ? "small" : "large"}, got ${text}`);
}

/** A whole number. */
export function int(help: string, settings: Common & Range & Sure<number>): Option<number>;
export function int(help: string, settings?: Common & Range): Option<number | undefined>;
export function int(
  help: string,
  settings: Common & Range & { readonly default?: number } = {},
): Option<number | undefined> {
  return number("int", help, settings);
}

/** A number. */
export function float(help: string, settings: Common & Range & Sure<number>): Option<number>;
export function float(help: string, settings?: Common & Range): Option<number | undefined>;
export function float(
  help: string,
  settings: Common & Range & { readonly default?: number } = {},
): Option<number | undefined> {
  return number("float", help, settings);
}

/** One number, or several different ones with commas between them. */
export function floats(help: string, settings: Common & Range = {}): Option<number[] | undefined> {
  const read = (texts: readonly string[], name: string) => {
    const text = last(texts);
    const values = text.split(",").map((item) => readNumber(item.trim(), "float", settings, name));
    const twice = values.find((value, i) => values.indexOf(value) < i);
    if (twice === undefined) return values;
    throw new UsageError(`${name} names ${twice} twice, got ${quote(text)}`);
  };
  return option<number[] | undefined>("value", help, "X[,X]", settings, read, () => undefined);
}

/** Any text that is not empty. */
export function text(help: string, settings: Common & Sure<string>): Option<string>;
export function text(help: string, settings?: Common): Option<string | undefined>;
export function text(
  help: string,
  settings: Common & { readonly default?: string } = {},
): Option<string | undefined> {
  return option<string | undefined>(
    "value",
    help,
    "TEXT",
    settings,
    (texts, name) => notEmpty(last(texts), name),
    () => settings.default,
  );
}

interface Endings {
  /** The only endings of a file to be written (`.json`), so that a slip overwrites no other. */
  readonly endings?: readonly string[];
}

/** A file or folder, made absolute from the folder the user stands in (also the default). */
export function path(help: string, settings: Common & Endings & Sure<string>): Option<string>;
export function path(help: string, settings?: Common & Endings): Option<string | undefined>;
export function path(
  help: string,
  settings: Common & Endings & { readonly default?: string } = {},
): Option<string | undefined> {
  return option<string | undefined>(
    "value",
    help,
    "FILE",
    settings,
    (texts, name) => {
      const typed = last(texts);
      if (settings.endings?.includes(extname(typed).toLowerCase()) === false) {
        throw new UsageError(
          `${name} must end with ${oneOrOther(settings.endings)}, got ${quote(typed)}`,
        );
      }
      return resolveUserPath(notEmpty(typed, name));
    },
    () => settings.default === undefined ? undefined : resolveUserPath(settings.default),
  );
}

/** A flag that may name a file: its absolute path, or `true` without one. */
export function optionalPath(
  help: string,
  settings: Common = {},
): Option<string | true | undefined> {
  return option<string | true | undefined>(
    "optional",
    help,
    "FILE",
    settings,
    (texts) => last(texts) === "" ? true : resolveUserPath(last(texts)),
    () => undefined,
  );
}

/** One of a few words. */
export function choice<const C extends string>(
  help: string,
  choices: readonly C[],
  settings: Common & Sure<NoInfer<C>>,
): Option<C>;
export function choice<const C extends string>(
  help: string,
  choices: readonly C[],
  settings?: Common,
): Option<C | undefined>;
export function choice<const C extends string>(
  help: string,
  choices: readonly C[],
  settings: Common & { readonly default?: C } = {},
): Option<C | undefined> {
  return option<C | undefined>(
    "value",
    help,
    choices.join("|"),
    settings,
    oneOf(choices),
    () => settings.default,
  );
}

/** A word without a flag before it, such as the `step` of `bench step`. */
export function positional<const C extends string>(
  help: string,
  choices: readonly C[],
  settings: Common & Sure<NoInfer<C>>,
): Option<C> {
  const fallback = "default" in settings ? settings.default : choices[0];
  if (fallback === undefined) throw new Error("a positional option needs at least one choice");
  return option<C>("positional", help, choices.join("|"), settings, oneOf(choices), () => fallback);
}

/** A file or folder without a flag before it, made absolute from the folder the user stands in. */
export function positionalPath(help: string): Option<string | undefined> {
  const read = (texts: readonly string[], name: string) =>
    resolveUserPath(notEmpty(last(texts), name));
  return option<string | undefined>("positional", help, "[FILE]", {}, read, () => undefined);
}

/** On when given; takes no value. */
export function flag(help: string, settings: Common = {}): Option<boolean> {
  return option<boolean>("flag", help, "", settings, () => true, () => false);
}

/** One value or more (`-i a b c`), may be repeated; empty when not given. */
export function list(help: string, settings: Common = {}): Option<string[]> {
  return option<string[]>(
    "list",
    help,
    "FILE",
    settings,
    (texts, name) => texts.map((item) => notEmpty(item, name)),
    () => [],
  );
}

function oneOf<C extends string>(
  choices: readonly C[],
): (texts: readonly string[], n: string) => C {
  return (texts, name) => {
    const found = choices.find((item) => item === last(texts));
    if (found === undefined) {
      throw new UsageError(`${name} must be ${oneOrOther(choices)}, got ${quote(last(texts))}`);
    }
    return found;
  };
}

const oneOrOther = (choices: readonly string[]): string =>
  choices.join(", ").replace(/, ([^,]*)$/, " or $1");

function notEmpty(item: string, name: string): string {
  if (item === "") throw new UsageError(`${name} needs a value, got an empty one`);
  return item;
}

/** As messages show what was typed. */
export const quote = (item: string): string => `'${item}'`;
