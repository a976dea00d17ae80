/**
 * Masks as pictures: in their class colours, and laid over the photo they belong to.
 * @module
 */

/** An RGB picture: `data` is height x width x 3 bytes. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Class ids, height x width; ids without a colour (an ignored value) are left uncoloured. */
export interface MaskImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint16Array;
}

/** sRGB bytes by class id. */
export type Colours = readonly (readonly [number, number, number])[];

/** {@linkcode Colours} where classes without one are not drawn. */
export type DrawnColours = readonly (Colours[number] | undefined)[];

const DRAWN_RED = [235, 60, 45] as const;

/**
 * How classes are drawn over photos: in their colours, but black and white, the colours of masks of
 * two classes, would hide the photo, so there the second is red and the first not drawn.
 */
export function drawnColours(colours: Colours): DrawnColours {
  const blackAndWhite = colours.length === 2 &&
    colours.every((rgb, id) => rgb.every((part) => part === (id === 0 ? 0 : 255)));
  return blackAndWhite ? [undefined, DRAWN_RED] : colours;
}

/** The mask in its class colours; ids without a colour are black. */
export function colourMask(mask: MaskImage, colours: Colours): Picture {
  const data = new Uint8Array(mask.width * mask.height * 3);
  for (let i = 0; i < mask.data.length; i++) {
    const entry = colours[mask.data[i]!];
    if (!entry) continue;
    data[3 * i] = entry[0];
    data[3 * i + 1] = entry[1];
    data[3 * i + 2] = entry[2];
  }
  return { width: mask.width, height: mask.height, data };
}

/** The mask in gray, as plotting tools show it: class 0 black, the last class white. */
export function grayMask(mask: MaskImage, classes: number): Picture {
  const levels = Array.from({ length: classes }, (_, id): [number, number, number] => {
    const level = classes > 1 ? Math.round(255 * id / (classes - 1)) : 0;
    return [level, level, level];
  });
  return colourMask(mask, levels);
}

/**
 * `(1 - opacity) * photo + opacity * colour` in sRGB bytes; where the id has no colour, the photo.
 *
 * @param opacity in [0, 1]
 * @throws RangeError when photo and mask differ in size
 */
export function overlay(
  photo: Picture,
  mask: MaskImage,
  colours: DrawnColours,
  opacity: number,
): Picture {
  if (photo.width !== mask.width || photo.height !== mask.height) {
    throw new RangeError(
      `cannot overlay a ${mask.width}x${mask.height} mask on a ${photo.width}x${photo.height} ` +
        `photo: both must have the same size`,
    );
  }
  const data = photo.data.slice();
  for (let i = 0; i < mask.data.length; i++) {
    const entry = colours[mask.data[i]!];
    if (!entry) continue;
    for (let c = 0; c < 3; c++) {
      const at = 3 * i + c;
      data[at] = Math.round((1 - opacity) * data[at]! + opacity * entry[c]!);
    }
  }
  return { width: photo.width, height: photo.height, data };
}

/** The ids that occur in the mask, ascending. */
export function classesPresent(mask: MaskImage): number[] {
  const seen = new Uint8Array(65536);
  for (let i = 0; i < mask.data.length; i++) seen[mask.data[i]!] = 1;
  const ids: number[] = [];
  for (let id = 0; id < seen.length; id++) if (seen[id]) ids.push(id);
  return ids;
}
