/** `deno task evaluate`: scores of a trained network. @module */

import { dirname, join } from "node:path";
import {
  type Dataset,
  loadDataset,
  type Sample,
  type SplitName,
  valueToClass,
} from "../src/data/dataset.ts";
import { shownPath } from "../src/data/files.ts";
import { PixelCache } from "../src/data/pixel_cache.ts";
import { InputError } from "../src/errors.ts";
import { checkFileWritable, writeFileAtomic } from "../src/io/atomic_file.ts";
import type { Checkpoint } from "../src/io/checkpoint.ts";
import { describe } from "../src/nn/unet_spec.ts";
import { evaluationPage } from "../src/report/evaluation_page.ts";
import { Gallery } from "../src/report/gallery.ts";
import { drawnColours } from "../src/report/overlay.ts";
import {
  type EvaluateOptions,
  evaluateSamples,
  type Evaluation,
  type ImageScore,
  type ScaledPhotos,
} from "../src/train/evaluate.ts";
import { choice, path, type Values } from "./args.ts";
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
import { Progress } from "./progress.ts";
import { keepScaled } from "./scaled_photos.ts";

const options = {
  model: modelOption,
  split: choice("part of the data set", ["valid", "test", "train"], { default: "valid" }),
  json: path("write the scores to this file, .json", { endings: [".json"] }),
  report: path(
    "write a page with the confusion matrix and the worst images, as this file or " +
      "as evaluation.html in this folder",
    { placeholder: "FILE|DIR" },
  ),
  data: path("data folder", { default: "data", placeholder: "DIR" }),
  scale: scaleOption("the checkpoint's"),
  ...ttaOptions,
  precision: precisionOption,
};

/** The contents of the file that `--json` names. */
export interface Report {
  readonly model: string;
  readonly split: SplitName;
  readonly images: number;
  readonly pixelAccuracy: number;
  readonly meanIoU: number;
  readonly meanDice: number;
  /** Scores are null for a class that is neither in truth nor in prediction. */
  readonly classes: readonly {
    readonly id: number;
    readonly name: string;
    readonly iou: number | null;
    readonly dice: number | null;
    readonly precision: number | null;
    readonly recall: number | null;
    readonly pixels: number;
  }[];
}

/** Scores a split and shows what came out. */
export async function run(
  { model: file, split, json, report: page, data, scale, tta, flips, precision }: Values<
    typeof options
  >,
  context: Context,
): Promise<number> {
  const { log } = context;
  const averaged = flipsOf({ tta, flips });
  const checkpoint = await readModel(file);
  const dataset = await loadDataset(data, [split]);
  checkClasses(checkpoint, file, dataset);
  const samples = samplesWithMasks(dataset, split, log);
  if (json !== undefined) await checkFileWritable(json, "--json");
  const target = page === undefined ? undefined : pageFile(page);
  if (target !== undefined) await checkFileWritable(target, "--report");
  using model = await Model.open(checkpoint, file, context, { precision });
  const used = scalesOf(scale, checkpoint);
  log.info(`Scoring ${samples.length} images (${split}) at ${scalesText(used)}`);
  const gallery = target === undefined ? undefined : new Gallery(dataset.info.classes.length);
  const photos: ScaledPhotos[] = [];
  for (const scale of used) {
    const disk = await PixelCache.open(data, scale);
    // At other scales the masks are read as they are.
    await keepScaled(disk, scale === 1 ? samples : samples.map(({ image }) => ({ image })));
    photos.push({ scale, disk });
  }
  const [first = { scale: used[0] }, ...alsoAt] = photos;
  const how = { ...first, alsoAt, flips: averaged };
  const evaluation = await scoreWithProgress(model, samples, how, dataset, split, gallery);

  const report = reportOf(evaluation, shownPath(file), split, dataset);
  console.log(table(report));
  const worst = worstImages(evaluation.images);
  if (worst !== "") log.info(`Lowest mean IoU: ${worst}`);
  if (json !== undefined) {
    await writeFileAtomic(json, new TextEncoder().encode(JSON.stringify(report, null, 2) + "\n"));
    log.info(`Scores written to ${shownPath(json)}`);
  }
  if (target !== undefined && gallery !== undefined) {
    const html = pageOf(evaluation, gallery, report, {
      dataset,
      network: describe(checkpoint.config),
      scales: used,
    });
    await writeFileAtomic(target, new TextEncoder().encode(html));
    log.info(`Confusion matrix and images: ${shownPath(target)}`);
  }
  return 0;
}

const pageFile = (page: string): string =>
  /\.html?$/i.test(page) ? page : join(page, "evaluation.html");

/**
 * A class that is another one to the network would make every score meaningless.
 * @throws InputError naming the first difference.
 */
function checkClasses({ info, config }: Checkpoint, file: string, dataset: Dataset): void {
  const names = dataset.info.classes.map(({ name }) => name);
  const known = info.classes.map(({ name }) => name);
  const [model, data] = [shownPath(file), shownPath(dataset.folder)];
  if (config.classes !== names.length) {
    const extra = (config.classes > names.length ? known : names)
      .slice(Math.min(names.length, known.length));
    throw new InputError(
      `${model} has ${config.classes} classes, but ${data} has ${names.length} (the difference: ` +
        `${extra.join(", ")}); use the data folder that the network was trained on`,
    );
  }
  // Files of other programs bring no names: then the count is all there is to compare.
  if (known.every((name, id) => name === `class_${id}`)) return;
  const id = names.findIndex((name, id) => name !== known[id]);
  if (id < 0) return;
  throw new InputError(
    `class ${id} is ${known[id]} in ${model}, but ${names[id]} in ${data}; use the data folder ` +
      "that the network was trained on",
  );
}

function samplesWithMasks(dataset: Dataset, split: SplitName, log: Log): readonly Sample[] {
  const all = dataset[split];
  const samples = all.filter(({ mask }) => mask !== undefined);
  const missing = all.length - samples.length;
  const [first] = all;
  const folder = first === undefined ? "" : shownPath(join(dirname(dirname(first.image)), "masks"));
  if (samples.length === 0) {
    throw new InputError(
      `the ${split} images have no masks to compare predictions with; put them into ${folder}, ` +
        "with the photos' names, or score --split valid",
    );
  }
  if (missing > 0) {
    log.warn(`${missing} of ${all.length} ${split} images have no mask in ${folder}: left out`);
  }
  return samples;
}

async function scoreWithProgress(
  model: Model,
  samples: readonly Sample[],
  how: Pick<EvaluateOptions, "scale" | "disk" | "alsoAt" | "flips">,
  { info, folder }: Dataset,
  split: SplitName,
  gallery: Gallery | undefined,
): Promise<Evaluation> {
  using bar = new Progress({ label: `Evaluate ${split}`, total: samples.length });
  return await evaluateSamples(model.segmenter, samples, {
    ...how,
    valueMap: valueToClass(info),
    classes: info.classes.length,
    folder,
    onProgress: () => bar.advance(1),
    onPrediction: gallery &&
      ((image) => gallery.offer({ ...image, name: shownPath(image.name) })),
  });
}

function reportOf(
  { scores, images }: Evaluation,
  model: string,
  split: SplitName,
  { info }: Dataset,
): Report {
  const { pixelAccuracy, meanIoU, meanDice } = scores;
  const classes = scores.classes.map(({ id, iou, dice, precision, recall, pixels }) => {
    const name = info.classes[id]?.name ?? `class_${id}`;
    return { id, name, iou, dice, precision, recall, pixels };
  });
  return { model, split, images: images.length, pixelAccuracy, meanIoU, meanDice, classes };
}

function pageOf(
  { scores, matrix }: Evaluation,
  gallery: Gallery,
  { model, split, images }: Report,
  { dataset, network, scales }: { dataset: Dataset; network: string; scales: readonly number[] },
): string {
  const { classes } = dataset.info;
  return evaluationPage({
    title: `${model} on ${split}`,
    notes: [
      `${network}, photos at ${scalesText(scales)}, masks of ${
        shownPath(dataset.folder)
      } at their own ` +
      `size; ${new Date().toISOString().slice(0, 10)}`,
    ],
    images,
    classes,
    scores,
    matrix,
    pictures: gallery.pictures(drawnColours(classes.map(({ color }) => color))),
  });
}

const COLUMNS = ["IoU", "Dice", "precision", "recall", "pixels"];

/** The report as lines of columns. */
export function table(report: Report): string {
  const share = (value: number | null) => value === null ? "-" : value.toFixed(3);
  const rows = report.classes.map(({ name, iou, dice, precision, recall, pixels }) => [
    name,
    ...[iou, dice, precision, recall].map(share),
    pixels.toLocaleString("en"),
  ]);
  const counted = report.classes.filter(({ iou }) => iou !== null).length;
  const mean = `mean (${counted} classes)`;
  const all = [
    ["class", ...COLUMNS],
    ...rows,
    [mean, share(report.meanIoU), share(report.meanDice), "", "", ""],
  ];
  const widths = all[0]?.map((_, c) => Math.max(...all.map((row) => row[c]?.length ?? 0))) ?? [];
  const lines = all.map((row) =>
    row.map((cell, c) => c === 0 ? cell.padEnd(widths[c] ?? 0) : cell.padStart(widths[c] ?? 0))
      .join("  ").trimEnd()
  );
  const rule = "-".repeat(widths.reduce((a, b) => a + b, 0) + 2 * COLUMNS.length);
  lines.splice(1, 0, rule);
  lines.splice(lines.length - 1, 0, rule);
  return [...lines, `pixel accuracy ${share(report.pixelAccuracy)}`].join("\n");
}

/** Where a look is worth most: the images with the lowest scores. */
function worstImages(images: readonly ImageScore[], count = 3): string {
  const scored = images.flatMap(({ image, meanIoU }) =>
    meanIoU === null ? [] : [{ image, meanIoU }]
  );
  if (scored.length <= count) return "";
  return scored.sort((a, b) => a.meanIoU - b.meanIoU).slice(0, count)
    .map(({ image, meanIoU }) => `${shownPath(image)} (${meanIoU.toFixed(3)})`).join(", ");
}

/** The command. */
export const command: Command = defineCommand({
  name: "evaluate",
  summary:
    "Predicts the photos of a prepared data set and compares the masks with the true ones, " +
    "at the true masks' own size. All scores come from one count over every pixel of the split; " +
    "pixels of the ignored value count nowhere. A class that neither a mask nor a prediction " +
    "shows has no score (-) and is left out of the means.",
  options,
  gpu: true,
  examples: [
    "deno task evaluate",
    "deno task evaluate -m checkpoints/best.safetensors --split test --json scores.json",
    "deno task evaluate --split test --report reports",
  ],
  run,
});
