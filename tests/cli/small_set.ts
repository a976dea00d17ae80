/**
 * A tiny set of photos and masks on disk, for tests of the commands that read one.
 * @module
 */
import { encodePng } from "../../src/data/png_write.ts";
import { type Prepared, prepareDataset } from "../../src/data/prepare.ts";

/** Width and height of its photos. */
export const SIDE = 6;

/** A gray PNG. */
export function grayPng(values: (at: number) => number, side = SIDE): Uint8Array {
  const data = Uint8Array.from({ length: side * side }, (_, at) => values(at));
  return encodePng({ width: side, height: side, channels: 1, data });
}

/** A photo of its own for each seed. */
export function photoPng(seed: number): Uint8Array {
  const data = Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, at) => (at * 7 + seed * 31) % 256);
  return encodePng({ width: SIDE, height: SIDE, channels: 3, data });
}

/** Writes a sound set of eight pairs and two test photos; masks hold `at % values.length`. */
export function writeSet(root: string, values: readonly number[] = [0, 1, 2]): void {
  const raw = `${root}/data/raw`;
  for (const part of ["train/images", "train/masks", "test/images", "test/masks"]) {
    Deno.mkdirSync(`${raw}/${part}`, { recursive: true });
  }
  const mask = grayPng((at) => values[at % values.length] ?? 0);
  for (let i = 0; i < 8; i++) {
    Deno.writeFileSync(`${raw}/train/images/p${i}.png`, photoPng(i));
    Deno.writeFileSync(`${raw}/train/masks/p${i}.png`, mask);
  }
  for (let i = 0; i < 2; i++) Deno.writeFileSync(`${raw}/test/images/t${i}.png`, photoPng(90 + i));
  Deno.writeFileSync(`${raw}/test/masks/t0.png`, mask);
  Deno.writeTextFileSync(`${raw}/labels.txt`, "sky\nroad\ntree\n");
}

/** Prepares it as the command does, without its words and pages. */
export function prepareSet(folder: string, scale = 0.1): Promise<Prepared> {
  return prepareDataset({ data: `${folder}/data`, ratio: 0.75, seed: 42, scale }, {
    info: () => {},
    warn: () => {},
    progress: () => ({ advance: () => {}, [Symbol.dispose]: () => {} }),
  });
}
