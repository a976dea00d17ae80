/** `deno task models`: which networks there are, and which is the best. @module */

import { join } from "node:path";
import {
  compareNames,
  entriesOf,
  isFile,
  isFolder,
  kindOf,
  readBytes,
  shownPath,
} from "../src/data/files.ts";
import { InputError, UsageError } from "../src/errors.ts";
import { encodeSafetensorsCheckpoint } from "../src/io/checkpoint.ts";
import { readCheckpointFile } from "../src/io/checkpoint_file.ts";
import { type CheckpointSummary, summariseCheckpoint } from "../src/io/checkpoint_summary.ts";
import { BEST_IMAGES_FILE } from "../src/train/best_images.ts";
import { path, positional, positionalPath, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import type { Log } from "./log.ts";
import { writeModel } from "./model.ts";

const ENDING = /\.(safetensors|pth?)$/i;
/** What `promote` writes. */
const PROMOTED = "best.safetensors";

const options = {
  action: positional("list them, or copy one to the folder of models", ["list", "promote"], {
    default: "list",
  }),
  file: positionalPath("promote: the checkpoint to copy (default: the best by mean IoU)"),
  checkpoints: path("folder of checkpoints", { default: "checkpoints", placeholder: "DIR" }),
  runs: path("folder of runs, looked through for more", { default: "runs", placeholder: "DIR" }),
  models: path("where promoted networks go", { default: "models", placeholder: "DIR" }),
};

type Options = Values<typeof options>;

/** Lists or copies. */
export async function run(o: Options, { log }: Context): Promise<number> {
  if (o.action === "promote") return await promote(o, log);
  if (o.file !== undefined) throw new UsageError(`list takes no file, got ${shownPath(o.file)}`);
  const found = await findCheckpoints(o, log);
  const promoted = join(o.models, PROMOTED);
  const all = [...found, ...(await isFile(promoted) ? await summaries([promoted], log) : [])];
  if (all.length === 0) {
    log.info(
      `No checkpoints in ${shownPath(o.checkpoints)} and ${shownPath(o.runs)}; make one with ` +
        "deno task train",
    );
    return 0;
  }
  console.log(listing(all));
  return 0;
}

async function promote(o: Options, log: Log): Promise<number> {
  const chosen = o.file === undefined ? await best(o, log) : await named(o.file);
  const target = join(o.models, PROMOTED);
  const bytes = chosen.format === "safetensors"
    ? await readBytes(chosen.path)
    : encodeSafetensorsCheckpoint(await readCheckpointFile(chosen.path));
  await writeModel(target, bytes, log);
  const score = chosen.info.metrics?.meanIoU;
  log.info(
    `${shownPath(chosen.path)}${score === undefined ? "" : `, mean IoU ${score.toFixed(4)},`} is ` +
      `now ${shownPath(target)}; use it with -m ${shownPath(target)}`,
  );
  return 0;
}

async function named(file: string): Promise<CheckpointSummary> {
  if (await kindOf(file) === undefined) {
    throw new InputError(`${shownPath(file)} does not exist; see deno task models for what does`);
  }
  return await summariseCheckpoint(file);
}

async function best(o: Options, log: Log): Promise<CheckpointSummary> {
  const scored = (await findCheckpoints(o, log)).filter(({ info }) => info.metrics?.meanIoU);
  const [first] = scored;
  if (first === undefined) {
    throw new InputError(
      `no checkpoint with a score in ${shownPath(o.checkpoints)} and ${shownPath(o.runs)}; train ` +
        "one with deno task train, or name the file to promote",
    );
  }
  // Scores of different tasks do not compare.
  const names = ({ info }: CheckpointSummary) => info.classes.map(({ name }) => name).join(", ");
  const other = scored.find((item) => names(item) !== names(first));
  if (other) {
    throw new InputError(
      `${shownPath(first.path)} (${names(first)}) and ${shownPath(other.path)} (${names(other)}) ` +
        "have different classes, so their scores do not compare; name the file to promote",
    );
  }
  return first;
}

/** All checkpoints, the best first; what cannot be read is warned about. */
async function findCheckpoints(
  { checkpoints, runs }: Pick<Options, "checkpoints" | "runs">,
  log: Log,
): Promise<CheckpointSummary[]> {
  const files = new Set([...await filesBelow(checkpoints, 0), ...await filesBelow(runs, 3)]);
  return (await summaries([...files], log)).sort((a, b) =>
    scoreOf(b) - scoreOf(a) || rank(a) - rank(b) || compareNames(a.path, b.path)
  );
}

const scoreOf = ({ info }: CheckpointSummary): number => info.metrics?.meanIoU ?? -1;

/** Of files with one score, `best` names it best; exports come after what they were made of. */
const rank = ({ path, format }: CheckpointSummary): number =>
  format === "pth"
    ? 3
    : /[\\/]best\.safetensors$/.test(path)
    ? 0
    : /[\\/]last\.safetensors$/.test(path)
    ? 2
    : 1;

async function summaries(files: readonly string[], log: Log): Promise<CheckpointSummary[]> {
  const all: CheckpointSummary[] = [];
  for (const file of files) {
    try {
      all.push(await summariseCheckpoint(file));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      log.warn(error.message);
    }
  }
  return all;
}

/** Checkpoints in a folder and, to a depth, the folders in it. */
async function filesBelow(folder: string, depth: number): Promise<string[]> {
  if (!await isFolder(folder)) return [];
  const files: string[] = [];
  for (const { name, isDirectory } of await entriesOf(folder)) {
    if (name.startsWith(".")) continue;
    const inside = join(folder, name);
    if (isDirectory && depth > 0) files.push(...await filesBelow(inside, depth - 1));
    else if (!isDirectory && ENDING.test(name) && name !== BEST_IMAGES_FILE) files.push(inside);
  }
  return files.sort(compareNames);
}

/** The checkpoints as lines of columns. */
function listing(all: readonly CheckpointSummary[]): string {
  const share = (value: number | undefined) => value === undefined ? "-" : value.toFixed(4);
  const head = ["checkpoint", "mean IoU", "Dice", "accuracy", "epoch", "network", "scale"];
  const rows = [
    [...head, "size", "written", "classes"],
    ...all.map(({ path, config, info, sizeBytes, written }) => [
      shownPath(path),
      ...[info.metrics?.meanIoU, info.metrics?.meanDice, info.metrics?.pixelAccuracy].map(share),
      info.epoch === 0 ? "-" : String(info.epoch),
      `${config.model} ${config.width} ${config.upsample}`,
      info.scale === undefined ? "-" : String(info.scale),
      `${(sizeBytes / 2 ** 20).toFixed(1)} MiB`,
      dateText(written),
      classList(info.classes.map(({ name }) => name)),
    ]),
  ];
  const widths = head.concat("size", "written").map((_, c) =>
    Math.max(...rows.map((row) => row[c]?.length ?? 0))
  );
  const numeric = new Set([1, 2, 3, 4, 6, 7]);
  const lines = rows.map((row) =>
    row.map((cell, c) =>
      numeric.has(c) ? cell.padStart(widths[c] ?? 0) : cell.padEnd(widths[c] ?? 0)
    )
      .join("  ").trimEnd()
  );
  lines.splice(1, 0, "-".repeat(Math.max(...lines.map((line) => line.length))));
  return lines.join("\n");
}

const LISTED_CLASSES = 4;

function classList(names: readonly string[]): string {
  const shown = names.slice(0, LISTED_CLASSES).join(", ");
  return names.length <= LISTED_CLASSES
    ? `${names.length}: ${shown}`
    : `${names.length}: ${shown}, ...`;
}

function dateText(date: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** The command. */
export const command: Command = defineCommand({
  name: "models",
  summary:
    "Lists checkpoints and PyTorch's .pth files, with their scores on the validation split " +
    "where they tell them, the best first. promote copies the best, or the one named, to " +
    `models/${PROMOTED} (a .pth file is converted); the model before it is kept beside it as ` +
    ".backup.",
  options,
  examples: [
    "deno task models",
    "deno task models promote",
    "deno task models promote checkpoints/CP_epoch10.safetensors",
  ],
  run,
});
