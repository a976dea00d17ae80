/**
 * Writing whole files so that a crash, a full disk or a stopped run never costs the previous one.
 * @module
 */
import { basename, dirname, join } from "node:path";
import { kindOf, shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";

/**
 * Writes `bytes` under a temporary name beside `path`, flushes them to the disk and puts them in
 * place by renaming. The folder is made where it is missing.
 * @throws {InputError} naming the file; what was there before is untouched then.
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
  let temporary: string | undefined;
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    const opened = await openTemporary(path);
    using file = opened.file;
    temporary = opened.temporary;
    for (let written = 0; written < bytes.length;) {
      written += await file.write(bytes.subarray(written));
    }
    // Without this a rename can reach the disk before the contents do.
    await file.sync();
    // Elsewhere the lock is kept until the name is gone, but Windows may rename no open files.
    if (Deno.build.os === "windows") file.close();
    await Deno.rename(temporary, path);
  } catch (error) {
    if (temporary !== undefined) await Deno.remove(temporary).catch(() => undefined);
    throw unwritable(path, error);
  }
}

/**
 * Tries whether files can be written into a folder, before anybody computes for them. One that is
 * missing is not made: then the nearest folder above it must take it.
 * @param flag The option that named the folder, for the message.
 * @throws {InputError} naming the option and the folder.
 */
export async function checkWritable(folder: string, flag: string): Promise<void> {
  let there = folder;
  while (!await isTaken(there) && dirname(there) !== there) there = dirname(there);
  const kind = await kindOf(there);
  if (kind !== "folder") {
    const it = there === folder ? "it" : shownPath(there);
    const found = kind === undefined ? "a link that leads nowhere" : "no folder";
    throw new InputError(
      `cannot write into ${flag} ${shownPath(folder)}: ${it} is ${found}; name another one`,
    );
  }
  try {
    const { temporary, file } = await openTemporary(join(there, "test"));
    file.close();
    await Deno.remove(temporary);
  } catch (error) {
    throw new InputError(
      `cannot write into ${flag} ${shownPath(folder)}: ${reasonOf(error)}; name another folder`,
    );
  }
}

/** The same for the folder of a file. */
export async function checkFileWritable(file: string, flag: string): Promise<void> {
  if (await kindOf(file) === "folder") {
    throw new InputError(`cannot write ${flag} ${shownPath(file)}: it is a folder; name a file`);
  }
  await checkWritable(dirname(file), flag);
}

/** Whether something is called so, be it a link that leads nowhere. */
async function isTaken(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    // Missing, or below a file; whatever else is the matter, the folder above it tells.
    return false;
  }
}

const ATTEMPTS = 100;

/**
 * A new file beside `path`, of a name that nobody else has, locked as long as it is open. The system
 * frees a lock when a process ends, however it ends, which is how {@linkcode removeStaleTemporaries}
 * knows what nobody writes any more.
 */
export async function openTemporary(
  path: string,
): Promise<{ temporary: string; file: Deno.FsFile }> {
  for (let attempt = 1;; attempt++) {
    // No process id: containers and machines that share a folder have the same ones.
    const [number] = crypto.getRandomValues(new Uint32Array(1));
    const temporary = join(dirname(path), `.${basename(path)}.${number}.tmp`);
    const file = await Deno.open(temporary, { write: true, createNew: true });
    // Where a file system has no locks age alone tells.
    const isLocked = await file.tryLock(true).catch(() => true);
    // Somebody who tidies up may have taken it for left behind before it was locked.
    if (isLocked && await isStillAt(temporary, file) || attempt === ATTEMPTS) {
      return { temporary, file };
    }
    file.close();
  }
}

async function isStillAt(path: string, file: Deno.FsFile): Promise<boolean> {
  try {
    return (await Deno.stat(path)).ino === (await file.stat()).ino;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound);
  }
}

/** A temporary file this old belongs to no write that is still going on. */
const STALE_AFTER_MS = 60 * 60 * 1000;

/**
 * Removes temporary files that writes of killed programs left in a folder, as far as that is certain:
 * where nobody holds the lock that {@linkcode writeFileAtomic} takes, or, where that cannot be told,
 * after an hour.
 * @param options.shared whether programs on other machines may be writing there, too, whose locks
 *   not every file system shows here: then only age counts
 * @param options.ending of the files that were to be written; default: of all
 */
export async function removeStaleTemporaries(
  folder: string,
  { shared = false, ending = "" }: { shared?: boolean; ending?: string } = {},
): Promise<void> {
  // What fails are somebody else's files, or gone by now: nothing that anybody waits for.
  const names = await temporariesIn(folder).catch(() => []);
  for (const name of names) {
    if (!name.replace(TEMPORARY, "").endsWith(ending)) continue;
    await removeIfStale(join(folder, name), shared).catch(() => undefined);
  }
}

const TEMPORARY = /\.\d+\.tmp$/;

/** Names of files: opening somebody's pipe would wait for a reader. */
async function temporariesIn(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries
    .filter(({ name, isFile }) => isFile && name.startsWith(".") && TEMPORARY.test(name))
    .map(({ name }) => name);
}

async function removeIfStale(path: string, shared: boolean): Promise<void> {
  const isFree = shared ? undefined : await removeUnlocked(path).catch(() => undefined);
  if (isFree !== undefined) return;
  const age = Date.now() - ((await Deno.stat(path)).mtime?.getTime() ?? Date.now());
  if (age > STALE_AFTER_MS) await Deno.remove(path);
}

/** Removes a file that nobody has locked; whether it did. @throws where that cannot be told. */
async function removeUnlocked(path: string): Promise<boolean> {
  using file = await Deno.open(path, { write: true });
  const isFree = await file.tryLock(true) && await isStillAt(path, file);
  if (isFree) await Deno.remove(path);
  return isFree;
}

function unwritable(path: string, error: unknown): InputError {
  return new InputError(`cannot write ${shownPath(path)}: ${reasonOf(error)}`);
}

/** Why something could not be written, without the temporary name that Deno's messages end with. */
export function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.PermissionDenied) return "its permissions forbid it";
  if (error instanceof Deno.errors.NotCapable) {
    return "Deno was started without --allow-write for it";
  }
  return (error instanceof Error ? error.message : String(error)).replace(/: \w+ '.*'$/, "");
}
