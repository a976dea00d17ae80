/** `deno task predict`: masks for photos. @module */

import { dirname } from "node:path";
import { shownPath } from "../src/data/files.ts";
import { UsageError } from "../src/errors.ts";
import { classColours } from "../src/report/class_colours.ts";
import { checkWritable, removeStaleTemporaries } from "../src/io/atomic_file.ts";
import { NpyFile } from "../src/io/npy_file.ts";
import type { PredictOptions } from "../src/nn/segmenter.ts";
import { predictPhoto } from "../src/train/evaluate.ts";
import { flag, float, int, list, path, text, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import type { Log } from "./log.ts";
import {
  flipsOf,
  Model,
  modelOption,
  precisionOption,
  readModel,
  scaleOption,
  scalesOf,
  scalesText,
  ttaOptions,
} from "./model.ts";
import { FIGURE_FOLDER } from "./predict_figures.ts";
import { checkOverwritten, type Job, planJobs, unfinished } from "./predict_files.ts";
import { handsFor } from "./predict_hands.ts";
import { type Spent, throughStages } from "./predict_pipeline.ts";
import { shardOf, shareOf } from "./predict_shard.ts";
import type { ClassLook, LoadedPhoto } from "./predict_work.ts";
import { duration, Progress } from "./progress.ts";

const options = {
  model: modelOption,
  input: list("photos; also folders, and patterns such as 'photos/*.jpg' or 'all/**/*.png'", {
    short: "i",
    required: true,
  }),
  output: list("masks, one for each photo, in their order (default: PHOTO_OUT.png beside it)", {
    short: "o",
  }),
  out: path("folder for the masks, each under its photo's name", { placeholder: "DIR" }),
  color: flag("also write MASK_color.png: the mask as an RGB picture in the class colours"),
  overlay: flag("also write MASK_overlay.png: the class colours laid over the photo"),
  probabilities: flag(
    "also write MASK.npy: the probability of each class, float16 [classes, height, width]",
  ),
  viz: flag(`draw the masks into ${FIGURE_FOLDER}`, { short: "v" }),
  nosave: flag("write no masks", { short: "n" }),
  maskthreshold: float(
    "two-class networks: class 1 where its probability is above this (default: 0.5)",
    { short: "t", min: 0, max: 1 },
  ),
  scale: scaleOption("the checkpoint's, else 0.1"),
  tile: int(
    "side of sliding windows in pixels of the scaled photo (default: the whole photo where it " +
      "fits memory, else the largest that fits)",
    { min: 16, max: 16384 },
  ),
  overlap: float(
    "share of a window that its neighbour covers, too (default: as much as the network sees " +
      "around a pixel, at most 0.5)",
    { min: 0, max: 0.9 },
  ),
  ...ttaOptions,
  precision: precisionOption,
  resume: flag("skip photos whose outputs are there"),
  shard: text(
    "the i-th of n shares of the photos (default: that of the Slurm array or Kubernetes Indexed " +
      "Job that this runs in)",
    { placeholder: "i/n" },
  ),
};

/** Above this many photos, only the progress bar tells of each. */
const LOGGED_PHOTOS = 20;

/**
 * Whatever the photo, this much GPU memory is enough: larger ones are predicted by windows. A
 * software adapter's is part of the process, which is to stay well below 1.5 GiB.
 */
const MOST_MEMORY_BYTES = { gpu: 2 ** 30, software: 384 * 2 ** 20 };

/** Predicts every photo; one that fails is reported, and the others go on. */
export async function run(
  settings: Values<typeof options>,
  context: Context,
): Promise<number> {
  const { log } = context;
  const { model: file, nosave, maskthreshold, viz } = settings;
  const asked = { ...settings, flips: flipsOf(settings) };
  const planned = await planJobs({ ...settings, save: !nosave });
  const checkpoint = await readModel(file);
  const { classes } = checkpoint.info;
  if (maskthreshold !== undefined && classes.length !== 2) {
    throw new UsageError(
      `--maskthreshold is for networks of two classes, ${shownPath(file)} has ${classes.length}`,
    );
  }
  for (const { message } of planned.problems) log.error(message);
  let failed = planned.problems.length;
  const jobs = await ownJobs(planned.jobs, settings, log);
  await checkOverwritten(jobs);
  // A killed run leaves half of a large array behind; shares of a run may write from other machines.
  const arrays = jobs.flatMap(({ outputs: { probabilities } }) => probabilities ?? []);
  for (const folder of new Set(arrays.map((path) => dirname(path)))) {
    await removeStaleTemporaries(folder, { shared: true, ending: ".npy" });
  }
  if (jobs.length === 0) return failed > 0 ? 1 : 0;
  if (settings.out !== undefined && !nosave) await checkWritable(settings.out, "--out");

  const look: ClassLook = {
    names: classes.map(({ name }) => name),
    colours: classColours(classes),
  };
  const scales = scalesOf(settings.scale, checkpoint);
  using model = await Model.open(checkpoint, file, context, {
    precision: settings.precision,
    mostMemoryBytes: MOST_MEMORY_BYTES,
  });
  using hands = handsFor(jobs.length);
  using bar = new Bar(jobs.length);
  log.info(`Predicting ${count(jobs.length)} at ${scalesText(scales)}`);
  const logged = jobs.length <= LOGGED_PHOTOS ? log : undefined;
  const startMs = performance.now();
  let failedPhotos = 0;
  const spent = await throughStages(jobs, {
    load: ({ input, outputs }) =>
      hands.load({
        input,
        scales,
        photo: outputs.overlay !== undefined,
        preview: outputs.sample !== undefined,
      }),
    predict: (job, photo) => predict(model, job, photo, classes.length, asked, bar, log),
    save: ({ outputs }, { width, height, photo, preview }, ids) =>
      hands.save({ width, height, ids, photo, preview, outputs, look }),
    done: (job, error) => {
      if (error) {
        failedPhotos++;
        log.error(error.message);
      } else if (logged) tell(job, logged);
      bar.photoDone();
    },
  });
  bar.finish();
  failed += failedPhotos;
  const done = jobs.length - failedPhotos;
  summarise(done, (performance.now() - startMs) / 1000, spent, log);
  log.info(`${Math.ceil(model.segmenter.plannedBytes / 2 ** 20)} MiB of GPU memory planned`);
  if (viz && !logged) log.info(`Figures in ${FIGURE_FOLDER}`);
  if (failedPhotos > 0 && jobs.length > 1) {
    log.error(`${failedPhotos} of ${count(jobs.length)} failed, see above`);
  }
  return failed > 0 ? 1 : 0;
}

/** The jobs of this process that are left to do. */
async function ownJobs(
  all: readonly Job[],
  { shard: typed, resume, nosave, viz }: Values<typeof options>,
  log: Log,
): Promise<readonly Job[]> {
  if (resume && nosave && !viz) {
    throw new UsageError("--resume looks at what was written, but --nosave writes nothing");
  }
  const shard = shardOf(typed);
  const own = shard ? shareOf(all, shard) : all;
  if (shard) {
    const whole = shard.source === "--shard" ? "" : "; --shard 1/1 takes all";
    log.info(
      `Share ${shard.index} of ${shard.count} (${shard.source}${whole}): ${own.length} of ` +
        count(all.length),
    );
  }
  if (!resume) return own;
  const left = await unfinished(own);
  log.info(`${own.length - left.length} of ${count(own.length)} done before`);
  return left;
}

type PredictSettings =
  & Pick<Values<typeof options>, "maskthreshold" | "tile" | "overlap" | "precision">
  & Pick<PredictOptions, "flips">;

/** The class map of a photo; its probabilities go into their file at once. */
async function predict(
  { segmenter }: Model,
  { input, outputs }: Job,
  { batch, alsoAt, width, height }: LoadedPhoto,
  classes: number,
  { maskthreshold, tile, overlap, flips, precision }: PredictSettings,
  bar: Bar,
  log: Log,
): Promise<Uint8Array> {
  const npy = outputs.probabilities === undefined
    ? undefined
    : await NpyFile.create(outputs.probabilities, [classes, height, width]);
  const wanted: PredictOptions = {
    size: [height, width],
    window: { side: tile ?? 0, ...(overlap === undefined ? {} : { overlap }) },
    flips,
    alsoAt,
    onProgress: (done, total) => bar.windowsDone(done, total),
    ...(maskthreshold === undefined ? {} : { threshold: maskthreshold }),
    ...(npy
      ? {
        onProbabilities: ({ firstRow, rows, pitch, values }) =>
          npy.writeRows(firstRow, rows, pitch, values),
      }
      : {}),
  };
  try {
    const ids = await predictPhoto(segmenter, batch, input, wanted);
    await npy?.finish();
    if (npy && npy.notNumbers > 0) {
      log.warn(
        `${npy.notNumbers} probabilities of ${shownPath(input)} are no numbers: what the network ` +
          (precision === "f16"
            ? "computes does not fit 16 bits, predict with --precision f32"
            : "computes or holds is too large, train it anew at a lower rate (-l)"),
      );
    }
    return ids;
  } catch (error) {
    await npy?.abandon();
    throw error;
  }
}

/** Progress in photos, or in windows where there is one large photo. */
class Bar {
  #bar: Progress | undefined;

  constructor(readonly photos: number) {
    if (photos > 1) this.#bar = new Progress({ label: "Predict", total: photos, unit: "photos" });
  }

  photoDone(): void {
    if (this.photos > 1) this.#bar?.advance(1, "");
  }

  windowsDone(done: number, total: number): void {
    if (total === 1) return;
    if (this.photos > 1) {
      this.#bar?.advance(0, `window ${done} of ${total}`);
      return;
    }
    this.#bar ??= new Progress({ label: "Predict", total, unit: "windows" });
    this.#bar.advance(1);
  }

  finish(): void {
    this.#bar?.finish();
  }

  [Symbol.dispose](): void {
    this.finish();
  }
}

function tell({ input, outputs: { mask, pair, color, overlay, probabilities } }: Job, log: Log) {
  const photo = shownPath(input);
  if (mask !== undefined) {
    const more = [color, overlay, probabilities].filter((file) => file !== undefined).map(
      shownPath,
    );
    log.info(
      `Mask of ${photo} saved to ${shownPath(mask)}` +
        (more.length > 0 ? `, with ${more.join(", ")}` : ""),
    );
  }
  if (pair !== undefined) log.info(`Figures of ${photo} in ${shownPath(pair)} and beside`);
}

/** Rate, and what the stages did meanwhile; their shares overlap. */
function summarise(done: number, seconds: number, spent: Spent, log: Log): void {
  if (done < 2) return;
  const share = (ms: number) => `${Math.round(ms / seconds / 10)} %`;
  log.info(
    `${count(done)} in ${duration(seconds)} (${(done / seconds).toPrecision(2)} images/s; ` +
      `decoding ${share(spent.decodeMs)} of the time, GPU ${share(spent.gpuMs)}, encoding ` +
      `${share(spent.encodeMs)})`,
  );
}

function count(photos: number): string {
  return `${photos} photo${photos === 1 ? "" : "s"}`;
}

/** The command. */
export const command: Command = defineCommand({
  name: "predict",
  summary:
    "Finds the class of every pixel of photos. A mask is an indexed PNG of the photo's own " +
    "size: each pixel holds a class id (0, 1, ... in the order of the network's classes, also " +
    "where the training masks held other values such as 0 and 255), and the palette holds the " +
    "class colours, so that any viewer shows it. --viz writes image_pair_jet.png (photo and " +
    "mask) and sample.png (overlay with legend); for several photos their names are appended. " +
    "A photo that fails is reported, the others go on, and the exit status is 1. Outputs appear " +
    "when they are complete, so a run that was stopped goes on with --resume.",
  options,
  gpu: true,
  examples: [
    "deno task predict -i photo.jpg -o mask.png --viz",
    "deno task predict -m checkpoints/best.safetensors -i photos --out masks -s 0.5",
    "deno task predict -i one.jpg two.jpg -o one.png two.png -t 0.3",
    "deno task predict -i aerial.png -s 1 --tta --overlay --out masks",
    "deno task predict -i street.jpg -s 0.4,0.5,0.6 --tta",
    "deno task predict -i 'all/**/*.jpg' --out masks --resume --shard 1/8",
  ],
  run,
});
