/**
 * Writing whole files so that a crash, a full disk or a stopped run never costs the previous one.
 * @module
 */
import { basename, dirname, join } from "node:path";
import { shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";

/**
 * Writes `bytes` under a temporary name beside `path`, flushes them to the disk and puts them in
 * place by renaming. The folder is made where it is missing.
 * @throws {InputError} naming the file; what was there before is untouched then.
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${Deno.pid}.tmp`);
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    for (let written = 0; written < bytes.length;) {
      written += await file.write(bytes.subarray(written));
    }
    // Without this a rename can reach the disk before the contents do.
    await file.sync();
  } catch (error) {
    await Deno.remove(temporary).catch(() => undefined);
    throw unwritable(path, error);
  }
  // The file is closed by now: Windows renames no open ones.
  try {
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => undefined);
    throw unwritable(path, error);
  }
}

/** A temporary file this old belongs to no write that is still going on. */
const STALE_AFTER_MS = 60 * 60 * 1000;

/**
 * Removes temporary files that writes of killed programs left in a folder, as far as that is certain:
 * after an hour, or where the system shows its processes and there is none of that number.
 * @param options.shared whether programs on other machines may be writing there, too, whose processes
 *   nobody sees here: then only age counts
 * @param options.ending of the files that were to be written; default: of all
 */
export async function removeStaleTemporaries(
  folder: string,
  { shared = false, ending = "" }: { shared?: boolean; ending?: string } = {},
): Promise<void> {
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const pid = /^\..+\.(\d+)\.tmp$/.exec(name)?.[1];
      if (pid === undefined || pid === String(Deno.pid)) continue;
      if (!name.endsWith(`${ending}.${pid}.tmp`)) continue;
      const path = join(folder, name);
      const age = Date.now() - ((await Deno.stat(path)).mtime?.getTime() ?? Date.now());
      if (age > STALE_AFTER_MS || !shared && await isGone(pid)) await Deno.remove(path);
    }
  } catch {
    // Somebody else's files, or gone by now: nothing that anybody waits for.
  }
}

/** Whether no process has this number; false where nobody can tell. */
async function isGone(pid: string): Promise<boolean> {
  if (Deno.build.os !== "linux") return false;
  try {
    await Deno.stat(`/proc/${pid}`);
    return false;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}

function unwritable(path: string, error: unknown): InputError {
  const reason = error instanceof Deno.errors.PermissionDenied
    ? "its permissions forbid it"
    : error instanceof Deno.errors.NotCapable
    ? "Deno was started without --allow-write for it"
    : error instanceof Error
    ? error.message
    : String(error);
  return new InputError(`cannot write ${shownPath(path)}: ${reason}`);
}
