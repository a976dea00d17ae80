/**
 * Folders, names and safe writing: what users type is resolved against the folder they stand in, and
 * results appear by renaming finished files, so that a failed run costs nothing of the previous one.
 * @module
 */

import { basename, dirname, extname, isAbsolute, join, relative, resolve } from "node:path";
import { InputError } from "../errors.ts";
import type { ByteSource } from "../io/byte_source.ts";

/** The folder the user stands in: `deno task` itself always runs in the folder of deno.json. */
export function userFolder(): string {
  const { state } = Deno.permissions.querySync({ name: "env", variable: "INIT_CWD" });
  const folder = state === "granted" ? Deno.env.get("INIT_CWD") : undefined;
  return folder !== undefined && isAbsolute(folder) ? folder : Deno.cwd();
}

/** A path as the user typed it, made absolute from {@linkcode userFolder}. */
export function resolveUserPath(path: string): string {
  return isAbsolute(path) ? resolve(path) : resolve(userFolder(), path);
}

/** A path as messages show it: relative where it lies below the folder the user stands in. */
export function shownPath(path: string): string {
  const inside = relative(userFolder(), path);
  const shown = inside === "" ? "." : inside.startsWith("..") || isAbsolute(inside) ? path : inside;
  return slashes(shown);
}

const slashes = (path: string): string => path.replaceAll("\\", "/");

/** Files of a folder by what is before the ending (`322` of `322.jpg`). */
export interface Listing {
  /** Absolute paths in the order of their names. */
  readonly files: readonly string[];
  /** Names of what is there but has none of the endings; hidden files are not counted. */
  readonly others: readonly string[];
}

/** What may lie at a path, links followed; what is neither file nor folder in words. */
export type PathKind = "file" | "folder" | "a named pipe" | "a socket" | "a device";

/** What lies at `path`; `undefined` for nothing. @throws InputError where that cannot be told. */
export async function kindOf(path: string): Promise<PathKind | undefined> {
  try {
    const { isFile, isDirectory, isFifo, isSocket } = await Deno.stat(path);
    if (isFile) return "file";
    if (isDirectory) return "folder";
    return isFifo ? "a named pipe" : isSocket ? "a socket" : "a device";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw unreadable(shownPath(path), error);
  }
}

/** Whether `folder` is a folder that can be read. */
export async function isFolder(folder: string): Promise<boolean> {
  return await kindOf(folder) === "folder";
}

/** Whether `file` is a file. */
export async function isFile(file: string): Promise<boolean> {
  return await kindOf(file) === "file";
}

/** What lies in `folder`, in no order. @throws InputError naming a folder that cannot be read. */
export async function entriesOf(folder: string): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(folder));
  } catch (error) {
    throw unreadable(shownPath(folder), error);
  }
}

/** Lists the files of `folder` whose lower-case ending is among `endings` (`.png`). */
export async function listFiles(folder: string, endings: readonly string[]): Promise<Listing> {
  const files: string[] = [];
  const others: string[] = [];
  for (const entry of await entriesOf(folder)) {
    if (entry.isDirectory || entry.name.startsWith(".") || entry.name === "Thumbs.db") continue;
    if (endings.includes(extname(entry.name).toLowerCase())) files.push(join(folder, entry.name));
    else others.push(entry.name);
  }
  return { files: files.sort(compareNames), others: others.sort(compareNames) };
}

/** Order of names by code units: the same on every machine, unlike a locale's. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What stands before the ending: `322` of `/x/322.jpg`. */
export function stem(path: string): string {
  return basename(path, extname(path));
}

/**
 * Reads a file.
 * @param flag the option that named it, for the message
 * @throws InputError naming it.
 */
export async function readBytes(path: string, flag?: string): Promise<Uint8Array<ArrayBuffer>> {
  return await reading(path, flag, () => Deno.readFile(path));
}

/** The first bytes of a file, at most `count`. @throws InputError naming it. */
export async function readHead(path: string, count: number): Promise<Uint8Array<ArrayBuffer>> {
  return await reading(path, undefined, async () => {
    using file = await Deno.open(path);
    const bytes = new Uint8Array(count);
    let length = 0;
    while (length < count) {
      const read = await file.read(bytes.subarray(length));
      if (read === null) break;
      length += read;
    }
    return bytes.slice(0, length);
  });
}

/**
 * Opens a file to be read in pieces, until it is disposed of.
 * @throws InputError naming it.
 */
export async function openSource(path: string): Promise<ByteSource & Disposable> {
  const { file, size } = await reading(path, undefined, async () => {
    const file = await Deno.open(path);
    return { file, size: (await file.stat()).size };
  });
  const read = async (start: number, end: number) => {
    const bytes = new Uint8Array(end - start);
    let length = 0;
    try {
      await file.seek(start, Deno.SeekMode.Start);
      while (length < bytes.length) length += await file.read(bytes.subarray(length)) ?? NaN;
    } catch (error) {
      throw unreadable(shownPath(path), error);
    }
    if (length === bytes.length) return bytes;
    throw new InputError(`${shownPath(path)} became shorter while it was read; try again`);
  };
  return { sizeBytes: size, read, [Symbol.dispose]: () => file.close() };
}

/** Reads by `read`, what can be read to its end. */
async function reading<T>(
  path: string,
  flag: string | undefined,
  read: () => Promise<T>,
): Promise<T> {
  const kind = await kindOf(path);
  // Opening a pipe waits for somebody who writes; a device may never end.
  if (kind !== undefined && kind !== "file") {
    const found = kind === "folder" ? "a folder" : `${kind}; save what it gives to a file first`;
    const name = flag === undefined ? shownPath(path) : `${flag} ${shownPath(path)}`;
    throw new InputError(`cannot read ${name}: a file is needed, and this is ${found}`);
  }
  try {
    return await read();
  } catch (error) {
    throw unreadable(shownPath(path), error);
  }
}

/** Reads a text file in UTF-8, without a byte order mark. @throws InputError naming it. */
export async function readText(path: string): Promise<string> {
  const bytes = await readBytes(path);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    // UTF-16 without a byte order mark.
    if (!text.includes("\0")) return text;
  } catch {
    // Told below.
  }
  throw new InputError(`cannot read ${shownPath(path)}: it is not UTF-8 text; save it as UTF-8`);
}

function unreadable(name: string, error: unknown): Error {
  if (error instanceof Deno.errors.NotFound) return new InputError(`${name} does not exist`);
  if (error instanceof Deno.errors.PermissionDenied) {
    return new InputError(`cannot read ${name}: its permissions forbid it`);
  }
  if (error instanceof Deno.errors.NotCapable) {
    return new InputError(`cannot read ${name}: Deno was started without --allow-read for it`);
  }
  return new InputError(
    `cannot read ${name}: ${error instanceof Error ? error.message : String(error)}`,
  );
}

/** A text file to be written; what was there stays as `<path>.backup`. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/**
 * Writes several files that belong together. All of them are complete on disk under temporary names
 * before the first one takes its place, and where one cannot take its place the others give theirs
 * back; so running out of space or being stopped while writing leaves the previous ones as they
 * were.
 * @throws InputError naming the file that cannot be written.
 */
export async function writeTogether(files: readonly TextFile[]): Promise<void> {
  const temporary: string[] = [];
  const undo: (() => Promise<void>)[] = [];
  let current = "";
  try {
    const backups: [string, string][] = [];
    const results: [string, string, boolean][] = [];
    for (const { path, text } of files) {
      current = path;
      await Deno.mkdir(dirname(path), { recursive: true });
      const previous = await isFile(path);
      if (previous) {
        const copy = temporaryName(`${path}.backup`);
        temporary.push(copy);
        await Deno.copyFile(path, copy);
        backups.push([copy, `${path}.backup`]);
      }
      const fresh = temporaryName(path);
      temporary.push(fresh);
      await writeThrough(fresh, new TextEncoder().encode(text));
      results.push([fresh, path, previous]);
    }
    for (const [copy, path] of backups) {
      current = path;
      await Deno.rename(copy, path);
    }
    for (const [fresh, path, previous] of results) {
      current = path;
      await Deno.rename(fresh, path);
      undo.push(() => previous ? Deno.copyFile(`${path}.backup`, path) : Deno.remove(path));
    }
  } catch (error) {
    for (const step of undo) await step().catch(() => undefined);
    const reason = error instanceof Error ? error.message : String(error);
    throw new InputError(`cannot write ${shownPath(current)}: ${reason}`);
  } finally {
    for (const path of temporary) await Deno.remove(path).catch(() => undefined);
  }
}

const temporaryName = (path: string): string =>
  join(dirname(path), `.${basename(path)}.${Deno.pid}.tmp`);

async function writeThrough(path: string, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
  // Without this a rename can reach the disk before the contents do.
  await file.sync();
}

/**
 * A file as the tables name it: starting at the data folder's own name where it lies inside
 * (`data/raw/train/images/322.jpg`), absolute elsewhere. Always with `/`.
 */
export function tablePath(path: string, dataFolder: string): string {
  const inside = relative(dataFolder, path);
  const outside = inside.startsWith("..") || isAbsolute(inside);
  return slashes(outside ? path : `${basename(dataFolder)}/${inside}`);
}

/** The file that a table names: {@linkcode tablePath} turned round, wherever the folder lies now. */
export function fromTablePath(path: string, dataFolder: string): string {
  if (isAbsolute(path)) return resolve(path);
  return resolve(dataFolder, ...path.split(/[\\/]/).slice(1));
}
