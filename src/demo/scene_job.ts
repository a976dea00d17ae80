/**
 * A scene as the bytes of its two files: the job of the threads that draw.
 * @module
 */

import { encodePng } from "../data/png_write.ts";
import { drawScene, SCENE_CLASSES } from "./scene.ts";

/** What to draw. */
export interface SceneJob {
  /** The file's name in the folders of photos and masks. */
  readonly name: string;
  readonly seed: number;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/** PNG files. */
export interface SceneFiles {
  readonly photo: Uint8Array;
  /** Indexed, in the class colours. */
  readonly mask: Uint8Array;
}

const palette = SCENE_CLASSES.map(({ colour }) => colour);

/** Draws a scene. */
export function runSceneJob({ seed, width, height }: SceneJob): SceneFiles {
  const { photo, mask } = drawScene(seed, width, height);
  return {
    photo: encodePng({ width, height, channels: 3, data: photo }, 3),
    mask: encodePng({ width, height, channels: 1, data: mask, palette }),
  };
}
