/**
 * Colours of classes where the masks bring none of their own.
 * @module
 */

import type { Rgb } from "./png.ts";

/** A colour in CIE L*a*b* (D65) and in sRGB. */
interface Candidate {
  readonly lab: readonly [number, number, number];
  readonly rgb: Rgb;
}

let ordered: readonly Rgb[] | undefined;

/**
 * The colour of class `id`: black and white for two classes (a binary mask reads as one), else the
 * colour that differs most from those of all lower ids, as distances in CIE L*a*b* go. An id has the
 * same colour whatever the number of classes beyond two; past the last one they begin again.
 */
export function defaultColour(id: number, classes: number): Rgb {
  if (classes <= 2) return id === 0 ? [0, 0, 0] : [255, 255, 255];
  ordered ??= farthestFirst(candidates(), 255);
  return ordered[id % ordered.length] ?? [128, 128, 128];
}

/** Takes the candidate farthest from those taken, again and again, starting with the first. */
function farthestFirst(all: readonly Candidate[], count: number): Rgb[] {
  const distance = new Array<number>(all.length).fill(Infinity);
  const taken: Rgb[] = [];
  let next = 0;
  while (taken.length < Math.min(count, all.length)) {
    const current = all[next];
    if (current === undefined) break;
    taken.push(current.rgb);
    next = 0;
    for (const [at, { lab }] of all.entries()) {
      const gap = Math.hypot(...lab.map((part, axis) => part - (current.lab[axis] ?? 0)));
      distance[at] = Math.min(distance[at] ?? 0, gap);
      if ((distance[at] ?? 0) > (distance[next] ?? 0)) next = at;
    }
  }
  return taken;
}

/** Colours that a screen shows, neither so dark nor so light that they get lost on a photo. */
function candidates(): Candidate[] {
  const found: Candidate[] = [];
  for (const lightness of [60, 75, 45, 88, 32]) {
    for (const chroma of [60, 80, 40, 100]) {
      for (let degrees = 0; degrees < 360; degrees += 8) {
        // The first candidate, class 0, is a calm blue.
        const hue = ((degrees + 264) % 360) * Math.PI / 180;
        const lab = [lightness, chroma * Math.cos(hue), chroma * Math.sin(hue)] as const;
        const rgb = labToRgb(...lab);
        if (rgb !== undefined) found.push({ lab, rgb });
      }
    }
  }
  return found;
}

/** CIE L*a*b* (D65) to sRGB (IEC 61966-2-1); `undefined` for what sRGB cannot show. */
function labToRgb(lightness: number, a: number, b: number): Rgb | undefined {
  const fy = (lightness + 16) / 116;
  const cube = (f: number) => f > 6 / 29 ? f ** 3 : (f - 16 / 116) * (3 * (6 / 29) ** 2);
  const [x, y, z] = [0.95047 * cube(fy + a / 500), cube(fy), 1.08883 * cube(fy - b / 200)];
  const linear = [
    3.2404542 * x - 1.5371385 * y - 0.4985314 * z,
    -0.969266 * x + 1.8760108 * y + 0.041556 * z,
    0.0556434 * x - 0.2040259 * y + 1.0572252 * z,
  ];
  if (linear.some((part) => part < 0 || part > 1)) return undefined;
  const [red = 0, green = 0, blue = 0] = linear.map((part) =>
    Math.round(255 * (part <= 0.0031308 ? 12.92 * part : 1.055 * part ** (1 / 2.4) - 0.055))
  );
  return [red, green, blue];
}
