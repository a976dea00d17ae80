/**
 * A trained network opened for a command: checkpoint, GPU and the segmenter that runs it.
 * @module
 */

import { isFile, readBytes, shownPath } from "../src/data/files.ts";
import { InputError, UsageError } from "../src/errors.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { type Checkpoint, networkOf } from "../src/io/checkpoint.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import type { ImageType } from "../src/graph/layout.ts";
import { readCheckpointFile } from "../src/io/checkpoint_file.ts";
import { Segmenter } from "../src/nn/segmenter.ts";
import { describe } from "../src/nn/unet_spec.ts";
import type { Flips } from "../src/nn/window_plan.ts";
import { choice, flag, floats, path } from "./args.ts";
import type { Context } from "./command.ts";
import type { Log } from "./log.ts";
import { checkPrecision, type MostMemory, openGpu } from "./gpu.ts";

/** The scale of the original tool, for checkpoints that do not tell theirs. */
const DEFAULT_SCALE = 0.1;

/** The option of every command that uses a trained network. */
export const modelOption = path("network, .safetensors or PyTorch's .pth", {
  short: "m",
  default: "checkpoints/best.safetensors",
});

/**
 * The scale of photos, or several.
 * @param otherwise What is used where none is given.
 */
export const scaleOption = (otherwise: string) =>
  floats(
    "scale of the photos; several, such as 0.4,0.5,0.6: each photo is predicted at every one, and " +
      `the probabilities are averaged (default: ${otherwise})`,
    { short: "s", min: 0.001, max: 1 },
  );

/** How a trained network computes. */
export const precisionOption = choice(
  "how images are kept on the GPU: f16 takes half the memory, where the adapter has shader-f16, and " +
    "decides a few pixels otherwise",
  ["f32", "f16"],
  { default: "f32" },
);

/**
 * Flips of photos. Upside down is no default: where photos have a top (streets, people), networks
 * know little of that, and the average is worse than the plain prediction.
 */
export const ttaOptions = {
  tta: flag("average the probabilities of each photo and its mirror image; takes twice as long"),
  flips: choice(
    "mirror images for --tta; all: also upside down, four in all, for images without a top " +
      "(microscopes, aerial photos)",
    ["horizontal", "all"],
    { default: "horizontal" },
  ),
};

/**
 * The flips that those options ask for.
 * @throws {UsageError} where some are chosen, but none are to be averaged over.
 */
export function flipsOf({ tta, flips }: { tta: boolean; flips: Exclude<Flips, "none"> }): Flips {
  if (tta) return flips;
  if (flips === "horizontal") return "none";
  throw new UsageError(`--flips ${flips} says what --tta averages over; give --tta, too`);
}

/** Photos have red, green and blue; a network of one channel reads their red. */
const PHOTO_CHANNELS = [1, 3];

/**
 * Reads the checkpoint that `--model` names.
 * @throws {InputError} where it cannot be read or photos cannot be predicted with it.
 */
export async function readModel(file: string): Promise<Checkpoint> {
  const checkpoint = await readCheckpointFile(file, "--model");
  const { channels } = checkpoint.config;
  if (!PHOTO_CHANNELS.includes(channels)) {
    throw new InputError(
      `${shownPath(file)} reads images of ${channels} channels, but photos have 3; use a network ` +
        "for photos",
    );
  }
  return checkpoint;
}

/** Where {@linkcode writeModel} keeps what it replaces. */
export const backupOf = (path: string): string => `${path}.backup`;

/**
 * Writes a network in some format; a file that is there already is kept beside it as `.backup`.
 * @throws {InputError} naming the file that cannot be written.
 */
export async function writeModel(path: string, bytes: Uint8Array, log: Log): Promise<void> {
  if (await isFile(path)) {
    const backup = backupOf(path);
    await writeFileAtomic(backup, await readBytes(path));
    log.info(`The model so far is kept as ${shownPath(backup)}`);
  }
  await writeFileAtomic(path, bytes);
}

/** The scales to use: those asked for, else the checkpoint's, else the original tool's. */
export function scalesOf(
  asked: readonly number[] | undefined,
  { info }: Checkpoint,
): readonly [number, ...number[]] {
  const [first = info.scale ?? DEFAULT_SCALE, ...more] = asked ?? [];
  return [first, ...more];
}

/** As logs and pages say it. */
export function scalesText(scales: readonly number[]): string {
  return `scale${scales.length > 1 ? "s" : ""} ${scales.join(", ")}`;
}

/** A network on a GPU. */
export class Model {
  private constructor(readonly gpu: Gpu, readonly segmenter: Segmenter) {}

  /**
   * Opens the GPU, with less memory where that is asked for, and puts a network there.
   * @throws {InputError} where the adapter cannot compute in 16 bits as asked.
   */
  static async open(
    checkpoint: Checkpoint,
    file: string,
    context: Pick<Context, "adapter" | "kernels" | "log">,
    { precision = "f32", mostMemoryBytes }: {
      precision?: ImageType;
      mostMemoryBytes?: MostMemory;
    } = {},
  ): Promise<Model> {
    const net = networkOf(checkpoint, shownPath(file));
    const gpu = await openGpu(context, mostMemoryBytes);
    try {
      checkPrecision(gpu, precision);
    } catch (error) {
      gpu.destroy();
      throw error;
    }
    const how = precision === "f16" ? ", images of 16 bits" : "";
    context.log.info(`Using model ${shownPath(file)}: ${describe(checkpoint.config)}${how}`);
    return new Model(gpu, new Segmenter(gpu, net, { images: precision }));
  }

  /** Frees everything on the GPU. */
  [Symbol.dispose](): void {
    this.segmenter.destroy();
    this.gpu.destroy();
  }
}
