/** A small data folder of drawn photos, for tests of commands that train. @module */
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { encodePng } from "../../src/data/png_write.ts";

const SIDES: readonly [number, number][] = [[24, 20], [24, 20], [17, 23], [24, 20]];

/** Photos whose red half is class 1, in two sizes; one is cut off so that nothing is symmetric. */
export function writeRaw(root: string, values: readonly [number, number] = [0, 1]): void {
  const raw = `${root}/data/raw`;
  for (const part of ["train/images", "train/masks", "test/images", "test/masks"]) {
    Deno.mkdirSync(`${raw}/${part}`, { recursive: true });
  }
  for (let i = 0; i < 12; i++) {
    const [width, height] = SIDES[i % SIDES.length] ?? [24, 20];
    const photo = new Uint8Array(width * height * 3);
    const mask = new Uint8Array(width * height);
    for (let p = 0; p < mask.length; p++) {
      const red = p % width > (width * (i % 3 + 1)) / 4;
      photo.set(red ? [220, 40 + i, 30] : [30, 90, 160 + i], p * 3);
      mask[p] = values[red ? 1 : 0];
    }
    const folder = i < 10 ? "train" : "test";
    const name = `p${i}.png`;
    const photoPng = encodePng({ width, height, channels: 3, data: photo });
    Deno.writeFileSync(`${raw}/${folder}/images/${name}`, photoPng);
    const maskPng = encodePng({ width, height, channels: 1, data: mask });
    Deno.writeFileSync(`${raw}/${folder}/masks/${name}`, maskPng);
  }
  Deno.writeTextFileSync(`${raw}/labels.txt`, "ground\nroof\n");
}

/**
 * All that a checkpoint file holds, but for the name of the run's folder: it tells the time, in which
 * equal runs differ.
 */
export function checkpointContent(bytes: Uint8Array<ArrayBuffer>, file: string) {
  const { tensors, metadata } = parseSafetensors(bytes, file);
  const named = Object.entries(metadata).map(([key, text]) => [
    key,
    text.replace(/"run":"[^"]*"/, '"run":""'),
  ]);
  return { tensors, metadata: Object.fromEntries(named) };
}
