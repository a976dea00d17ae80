/**
 * Whether a photo is predicted whole or by windows, and by which.
 * @module
 */
import { InputError, ShapeError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { ImageType } from "../graph/layout.ts";
import { lowerTarget, planProgram } from "../graph/program_plan.ts";
import type { BatchShape } from "./batch_shape.ts";
import { photoGraph } from "./photo_graph.ts";
import type { PredictOptions } from "./segmenter.ts";
import type { UNet } from "./unet.ts";
import type { UnetModel } from "./unet_spec.ts";
import { WindowPlan } from "./window_plan.ts";

/**
 * Pixels that neighbouring windows share: enough for each to see all (`unet-small`) or nearly all
 * (`unet`) that decides about a pixel in the middle of them.
 */
const OVERLAP: Readonly<Record<UnetModel, number>> = { "unet-small": 64, "unet": 192 };

/** Small windows would else overlap almost entirely. */
const MOST_OVERLAP = 0.5;

/** Sides that are tried where the whole photo does not fit. */
const WINDOW_SIDES = [2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64];

/** Windows need pooling cells of their own: sides are multiples of this for every network. */
const MULTIPLE = 16;

/**
 * The windows for a photo; `undefined` where the plain program of the whole photo is to run.
 * @param images how activations are kept
 * @throws {ShapeError} for several photos where only single ones are possible.
 * @throws {InputError} when the windows that were asked for exceed the memory budget or a limit.
 */
export function chooseWindows(
  gpu: Gpu,
  net: UNet,
  photos: BatchShape,
  options: PredictOptions,
  images: ImageType,
): WindowPlan | undefined {
  const { threshold, window, flips = "none", alsoAt = [] } = options;
  const probabilities = options.onProbabilities !== undefined;
  const plain = isPlain(options);
  if (plain && !window) return undefined;
  const views = [photos, ...alsoAt];
  const batch = Math.max(...views.map((view) => view.batch));
  if (batch !== 1) {
    throw new ShapeError(
      `Predicting a batch of ${batch} photos by windows, flips, at several scales or with ` +
        "probabilities is not possible; give one photo at a time.",
    );
  }
  const size = options.size ?? [photos.height, photos.width];
  const longest = Math.max(...views.flatMap(({ height, width }) => [height, width]));
  const whole = Math.ceil(longest / MULTIPLE) * MULTIPLE;
  const make = (side: number): WindowPlan => {
    const overlap = window?.overlap ?? Math.min(MOST_OVERLAP, OVERLAP[net.config.model] / side);
    const how = { window: side, overlap, flips, probabilities, threshold, images };
    // Plans outlive photos, whose pixels are large.
    const sizes = views.map(({ height, width }) => ({ height, width }));
    return new WindowPlan(gpu, net, { views: sizes, size, ...how });
  };
  const fits = (plannedBytes: number) => plannedBytes <= gpu.memoryBudgetBytes;
  if (!window) return make(whole);
  if (window.side > 0) {
    return plain && window.side >= longest ? undefined : make(Math.min(window.side, whole));
  }
  if (plain) {
    const planned = attempt(() => {
      const { graph, ids } = photoGraph(net, photos, size, threshold, images);
      return planProgram(graph, { ids }, lowerTarget(gpu)).plannedBytes;
    });
    if (planned !== undefined && fits(planned)) return undefined;
  }
  for (const side of [...plain ? [] : [whole], ...WINDOW_SIDES.filter((s) => s < longest)]) {
    const plan = attempt(() => {
      const made = make(side);
      return fits(made.plans().plannedBytes) ? made : undefined;
    });
    if (plan) return plan;
  }
  // Nothing fits, or the photo is too small: running it says what is the matter.
  return plain ? undefined : make(whole);
}

/** Whether logits decide: there is nothing to average, and nobody wants probabilities. */
export function isPlain({ flips = "none", alsoAt = [], onProbabilities }: PredictOptions): boolean {
  return flips === "none" && alsoAt.length === 0 && !onProbabilities;
}

/** What `work` gives, or `undefined` where it exceeds a limit of the device. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}
