/**
 * Pairs and test photos that were looked at and found to be sound.
 * @module
 */

import type { Checked } from "./check.ts";
import type { ClassNames } from "./class_names.ts";
import type { ColourTable } from "./colours.ts";
import { shownPath, tablePath } from "./files.ts";
import { type NamedMask, valueCounts } from "./mask_values.ts";
import type { MaskFacts, PhotoFacts } from "./pair_job.ts";
import type { Hashed } from "./duplicates.ts";
import type { Problem } from "./scan.ts";
import type { PairRow, PhotoRow } from "./tables.ts";

/** A photo and its mask. */
export interface Pair extends PairRow, Hashed {
  /** Absolute. */
  readonly photoFile: string;
  readonly maskFile: string;
  readonly width: number;
  readonly height: number;
  /** Pixels of each mask value. */
  readonly counts: ReadonlyMap<number, number>;
  readonly photoFacts: PhotoFacts;
  readonly maskFacts: MaskFacts;
}

/** A test photo, and its mask where there is one. */
export interface TestPhoto extends PhotoRow, Hashed {
  readonly photoFile: string;
  readonly maskFile?: string;
  /** As the tables would name it. */
  readonly mask?: string;
  readonly counts?: ReadonlyMap<number, number>;
  readonly photoFacts: PhotoFacts;
  readonly maskFacts?: MaskFacts;
}

/** What is wrong with a pair: files that cannot be read, or a mask that does not fit its photo. */
export function pairProblems(pair: Checked): Problem[] {
  const { photo, mask, photoFacts, maskFacts } = pair;
  const problems: Problem[] = [];
  if ("problem" in photoFacts) problems.push({ file: photo, message: photoFacts.problem });
  if (mask === undefined || maskFacts === undefined) return problems;
  if ("problem" in maskFacts) problems.push({ file: mask, message: maskFacts.problem });
  if ("problem" in photoFacts || "problem" in maskFacts) return problems;
  const message = misfit(photo, photoFacts, mask, maskFacts);
  return message === undefined ? [] : [{ file: mask, message }];
}

/** How the sizes of photo and mask differ, in words. */
function misfit(
  photo: string,
  { width, height, orientation }: PhotoFacts,
  mask: string,
  facts: MaskFacts,
): string | undefined {
  if (facts.width === width && facts.height === height) return undefined;
  const sizes = `${facts.width}x${facts.height}`;
  const exchanged = facts.width === height && facts.height === width;
  const [photoName, maskName] = [shownPath(photo), shownPath(mask)];
  if (exchanged && orientation >= 5) {
    return `${photoName} is ${width}x${height} once it is turned as its EXIF orientation ` +
      `(${orientation}) says, but its mask ${maskName} is ${sizes}, like the photo before the ` +
      "turn; turn the mask too, or take the orientation out of the photo (exiftool -Orientation=) " +
      "where all masks were drawn on unturned photos";
  }
  return `${photoName} is ${width}x${height} but its mask ${maskName} is ${sizes}; they must ` +
    `be of the same size${exchanged ? ", and one of them seems to have been turned" : ""}`;
}

/** The facts of a pair without problems. @throws Error where it has some */
function soundFacts({ photoFacts, maskFacts }: Checked): {
  photoFacts: PhotoFacts;
  maskFacts: MaskFacts | undefined;
} {
  if ("problem" in photoFacts || (maskFacts && "problem" in maskFacts)) {
    throw new Error("a pair with a problem was taken for a sound one");
  }
  return { photoFacts, maskFacts };
}

/**
 * A pair whose mask is read.
 * @throws InputError naming a mask with colours that are in no table.
 */
export function pairOf(
  checked: Checked,
  data: string,
  table: ColourTable | undefined,
  names: ClassNames,
): Pair {
  const { photo, mask = "" } = checked;
  const { photoFacts, maskFacts } = soundFacts(checked);
  if (maskFacts === undefined) throw new Error(`${photo} has no mask and was taken for a pair`);
  const { width, height, hash } = photoFacts;
  const counts = valueCounts({ name: shownPath(mask), facts: maskFacts }, table, names);
  return {
    name: shownPath(photo),
    photo: tablePath(photo, data),
    mask: tablePath(mask, data),
    photoFile: photo,
    maskFile: mask,
    values: [...counts.keys()].sort((a, b) => a - b),
    width,
    height,
    counts,
    hash,
    maskHash: maskFacts.hash,
    photoFacts,
    maskFacts,
  };
}

/** The masks of what was looked at, with their names. */
export function namedMask(checked: Checked): NamedMask[] {
  const { maskFacts } = soundFacts(checked);
  if (checked.mask === undefined || maskFacts === undefined) return [];
  return [{ name: shownPath(checked.mask), facts: maskFacts }];
}

/** A test photo. @throws InputError as {@linkcode pairOf} does */
export function testPhotoOf(
  checked: Checked,
  data: string,
  table: ColourTable | undefined,
  names: ClassNames,
): TestPhoto {
  const { photo, mask } = checked;
  const { photoFacts, maskFacts } = soundFacts(checked);
  const { width, height, hash } = photoFacts;
  const row = {
    name: shownPath(photo),
    photo: tablePath(photo, data),
    photoFile: photo,
    width,
    height,
    hash,
    photoFacts,
  };
  if (mask === undefined || maskFacts === undefined) return row;
  return {
    ...row,
    mask: tablePath(mask, data),
    maskFile: mask,
    maskHash: maskFacts.hash,
    maskFacts,
    counts: valueCounts({ name: shownPath(mask), facts: maskFacts }, table, names),
  };
}
