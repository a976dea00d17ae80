/**
 * What the demo leaves to look at: masks, overlays, a contact sheet and a text for newcomers.
 * @module
 */

import { join } from "node:path";
import { type Dataset, type Sample, valueToClass } from "../src/data/dataset.ts";
import { readBytes, shownPath, stem } from "../src/data/files.ts";
import { readMask } from "../src/data/mask.ts";
import { encodePng } from "../src/data/png_write.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import type { Segmenter } from "../src/nn/segmenter.ts";
import { contactSheet, figureLegend } from "../src/report/figure.ts";
import { classesPresent, colourMask, overlay, type Picture } from "../src/report/overlay.ts";
import { type Evaluation, predictPhoto, readPhoto, scalePhoto } from "../src/train/evaluate.ts";
import { ConfusionMatrix } from "../src/train/metrics.ts";

/** Test photos on the contact sheet. */
const SHEET_ROWS = 4;

const OVERLAY_OPACITY = 0.5;

/** What a demo came to. */
export interface DemoResult {
  /** The demo's folder, absolute. */
  readonly folder: string;
  readonly dataset: Dataset;
  /** Of the test split. */
  readonly evaluation: Evaluation;
  readonly trained: {
    /** In words. */
    readonly network: string;
    /** That the best checkpoint has seen. */
    readonly epochs: number;
    /** In the training split. */
    readonly photos: number;
  };
}

/** Predicts every test photo and writes its mask and overlay, then the contact sheet of the first. */
export async function writePictures(
  result: DemoResult,
  segmenter: Pick<Segmenter, "predict">,
  scale: number,
): Promise<void> {
  const { folder, dataset: { info, test }, evaluation } = result;
  const colours = info.classes.map(({ color }) => color);
  const names = info.classes.map(({ name }) => name);
  const ordered = [...test].sort((a, b) => a.image < b.image ? -1 : 1);
  const rows: Picture[][] = [];
  const rowTitles: string[] = [];
  for (const sample of ordered) {
    const photo = await readPhoto(sample.image);
    const { width, height } = photo;
    const data = await predictPhoto(segmenter, scalePhoto(photo, scale), sample.image, {
      size: [height, width],
    });
    const mask = { width, height, data };
    const file = `${stem(sample.image)}.png`;
    await writeFileAtomic(
      join(folder, "predictions", file),
      encodePng({ ...mask, channels: 1, palette: colours }),
    );
    const blended = overlay(photo, mask, colours, OVERLAY_OPACITY);
    const legend = figureLegend(blended, classesPresent(mask), names, colours);
    await writePicture(join(folder, "overlays", file), legend);
    if (rows.length < SHEET_ROWS) {
      rows.push([photo, await truth(sample, info), colourMask(mask, colours)]);
      const score = evaluation.images.find(({ image }) => image === sample.image);
      const meanIoU = score?.meanIoU ?? undefined;
      rowTitles.push(meanIoU === undefined ? "" : `mean IoU ${meanIoU.toFixed(2)}`);
    }
  }
  const sheet = contactSheet(rows, ["Photo", "Truth", "Prediction"], {
    title: `What the network makes of photos it has never seen (${rows.length} of ${test.length})`,
    caption: caption(result),
    legend: info.classes.map(({ name, color }) => ({ name, colour: color })),
    rowTitles,
  });
  await writePicture(join(folder, "summary.png"), sheet);
}

async function writePicture(path: string, picture: Picture): Promise<void> {
  await writeFileAtomic(path, encodePng({ ...picture, channels: 3 }));
}

async function truth({ mask = "" }: Sample, info: Dataset["info"]): Promise<Picture> {
  const name = shownPath(mask);
  const { width, height, data } = readMask(await readBytes(mask), name);
  const labels = valueToClass(info).toLabels(data, name);
  return colourMask({ width, height, data: labels }, info.classes.map(({ color }) => color));
}

function caption(result: DemoResult): string {
  const { trained, evaluation: { scores }, dataset } = result;
  const guess = guessing(result);
  const each = scores.classes.map(({ id, iou }) =>
    `${dataset.info.classes[id]?.name} ${iou === null ? "-" : iou.toFixed(2)}`
  );
  return `Mean IoU ${scores.meanIoU.toFixed(2)} (guessing ${guess.name} everywhere: ` +
    `${guess.meanIoU.toFixed(2)}), pixel accuracy ${scores.pixelAccuracy.toFixed(2)}. ` +
    `IoU by class: ${each.join(", ")}. The network: ${trained.network}, trained for ${
      epochsOf(trained)
    } on ` +
    `${trained.photos} photos.`;
}

function epochsOf({ epochs }: DemoResult["trained"]): string {
  return `${epochs} epoch${epochs === 1 ? "" : "s"}`;
}

/** What the commonest class of training would score if it were predicted for every test pixel. */
function guessing(
  { dataset: { info }, evaluation: { scores } }: DemoResult,
): { name: string; meanIoU: number; pixelAccuracy: number } {
  const commonest = info.classes.reduce((a, b) => b.trainPixels > a.trainPixels ? b : a);
  const matrix = new ConfusionMatrix(info.classes.length);
  for (const { id, pixels } of scores.classes) {
    matrix.counts[id * matrix.classes + commonest.id] = pixels;
  }
  const { meanIoU, pixelAccuracy } = matrix.scores();
  return { name: commonest.name, meanIoU, pixelAccuracy };
}

/** What happened, how good it is, where it lies and how to go on. */
export function summaryText(result: DemoResult): string {
  const { folder, dataset: { info }, evaluation, trained } = result;
  const { scores, images } = evaluation;
  const guess = guessing(result);
  const shown = shownPath(folder);
  const total = scores.classes.reduce((sum, { pixels }) => sum + pixels, 0);
  const width = Math.max(...info.classes.map(({ name }) => name.length));
  const rows = scores.classes.map(({ id, iou, pixels }) => {
    const value = iou === null ? "    -" : iou.toFixed(3);
    const bar = "#".repeat(Math.round(20 * (iou ?? 0)));
    const share = `${(100 * pixels / Math.max(1, total)).toFixed(1)} %`;
    const name = (info.classes[id]?.name ?? "").padEnd(width);
    return `  ${name}  ${value}  ${bar.padEnd(20)}  ${share.padStart(6)} of the pixels`;
  });
  return `
What was done: ${info.images.train + info.images.valid + info.images.test} photos of a made-up \
neighbourhood were drawn, each with a mask
that gives the class of every pixel. A U-Net, new and untrained, learnt from ${trained.photos} of them
in ${
    epochsOf(trained)
  } (passes over them) and then met ${images.length} photos that it had never seen.

How good it is: mean IoU ${scores.meanIoU.toFixed(3)}; guessing "${guess.name}" everywhere gives \
${guess.meanIoU.toFixed(3)}.
${(100 * scores.pixelAccuracy).toFixed(1)} % of the pixels are right; guessing gives \
${(100 * guess.pixelAccuracy).toFixed(1)} %.
(IoU of a class: pixels found rightly, over all pixels found or missed. 1 is perfect.)

${rows.join("\n")}

What to look at:
  ${shown}/summary.png    photo, truth and prediction side by side: start here
  ${shown}/overlays       every test photo with its predicted mask laid over it
  ${shown}/predictions    the predicted masks: PNG files whose pixels hold class ids
  ${shown}/runs           how training went: report.html in the folder of the run
  ${shown}/data           the drawn photos and masks, prepared as your own would be
  ${shown}/checkpoints    the trained network: best.safetensors

How to go on with it:
  deno task evaluate --data ${shown}/data -m ${shown}/checkpoints/best.safetensors --split test
  deno task predict -m ${shown}/checkpoints/best.safetensors -i ${shown}/data/raw/test/images \
--out masks

With your own photos:
  1. Put photos into data/raw/train/images, masks of the same names (PNG, one class id a pixel)
     into data/raw/train/masks, and the class names, one a line, into data/raw/labels.txt.
  2. deno task data
  3. deno task train -e 20 -b 4 -s 0.5 --width 16 --optimizer adamw
  4. deno task evaluate
  5. deno task predict -i photo.jpg -o mask.png --viz`;
}
