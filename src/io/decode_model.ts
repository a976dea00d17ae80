/**
 * Networks in any format that can be read, told apart by their first bytes.
 * @module
 */
import { InputError } from "../errors.ts";
import { type Checkpoint, decodeCheckpoint } from "./checkpoint.ts";
import { decodePth } from "./pth_checkpoint.ts";
import { pthContainer } from "./pth_read.ts";

/** A safetensors file has its header, a JSON object, after eight bytes of length. */
const SAFETENSORS_BRACE_AT = 8;
const OPENING_BRACE = 0x7b;

/**
 * Reads a network from the bytes of a safetensors file or of PyTorch's `.pth`, whatever the file is
 * called.
 *
 * @param file Named in errors; its ending decides only what the error of an unknown file expects.
 * @throws {InputError} for a damaged file, one that holds no U-Net, or one of another format.
 */
export async function decodeModel(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
): Promise<Checkpoint> {
  if (!looksLikeSafetensors(bytes) && looksLikeOnnx(bytes)) {
    throw new InputError(
      `${file}: could not be read as a network: it looks like ONNX, which is written but not read; ` +
        "use the .safetensors or .pth file that it was made of",
    );
  }
  return isPth(bytes, file) ? await decodePth(bytes, file) : decodeCheckpoint(bytes, file);
}

/**
 * Whether a file is to be read as PyTorch's.
 * @param start The file or its first bytes.
 */
export function isPth(start: Uint8Array, file: string): boolean {
  return pthContainer(start) !== undefined ||
    (!looksLikeSafetensors(start) && /\.pth?$/i.test(file));
}

function looksLikeSafetensors(start: Uint8Array): boolean {
  return start[SAFETENSORS_BRACE_AT] === OPENING_BRACE;
}

/** A ModelProto begins with its ir_version, field 1, of which there have been about a dozen. */
function looksLikeOnnx(bytes: Uint8Array): boolean {
  const [tag = 0, version = 0, next = 0] = bytes;
  // Then producer_name (2), opset_import (8) or graph (7), all of them length-delimited.
  return tag === 0x08 && version >= 3 && version < 32 && [0x12, 0x3a, 0x42].includes(next);
}
