/**
 * The figures of `predict --viz`: the photo beside its mask in jet, and the mask laid over the photo
 * with a legend.
 * @module
 */

import { join } from "node:path";
import { stem } from "../src/data/files.ts";
import type { Photo } from "../src/data/photo.ts";
import { encodePng } from "../src/data/png_write.ts";
import { resizeArea, resizeNearest } from "../src/data/resize.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import { figureLegend, figurePair } from "../src/report/figure.ts";
import { jet } from "../src/report/jet.ts";
import { classesPresent, type MaskImage, overlay, type Picture } from "../src/report/overlay.ts";
import { resolveUserPath } from "./args.ts";
import type { ClassLook } from "./predict_work.ts";

/** Relative to the folder the user stands in. */
export const FIGURE_FOLDER = "reports/predict";

/** Longest side of a photo in a figure, in pixels. */
const LONGEST_SIDE = 1600;

const OVERLAY_OPACITY = 0.5;

/** The files of the figures of each photo: the plain names for one, with the photo's for several. */
export function figureNames(inputs: readonly string[]): { pair: string; sample: string }[] {
  const folder = resolveUserPath(FIGURE_FOLDER);
  const used = new Map<string, number>();
  return inputs.map((input) => {
    const name = stem(input);
    const times = (used.get(name) ?? 0) + 1;
    used.set(name, times);
    const ending = inputs.length === 1 ? "" : times === 1 ? `_${name}` : `_${name}_${times}`;
    return {
      pair: join(folder, `image_pair_jet${ending}.png`),
      sample: join(folder, `sample${ending}.png`),
    };
  });
}

/** The photo, smaller where it is larger than a figure shows. */
export function preview(photo: Photo): Photo {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(photo.width, photo.height));
  const side = (length: number) => Math.max(1, Math.round(length * scale));
  return resizeArea(photo, side(photo.width), side(photo.height));
}

/** Draws and writes both figures. @throws InputError where a file cannot be written. */
export async function writeFigures(
  photo: Picture,
  mask: MaskImage,
  { names, colours }: ClassLook,
  files: { readonly pair: string; readonly sample: string },
): Promise<void> {
  const shown = resizeNearest(mask, photo.width, photo.height);
  const pair = figurePair(photo, jet(shown, names.length), ["Input image", "Output mask"]);
  const blended = overlay(photo, shown, colours, OVERLAY_OPACITY);
  const sample = figureLegend(blended, classesPresent(shown), names, colours);
  await writePicture(files.pair, pair);
  await writePicture(files.sample, sample);
}

async function writePicture(path: string, picture: Picture): Promise<void> {
  await writeFileAtomic(path, encodePng({ ...picture, channels: 3 }));
}
