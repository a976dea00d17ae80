/** `deno task bench tune`: the fastest tiles for this machine. @module */

import { shownPath } from "../src/data/files.ts";
import { InputError } from "../src/errors.ts";
import { type TunedShape, tuneStep } from "../src/bench/tune.ts";
import { textTable } from "../src/bench/tables.ts";
import { MODELS, UPSAMPLES } from "../src/nn/unet_spec.ts";
import { choice, flag, int, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { findAdapter, openGpu } from "./gpu.ts";
import { forgetTuning, saveTuning, tuningFile } from "./tuning_file.ts";

const options = {
  mode: choice("step to tune for", ["train", "infer"], { default: "train" }),
  model: choice("network", MODELS, { default: "unet-small" }),
  "first-level": int("channels of the first level", { default: 64, min: 1 }),
  upsample: choice("upsampling", UPSAMPLES, { default: "bilinear" }),
  classes: int("classes of the network", { default: 23, min: 1 }),
  batch: int("images in a batch", { default: 1, min: 1 }),
  height: int("rows of an image", { default: 128, min: 4 }),
  width: int("pixels of a row", { default: 192, min: 4 }),
  candidates: int("candidates that every shape tries at most", { default: 4, min: 2 }),
  rounds: int("runs of each candidate; the fastest counts", { default: 3, min: 1 }),
  forget: flag("forget all that was tuned, for every adapter, and stop"),
};

/** Measures, remembers and prints. */
export async function run(o: Values<typeof options>, context: Context): Promise<number> {
  const { log } = context;
  if (o.forget) {
    const file = shownPath(tuningFile() ?? "the cache folder");
    log.info(await forgetTuning() ? `Removed ${file}` : `Nothing to forget: there is no ${file}`);
    return 0;
  }
  if (tuningFile() === undefined) {
    throw new InputError(
      "cannot remember what would be tuned: there is no cache folder; set HOME or XDG_CACHE_HOME",
    );
  }
  using gpu = await openGpu(context);
  const { model, firstLevel, upsample, classes, mode, batch, height, width } = o;
  const { shapes, tuning, favouriteMs, tunedMs } = await tuneStep(gpu, {
    network: { model, width: firstLevel, upsample, classes },
    ...{ mode, batch, height, width, candidates: o.candidates, rounds: o.rounds },
    onProgress: (message) => log.info(message),
  });
  if (shapes.length === 0) {
    log.info(`The ${gpu.kernelFamily} kernels of this step have nothing to choose`);
    return 0;
  }
  console.log(tuneTable(shapes));
  const changed = Object.keys(tuning).length;
  const gains = changed > 0 && tunedMs < favouriteMs;
  console.log(
    `\nStep: ${favouriteMs.toFixed(1)} ms with the tables' own choice, ${tunedMs.toFixed(1)} ms ` +
      `with ${changed} of ${shapes.length} shapes tuned${
        gains ? "" : ": the tables' choice stays"
      }.`,
  );
  const adapter = await findAdapter(context.adapter);
  const measured = shapes.map(({ key }) => key);
  const saved = adapter && await saveTuning(adapter.info, gains ? tuning : {}, measured);
  if (!saved) {
    throw new InputError(
      "cannot remember what was tuned: the kernels' files, which tell when it is out of date, " +
        "cannot be read; run the program from a folder instead of a URL",
    );
  }
  log.info(`Remembered in ${shownPath(tuningFile() ?? "")} for ${gpu.description}`);
  return 0;
}

/** The table: what each shape takes as it is and with its best candidate. */
export function tuneTable(shapes: readonly TunedShape[]): string {
  return textTable(
    ["shape", "own choice", "ms", "best", "ms"],
    shapes.map(({ key, candidates, best }) => {
      const [own] = candidates;
      const chosen = candidates.find(({ name }) => name === best);
      const isOwn = best === own?.name;
      return [
        key,
        own?.name ?? "",
        own?.timeMs.toFixed(3) ?? "",
        isOwn ? "=" : best,
        isOwn ? "" : chosen?.timeMs.toFixed(3) ?? "",
      ];
    }),
    [false, false, true, false, true],
  );
}

/** The command. */
export const command: Command = defineCommand({
  name: "bench tune",
  summary: "Tries the tiles that the convolution kernels could use for each shape of a step and " +
    "remembers the fastest for this adapter in the user's cache folder, where all commands find " +
    "them from then on. Other tiles round otherwise, so results may change in the last digits. " +
    "Tune with the network and sizes that you train with; other shapes stay as they are.",
  options,
  gpu: true,
  examples: [
    "deno task bench tune",
    "deno task bench tune --model unet --first-level 16 --batch 4 --height 180 --width 240",
    "deno task bench tune --forget",
  ],
  run,
});
