/**
 * Patterns in paths: `*` and `?` within a name, `**` for any folders.
 * @module
 */

import { join, parse } from "node:path";
import { compareNames, entriesOf, isFile, isFolder } from "../src/data/files.ts";

/** Whether a path has places to fill in. */
export function isPattern(path: string): boolean {
  return /[*?]/.test(path);
}

/**
 * The files that a pattern names, in order; hidden ones only where it says so.
 * @throws InputError naming a folder that cannot be read.
 */
export async function matchingFiles(pattern: string): Promise<string[]> {
  const { root } = parse(pattern);
  const parts = pattern.slice(root.length).split(/[\\/]+/).filter((part) => part !== "");
  return [...new Set(await match(root, parts))].sort(compareNames);
}

async function match(path: string, parts: readonly string[]): Promise<string[]> {
  const [part, ...rest] = parts;
  if (part === undefined) return await isFile(path) ? [path] : [];
  if (!isPattern(part)) return await match(join(path, part), rest);
  if (!await isFolder(path)) return [];
  const found: string[] = part === "**" ? await match(path, rest) : [];
  for (const { name, isDirectory } of await entriesOf(path)) {
    if (name.startsWith(".") && !part.startsWith(".")) continue;
    const inside = join(path, name);
    if (part === "**") {
      if (isDirectory) found.push(...await match(inside, parts));
    } else if (matcher(part).test(name)) found.push(...await match(inside, rest));
  }
  return found;
}

function matcher(part: string): RegExp {
  const escaped = part.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`);
}
