/** Scaled photos and masks kept on disk for this run and later ones, with a bar. @module */

import { fillCache } from "../src/data/check.ts";
import type { Sample } from "../src/data/dataset.ts";
import type { PixelCache } from "../src/data/pixel_cache.ts";
import { Progress } from "./progress.ts";

/** Makes what is not kept yet, on all cores. */
export async function keepScaled(disk: PixelCache, samples: readonly Sample[]): Promise<void> {
  const files = samples.map(({ image, mask }) => ({ photo: image, mask }));
  using bar = new Progress({ label: `Scaling photos to ${disk.scale}`, total: files.length });
  await fillCache(files, disk, () => bar.advance(1));
}
