/**
 * Masks: images whose samples are class values, or colours that stand for classes; to be kept to the
 * bit.
 * @module
 */
import { InputError } from "../errors.ts";
import { type ColourTable, packRgb, shownColour } from "./colours.ts";
import { isJpeg } from "./exif.ts";
import { describeFormat } from "./photo.ts";
import { decodePng, type PngImage, type Rgb } from "./png.ts";
import { isPng } from "./png_chunks.ts";

/** One value a pixel: a class value, or the index of a palette. */
export interface IndexMask {
  readonly width: number;
  readonly height: number;
  /** `[height, width]` values as stored, unscaled; `Uint16Array` for 16-bit files. */
  readonly data: Uint8Array | Uint16Array;
  /** Palette masks: the colour of every index. */
  readonly palette?: readonly Rgb[];
  /** How the file stored them: gray values, palette indices, or RGB with three equal samples. */
  readonly kind: "gray" | "palette" | "rgb";
}

/** A mask drawn in the colours of its classes. */
export interface ColourMask {
  readonly width: number;
  readonly height: number;
  /** `[height, width]` colours as 0xRRGGBB. */
  readonly data: Uint32Array;
  readonly kind: "colour";
}

/** A mask as its file holds it. */
export type StoredMask = IndexMask | ColourMask;

/** More different values than any mask has classes: a photo, or a mask that was scaled smoothly. */
const MOST_COLOURS = 4096;

function firstSamples({ data, channels, width, height }: PngImage): Uint8Array | Uint16Array {
  const pixels = width * height;
  const out = data instanceof Uint16Array ? new Uint16Array(pixels) : new Uint8Array(pixels);
  for (let i = 0, from = 0; i < pixels; i++, from += channels) out[i] = data[from]!;
  return out;
}

/** Whether any pixel's samples differ. Alpha does not count. */
function hasColour({ data, channels }: PngImage): boolean {
  for (let at = 0; at < data.length; at += channels) {
    if (data[at] !== data[at + 1] || data[at] !== data[at + 2]) return true;
  }
  return false;
}

function packedColours({ data, channels, width, height }: PngImage, name: string): Uint32Array {
  const out = new Uint32Array(width * height);
  if (data instanceof Uint8Array) {
    for (let i = 0, at = 0; i < out.length; i++, at += channels) {
      out[i] = packRgb(data[at]!, data[at + 1]!, data[at + 2]!);
    }
    return out;
  }
  const byte = (sample: number): number => {
    if (sample % 257 === 0) return sample / 257;
    throw new InputError(
      `cannot read ${name} as a mask: it holds colours of 16 bits a sample, such as ${sample}, ` +
        "that are no multiples of 257; export it with 8 bits",
    );
  };
  for (let i = 0, at = 0; i < out.length; i++, at += channels) {
    out[i] = packRgb(byte(data[at]!), byte(data[at + 1]!), byte(data[at + 2]!));
  }
  return out;
}

/**
 * Decodes a mask: a PNG of gray values, palette indices or colours. Alpha is dropped. A turn that
 * EXIF notes is made, as it is for photos.
 * @param bytes The whole file.
 * @param name The file's name, for messages.
 * @throws {InputError} When the file is no PNG, truncated or damaged.
 */
export function decodeMask(bytes: Uint8Array, name: string): StoredMask {
  if (isJpeg(bytes)) {
    throw new InputError(
      `cannot read ${name} as a mask: it is a JPEG, whose lossy compression changes class values along every edge; export the mask as PNG from its source`,
    );
  }
  if (!isPng(bytes)) {
    throw new InputError(
      `cannot read ${name} as a mask: it is ${
        describeFormat(bytes)
      }; masks must be PNG, export it again`,
    );
  }
  const image = decodePng(bytes, name);
  const { width, height, channels, data, palette } = image;
  if (channels === 1) {
    if (!palette) return { width, height, data, kind: "gray" };
    const colours = Array.from(
      { length: palette.length / 3 },
      (_, i): Rgb => [palette[3 * i]!, palette[3 * i + 1]!, palette[3 * i + 2]!],
    );
    return { width, height, data, palette: colours, kind: "palette" };
  }
  if (channels === 2) return { width, height, data: firstSamples(image), kind: "gray" };
  return hasColour(image)
    ? { width, height, data: packedColours(image, name), kind: "colour" }
    : { width, height, data: firstSamples(image), kind: "rgb" };
}

/** How many pixels hold each value; colours as 0xRRGGBB. @throws {InputError} naming the file. */
export function countValues({ data }: StoredMask, name: string): Map<number, number> {
  const counts = new Map<number, number>();
  if (data instanceof Uint32Array) {
    // Neighbours mostly have one colour: the table is asked once for each run of them.
    for (let at = 0; at < data.length;) {
      const colour = data[at]!;
      const start = at;
      while (data[at] === colour) at++;
      counts.set(colour, (counts.get(colour) ?? 0) + at - start);
      if (counts.size > MOST_COLOURS) {
        throw new InputError(
          `cannot read ${name} as a mask: it holds more than ${MOST_COLOURS} different colours, ` +
            "so it is a photo or was resized or compressed; export it from its source",
        );
      }
    }
    return counts;
  }
  const bins = new Uint32Array(data instanceof Uint8Array ? 256 : 65536);
  for (let i = 0; i < data.length; i++) bins[data[i]!]!++;
  bins.forEach((count, value) => {
    if (count > 0) counts.set(value, count);
  });
  return counts;
}

/**
 * The colour, as 0xRRGGBB, that a stored value shows; -1 where it shows none (an index beyond the
 * palette, a 16-bit gray that 8 bits cannot hold).
 */
export function colourOf(
  value: number,
  mask: Pick<IndexMask, "kind" | "palette"> | Pick<ColourMask, "kind">,
): number {
  if (mask.kind === "colour") return value;
  if (mask.kind === "palette") {
    const rgb = mask.palette?.[value];
    return rgb === undefined ? -1 : packRgb(...rgb);
  }
  const gray = value <= 255 ? value : value % 257 === 0 ? value / 257 : undefined;
  return gray === undefined ? -1 : packRgb(gray, gray, gray);
}

/**
 * The class values of a mask.
 * @param table The colours by class value, for sets whose masks are read by colour.
 * @param name The file's name, for messages.
 * @throws {InputError} For a colour that the table lacks, or colours where there is no table.
 */
export function maskValues(
  mask: StoredMask,
  table: ColourTable | undefined,
  name: string,
): IndexMask {
  if (table === undefined) {
    if (mask.kind !== "colour") return mask;
    const at = mask.data.findIndex((c) => c >> 16 !== (c & 255) || c >> 16 !== ((c >> 8) & 255));
    throw new InputError(
      `cannot read ${name} as a mask: it holds colours, such as ${
        shownColour(mask.data[at]!)
      } at x ${at % mask.width}, y ${
        Math.floor(at / mask.width)
      }, and no table says which classes they are; put a class_dict.csv (name,r,g,b) beside the labels, or export class ids as a gray or palette PNG`,
    );
  }
  const { width, height, data } = mask;
  const out = table.colours.length > 256
    ? new Uint16Array(data.length)
    : new Uint8Array(data.length);
  let before = -1;
  let row = -1;
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    if (value !== before) {
      const colour = colourOf(value, mask);
      row = table.row(colour);
      if (row < 0) {
        throw new InputError(
          `${name} holds ${
            colour < 0 ? `the value ${value}` : `the colour ${shownColour(colour)}`
          }, which is no class of this data set; correct the mask, or run deno task data again`,
        );
      }
      before = value;
    }
    out[i] = row;
  }
  return { width, height, data: out, kind: mask.kind === "colour" ? "rgb" : mask.kind };
}

/** {@linkcode decodeMask} and {@linkcode maskValues}. */
export function readMask(bytes: Uint8Array, name: string, table?: ColourTable): IndexMask {
  return maskValues(decodeMask(bytes, name), table, name);
}
