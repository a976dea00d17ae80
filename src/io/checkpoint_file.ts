/**
 * Checkpoints on disk; what is in them is the business of `checkpoint.ts` and its neighbours.
 * @module
 */
import { extname } from "node:path";
import { kindOf, readBytes, shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";
import { writeFileAtomic } from "./atomic_file.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { decodeModel } from "./decode_model.ts";

/**
 * Reads a network, safetensors or PyTorch's `.pth`, whatever the file is called.
 * @param path Absolute.
 * @param flag The option that named it, for the message.
 * @throws {InputError} naming the file, when it is missing, of another format, damaged or no U-Net.
 */
export async function readCheckpointFile(path: string, flag?: string): Promise<Checkpoint> {
  const kind = await kindOf(path);
  if (kind === undefined || kind === "folder") {
    const found = kind === "folder" ? "is a folder, not a checkpoint" : "does not exist";
    throw new InputError(
      `${
        shownPath(path)
      } ${found}; train a network with deno task train, or name another checkpoint`,
    );
  }
  return await decodeModel(await readBytes(path, flag), shownPath(path));
}

/**
 * Writes the bytes of a checkpoint; a checkpoint of that name is replaced in one step.
 * @param path Absolute, ending with `.safetensors`.
 * @throws {InputError} naming the file; what was there before is untouched then.
 */
export async function writeCheckpointFile(path: string, bytes: Uint8Array): Promise<void> {
  const ending = extname(path).toLowerCase();
  if (ending !== ".safetensors") {
    const named = ending === "" ? "no format" : ending;
    throw new InputError(
      `cannot write ${shownPath(path)} as a checkpoint: its name ends with ${named}; ` +
        "use a .safetensors file",
    );
  }
  await writeFileAtomic(path, bytes);
}
