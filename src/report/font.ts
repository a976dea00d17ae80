/**
 * Text on RGB pictures in a stroke font of this project's own: every glyph is a few pen strokes, so
 * it is sharp at any size without font files.
 * @module
 */

import type { Picture } from "./overlay.ts";

/**
 * Strokes by character. A stroke is a list of points of two base-36 digits each, x then y, on a grid
 * with the top of capitals at y 0, the top of small letters at 4, the base line at c and descenders
 * down to g. `~` before a stroke rounds it (a quadratic B-spline with clamped ends), `o` also closes
 * it.
 */
const strokes: Readonly<Record<string, string>> = {
  A: "0c408c 1979",
  B: "000c ~00606606 ~06767c0c",
  C: "~7270000c7c7a",
  D: "000c ~00808c0c",
  E: "70000c7c 0666",
  F: "70000c 0666",
  G: "~7270000c7c77 7747",
  H: "000c 707c 0676",
  I: "000c",
  J: "~50585c0c09",
  K: "000c 7007 347c",
  L: "000c7c",
  M: "0c0048808c",
  N: "0c007c70",
  O: "o00808c0c",
  P: "000c ~00707707",
  Q: "o00808c0c 598d",
  R: "000c ~00707707 477c",
  S: "~72700006767c0c0a",
  T: "0080 404c",
  U: "~00080c7c7870",
  V: "004c80",
  W: "003c537ca0",
  X: "007c 700c",
  Y: "004680 464c",
  Z: "00700c7c",
  0: "o00707c0c",
  1: "13404c",
  2: "~030070750c 0c7c",
  3: "~0200707636 ~36767c0c0a",
  4: "5c500878",
  5: "701006 ~0624747c0c0a",
  6: "~60200408 o05757c0c",
  7: "00703c",
  8: "o10606616 o06767c0c",
  9: "o00707707 ~74785c1c",
  a: "646c o04646c0c",
  b: "000c o04646c0c",
  c: "~6664040c6c6a",
  d: "606c o04646c0c",
  e: "0868 ~6864040c6c6a",
  f: "~5020242c 0454",
  g: "o04646c0c ~646c6g1g",
  h: "000c ~080464686c",
  i: "040c 0000",
  j: "~242c2g0g 2020",
  k: "000c 5409 276c",
  l: "~000a0c2c",
  m: "040c ~080454585c ~5854a4a8ac",
  n: "040c ~080464686c",
  o: "o04646c0c",
  p: "040g o04646c0c",
  q: "646g o04646c0c",
  r: "040c ~080444",
  s: "~56540408585c0c0a",
  t: "~212a2c5c 0454",
  u: "646c ~04080c6c68",
  v: "043c64",
  w: "042c456c84",
  x: "046c 640c",
  y: "043c 642g",
  z: "04640c6c",
  "!": "0008 0c0c",
  '"': "0003 3033",
  "#": "201c 605c 0474 0878",
  $: "~72700006767c0c0a 404c",
  "%": "700c o00404404 o48888c4c",
  "&": "~7c14105053070c5c78",
  "'": "0003",
  "(": "~30040a3e",
  ")": "~00343a0e",
  "*": "3137 0266 6206",
  "+": "444a 1777",
  ",": "1b0e",
  "-": "0757",
  ".": "0c0c",
  "/": "500d",
  ":": "0505 0c0c",
  ";": "1515 1b0e",
  "<": "64076a",
  "=": "0565 0969",
  ">": "04670a",
  "?": "~020060653639 3c3c",
  "@": "~7d0d0090996964 o35656939",
  "[": "30000e3e",
  "\\": "005d",
  "]": "00303e0e",
  "^": "043064",
  _: "0e7e",
  "`": "0022",
  "{": "~40202707 ~07272e4e",
  "|": "000e",
  "}": "~00202747 ~47272e0e",
  "~": "~08255976",
};

const unitsPerSize = 18;
const spacing = 3.4;
const spaceWidth = 4;
const penRadius = 0.95;

interface Glyph {
  readonly width: number;
  /** Segments as x0, y0, x1, y1 in grid units. */
  readonly segments: Float64Array;
}

type Point = readonly [number, number];

function curve(points: readonly Point[], closed: boolean): Point[] {
  const count = points.length;
  const mid = (a: Point, b: Point): Point => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const out: Point[] = closed ? [] : [points[0]!];
  for (let i = closed ? 0 : 1; i < (closed ? count : count - 1); i++) {
    const bend = points[i]!;
    const from = mid(points[(i + count - 1) % count]!, bend);
    const to = mid(bend, points[(i + 1) % count]!);
    for (let k = 0; k <= 6; k++) {
      const t = k / 6;
      const a = (1 - t) * (1 - t);
      const b = 2 * t * (1 - t);
      out.push([
        a * from[0] + b * bend[0] + t * t * to[0],
        a * from[1] + b * bend[1] + t * t * to[1],
      ]);
    }
  }
  out.push(closed ? out[0]! : points[count - 1]!);
  return out;
}

const glyphs = new Map<string, Glyph>();

function glyph(character: string): Glyph {
  const known = glyphs.get(character);
  if (known) return known;
  const segments: number[] = [];
  let width = character === " " ? spaceWidth - spacing : 0;
  const description = character === " " ? "" : strokes[character] ?? strokes["?"]!;
  for (const stroke of description.split(" ").filter((s) => s !== "")) {
    const style = stroke[0] === "~" || stroke[0] === "o" ? stroke[0] : "";
    let points: Point[] = [];
    for (let i = style.length; i < stroke.length; i += 2) {
      points.push([parseInt(stroke[i]!, 36), parseInt(stroke[i + 1]!, 36)]);
    }
    if (style !== "") points = curve(points, style === "o");
    for (let i = 1; i < points.length; i++) segments.push(...points[i - 1]!, ...points[i]!);
    for (const [x] of points) width = Math.max(width, x);
  }
  const made = { width, segments: Float64Array.from(segments) };
  glyphs.set(character, made);
  return made;
}

/** Plain characters of a text: accents fall off their letters, line breaks become spaces. */
function plain(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").replace(/\s/gu, " ");
}

/** Height in pixels of one line of text of `size`, the space between lines included. */
export function lineHeight(size: number): number {
  return Math.ceil(size * 1.3);
}

/** Width in pixels of `text` on one line; `size` is the height from ascenders to descenders. */
export function measureText(text: string, size: number): number {
  let units = 0;
  for (const character of plain(text)) units += glyph(character).width + spacing;
  return units === 0 ? 0 : Math.ceil((units - spacing + 2 * penRadius) * size / unitsPerSize);
}

/** Breaks `text` at spaces, and words that are too long anywhere, into lines of at most `width`. */
export function wrapText(text: string, size: number, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  const words = text.split(/\s+/u).filter((word) => word !== "");
  for (let word of words) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (measureText(longer, size) <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    while (measureText(word, size) > width && word.length > 1) {
      let fits = word.length - 1;
      while (fits > 1 && measureText(word.slice(0, fits), size) > width) fits--;
      lines.push(word.slice(0, fits));
      word = word.slice(fits);
    }
    line = word;
  }
  if (line !== "") lines.push(line);
  return lines;
}

/**
 * Draws one line of text into the picture, its top left corner at (left, top) pixels; what lies
 * outside the picture is cut off. Returns the width drawn.
 *
 * @param size pixels from the top of ascenders to the end of descenders
 */
export function drawText(
  picture: Picture,
  text: string,
  left: number,
  top: number,
  size: number,
  ink: readonly [number, number, number] = [32, 33, 36],
): number {
  const unit = size / unitsPerSize;
  const radius = Math.max(0.55, penRadius * unit);
  let pen = left + penRadius * unit;
  // Whole pixels keep upright strokes of equal letters equally sharp.
  const base = Math.round(top + penRadius * unit);
  for (const character of plain(text)) {
    const { width, segments } = glyph(character);
    drawGlyph(picture, segments, Math.round(pen * 2) / 2, base, unit, radius, ink);
    pen += (width + spacing) * unit;
  }
  return measureText(text, size);
}

function drawGlyph(
  picture: Picture,
  segments: Float64Array,
  left: number,
  top: number,
  unit: number,
  radius: number,
  ink: readonly [number, number, number],
): void {
  if (segments.length === 0) return;
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < segments.length; i += 2) {
    x0 = Math.min(x0, segments[i]!);
    x1 = Math.max(x1, segments[i]!);
    y0 = Math.min(y0, segments[i + 1]!);
    y1 = Math.max(y1, segments[i + 1]!);
  }
  const margin = radius + 1;
  const firstX = Math.max(0, Math.floor(left + x0 * unit - margin));
  const lastX = Math.min(picture.width - 1, Math.ceil(left + x1 * unit + margin));
  const firstY = Math.max(0, Math.floor(top + y0 * unit - margin));
  const lastY = Math.min(picture.height - 1, Math.ceil(top + y1 * unit + margin));
  for (let y = firstY; y <= lastY; y++) {
    for (let x = firstX; x <= lastX; x++) {
      const px = (x + 0.5 - left) / unit;
      const py = (y + 0.5 - top) / unit;
      let nearest = Infinity;
      for (let i = 0; i < segments.length; i += 4) {
        const ax = segments[i]!;
        const ay = segments[i + 1]!;
        const dx = segments[i + 2]! - ax;
        const dy = segments[i + 3]! - ay;
        const length = dx * dx + dy * dy;
        const t = length === 0 ? 0 : ((px - ax) * dx + (py - ay) * dy) / length;
        const s = t < 0 ? 0 : t > 1 ? 1 : t;
        const ex = px - ax - s * dx;
        const ey = py - ay - s * dy;
        const far = ex * ex + ey * ey;
        if (far < nearest) nearest = far;
      }
      const cover = Math.min(1, radius + 0.5 - Math.sqrt(nearest) * unit);
      if (cover <= 0) continue;
      const at = (y * picture.width + x) * 3;
      for (let c = 0; c < 3; c++) {
        picture.data[at + c] = Math.round(picture.data[at + c]! * (1 - cover) + ink[c]! * cover);
      }
    }
  }
}
