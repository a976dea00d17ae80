/**
 * Scores on a page: a table of the classes, the confusion matrix, the images with the lowest and the
 * highest scores.
 * @module
 */
import type { ClassScore, ConfusionMatrix } from "../train/metrics.ts";
import type { GalleryPictures, PageImage } from "./gallery.ts";
import { dataUri, escapeHtml } from "./html.ts";
import type { DrawnColours } from "./overlay.ts";
import { count, legend, maskSlider, percent, swatch } from "./parts.ts";

/** A class as pages show it. */
export interface PageClass {
  readonly name: string;
  readonly color: readonly [number, number, number];
}

/** Rules for the sections below. */
export const SCORES_STYLE = `
:root{--wrong:#c2570c}
@media (prefers-color-scheme:dark){:root{--wrong:#f0a060}}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th{font-weight:600;text-align:left;color:var(--soft);font-size:.86rem}
td,th{padding:.4rem .7rem .4rem 0;border-top:1px solid var(--line);vertical-align:middle}
thead th{border-top:0}
td.num,th.num{text-align:right}
td:last-child,th:last-child{padding-right:0}
td.name{overflow-wrap:anywhere;min-width:8.5rem}
td.name .swatch{vertical-align:-.15rem;margin-right:.5rem}
td.meter{width:26%;min-width:4.5rem}
tr.mean td{border-top:2px solid var(--line);font-weight:600}
table.matrix{width:auto;font-size:.86rem}
.matrix td,.matrix th{border:0;padding:0}
.matrix th{font-weight:400;color:var(--text)}
.matrix tbody th{padding-right:.6rem;text-align:right;min-width:6.5rem;max-width:11rem;overflow-wrap:anywhere;
position:sticky;left:0;background:var(--page);z-index:1}
.matrix tbody th .swatch,.matrix thead th .swatch{width:.8rem;height:.8rem;vertical-align:-.08rem}
.matrix thead th{vertical-align:bottom;text-align:center;padding:0 0 .35rem}
.matrix thead th div{writing-mode:vertical-rl;transform:rotate(180deg);max-height:9rem;
display:inline-block;text-align:left;overflow-wrap:anywhere}
.matrix td{min-width:2.9rem;height:2.3rem;text-align:center;border:2px solid var(--page);
border-radius:.3rem;font-variant-numeric:tabular-nums}
.matrix.wide td{min-width:1.5rem;height:1.5rem;font-size:0}
.triples{display:grid;gap:1.2rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr))}
.triple{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:.4rem}
.triple .picture{border-radius:.35rem;background-size:100% 100%}
.triple .picture img.over{position:static;opacity:var(--mask,.5)}
.triple span{display:block;font-size:.8rem;color:var(--soft);text-align:center}
`;

const share = (value: number | null): string => value === null ? "-" : value.toFixed(4);

/** Scores of each class and their means. */
export function classTable(
  classes: readonly PageClass[],
  scores: {
    readonly classes: readonly ClassScore[];
    readonly meanIoU: number;
    readonly meanDice: number;
  },
): string {
  const rows = scores.classes.map(({ id, iou, dice, precision, recall, pixels }) => {
    const { name = `class_${id}`, color = [128, 128, 128] as const } = classes[id] ?? {};
    return `<tr><td class="name">${swatch(color)}${escapeHtml(name)}</td>` +
      `<td class="num">${share(iou)}</td><td class="meter"><div class="bar"><i${
        iou ? "" : ' class="none"'
      } style="width:${(100 * (iou ?? 0)).toFixed(2)}%"></i></div></td>` +
      [dice, precision, recall].map((value) => `<td class="num">${share(value)}</td>`).join("") +
      `<td class="num">${count(pixels)}</td></tr>`;
  });
  const scored = scores.classes.filter(({ iou }) => iou !== null).length;
  return `<div class="scroll"><table id="classes"><thead><tr><th>class</th><th class="num">IoU</th>` +
    `<th></th><th class="num">Dice</th><th class="num">precision</th><th class="num">recall</th>` +
    `<th class="num">pixels</th></tr></thead><tbody>${rows.join("")}<tr class="mean">` +
    `<td>mean of ${scored}</td><td class="num">${share(scores.meanIoU)}</td><td></td>` +
    `<td class="num">${
      share(scores.meanDice)
    }</td><td></td><td></td><td></td></tr></tbody></table></div>`;
}

/** Where the pixels of each class went. */
export function confusionTable(
  classes: readonly PageClass[],
  { classes: size, counts }: Pick<ConfusionMatrix, "classes" | "counts">,
): string {
  const ids = Array.from({ length: size }, (_, id) => id);
  const label = (id: number) => {
    const { name = `class_${id}`, color = [128, 128, 128] as const } = classes[id] ?? {};
    return { name: escapeHtml(name), box: swatch(color) };
  };
  const rows = ids.map((t) => {
    const row = ids.map((p) => counts[t * size + p] ?? 0);
    const total = row.reduce((a, b) => a + b, 0);
    const cells = row.map((pixels, p) => {
      const part = total === 0 ? 0 : pixels / total;
      const strong = part > 0.55 ? ";color:var(--page)" : "";
      return `<td style="background:color-mix(in srgb,var(${t === p ? "--accent" : "--wrong"}) ${
        (100 * part).toFixed(1)
      }%,var(--card))${strong}" title="${label(t).name} as ${label(p).name}: ${
        count(pixels)
      } pixels, ${percent(part)}">${total === 0 ? "" : cellText(part)}</td>`;
    });
    const { name, box } = label(t);
    return `<tr><th scope="row">${name} ${box}</th>${cells.join("")}</tr>`;
  });
  const heads = ids.map((id) =>
    `<th scope="col"><div>${label(id).name}</div><br>${label(id).box}</th>`
  );
  return `<p class="soft">Each row is a true class: how many percent of its pixels were predicted ` +
    `as which class. Blue is right.</p><div class="scroll"><table class="matrix${
      size > 16 ? " wide" : ""
    }" id="confusion"><thead><tr><th></th>${heads.join("")}</tr></thead><tbody>${
      rows.join("")
    }</tbody></table></div>`;
}

function cellText(part: number): string {
  const value = 100 * part;
  if (value === 0) return '<span class="soft">0</span>';
  if (value < 0.1) return '<span class="soft">&lt;.1</span>';
  return value >= 99.95 ? "100" : value.toFixed(1);
}

/** The images: the photo under what is true, what was predicted and where they differ. */
export function galleryOf(
  { worst, best }: GalleryPictures,
  classes: readonly PageClass[],
  drawn: DrawnColours,
): string {
  const shown = new Set([...worst, ...best].flatMap((image) => image.classes));
  const named = classes.flatMap(({ name }, id) => {
    const colour = drawn[id];
    return colour !== undefined && shown.has(id) ? [{ name, colour }] : [];
  });
  const section = (title: string, images: readonly PageImage[]) =>
    images.length === 0
      ? ""
      : `<h3>${title}</h3><div class="triples">${images.map(triple).join("\n")}</div>`;
  return [
    legend(named),
    maskSlider(),
    section("Lowest mean IoU", worst),
    section("Highest mean IoU", best),
  ].join("\n");
}

function triple(image: PageImage): string {
  const { name, meanIoU, width, height, photo, truth, predicted, errors } = image;
  // The photo is written once: three pictures share it.
  const style = `--photo:url(${dataUri(photo, "image/jpeg")})`;
  const layer = (bytes: Uint8Array, what: string) =>
    `<div><div class="picture" style="background-image:var(--photo)"><img class="over" width="${width}" ` +
    `height="${height}" src="${
      dataUri(bytes, "image/png")
    }" alt="${what}"></div><span>${what}</span></div>`;
  return `<figure><div class="triple" style="${style}">${layer(truth, "truth")}${
    layer(predicted, "prediction")
  }${layer(errors, "wrong")}</div><figcaption>${escapeHtml(name)} <span class="soft">mean IoU ` +
    `<b class="num">${meanIoU.toFixed(3)}</b></span></figcaption></figure>`;
}
