/**
 * How training varies its images: which part of a photo a batch shows, turned, mirrored, enlarged and
 * recoloured by how much. Everything follows from the seed, the epoch and the image, so a run can be
 * repeated and go on. The GPU does the work (`augment`).
 * @module
 */
import { Stream } from "../nn/random.ts";
import type { ImageSize } from "./batches.ts";

/** How much images are varied. */
export type AugmentStrength = "none" | "light" | "strong";

interface Ranges {
  flipX: boolean;
  flipY: boolean;
  /** Enlarged by up to this, and shrunk as much. */
  zoom: number;
  /** Turned by up to so many degrees, either way. */
  turn: number;
  /** Added to colours between 0 and 1. */
  brightness: number;
  /** Relative change of the distance from middle grey. */
  contrast: number;
  /** Relative change of the distance from the pixel's own grey. */
  saturation: number;
}

const STRENGTHS: Readonly<Record<AugmentStrength, Ranges>> = {
  none: {
    flipX: false,
    flipY: false,
    zoom: 1,
    turn: 0,
    brightness: 0,
    contrast: 0,
    saturation: 0,
  },
  // What leaves a photo one that could have been taken as it is: ground stays below, sky above.
  light: {
    flipX: true,
    flipY: false,
    zoom: 1.25,
    turn: 5,
    brightness: 0.1,
    contrast: 0.15,
    saturation: 0.2,
  },
  strong: {
    flipX: true,
    flipY: true,
    zoom: 1.5,
    turn: 30,
    brightness: 0.15,
    contrast: 0.25,
    saturation: 0.5,
  },
};

/** Luma of BT.601. */
const LUMA = [0.299, 0.587, 0.114] as const;

/** What of a photo is uploaded, and how the result looks it up there. */
export interface View {
  /** Part of the photo, in pixels. */
  window: { x: number; y: number; width: number; height: number };
  /** For `augment`, relative to the window. */
  transform: Float32Array;
}

/** The numbers of one image in one epoch, the same on every machine. */
export function imageStream(seed: number, epoch: number, image: number): Stream {
  let hash = seed >>> 0;
  for (const value of [epoch, image]) {
    hash = Math.imul(hash ^ value ^ (hash >>> 15), 0x2c1b3c6d);
    hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
    hash = (hash ^ (hash >>> 15)) >>> 0;
  }
  return new Stream(hash);
}

/**
 * Draws a view of a photo of size `source` for a result of size `target`. Enlarged photos show a part
 * of themselves, drawn evenly; smaller ones lie anywhere within the result.
 */
export function drawView(
  strength: AugmentStrength,
  source: ImageSize,
  target: ImageSize,
  random: Stream,
): View {
  const ranges = STRENGTHS[strength];
  const symmetric = (range: number) => (random.next() * 2 - 1) * range;
  const mirrorX = ranges.flipX && random.next() < 0.5 ? -1 : 1;
  const mirrorY = ranges.flipY && random.next() < 0.5 ? -1 : 1;
  const zoom = ranges.zoom ** symmetric(1);
  const angle = symmetric(ranges.turn) * Math.PI / 180;
  const [cos, sin] = [Math.cos(angle) / zoom, Math.sin(angle) / zoom];
  const across = [cos * mirrorX, -sin * mirrorY];
  const down = [sin * mirrorX, cos * mirrorY];
  const centreX = centre(source.width, target.width / zoom, random);
  const centreY = centre(source.height, target.height / zoom, random);
  const offset = ([p = 0, q = 0]: number[], middle: number) => {
    const value = middle - p * (target.width - 1) / 2 - q * (target.height - 1) / 2;
    // Pixels that are only moved and mirrored keep their values exactly.
    return zoom === 1 && angle === 0 ? Math.round(value) : value;
  };
  const [c, f] = [offset(across, centreX), offset(down, centreY)];
  const window = windowOf(source, target, [[...across, c], [...down, f]]);
  return {
    window,
    transform: Float32Array.of(
      ...[...across, c - window.x, window.width],
      ...[...down, f - window.y, window.height],
      ...colourRows(ranges, symmetric),
    ),
  };
}

/** Where the middle of a stretch of `extent` lies on a side of `size` pixels. */
function centre(size: number, extent: number, random: Stream): number {
  return (size - 1) / 2 + (random.next() - 0.5) * Math.abs(size - extent);
}

function colourRows(ranges: Ranges, symmetric: (range: number) => number): number[] {
  const contrast = 1 + symmetric(ranges.contrast);
  const saturation = 1 + symmetric(ranges.saturation);
  const offset = 0.5 * (1 - contrast) + symmetric(ranges.brightness);
  return [0, 1, 2].flatMap((row) => [
    ...LUMA.map((luma, column) =>
      contrast * (saturation * (row === column ? 1 : 0) + (1 - saturation) * luma)
    ),
    offset,
  ]);
}

/** The pixels of the source that the result can ask for, one more around. */
function windowOf(source: ImageSize, target: ImageSize, rows: number[][]): View["window"] {
  const [right, bottom] = [target.width - 1, target.height - 1];
  const span = ([p = 0, q = 0, r = 0]: number[], size: number) => {
    const corners = [r, p * right + r, q * bottom + r, p * right + q * bottom + r];
    const first = Math.min(size - 1, Math.max(0, Math.floor(Math.min(...corners)) - 1));
    const last = Math.max(first, Math.min(size - 1, Math.ceil(Math.max(...corners)) + 1));
    return { first, count: last - first + 1 };
  };
  const [x, y] = [span(rows[0] ?? [], source.width), span(rows[1] ?? [], source.height)];
  return { x: x.first, y: y.first, width: x.count, height: y.count };
}

/** Pixels that a window of any view can have, a multiple of 4. */
export function slotPixels(
  strength: AugmentStrength,
  sources: readonly ImageSize[],
  target: ImageSize,
): number {
  const { zoom, turn } = STRENGTHS[strength];
  const diagonal = Math.hypot(target.width, target.height);
  const reach = (side: number) => Math.ceil((turn > 0 ? diagonal : side) * zoom) + 4;
  const [width, height] = [reach(target.width), reach(target.height)];
  const areas = sources.map((s) => Math.min(s.width, width) * Math.min(s.height, height));
  return Math.ceil(areas.reduce((a, b) => Math.max(a, b), 1) / 4) * 4;
}

/** Copies a window of an image of `bytesPerPixel` bytes a pixel into `target` at `offset`. */
export function copyWindow(
  image: Uint8Array,
  imageWidth: number,
  { x, y, width, height }: View["window"],
  bytesPerPixel: number,
  target: Uint8Array,
  offset: number,
): void {
  for (let row = 0; row < height; row++) {
    const start = ((y + row) * imageWidth + x) * bytesPerPixel;
    target.set(
      image.subarray(start, start + width * bytesPerPixel),
      offset + row * width * bytesPerPixel,
    );
  }
}
