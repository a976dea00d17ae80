/**
 * A run's configuration as cards of a page.
 * @module
 */
import type { FactList } from "../report/parts.ts";
import type { RunConfig } from "./run_folder.ts";

const TITLES: readonly (readonly [keyof RunConfig, string])[] = [
  ["settings", "Options"],
  ["network", "Network"],
  ["data", "Data"],
  ["device", "Device"],
  ["versions", "Versions"],
];

/** What `config.json` says, what is not set left out. */
export function runFacts(config: RunConfig): FactList[] {
  return TITLES.map(([key, title]) => ({
    title,
    rows: Object.entries(config[key]).flatMap(([name, value]): [string, string][] =>
      value === undefined || value === null ? [] : [[words(name), text(value)]]
    ),
  }));
}

/** `learningRate` as people write it. */
const words = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

const text = (value: unknown): string =>
  Array.isArray(value)
    ? value.join(", ")
    : typeof value === "object"
    ? JSON.stringify(value)
    : String(value);
