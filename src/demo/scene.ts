/**
 * The demo's sample data: procedural drone photos of a neighbourhood with masks that fit to the
 * pixel, since both are read from the same painted surface.
 * @module
 */

import { classMask, develop } from "./camera.ts";
import { SceneCanvas } from "./canvas.ts";
import { layOut } from "./layout.ts";
import { Random } from "./noise.ts";

/** One class of the scene; its place in `SCENE_CLASSES` is its id in the mask. */
export interface SceneClass {
  readonly name: string;
  /** Colour in drawn masks, sRGB bytes. */
  readonly colour: readonly [number, number, number];
}

/** What a scene consists of, by class id. */
export const SCENE_CLASSES: readonly SceneClass[] = [
  { name: "grass", colour: [124, 179, 66] },
  { name: "tree", colour: [27, 94, 32] },
  { name: "paved area", colour: [158, 158, 158] },
  { name: "roof", colour: [198, 77, 52] },
  { name: "car", colour: [41, 98, 255] },
  { name: "person", colour: [255, 23, 160] },
  { name: "water", colour: [38, 198, 218] },
  { name: "bare soil", colour: [141, 96, 58] },
];

/** A photo and its truth. */
export interface Scene {
  readonly width: number;
  readonly height: number;
  /** height x width x RGB bytes. */
  readonly photo: Uint8Array<ArrayBuffer>;
  /** height x width class ids, see `SCENE_CLASSES`. */
  readonly mask: Uint8Array<ArrayBuffer>;
}

/**
 * Draws the scene of a seed. The picture shows about 54 x 36 metres whatever its size, so more
 * pixels mean more detail. The same seed and size give the same bytes.
 *
 * @param seed any integer
 * @param width pixels
 * @param height pixels
 */
export function drawScene(seed: number, width: number, height: number): Scene {
  const random = new Random(Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995);
  const canvas = new SceneCanvas(random, width, height);
  layOut(canvas, random);
  return {
    width,
    height,
    photo: develop(canvas, random, width, height),
    mask: classMask(canvas, width, height),
  };
}
