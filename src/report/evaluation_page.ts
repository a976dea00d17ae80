/**
 * The page about the scores of a network on a split.
 * @module
 */
import type { ConfusionMatrix, Scores } from "../train/metrics.ts";
import type { GalleryPictures } from "./gallery.ts";
import { escapeHtml, htmlPage } from "./html.ts";
import { drawnColours } from "./overlay.ts";
import { count, PARTS_STYLE, SLIDER_SCRIPT, tiles } from "./parts.ts";
import { classTable, confusionTable, galleryOf, type PageClass, SCORES_STYLE } from "./scores.ts";

/** Everything the page tells. */
export interface EvaluationPage {
  readonly title: string;
  /** Lines under the title. */
  readonly notes: readonly string[];
  readonly images: number;
  readonly classes: readonly PageClass[];
  readonly scores: Scores;
  readonly matrix: ConfusionMatrix;
  readonly pictures: GalleryPictures;
}

const STYLE = `
h3{font-size:1rem;margin:1.2rem 0 .6rem}
`;

/** The page as HTML. */
export function evaluationPage(page: EvaluationPage): string {
  const { title, notes, images, scores, matrix, pictures } = page;
  const drawn = drawnColours(page.classes.map(({ color }) => color));
  const classes = page.classes.map(({ name, color }, id) => ({ name, color: drawn[id] ?? color }));
  const body = [
    `<h1>${escapeHtml(title)}</h1>`,
    ...notes.map((note) => `<p class="soft">${escapeHtml(note)}</p>`),
    tiles([
      [scores.meanIoU.toFixed(4), "mean IoU"],
      [scores.meanDice.toFixed(4), "mean Dice"],
      [scores.pixelAccuracy.toFixed(4), "pixel accuracy"],
      [count(images), images === 1 ? "image" : "images"],
    ]),
    "<h2>Classes</h2>",
    classTable(classes, scores),
    "<h2>Confusion</h2>",
    confusionTable(classes, matrix),
    "<h2>Images</h2>",
    galleryOf(pictures, classes, drawn),
  ].join("\n");
  return htmlPage({
    title,
    body,
    style: PARTS_STYLE + SCORES_STYLE + STYLE,
    script: SLIDER_SCRIPT,
  });
}
