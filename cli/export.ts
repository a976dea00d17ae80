/** `deno task export`: a network in another format. @module */

import { extname } from "node:path";
import { isFile, shownPath } from "../src/data/files.ts";
import { UsageError } from "../src/errors.ts";
import { type Checkpoint, encodeSafetensorsCheckpoint } from "../src/io/checkpoint.ts";
import { readCheckpointFile } from "../src/io/checkpoint_file.ts";
import { withoutConvBias } from "../src/io/conv_bias.ts";
import { encodeOnnx } from "../src/io/onnx_write.ts";
import { encodePth } from "../src/io/pth_checkpoint.ts";
import { describe } from "../src/nn/unet_spec.ts";
import { flag, path, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { backupOf, modelOption, writeModel } from "./model.ts";

/** A format by its ending: how it is made and, in Python, read. */
interface Format {
  readonly encode: (checkpoint: Checkpoint) => Uint8Array;
  readonly python: (file: string) => string;
}

const FORMATS: Readonly<Record<string, Format>> = {
  ".safetensors": {
    encode: encodeSafetensorsCheckpoint,
    python: (file) => `weights = safetensors.torch.load_file(${file})`,
  },
  ".pth": {
    encode: encodePth,
    python: (file) => `weights = torch.load(${file}, weights_only=True)`,
  },
  ".onnx": {
    encode: encodeOnnx,
    python: (file) => `session = onnxruntime.InferenceSession(${file})`,
  },
};

const options = {
  model: modelOption,
  output: path("file to write: .safetensors, .pth or .onnx, by its ending", {
    short: "o",
    required: true,
    endings: Object.keys(FORMATS),
  }),
  "drop-bias": flag(
    "leave out the biases in front of batch norm, which milesial/Pytorch-UNet lacks since 3.0; the " +
      "running means take them in, so no answer changes",
  ),
};

/** Writes the network and says how to read it. */
export async function run(
  { model: file, output = "", dropBias }: Values<typeof options>,
  { log }: Context,
): Promise<number> {
  const format = FORMATS[extname(output).toLowerCase()];
  if (format === undefined) throw new Error(`no format ends like ${output}, which was let through`);
  const replaced = await isFile(output) ? [output, backupOf(output)] : [];
  for (const path of replaced) {
    if (await isSameFile(file, path)) {
      throw new UsageError(`${shownPath(path)} would overwrite the network itself`);
    }
  }
  const read = await readCheckpointFile(file, "--model");
  const checkpoint = dropBias ? withoutConvBias(read) : read;
  const bytes = format.encode(checkpoint);
  await writeModel(output, bytes, log);
  const { config, info } = checkpoint;
  const names = info.classes.map(({ name }) => name).join(", ");
  log.info(
    `${shownPath(file)} written to ${shownPath(output)}: ${describe(config)} (${names}), ` +
      `${bytes.length.toLocaleString("en")} bytes`,
  );
  log.info(`In Python: ${format.python(JSON.stringify(shownPath(output)))}`);
  return 0;
}

/** Also by way of links. */
async function isSameFile(a: string, b: string): Promise<boolean> {
  try {
    return await Deno.realPath(a) === await Deno.realPath(b);
  } catch {
    // One of them is not there: told when it is read, or nothing to overwrite.
    return false;
  }
}

/** The command. */
export const command: Command = defineCommand({
  name: "export",
  summary: "Writes a network in another format. It is read from .safetensors or from PyTorch's " +
    ".pth (nothing in such a file is run). A .pth holds the state_dict that PyTorch's own " +
    "U-Net of the same names loads. An .onnx takes images [batch, channels, height, width] of any " +
    "size, RGB divided by 255, and gives logits; class names and colours are in its metadata. A " +
    "network of one class and a sigmoid becomes the two-class network of the same answer. A file that is " +
    "there already is kept beside it as .backup.",
  options,
  examples: [
    "deno task export -o model.onnx",
    "deno task export -m checkpoints/best.safetensors -o model.pth --drop-bias",
    "deno task export -m downloaded.pth -o model.safetensors",
  ],
  run,
});
