/**
 * What the page of a run shows of its best epoch, kept in the run's folder: a run that goes on can
 * still show it when a later epoch is no better.
 * @module
 */
import { join } from "node:path";
import { isFile, readBytes, shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";
import { writeFileAtomic } from "../io/atomic_file.ts";
import { encodeSafetensors, parseSafetensors, type SafeTensor } from "../io/safetensors.ts";
import { Gallery, type KeptImage } from "../report/gallery.ts";
import { ConfusionMatrix } from "./metrics.ts";

/** An epoch's scores and the images that are worth a look. */
export interface EpochImages {
  readonly epoch: number;
  readonly matrix: ConfusionMatrix;
  readonly gallery: Gallery;
}

/** The file in a run's folder. */
export const BEST_IMAGES_FILE = "best_images.safetensors";
/** Key of the JSON in the file's metadata. */
const ABOUT = "images";

/** What the file says besides its tensors. */
interface About {
  readonly epoch: number;
  /** Images scored. */
  readonly count: number;
  /** Those kept; image k has the tensors `k.photo`, `k.truth` and `k.predicted`. */
  readonly kept: readonly { readonly name: string; readonly meanIoU: number }[];
}

/** @throws {InputError} where the file cannot be written; the one before is untouched then. */
export async function writeBestImages(
  folder: string,
  { epoch, matrix, gallery }: EpochImages,
): Promise<void> {
  const { classes, counts } = matrix;
  const bytes = (shape: readonly number[], data: Uint8Array): SafeTensor => ({
    dtype: "U8",
    shape,
    data: Uint8Array.from(data),
  });
  const tensors = gallery.kept.flatMap(({ photo, truth, predicted }, k) => {
    const shape = [photo.height, photo.width];
    return [
      [`${k}.photo`, bytes([...shape, 3], photo.data)],
      [`${k}.truth`, bytes(shape, truth)],
      [`${k}.predicted`, bytes(shape, predicted)],
    ] as const;
  });
  const about: About = {
    epoch,
    count: gallery.count,
    kept: gallery.kept.map(({ name, meanIoU }) => ({ name, meanIoU })),
  };
  const confusion: SafeTensor = {
    dtype: "F64",
    shape: [classes, classes],
    data: Float64Array.from(counts),
  };
  const file = encodeSafetensors([["confusion", confusion], ...tensors], {
    [ABOUT]: JSON.stringify(about),
  });
  await writeFileAtomic(join(folder, BEST_IMAGES_FILE), file);
}

/**
 * What {@linkcode writeBestImages} left; `undefined` where it left nothing, or nothing that can be
 * used: a run goes on without.
 */
export async function readBestImages(
  folder: string,
  classes: number,
): Promise<EpochImages | undefined> {
  const path = join(folder, BEST_IMAGES_FILE);
  if (!await isFile(path)) return undefined;
  try {
    return parse(await readBytes(path), shownPath(path), classes);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

function parse(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  classes: number,
): EpochImages | undefined {
  const { tensors, metadata } = parseSafetensors(bytes, file);
  const about = parseAbout(metadata[ABOUT]);
  const confusion = tensors.get("confusion");
  if (!about || confusion?.dtype !== "F64" || confusion.shape.join() !== `${classes},${classes}`) {
    return undefined;
  }
  const { buffer, byteOffset, byteLength } = confusion.data;
  const matrix = new ConfusionMatrix(classes);
  matrix.counts.set(new Float64Array(buffer.slice(byteOffset, byteOffset + byteLength)));
  const kept: KeptImage[] = [];
  for (const [k, { name, meanIoU }] of about.kept.entries()) {
    const [height = 0, width = 0] = tensors.get(`${k}.truth`)?.shape ?? [];
    const read = (part: string, shape: readonly number[]) => {
      const tensor = tensors.get(`${k}.${part}`);
      if (tensor?.dtype !== "U8" || tensor.shape.join() !== shape.join()) return undefined;
      return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    };
    const photo = read("photo", [height, width, 3]);
    const [truth, predicted] = [read("truth", [height, width]), read("predicted", [height, width])];
    if (!photo || !truth || !predicted) return undefined;
    kept.push({ name, meanIoU, photo: { width, height, data: photo }, truth, predicted });
  }
  return {
    epoch: about.epoch,
    matrix,
    gallery: new Gallery(classes, { count: about.count, kept }),
  };
}

function parseAbout(text: string | undefined): About | undefined {
  try {
    const { epoch, count, kept }: Partial<About> = JSON.parse(text ?? "{}");
    const isKnown = typeof epoch === "number" && typeof count === "number" && Array.isArray(kept) &&
      kept.every((image) => typeof image?.name === "string" && typeof image.meanIoU === "number");
    return isKnown ? { epoch, count, kept } : undefined;
  } catch {
    return undefined;
  }
}
