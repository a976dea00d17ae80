/**
 * Masks: images whose samples are class values, to be kept to the bit.
 * @module
 */
import { InputError } from "../errors.ts";
import { isJpeg } from "./exif.ts";
import { describeFormat } from "./photo.ts";
import { decodePng, isPng, type PngImage, type Rgb } from "./png.ts";

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

function firstSamples({ data, channels, width, height }: PngImage): Uint8Array | Uint16Array {
  const pixels = width * height;
  const out = data instanceof Uint16Array ? new Uint16Array(pixels) : new Uint8Array(pixels);
  for (let i = 0, from = 0; i < pixels; i++, from += channels) out[i] = data[from]!;
  return out;
}

function firstColour({ data, channels, width }: PngImage): string | undefined {
  for (let at = 0; at < data.length; at += channels) {
    const [r, g, b] = [data[at]!, data[at + 1]!, data[at + 2]!];
    if (r === g && r === b) continue;
    const pixel = at / channels;
    return `(${r}, ${g}, ${b}) at x ${pixel % width}, y ${Math.floor(pixel / width)}`;
  }
  return undefined;
}

/**
 * Reads a mask: a PNG of gray values or palette indices, or an RGB(A) one that is gray throughout.
 * @param bytes The whole file.
 * @param name The file's name, for messages.
 * @throws {InputError} When the file is no PNG, truncated, damaged, or holds colours.
 */
export function readMask(bytes: Uint8Array, name: string): IndexMask {
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
  const colour = firstColour(image);
  if (colour) {
    throw new InputError(
      `cannot read ${name} as a mask: it holds colours, such as ${colour}, and colour masks are not available yet; export class ids as a gray or palette PNG`,
    );
  }
  return { width, height, data: firstSamples(image), kind: "rgb" };
}
