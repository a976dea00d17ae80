/**
 * How cost grows: time and planned memory of a step for larger images and larger batches. Plans
 * need no run, so they are known for sizes that would take too long or do not fit.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { LowerTarget } from "../graph/lower.ts";
import { lowerTarget, planProgram } from "../graph/program_plan.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import { stepsQueuedMs } from "./queued.ts";
import { benchStep, recordStep, type StepOptions } from "./step.ts";

/** What to measure. */
export interface GrowthOptions
  extends Pick<StepOptions, "mode" | "model" | "firstLevel" | "steps"> {
  /** A row is timed only where it is expected to take no longer. */
  limitMs: number;
  /** Called before each row that is timed. */
  onRow?: (shape: BatchShape) => void;
}

/** One size. */
export interface GrowthRow extends BatchShape {
  /** GPU memory; missing where the step cannot be planned. */
  plannedBytes?: number;
  /** Median; missing where it was not timed. */
  medianMs?: number;
  /** Why something is missing. */
  note?: string;
}

/** Images of twice the side, then batches of twice the images. */
export const GROWTH_SHAPES: readonly BatchShape[] = [
  { batch: 1, height: 128, width: 192 },
  { batch: 1, height: 256, width: 384 },
  { batch: 1, height: 512, width: 768 },
  { batch: 1, height: 1024, width: 1536 },
  { batch: 2, height: 128, width: 192 },
  { batch: 4, height: 128, width: 192 },
  { batch: 8, height: 128, width: 192 },
];

/** Pixels of all images of a batch. */
export function pixelsOf({ batch, height, width }: BatchShape): number {
  return batch * height * width;
}

/** The memory that a step plans, or why it cannot be planned. */
function planGrowth(
  shape: BatchShape,
  options: Pick<GrowthOptions, "mode" | "model" | "firstLevel">,
  target: LowerTarget,
): Pick<GrowthRow, "plannedBytes" | "note"> {
  const { graph, outputs } = recordStep({ ...options, ...shape });
  try {
    return { plannedBytes: planProgram(graph, outputs, target).plannedBytes };
  } catch (error) {
    // Without the advice, which is for those who chose the size.
    if (error instanceof InputError) return { note: error.message.replace(/;[^;]*$/, "") };
    throw error;
  }
}

/** Plans every size and times those that fit memory and time. */
export async function benchGrowth(gpu: Gpu, options: GrowthOptions): Promise<GrowthRow[]> {
  const rows: GrowthRow[] = [];
  let msPerPixel = 0;
  for (const shape of GROWTH_SHAPES) {
    const row: GrowthRow = { ...shape, ...planGrowth(shape, options, lowerTarget(gpu)) };
    rows.push(row);
    if (row.plannedBytes === undefined) continue;
    // Of the first one nothing is known yet.
    const stepMs = msPerPixel * pixelsOf(shape);
    const expectedMs = stepMs > 0 ? Math.max(stepMs, stepsQueuedMs(gpu)) * (options.steps + 1) : 0;
    if (row.plannedBytes > gpu.memoryBudgetBytes) {
      row.note = "does not fit the memory budget";
    } else if (expectedMs > options.limitMs) {
      row.note = `not timed, it would take about ${Math.round(expectedMs / 1000)} s`;
    } else {
      options.onRow?.(shape);
      row.medianMs = (await benchStep(gpu, { ...options, ...shape })).medianMs;
      msPerPixel = Math.max(msPerPixel, row.medianMs / pixelsOf(shape));
    }
  }
  return rows;
}
