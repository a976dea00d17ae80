/** `deno task predict`: masks for photos. @module */

import { shownPath } from "../src/data/files.ts";
import type { Photo } from "../src/data/photo.ts";
import { encodePng } from "../src/data/png_write.ts";
import { prefetch } from "../src/data/prefetch.ts";
import { InputError, UsageError } from "../src/errors.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import type { CheckpointClass } from "../src/io/checkpoint.ts";
import type { PhotoBatch } from "../src/nn/segmenter.ts";
import { predictPhoto, readPhoto, scalePhoto } from "../src/train/evaluate.ts";
import { flag, float, int, list, path, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import type { Log } from "./log.ts";
import { Model, modelOption, readModel, scaleOf } from "./model.ts";
import {
  type ClassLook,
  FIGURE_FOLDER,
  figureNames,
  preview,
  writeFigures,
} from "./predict_figures.ts";
import { type Job, planJobs } from "./predict_files.ts";
import { duration, Progress } from "./progress.ts";

const options = {
  model: modelOption,
  input: list("photos; also folders, and patterns such as 'photos/*.jpg'", {
    short: "i",
    required: true,
  }),
  output: list("masks, one for each photo, in their order (default: PHOTO_OUT.png beside it)", {
    short: "o",
  }),
  out: path("folder for the masks, each under its photo's name", { placeholder: "DIR" }),
  viz: flag(`draw the masks into ${FIGURE_FOLDER}`, { short: "v" }),
  nosave: flag("write no masks", { short: "n" }),
  maskthreshold: float(
    "two-class networks: class 1 where its probability is above this (default: 0.5)",
    { short: "t", min: 0, max: 1 },
  ),
  scale: float("scale of the photos (default: the checkpoint's, else 0.1)", {
    short: "s",
    min: 0.001,
    max: 1,
  }),
  tile: int(
    "side of sliding windows, in pixels of the scaled photo (default: the whole photo, or the " +
      "largest windows that fit memory)",
    { min: 16 },
  ),
  overlap: float("share of a window that its neighbour covers, too (default: by network)", {
    min: 0,
    max: 0.9,
  }),
  tta: flag("average over the photo and its three flips; takes four times as long"),
  probabilities: flag("write probabilities too", { unavailable: true }),
};

/** Above this many photos, only the progress bar tells of each. */
const LOGGED_PHOTOS = 20;

/** Brightness between two colours, of 255, that an eye tells apart at a glance. */
const VISIBLE_STEP = 64;

/** A photo ready for the network, or why there is none. */
type Loaded =
  | {
    readonly job: NumberedJob;
    readonly width: number;
    readonly height: number;
    readonly batch: PhotoBatch;
    readonly preview: Photo | undefined;
  }
  | { readonly job: NumberedJob; readonly error: InputError };

type NumberedJob = Job & { readonly figures: { readonly pair: string; readonly sample: string } };

/** Predicts every photo; one that fails is reported, and the others go on. */
export async function run(
  o: Values<typeof options>,
  context: Context,
): Promise<number> {
  const { model: file, input, output, out, viz, nosave, maskthreshold, scale } = o;
  const { log } = context;
  const planned = await planJobs({ input, output, out, save: !nosave });
  const figures = figureNames(planned.map((job) => job.input));
  const jobs = planned.map((job, at): NumberedJob => ({
    ...job,
    figures: figures[at] ?? { pair: "", sample: "" },
  }));
  const checkpoint = await readModel(file);
  const { classes } = checkpoint.info;
  if (maskthreshold !== undefined && classes.length !== 2) {
    throw new UsageError(
      `--maskthreshold is for networks of two classes, ${shownPath(file)} has ${classes.length}`,
    );
  }
  const look = lookOf(classes);
  const used = scaleOf(scale, checkpoint);

  using model = await Model.open(checkpoint, file, context);
  log.info(`Predicting ${count(jobs.length)} at scale ${used}`);
  const load = (job: NumberedJob) => loadPhoto(job, used, viz);
  const predict = async (loaded: Loaded): Promise<Finished> => {
    if ("error" in loaded) return { loaded, error: loaded.error };
    const { job, width, height, batch } = loaded;
    return await attempt({ loaded }, async () => ({
      loaded,
      ids: await predictPhoto(model.segmenter, batch, job.input, {
        size: [height, width],
        window: { side: o.tile ?? 0, ...(o.overlap === undefined ? {} : { overlap: o.overlap }) },
        tta: o.tta,
        ...(maskthreshold === undefined ? {} : { threshold: maskthreshold }),
      }),
    }));
  };

  const startMs = performance.now();
  using bar = new Progress({ label: "Predict", total: jobs.length });
  let failed = 0;
  const finish = async (running: Promise<Finished> | undefined) => {
    if (running === undefined) return;
    const finished = await running;
    // One turn of the event loop, in which the GPU gets the next photo before this one's mask is
    // compressed.
    await new Promise((resolve) => setTimeout(resolve, 0));
    const error = await save(finished, look, jobs.length <= LOGGED_PHOTOS ? log : undefined);
    if (error !== undefined) {
      failed++;
      log.error(error.message);
    }
    bar.advance(1);
  };
  let running: Promise<Finished> | undefined;
  for await (const loaded of prefetch(jobs, load)) {
    const next = predict(loaded);
    next.catch(() => undefined);
    await finish(running);
    running = next;
  }
  await finish(running);
  bar.finish();
  summarise(jobs.length, failed, (performance.now() - startMs) / 1000, viz, log);
  return failed > 0 ? 1 : 0;
}

/** A class map, or why there is none. */
type Finished =
  | { readonly loaded: Loaded; readonly error: InputError }
  | { readonly loaded: Loaded; readonly ids: Uint8Array };

/** What `work` gives, or its InputError beside `about`: bad files are told, mistakes are thrown. */
async function attempt<R, A>(
  about: A,
  work: () => Promise<R>,
): Promise<R | A & { readonly error: InputError }> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof InputError) return { ...about, error };
    throw error;
  }
}

async function loadPhoto(job: NumberedJob, scale: number, viz: boolean): Promise<Loaded> {
  return await attempt({ job }, async () => {
    const photo = await readPhoto(job.input);
    const { width, height } = photo;
    const shown = viz ? preview(photo) : undefined;
    return { job, width, height, batch: scalePhoto(photo, scale), preview: shown };
  });
}

/** Writes what belongs to a photo. @returns why it failed, if it did. */
async function save(
  finished: Finished,
  look: ClassLook,
  log: Log | undefined,
): Promise<InputError | undefined> {
  if ("error" in finished) return finished.error;
  const { loaded, ids } = finished;
  if ("error" in loaded) return loaded.error;
  const { job, width, height, preview } = loaded;
  const result = await attempt({}, async () => {
    if (job.output !== undefined) {
      await writeFileAtomic(
        job.output,
        encodePng({ width, height, channels: 1, data: ids, palette: look.colours }),
      );
      log?.info(`Mask of ${shownPath(job.input)} saved to ${shownPath(job.output)}`);
    }
    if (preview !== undefined) {
      await writeFigures(preview, { width, height, data: ids }, look, job.figures);
      log?.info(`Figures of ${shownPath(job.input)} in ${shownPath(job.figures.pair)} and beside`);
    }
    return {};
  });
  return "error" in result ? result.error : undefined;
}

/**
 * Names and colours of the classes. Two classes that look alike become black and white: their masks
 * have to be seen.
 */
function lookOf(classes: readonly CheckpointClass[]): ClassLook {
  const colours = classes.map(({ color }) => color);
  const [first, second] = colours;
  const alike = classes.length === 2 && first !== undefined && second !== undefined &&
    Math.max(...first.map((level, c) => Math.abs(level - (second[c] ?? 0)))) < VISIBLE_STEP;
  return {
    names: classes.map(({ name }) => name),
    colours: alike ? [[0, 0, 0], [255, 255, 255]] : colours,
  };
}

function summarise(photos: number, failed: number, seconds: number, viz: boolean, log: Log): void {
  const done = photos - failed;
  if (photos > 1 && done > 0) {
    log.info(
      `${count(done)} in ${duration(seconds)} (${(done / seconds).toPrecision(2)} images/s)` +
        (viz && photos > LOGGED_PHOTOS ? `, figures in ${FIGURE_FOLDER}` : ""),
    );
  }
  if (failed > 0 && photos > 1) log.error(`${failed} of ${count(photos)} failed, see above`);
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
    "A photo that fails is reported, the others go on, and the exit status is 1.",
  options,
  gpu: true,
  examples: [
    "deno task predict -i photo.jpg -o mask.png --viz",
    "deno task predict -m checkpoints/best.safetensors -i photos --out masks -s 0.5",
    "deno task predict -i one.jpg two.jpg -o one.png two.png -t 0.3",
  ],
  run,
});
