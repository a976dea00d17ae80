/// <reference lib="dom" />
/**
 * The picture: the photo, and over it the mask in its class colours. The mask has a layer of its
 * own, so that its opacity changes without anything being drawn anew.
 * @module
 */
import { element } from "./elements.ts";
import type { Photo } from "./photo.ts";

/** Red, green, blue, 0 to 255. */
export type Rgb = readonly [number, number, number];

/** The class of every pixel of a photo. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  /** `[height, width]` class ids. */
  readonly data: Uint8Array;
  /** The colour of each id. */
  readonly palette: readonly Rgb[];
}

/** Share of the window's height that a picture may take. */
const SHOWN_HEIGHT = 0.8;

/** Small photos are enlarged by this at most, or up to the width below. */
const MOST_ENLARGED = 2;
const LEAST_SHOWN_WIDTH = 640;

/** Draws photo and mask. */
export class View {
  readonly #picture = element("picture", HTMLElement);
  readonly #photoLayer = element("photo-layer", HTMLCanvasElement);
  readonly #maskLayer = element("mask-layer", HTMLCanvasElement);
  readonly #empty = element("empty", HTMLElement);
  #mask: Mask | undefined;

  /** Follows the window's size. */
  constructor() {
    addEventListener("resize", () => this.#fit());
  }

  /** Shows a photo without a mask. */
  showPhoto({ shown, name }: Photo): void {
    this.clearMask();
    const { width, height } = shown;
    for (const canvas of [this.#photoLayer, this.#maskLayer]) {
      Object.assign(canvas, { width, height });
    }
    this.#photoLayer.getContext("2d")?.drawImage(shown, 0, 0);
    this.#photoLayer.setAttribute("aria-label", `The photo ${name}`);
    this.#picture.hidden = false;
    this.#empty.hidden = true;
    this.#fit();
    // On a phone it is below the controls. A jump, not a ride: moving pages make some dizzy.
    element("stage", HTMLElement).scrollIntoView({ block: "nearest" });
  }

  /** Takes the mask away. */
  clearMask(): void {
    this.#mask = undefined;
    this.#maskLayer.hidden = true;
  }

  /** Lays a mask over the photo; classes in `hidden` stay transparent. */
  showMask(mask: Mask, hidden: ReadonlySet<number>): void {
    this.#mask = mask;
    this.#maskLayer.hidden = false;
    this.redraw(hidden);
  }

  /** Draws the mask anew with other classes hidden. */
  redraw(hidden: ReadonlySet<number>): void {
    const context = this.#maskLayer.getContext("2d");
    if (!context || !this.#mask) return;
    const { width, height } = this.#maskLayer;
    const image = context.createImageData(width, height);
    paint(this.#mask, hidden, width, height, new Uint32Array(image.data.buffer));
    context.putImageData(image, 0, 0);
  }

  /** @param opacity 0 to 1 */
  setOpacity(opacity: number): void {
    this.#maskLayer.style.opacity = String(opacity);
  }

  #fit(): void {
    const { width, height } = this.#photoLayer;
    const fits = innerHeight * SHOWN_HEIGHT * (width / height);
    const wanted = Math.min(Math.max(width * MOST_ENLARGED, LEAST_SHOWN_WIDTH), fits);
    this.#picture.style.setProperty("--shown-width", `${Math.round(wanted)}px`);
  }
}

/** Class colours at `width` x `height`: each pixel shows the id under its centre, as RGBA words. */
function paint(
  mask: Mask,
  hidden: ReadonlySet<number>,
  width: number,
  height: number,
  words: Uint32Array,
): void {
  const bytes = new Uint8Array(256 * 4);
  mask.palette.forEach((colour, id) => {
    if (!hidden.has(id)) bytes.set([...colour, 255], id * 4);
  });
  // Canvas bytes and this table have the same order, whatever the machine's.
  const colours = new Uint32Array(bytes.buffer);
  const under = (i: number, from: number, to: number) =>
    Math.floor(((2 * i + 1) * from) / (2 * to));
  const columns = Int32Array.from({ length: width }, (_, x) => under(x, mask.width, width));
  for (let y = 0, to = 0; y < height; y++) {
    const row = under(y, mask.height, height) * mask.width;
    for (let x = 0; x < width; x++) {
      words[to++] = colours[mask.data[row + (columns[x] ?? 0)] ?? 0] ?? 0;
    }
  }
}
