/**
 * The page about a training run: curves, scores of its best epoch, images to look at, settings.
 * @module
 */
import type { ConfusionMatrix, Scores } from "../train/metrics.ts";
import type { EpochRow, StepRow } from "../train/run_table.ts";
import { CHART_STYLE, lineChart, type Point } from "./chart.ts";
import type { GalleryPictures } from "./gallery.ts";
import { escapeHtml, htmlPage } from "./html.ts";
import { type Colours, drawnColours } from "./overlay.ts";
import { count, factCards, type FactList, PARTS_STYLE, SLIDER_SCRIPT, tiles } from "./parts.ts";
import { classTable, confusionTable, galleryOf, type PageClass, SCORES_STYLE } from "./scores.ts";

/** The validation split as an epoch scored it. */
export interface ScoredEpoch {
  readonly epoch: number;
  readonly scores: Scores;
  readonly matrix: ConfusionMatrix;
  /** Images scored. */
  readonly images: number;
  readonly pictures: GalleryPictures;
}

const MOST_RATES = 300;

/** Everything the page tells. */
export interface RunPage {
  readonly title: string;
  /** Lines under the title. */
  readonly notes: readonly string[];
  /** In order; at least one. */
  readonly epochs: readonly EpochRow[];
  readonly steps: readonly StepRow[];
  readonly classes: readonly PageClass[];
  /** The best epoch where its images are at hand, else the last one. */
  readonly scored: ScoredEpoch | undefined;
  readonly settings: readonly FactList[];
}

const STYLE = `
details{margin:2.2rem 0 0}
summary{cursor:pointer;font-size:1.2rem;font-weight:700;margin-bottom:.7rem}
h3{font-size:1rem;margin:1.2rem 0 .6rem}
tr.best td{font-weight:600}
`;

/** The epoch with the highest mean IoU; of equals the first, as checkpoints are kept. */
export function bestEpoch(epochs: readonly EpochRow[]): EpochRow | undefined {
  return epochs.reduce<EpochRow | undefined>(
    (best, row) => best && best.scores.meanIoU >= row.scores.meanIoU ? best : row,
    undefined,
  );
}

/** The page as HTML. */
export function runPage(page: RunPage): string {
  const { title, notes, epochs, classes, scored, settings } = page;
  const best = bestEpoch(epochs);
  const body = [
    `<h1>${escapeHtml(title)}</h1>`,
    ...notes.map((note) => `<p class="soft">${escapeHtml(note)}</p>`),
    tilesOf(page, best),
    "<h2>Course</h2>",
    charts(page, best),
    ...(scored === undefined ? [] : scoredSections(scored, classes, best)),
    epochTable(epochs, best),
    "<h2>Settings</h2>",
    factCards(settings),
  ].join("\n");
  const style = PARTS_STYLE + CHART_STYLE + SCORES_STYLE + STYLE;
  return htmlPage({ title, body, style, script: SLIDER_SCRIPT });
}

function tilesOf({ epochs }: RunPage, best: EpochRow | undefined): string {
  const last = epochs.at(-1);
  if (best === undefined || last === undefined) return "";
  const seconds = epochs.reduce((sum, row) => sum + row.seconds, 0);
  return tiles([
    [best.scores.meanIoU.toFixed(4), `best mean IoU, epoch ${best.epoch}`],
    [best.scores.meanDice.toFixed(4), "mean Dice there"],
    [best.scores.pixelAccuracy.toFixed(4), "pixel accuracy there"],
    [last.trainLoss.toFixed(4), `training loss, epoch ${last.epoch}`],
    [count(epochs.length), `epoch${epochs.length === 1 ? "" : "s"} in this run`],
    [clock(seconds), "training and validation"],
  ]);
}

function charts({ epochs, steps }: RunPage, best: EpochRow | undefined): string {
  const line = (value: (row: EpochRow) => number | null) =>
    epochs.flatMap((row): Point[] => {
      const y = value(row);
      return y === null ? [] : [[row.epoch, y]];
    });
  const first = epochs[0]?.epoch ?? 1;
  const x = [first - 1, epochs.at(-1)?.epoch ?? 1] as const;
  const mark = best && { x: best.epoch, name: `best epoch: ${best.epoch}` };
  const four = (value: number) => value.toFixed(4);
  const rate = (value: number) => String(Number(value.toPrecision(4)));
  return `<div class="charts">${
    [
      lineChart({
        title: "Loss",
        series: [
          { name: "step", colour: 1, faint: true, points: stepLine(steps, (row) => row.loss) },
          { name: "training", colour: 1, points: line((row) => row.trainLoss) },
          { name: "validation", colour: 2, points: line((row) => row.validLoss) },
        ],
        ...{ x, format: four, mark },
      }),
      lineChart({
        title: "Validation scores",
        series: [
          { name: "mean IoU", colour: 1, points: line((row) => row.scores.meanIoU) },
          { name: "mean Dice", colour: 2, points: line((row) => row.scores.meanDice) },
          { name: "pixel accuracy", colour: 3, points: line((row) => row.scores.pixelAccuracy) },
        ],
        ...{ x, y: [0, 1] as const, format: four, mark },
      }),
      lineChart({
        title: "Learning rate",
        series: [
          { name: "step", colour: 4, points: sampled(stepLine(steps, (row) => row.learningRate)) },
        ],
        ...{ x, y: [0, 0] as const, format: rate },
      }),
    ].join("\n")
  }</div>`;
}

/** A rate changes smoothly: some of its points do, the last one among them. */
function sampled(points: readonly Point[]): Point[] {
  const every = Math.ceil(points.length / MOST_RATES);
  return points.filter((_, at) => (points.length - 1 - at) % every === 0);
}

/** Steps lie between the end of the epoch before and the end of theirs. */
function stepLine(steps: readonly StepRow[], value: (row: StepRow) => number): Point[] {
  const inEpoch = new Map<number, number>();
  for (const { epoch } of steps) inEpoch.set(epoch, (inEpoch.get(epoch) ?? 0) + 1);
  const seen = new Map<number, number>();
  return steps.map((row): Point => {
    const at = (seen.get(row.epoch) ?? 0) + 1;
    seen.set(row.epoch, at);
    return [row.epoch - 1 + at / (inEpoch.get(row.epoch) ?? 1), value(row)];
  });
}

function scoredSections(
  { epoch, scores, matrix, images, pictures }: ScoredEpoch,
  classes: readonly PageClass[],
  best: EpochRow | undefined,
): string[] {
  const which = epoch === best?.epoch
    ? "the best"
    : `the last; the best, ${best?.epoch}, was before the run was taken up again`;
  const colours: Colours = classes.map(({ color }) => color);
  const drawn = drawnColours(colours);
  const shown = classes.map(({ name, color }, id) => ({ name, color: drawn[id] ?? color }));
  return [
    "<h2>Classes</h2>",
    `<p class="soft">The ${count(images)} validation image${images === 1 ? "" : "s"} after epoch ` +
    `${epoch}, ${which}, at the scale of training.</p>`,
    classTable(shown, scores),
    "<h2>Confusion</h2>",
    confusionTable(shown, matrix),
    "<h2>Images</h2>",
    galleryOf(pictures, shown, drawn),
  ];
}

function epochTable(epochs: readonly EpochRow[], best: EpochRow | undefined): string {
  const cell = (text: string) => `<td class="num">${text}</td>`;
  const rows = epochs.map((row) => {
    const { epoch, step, trainLoss, validLoss, scores, learningRate, seconds } = row;
    const { meanIoU, meanDice, pixelAccuracy } = scores;
    const values = [
      ...[String(epoch), String(step)],
      ...[trainLoss, validLoss, meanIoU, meanDice, pixelAccuracy].map((value) =>
        value === null ? "-" : value.toFixed(4)
      ),
      ...[String(Number(learningRate.toPrecision(4))), seconds.toFixed(1)],
    ];
    return `<tr${row === best ? ' class="best"' : ""}>${values.map(cell).join("")}</tr>`;
  });
  const heads = [
    "epoch",
    "step",
    "loss",
    "validation loss",
    "mean IoU",
    "mean Dice",
    "accuracy",
    "rate",
    "seconds",
  ];
  return `<details><summary>All epochs</summary><div class="scroll"><table id="epochs"><thead><tr>${
    heads.map((head) => `<th class="num">${head}</th>`).join("")
  }</tr></thead><tbody>${rows.join("\n")}</tbody></table></div></details>`;
}

/** Seconds as `45 s`, `3:05 min` or `1:02 h`. */
function clock(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}:${two(whole % 60)} min`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)} h`;
}
