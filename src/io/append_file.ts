/**
 * Files that grow while a run goes on. What is appended goes to the system in one piece, so that a
 * killed run leaves whole lines and records.
 * @module
 */
import { dirname } from "node:path";
import { shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";

/** A file that is only ever appended to. */
export class AppendFile {
  readonly #file: Deno.FsFile;

  /** @throws {InputError} naming the file. */
  constructor(readonly path: string) {
    try {
      Deno.mkdirSync(dirname(path), { recursive: true });
      this.#file = Deno.openSync(path, { append: true, create: true });
    } catch (error) {
      throw unwritable(path, error);
    }
  }

  /** Appends `bytes`; does not wait for the disk. @throws {InputError} naming the file. */
  append(bytes: Uint8Array): void {
    try {
      for (let written = 0; written < bytes.length;) {
        written += this.#file.writeSync(bytes.subarray(written));
      }
    } catch (error) {
      throw unwritable(this.path, error);
    }
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }
}

function unwritable(path: string, error: unknown): InputError {
  return new InputError(
    `cannot write ${shownPath(path)}: ${error instanceof Error ? error.message : error}; free ` +
      "space or choose another folder with --runs",
  );
}
