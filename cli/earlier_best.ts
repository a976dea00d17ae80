/**
 * What becomes of the best checkpoint of an earlier run when a new one writes its own.
 * @module
 */

import { join } from "node:path";
import { isFile, shownPath } from "../src/data/files.ts";
import type { Checkpoint } from "../src/io/checkpoint.ts";
import { readCheckpointFile } from "../src/io/checkpoint_file.ts";
import { describe } from "../src/nn/unet_spec.ts";
import type { Log } from "./log.ts";

/**
 * Moves `best` out of the way, to `best.backup`, and an earlier backup to `best.backup2` and so on;
 * of two that are comparable the one with the lower score is given up.
 */
export async function keepEarlierBest(checkpoints: string, log: Log): Promise<void> {
  const best = join(checkpoints, "best.safetensors");
  if (!await isFile(best)) return;
  const present = await read(best);
  for (let number = 1;; number++) {
    const kept = join(checkpoints, `best.backup${number > 1 ? number : ""}.safetensors`);
    if (await isFile(kept)) {
      const earlier = await read(kept);
      if (!present || !earlier || !areComparable(present, earlier)) continue;
      if (score(earlier) >= score(present)) {
        log.info(`${shownPath(kept)} stays: it is better than the last run's best checkpoint`);
        return;
      }
    }
    await Deno.rename(best, kept);
    log.info(`The best checkpoint of an earlier run is kept as ${shownPath(kept)}`);
    return;
  }
}

/** Nothing for a file that is no checkpoint; it is kept all the same. */
async function read(path: string): Promise<Checkpoint | undefined> {
  try {
    return await readCheckpointFile(path);
  } catch {
    return undefined;
  }
}

const score = ({ info }: Checkpoint): number => info.metrics?.meanIoU ?? -1;

function areComparable(a: Checkpoint, b: Checkpoint): boolean {
  const key = ({ config, info }: Checkpoint) =>
    JSON.stringify([
      describe(config),
      info.scale,
      info.classes.map(({ name, value }) => [name, value]),
    ]);
  return key(a) === key(b);
}
