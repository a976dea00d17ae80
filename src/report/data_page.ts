/**
 * The page about a prepared set: how much there is of what in which part, samples with their masks,
 * what to look at.
 * @module
 */

import { dataUri, escapeHtml, htmlPage } from "./html.ts";
import {
  count,
  factCards,
  type FactList,
  legend,
  maskSlider,
  PARTS_STYLE,
  percent,
  SLIDER_SCRIPT,
  swatch,
  tiles,
} from "./parts.ts";

type Colour = readonly [number, number, number];

/** One part of the set. */
export interface PagePart {
  /** `Training`, ... */
  readonly name: string;
  readonly images: number;
  /** Of them, those with a mask. */
  readonly masks: number;
}

/** A class: what there is of it in each part, in the order of the parts. */
export interface PageClass {
  readonly name: string;
  readonly colour: Colour;
  /** In words: `mask value 3`. */
  readonly value: string;
  readonly parts: readonly { readonly pixels: number; readonly images: number }[];
}

/** A photo with its mask laid over it. */
export interface PageSample {
  readonly name: string;
  readonly part: string;
  /** As stored, not as shown. */
  readonly width: number;
  readonly height: number;
  /** A JPEG. */
  readonly photo: Uint8Array;
  /** A PNG whose ignored pixels are transparent. */
  readonly mask: Uint8Array;
  /** Ids of the classes that are drawn. */
  readonly classes: readonly number[];
}

/** Everything the page tells. */
export interface DataPage {
  readonly title: string;
  /** Lines under the title. */
  readonly notes: readonly string[];
  readonly parts: readonly PagePart[];
  readonly classes: readonly PageClass[];
  /** What is left out of all scores. */
  readonly ignored?: PageClass;
  readonly samples: readonly PageSample[];
  readonly warnings: readonly string[];
  readonly skipped: readonly string[];
  readonly facts: readonly FactList[];
}

/** Longer lists are cut: a page of ten thousand lines helps nobody. */
const LISTED = 100;

/** A picture that shows more classes only tells how many. */
const NAMED_CLASSES = 5;

const STYLE = `
.warn{background:var(--warn-page);border-color:var(--warn-line);margin:.5rem 0;overflow-wrap:anywhere}
.warn::before{content:"!";color:var(--warn);font-weight:700;margin-right:.6rem}
ul.files{padding-left:1.2rem;overflow-wrap:anywhere}
.class,.head{display:grid;grid-template-columns:minmax(11rem,1.3fr) repeat(var(--parts),1fr);
gap:.2rem 1.2rem;padding:.55rem 0;border-top:1px solid var(--line);align-items:center}
.head{border-top:0;color:var(--soft);font-size:.9rem;padding:.2rem 0}
.name{display:flex;gap:.6rem;align-items:center;min-width:0;overflow-wrap:anywhere}
.cell{font-size:.86rem;display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 .5rem}
.part{display:none}
.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1rem}
@media (max-width:44rem){
.head{display:none}
.class{grid-template-columns:repeat(var(--parts),minmax(0,1fr));gap:.35rem .9rem}
.class .name{grid-column:1/-1}
.cell{display:block}.cell span{display:block;white-space:normal}
.part{display:block;color:var(--soft)}
}
`;

/** The page as HTML. */
export function dataPage(page: DataPage): string {
  const { title, notes, parts, warnings, skipped, facts } = page;
  const body = [
    `<h1>${escapeHtml(title)}</h1>`,
    ...notes.map((note) => `<p class="soft">${escapeHtml(note)}</p>`),
    tiles([
      ...parts.map(({ name, images }) => [count(images), name.toLowerCase()] as const),
      [count(page.classes.length), "classes"],
    ]),
    ...(warnings.length > 0
      ? [
        "<h2>To look at</h2>",
        ...warnings.slice(0, LISTED).map((text) =>
          `<div class="card warn">${escapeHtml(text)}</div>`
        ),
      ]
      : []),
    ...(skipped.length > 0 ? [`<h2>Left out: ${skipped.length}</h2>`, list(skipped)] : []),
    "<h2>Classes</h2>",
    `<p class="soft">Share of a part's labelled pixels, and how many of its images show the class.</p>`,
    `<div style="--parts:${parts.length}">`,
    `<div class="head"><span>class</span>${
      parts.map(({ name }) => `<span>${escapeHtml(name)}</span>`).join("")
    }</div>`,
    ...classRows(page),
    "</div>",
    "<h2>Samples</h2>",
    samplesOf(page),
    "<h2>Fingerprint</h2>",
    factCards(facts),
  ].join("\n");
  return htmlPage({ title, body, style: PARTS_STYLE + STYLE, script: SLIDER_SCRIPT });
}

function list(items: readonly string[]): string {
  const rest = items.length - LISTED;
  const rows = items.slice(0, LISTED).map((item) => `<li>${escapeHtml(item)}</li>`);
  if (rest > 0) rows.push(`<li>and ${rest} more</li>`);
  return `<ul class="files">${rows.join("")}</ul>`;
}

function classRows({ parts, classes, ignored }: DataPage): string[] {
  const totals = parts.map((_, at) =>
    classes.reduce((sum, item) => sum + (item.parts[at]?.pixels ?? 0), 0)
  );
  // The ignored value is a share of everything, the classes are shares of what is labelled.
  const everything = totals.map((total, at) => total + (ignored?.parts[at]?.pixels ?? 0));
  const shares = (item: PageClass, whole: readonly number[]) =>
    item.parts.map(({ pixels }, at) => pixels / Math.max(1, whole[at] ?? 0));
  const largest = Math.max(...classes.flatMap((item) => shares(item, totals)), 1e-9);
  const row = (item: PageClass, whole: readonly number[]) => {
    const absent = item.parts.every(({ pixels }) => pixels === 0);
    const name = `<div class="name">${swatch(item.colour)}<span>${escapeHtml(item.name)} ` +
      `<span class="soft">${escapeHtml(item.value)}${
        absent ? ", in no mask" : ""
      }</span></span></div>`;
    if (absent) return `<div class="class">${name}</div>`;
    const cells = shares(item, whole).map((share, at) => {
      const part = parts[at];
      const images = item.parts[at]?.images ?? 0;
      const bar = Math.min(100, 100 * share / largest);
      return `<div><div class="bar"><i${share === 0 ? ' class="none"' : ""} style="width:${
        bar.toFixed(2)
      }%"></i></div><div class="cell"><span class="part">${
        escapeHtml(part?.name.toLowerCase() ?? "")
      }</span><span class="num">${percent(share)}</span><span class="num soft">${
        count(images)
      } of ${count(part?.masks ?? 0)}</span></div></div>`;
    });
    return `<div class="class">${name}${cells.join("")}</div>`;
  };
  return [
    ...classes.map((item) => row(item, totals)),
    ...(ignored === undefined ? [] : [row(ignored, everything)]),
  ];
}

function samplesOf({ samples, classes }: DataPage): string {
  const shownIds = new Set(samples.flatMap((sample) => sample.classes));
  const shown = classes.filter((_, id) => shownIds.has(id));
  const figures = samples.map((sample) => {
    const many = sample.classes.length > NAMED_CLASSES;
    const shown = many ? [] : sample.classes.flatMap((id) => {
      const item = classes[id];
      return item === undefined
        ? []
        : [`<span class="num">${swatch(item.colour)}${escapeHtml(item.name)}</span>`];
    });
    const alt = escapeHtml(sample.name);
    return `<figure><div class="picture"><img src="${
      dataUri(sample.photo, "image/jpeg")
    }" alt="${alt}"><img class="over" src="${
      dataUri(sample.mask, "image/png")
    }" alt=""></div><figcaption>${escapeHtml(sample.name)} <span class="soft">${
      escapeHtml(sample.part)
    }, ${sample.width} &times; ${sample.height}</span>` +
      `<br>${
        many ? `${sample.classes.length} of ${classes.length} classes` : shown.join(" ")
      }</figcaption></figure>`;
  });
  return [
    legend(shown),
    maskSlider(),
    `<div class="samples">${figures.join("\n")}</div>`,
  ].join("\n");
}
