/**
 * Checkpoints on disk; what is in them is the business of `checkpoint.ts`.
 * @module
 */
import { extname } from "node:path";
import { isFile, isFolder, readBytes, shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";
import { writeFileAtomic } from "./atomic_file.ts";
import { type Checkpoint, decodeCheckpoint } from "./checkpoint.ts";

/** Formats that others use for networks and this program cannot read or write so far. */
const KNOWN_ENDINGS = [".pth", ".pt", ".onnx"];

/**
 * Reads a checkpoint.
 * @param path Absolute, ending with `.safetensors`.
 * @throws {InputError} naming the file, when it is missing, of another format, damaged or no U-Net.
 */
export async function readCheckpointFile(path: string): Promise<Checkpoint> {
  checkEnding(path, "read");
  if (!await isFile(path)) {
    const found = await isFolder(path) ? "is a folder, not a checkpoint" : "does not exist";
    throw new InputError(
      `${
        shownPath(path)
      } ${found}; train a network with deno task train, or name another checkpoint`,
    );
  }
  return decodeCheckpoint(await readBytes(path), shownPath(path));
}

/**
 * Writes the bytes of a checkpoint; a checkpoint of that name is replaced in one step.
 * @param path Absolute, ending with `.safetensors`.
 * @throws {InputError} naming the file; what was there before is untouched then.
 */
export async function writeCheckpointFile(path: string, bytes: Uint8Array): Promise<void> {
  checkEnding(path, "write");
  await writeFileAtomic(path, bytes);
}

function checkEnding(path: string, what: "read" | "write"): void {
  const ending = extname(path).toLowerCase();
  if (ending === ".safetensors") return;
  const problem = KNOWN_ENDINGS.includes(ending)
    ? `${ending} is not available yet`
    : `its name ends with ${ending === "" ? "no format" : ending}`;
  throw new InputError(
    `cannot ${what} ${shownPath(path)} as a checkpoint: ${problem}; use a .safetensors file`,
  );
}
