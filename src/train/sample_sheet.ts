/**
 * Pictures of what the network really sees: a batch as the first node of a step leaves it.
 * @module
 */
import { resizeArea, resizeNearest } from "../data/resize.ts";
import type { Gpu } from "../gpu/device.ts";
import { Graph } from "../graph/graph.ts";
import { compile } from "../graph/program.ts";
import { contactSheet } from "../report/figure.ts";
import { type Colours, overlay, type Picture } from "../report/overlay.ts";
import { IGNORED } from "./metrics.ts";
import { recordInput } from "./step.ts";
import { type TrainingBatch, writeImages } from "./trainer.ts";

/** A batch as floats and class ids. */
export interface SeenBatch {
  batch: number;
  height: number;
  width: number;
  channels: number;
  /** [batch, channels, height, width], 0 to 1. */
  image: Float32Array;
  /** [batch, height, width], 255 where ignored. */
  ids: Uint8Array;
}

/** Runs the part of a step that brings images in, and reads what it leaves. */
export async function seenBatch(
  gpu: Gpu,
  channels: number,
  batch: TrainingBatch,
): Promise<SeenBatch> {
  const graph = new Graph();
  const { image, ids } = recordInput(graph, channels, batch);
  const program = await compile(gpu, graph, { outputs: { image, ids } });
  try {
    writeImages(program, batch);
    program.run();
    return {
      batch: batch.batch,
      height: batch.height,
      width: batch.width,
      channels,
      image: await program.read("image"),
      ids: Uint8Array.from(await program.readInts("ids")),
    };
  } finally {
    program.destroy();
  }
}

const MOST_IMAGES = 12;
const IMAGES_IN_A_ROW = 2;
const LONGEST_SIDE = 320;
const OPACITY = 0.5;
/** Of pixels that count nowhere, in the overlays. */
const IGNORED_COLOUR = [128, 128, 128] as const;

/** Photos of batches beside their masks laid over them; what is ignored is grey. */
export function sampleSheet(
  batches: readonly SeenBatch[],
  classes: readonly { name: string; colour: Colours[number] }[],
): Picture {
  const colours: Colours[number][] = classes.map(({ colour }) => colour);
  colours[IGNORED] = IGNORED_COLOUR;
  const pictures = batches.flatMap((batch) =>
    Array.from({ length: batch.batch }, (_, n) => pair(batch, n, colours))
  ).slice(0, MOST_IMAGES);
  const rows = Array.from(
    { length: Math.ceil(pictures.length / IMAGES_IN_A_ROW) },
    (_, r) => pictures.slice(r * IMAGES_IN_A_ROW, (r + 1) * IMAGES_IN_A_ROW).flat(),
  );
  return contactSheet(rows, [], {
    title: "What the network sees",
    legend: [...classes, { name: "ignored", colour: IGNORED_COLOUR }],
  });
}

function pair(
  { height, width, channels, image, ids }: SeenBatch,
  n: number,
  colours: Colours,
): Picture[] {
  const area = height * width;
  const data = new Uint8Array(area * 3);
  for (let c = 0; c < 3; c++) {
    // One channel is grey.
    const plane = (n * channels + Math.min(c, channels - 1)) * area;
    for (let p = 0; p < area; p++) data[p * 3 + c] = Math.round((image[plane + p] ?? 0) * 255);
  }
  const photo = { width, height, data };
  const mask = { width, height, data: ids.subarray(n * area, (n + 1) * area) };
  const share = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const [w, h] = [width, height].map((side) => Math.max(1, Math.round(side * share)));
  if (!w || !h) return [];
  const small = resizeArea(photo, w, h);
  return [small, overlay(small, resizeNearest(mask, w, h), colours, OPACITY)];
}
