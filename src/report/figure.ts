/**
 * Figures for people: pictures side by side with titles, legends and contact sheets, on white.
 * @module
 */

import { drawText, lineHeight, measureText, wrapText } from "./font.ts";
import type { DrawnColours, Picture } from "./overlay.ts";

/** Longest side of a picture inside a figure, pixels, unless asked otherwise. */
const longestSide = 1600;

/** A white picture. */
export function blank(width: number, height: number): Picture {
  return { width, height, data: new Uint8Array(width * height * 3).fill(255) };
}

/** Copies `picture` into `target`, its top left corner at (left, top); it must fit inside. */
export function paste(target: Picture, picture: Picture, left: number, top: number): void {
  for (let y = 0; y < picture.height; y++) {
    const from = y * picture.width * 3;
    target.data.set(
      picture.data.subarray(from, from + picture.width * 3),
      ((top + y) * target.width + left) * 3,
    );
  }
}

/** The picture at another size: pixels averaged by area when smaller, repeated when larger. */
export function fit(picture: Picture, width: number, height: number): Picture {
  if (picture.width === width && picture.height === height) return picture;
  const out = blank(width, height);
  const stepX = picture.width / width;
  const stepY = picture.height / height;
  for (let y = 0; y < height; y++) {
    const firstRow = Math.floor(y * stepY);
    const lastRow = Math.max(firstRow + 1, Math.floor((y + 1) * stepY));
    for (let x = 0; x < width; x++) {
      const firstColumn = Math.floor(x * stepX);
      const lastColumn = Math.max(firstColumn + 1, Math.floor((x + 1) * stepX));
      let [red, green, blue] = [0, 0, 0];
      for (let row = firstRow; row < lastRow; row++) {
        for (let column = firstColumn; column < lastColumn; column++) {
          const at = (row * picture.width + column) * 3;
          red += picture.data[at]!;
          green += picture.data[at + 1]!;
          blue += picture.data[at + 2]!;
        }
      }
      const count = (lastRow - firstRow) * (lastColumn - firstColumn);
      const at = (y * width + x) * 3;
      out.data[at] = Math.round(red / count);
      out.data[at + 1] = Math.round(green / count);
      out.data[at + 2] = Math.round(blue / count);
    }
  }
  return out;
}

/** The picture, smaller where a side exceeds `limit` pixels. */
function atMost(picture: Picture, limit: number): Picture {
  const scale = Math.min(1, limit / Math.max(picture.width, picture.height));
  return fit(
    picture,
    Math.max(1, Math.round(picture.width * scale)),
    Math.max(1, Math.round(picture.height * scale)),
  );
}

/** Text size in pixels that reads well beside a picture of this size. */
function textSize(picture: Picture): number {
  return Math.max(14, Math.round(Math.sqrt(picture.width * picture.height) / 26));
}

function fillBox(
  target: Picture,
  left: number,
  top: number,
  side: number,
  colour: readonly [number, number, number],
): void {
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const rim = x === 0 || y === 0 || x === side - 1 || y === side - 1;
      const at = ((top + y) * target.width + left + x) * 3;
      for (let c = 0; c < 3; c++) target.data[at + c] = Math.round(colour[c]! * (rim ? 0.7 : 1));
    }
  }
}

/** Draws `lines` centred on `middle`; returns the y below them. */
function centred(
  target: Picture,
  lines: readonly string[],
  middle: number,
  top: number,
  size: number,
): number {
  for (const line of lines) {
    drawText(target, line, Math.round(middle - measureText(line, size) / 2), top, size);
    top += lineHeight(size);
  }
  return top;
}

/** Photo and mask picture side by side under their titles. */
export function figurePair(
  photo: Picture,
  mask: Picture,
  titles: readonly [string, string],
): Picture {
  return contactSheet([[atMost(photo, longestSide), atMost(mask, longestSide)]], titles);
}

/** One entry of a legend. */
export interface LegendEntry {
  readonly name: string;
  readonly colour: readonly [number, number, number];
}

interface LegendPlan {
  readonly entries: readonly { readonly lines: readonly string[]; readonly entry: LegendEntry }[];
  readonly columns: number;
  readonly columnWidth: number;
  readonly rowHeight: number;
  readonly height: number;
}

/** Arranges a legend in as many equal columns as fit into `width` pixels. */
function planLegend(entries: readonly LegendEntry[], width: number, size: number): LegendPlan {
  const textLeft = Math.round(size * 1.5);
  const widest = Math.max(0, ...entries.map((entry) => measureText(entry.name, size)));
  const columnWidth = Math.min(width, textLeft + widest + Math.round(1.4 * size));
  const columns = Math.max(1, Math.min(entries.length, Math.floor(width / columnWidth)));
  const wrapped = entries.map((entry) => ({
    entry,
    lines: wrapText(entry.name, size, Math.max(size, columnWidth - textLeft)),
  }));
  const most = Math.max(1, ...wrapped.map(({ lines }) => lines.length));
  const rowHeight = (most - 1) * lineHeight(size) + Math.round(size * 1.55);
  const rows = Math.ceil(entries.length / columns);
  return { entries: wrapped, columns, columnWidth, rowHeight, height: rows * rowHeight };
}

function drawLegend(
  target: Picture,
  plan: LegendPlan,
  left: number,
  top: number,
  size: number,
): void {
  const rows = Math.ceil(plan.entries.length / plan.columns);
  for (const [i, { entry, lines }] of plan.entries.entries()) {
    const x = left + Math.floor(i / rows) * plan.columnWidth;
    let y = top + (i % rows) * plan.rowHeight;
    fillBox(target, x, y, size, entry.colour);
    for (const line of lines) {
      // Capitals take two thirds of the text's height: this centres them on the swatch.
      drawText(target, line, x + Math.round(size * 1.5), y + Math.round(size / 9), size);
      y += lineHeight(size);
    }
  }
}

/**
 * A picture above a legend of the classes it shows.
 *
 * @param present the ids to name, in the order wanted
 * @param names class names by id
 * @param colours class colours by id
 */
export function figureLegend(
  image: Picture,
  present: readonly number[],
  names: readonly string[],
  colours: DrawnColours,
): Picture {
  const shown = atMost(image, longestSide);
  const entries = present.map((id) => ({
    name: names[id] ?? `class ${id}`,
    colour: colours[id] ?? [0, 0, 0] as const,
  }));
  return contactSheet([[shown]], [], { legend: entries });
}

/** What a contact sheet may carry besides its pictures. */
export interface SheetOptions {
  /** Above everything. */
  readonly title?: string;
  /** Under the title, wrapped to the sheet's width. */
  readonly caption?: string;
  /** Below everything. */
  readonly legend?: readonly LegendEntry[];
  /** Before each row, wrapped beside it. */
  readonly rowTitles?: readonly string[];
}

/**
 * Rows of pictures under column titles. Each column is as wide as its widest picture and each row as
 * high as its highest; smaller pictures are centred.
 *
 * @throws RangeError without any picture
 */
export function contactSheet(
  rows: readonly (readonly Picture[])[],
  columnTitles: readonly string[],
  options: SheetOptions = {},
): Picture {
  const first = rows[0]?.[0];
  if (!first) throw new RangeError("a contact sheet was asked for no pictures: it needs one");
  const columnCount = Math.max(...rows.map((row) => row.length));
  const widths = Array.from(
    { length: columnCount },
    (_, c) => Math.max(1, ...rows.map((row) => row[c]?.width ?? 1)),
  );
  const heights = rows.map((row) => Math.max(1, ...row.map((picture) => picture.height)));
  const size = textSize(first);
  const titleSize = Math.round(size * 1.35);
  const gap = Math.round(size * 0.7);
  const margin = Math.round(size * 1.1);

  const rowTitles = options.rowTitles ?? [];
  const rowTitleWidth = rowTitles.length === 0
    ? 0
    : Math.min(10 * size, Math.max(...rowTitles.map((text) => measureText(text, size)))) + gap;
  const picturesWidth = widths.reduce((sum, width) => sum + width, 0) + gap * (columnCount - 1);
  const legendEntries = options.legend ?? [];
  const widestEntry = Math.max(0, ...legendEntries.map((e) => measureText(e.name, size)));
  const inner = Math.max(
    rowTitleWidth + picturesWidth,
    // A tiny picture must not squeeze its legend into single letters.
    legendEntries.length === 0 ? 0 : Math.min(16 * size, Math.round(1.5 * size) + widestEntry),
  );

  const title = wrapText(options.title ?? "", titleSize, inner);
  const caption = wrapText(options.caption ?? "", size, inner);
  const heads = columnTitles.map((text, c) => wrapText(text, size, (widths[c] ?? inner) + gap));
  const headLines = Math.max(0, ...heads.map((lines) => lines.length));
  const legend = planLegend(legendEntries, inner, size);
  const blockGap = (used: boolean) => used ? Math.round(gap * 0.8) : 0;

  const height = 2 * margin +
    title.length * lineHeight(titleSize) + blockGap(title.length > 0) +
    caption.length * lineHeight(size) + blockGap(caption.length > 0) +
    headLines * lineHeight(size) + (headLines > 0 ? Math.round(gap / 3) : 0) +
    heights.reduce((sum, value) => sum + value, 0) + gap * (rows.length - 1) +
    (legendEntries.length > 0 ? gap + legend.height : 0);
  const sheet = blank(inner + 2 * margin, height);

  let top = margin;
  for (const line of title) {
    drawText(sheet, line, margin, top, titleSize);
    top += lineHeight(titleSize);
  }
  top += blockGap(title.length > 0);
  for (const line of caption) {
    drawText(sheet, line, margin, top, size, [95, 99, 104]);
    top += lineHeight(size);
  }
  top += blockGap(caption.length > 0);

  const lefts: number[] = [];
  let left = margin + rowTitleWidth + Math.floor((inner - rowTitleWidth - picturesWidth) / 2);
  for (const width of widths) {
    lefts.push(left);
    left += width + gap;
  }
  for (const [c, lines] of heads.entries()) {
    if (c >= columnCount) break;
    // Titles of fewer lines stand directly above their pictures too.
    const drop = (headLines - lines.length) * lineHeight(size);
    centred(sheet, lines, lefts[c]! + widths[c]! / 2, top + drop, size);
  }
  if (headLines > 0) top += headLines * lineHeight(size) + Math.round(gap / 3);

  for (const [r, row] of rows.entries()) {
    const rowHeight = heights[r]!;
    if (rowTitleWidth > 0) {
      const lines = wrapText(rowTitles[r] ?? "", size, rowTitleWidth - gap);
      let y = top + Math.max(0, Math.floor((rowHeight - lines.length * lineHeight(size)) / 2));
      for (const line of lines) {
        drawText(sheet, line, margin, y, size);
        y += lineHeight(size);
      }
    }
    for (const [c, picture] of row.entries()) {
      const dx = Math.floor((widths[c]! - picture.width) / 2);
      paste(sheet, picture, lefts[c]! + dx, top + Math.floor((rowHeight - picture.height) / 2));
    }
    top += rowHeight + gap;
  }
  if (legendEntries.length > 0) drawLegend(sheet, legend, margin, top, size);
  return sheet;
}
