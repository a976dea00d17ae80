/**
 * Writes the demo's sample set as files, laid out as a user's own data would be.
 * @module
 */

import { join } from "node:path";
import { encodePng } from "../data/png_write.ts";
import { writeFileAtomic } from "../io/atomic_file.ts";
import { drawScene, SCENE_CLASSES } from "./scene.ts";

/** Pixels; twice what the network sees, so that the masks are worth looking at. */
const SIZE = { width: 384, height: 256 } as const;

/** One of so many scenes is kept for testing. */
const TEST_SHARE = 10;

/** What to draw. */
export interface SampleOptions {
  /** Folder of photos and masks; absolute. */
  readonly raw: string;
  readonly scenes: number;
  readonly seed: number;
  /** Called after each scene. */
  readonly onProgress?: () => void;
}

/** How many of the scenes are kept for testing: one in ten, but two at least. */
function testScenes(scenes: number): number {
  return Math.max(2, Math.round(scenes / TEST_SHARE));
}

/**
 * Draws photos and their masks (indexed PNG in the class colours) for training and testing, and
 * writes the class names.
 * @throws {InputError} naming a file that cannot be written.
 */
export async function writeSamples(
  { raw, scenes, seed, onProgress }: SampleOptions,
): Promise<void> {
  const palette = SCENE_CLASSES.map(({ colour }) => colour);
  const forTraining = scenes - testScenes(scenes);
  for (let i = 0; i < scenes; i++) {
    // Seeds lie far enough apart for two demos never to share a scene.
    const { photo, mask } = drawScene(seed * 10_000 + i, SIZE.width, SIZE.height);
    const part = join(raw, i < forTraining ? "train" : "test");
    const name = sceneName(i);
    await writeFileAtomic(
      join(part, "images", name),
      encodePng({ ...SIZE, channels: 3, data: photo }, 3),
    );
    await writeFileAtomic(
      join(part, "masks", name),
      encodePng({ ...SIZE, channels: 1, data: mask, palette }),
    );
    onProgress?.();
  }
  const names = SCENE_CLASSES.map(({ name }) => `${name}\n`).join("");
  await writeFileAtomic(join(raw, "labels.txt"), new TextEncoder().encode(names));
}

/** What {@linkcode sceneName} makes. */
export const SCENE_FILE = /^scene_\d{3,}\.png$/;

function sceneName(index: number): string {
  return `scene_${String(index + 1).padStart(3, "0")}.png`;
}
