/** `deno task data`: checks photos and masks and splits them. @module */

import { join } from "node:path";
import { prepareDataset } from "../src/data/prepare.ts";
import { shownPath } from "../src/data/files.ts";
import { flag, float, int, path, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { writeReport } from "./data_report.ts";
import { Progress } from "./progress.ts";

const options = {
  data: path("data folder; tables and scaled photos go to interim and processed in it", {
    default: "data",
    placeholder: "DIR",
  }),
  raw: path("read photos, masks and labels.txt from here instead of raw in the data folder", {
    placeholder: "DIR",
  }),
  ratio: float("share of the pairs that go to training", {
    default: 0.75,
    min: 0,
    max: 1,
    open: true,
  }),
  seed: int("seed of the split", { default: 42, min: 0, max: 2 ** 32 - 1 }),
  ignore: int("mask value to leave out of training and scores; for colour masks the table's row", {
    min: 0,
    max: 65535,
  }),
  classes: path(
    "class names, one a line, or with the colours of colour masks: a .csv of name,r,g,b or CVAT's " +
      "labelmap.txt (default: class_dict.csv, labelmap.txt or labels.txt in the raw folder)",
  ),
  "skip-bad": flag("go on without files that cannot be used or are there twice, and list them"),
  scale: float("scale at which photos are kept for training, as train's -s; others are made then", {
    short: "s",
    default: 0.1,
    min: 0.001,
    max: 1,
  }),
};

/** Prepares a data set and says what it found. */
export async function run(
  { data, raw, ratio, seed, ignore, classes, skipBad, scale }: Values<typeof options>,
  { log }: Context,
): Promise<number> {
  log.info(`Reading ${shownPath(raw ?? `${data}/raw`)}`);
  const settings = { data, raw, ratio, seed, ignore, classes, skipBad, scale };
  const prepared = await prepareDataset(settings, {
    info: (message) => log.info(message),
    warn: (message) => log.warn(message),
    progress: (label, total) => new Progress({ label, total }),
  });
  const { cache } = prepared;
  if (cache?.refusal !== undefined) {
    const [what, then] = cache.usedBytes > 0 ? ["not all", "the others"] : ["no", "they"];
    log.warn(
      `${what} photos could be kept at scale ${scale} in ${shownPath(`${data}/interim/cache`)}: ` +
        `${cache.refusal}; ${then} are decoded in every epoch`,
    );
  }
  const page = await writeReport(prepared, { data, raw: raw ?? join(data, "raw") });
  log.info(`What is in the set, with samples: ${shownPath(page)}; figures beside it`);
  const { images } = prepared.info;
  log.info(
    `${images.train} images for training, ${images.valid} for validation, ${images.test} for ` +
      `testing; tables in ${shownPath(`${data}/processed`)}. Next: deno task train`,
  );
  return 0;
}

/** The command. */
export const command: Command = defineCommand({
  name: "data",
  summary: "Checks that every photo in data/raw/train/images has a mask of the same size in " +
    "data/raw/train/masks, counts what the masks show, and splits the pairs into training and " +
    "validation so that every class is in both. Writes tables, a page to look at " +
    "(reports/data.html) and figures; photos and masks stay as they are.",
  options,
  examples: [
    "deno task data",
    "deno task data --raw ~/photos --data data --ratio 0.8 --ignore 255",
  ],
  run,
});
