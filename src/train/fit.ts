/**
 * Whether a training step fits into memory, and what would if it does not.
 * @module
 */
import { InputError, ShapeError } from "../errors.ts";
import type { LowerTarget } from "../graph/lower.ts";
import { mib } from "../graph/memory.ts";
import type { ProgramPlan } from "../graph/program_plan.ts";
import type { Optimizer } from "../nn/optimizers.ts";
import { UNet } from "../nn/unet.ts";
import { describe, parameterCount, type UnetConfig } from "../nn/unet_spec.ts";
import { planStep, type StepSettings, type StepShape } from "./step.ts";

/** Scales and crops are suggested down to this share of the ones asked for. */
const SMALLEST_FACTOR = 0.1;

/** Sides of suggested crops are multiples of this. */
const CROP_STEP = 16;

/** A step to be judged. */
export interface FitQuestion {
  net: UNet;
  optimizer: Optimizer;
  shape: StepShape;
  /** How it is recorded. */
  step?: StepSettings | undefined;
  target: LowerTarget;
  /** Most bytes that it may plan. */
  budgetBytes: number;
  /** Whether the device could keep images in 16 bits; default false. */
  supportsF16?: boolean | undefined;
}

/**
 * A sentence that says why a step does not fit and which batch, precision, scale, crop or width would;
 * `undefined` when it fits.
 *
 * @param asked the scale that led to the shape, and whether its size is that of a crop
 * @throws {ShapeError} when the shape is too small for the network.
 */
export function suggestFit(
  question: FitQuestion,
  asked: { scale: number; crop?: boolean },
): string | undefined {
  const { net, shape, budgetBytes } = question;
  const needed = bytesOf(question);
  if (typeof needed === "number" && needed <= budgetBytes) return undefined;
  const problem = typeof needed === "string"
    ? needed.replace(/;[^;]*$/, "")
    : `A training step with batch ${shape.batch} of ${shape.width} x ${shape.height} pixels plans ` +
      `${mib(needed)} of GPU memory, but ${mib(budgetBytes)} may be used`;

  const advice: string[] = [];
  const batch = largestBatch(question, shape.batch - 1);
  if (batch) advice.push(`-b ${batch.size} (${mib(batch.bytes)})`);
  if (question.supportsF16 && question.step?.images !== "f16") {
    const bytes = fits({ ...question, step: { ...question.step, images: "f16" } });
    if (bytes !== undefined) advice.push(`--precision f16 (${mib(bytes)})`);
  }
  for (let factor = 0.9; !asked.crop && factor >= SMALLEST_FACTOR; factor -= 0.1) {
    const bytes = fits({ ...question, shape: resized(shape, factor, 1) });
    if (bytes === undefined) continue;
    advice.push(`-s ${Number((asked.scale * factor).toPrecision(2))} (${mib(bytes)})`);
    break;
  }
  for (let factor = 0.9; factor >= SMALLEST_FACTOR; factor -= 0.1) {
    const crop = resized(shape, factor, CROP_STEP);
    const bytes = fits({
      ...question,
      shape: { ...crop, slotPixels: shape.slotPixels ?? area(shape) },
    });
    if (bytes === undefined) continue;
    advice.push(`--crop ${crop.height}x${crop.width} (${mib(bytes)})`);
    break;
  }
  for (let width = Math.floor(net.config.width / 2); width >= 4; width = Math.floor(width / 2)) {
    const bytes = fits({ ...question, net: new UNet({ ...net.config, width }) });
    if (bytes === undefined) continue;
    advice.push(`--width ${width} (${mib(bytes)})`);
    break;
  }
  const what = advice.length > 0 ? `what would fit: ${advice.join(" or ")}` : "use a smaller scale";
  return `${problem}; ${what}`;
}

/** The largest batch of at most `most` images that fits, and its planned bytes. */
export function largestBatch(
  question: FitQuestion,
  most: number,
): { size: number; bytes: number } | undefined {
  return largestFitting(
    most,
    (batch) => fits({ ...question, shape: { ...question.shape, batch } }),
  );
}

/** The largest batch, from `most` down, for which `bytesOf` says what it takes. */
export function largestFitting(
  most: number,
  bytesOf: (batch: number) => number | undefined,
): { size: number; bytes: number } | undefined {
  for (let size = most; size >= 1; size = size > 8 ? Math.floor(size / 2) : size - 1) {
    const bytes = bytesOf(size);
    if (bytes !== undefined) return { size, bytes };
  }
  return undefined;
}

/** Planned bytes; `undefined` where they are too many or there is no such plan. */
export function bytesWithin(budgetBytes: number, plan: () => ProgramPlan): number | undefined {
  try {
    const { plannedBytes } = plan();
    return plannedBytes <= budgetBytes ? plannedBytes : undefined;
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** Planned bytes, or why there is no plan. */
function bytesOf(question: FitQuestion): number | string {
  try {
    return planOf(question).plannedBytes;
  } catch (error) {
    // Over a limit of the device: as good as too large. Too small is another matter.
    if (error instanceof InputError && !(error instanceof ShapeError)) return error.message;
    throw error;
  }
}

function planOf({ net, optimizer, shape, target, step }: FitQuestion): ProgramPlan {
  // An average of another width than the network could not be recorded, and takes as much.
  const average = step?.average && new UNet(net.config);
  return planStep(net, optimizer, shape, target, { ...step, average });
}

function fits(question: FitQuestion): number | undefined {
  return bytesWithin(question.budgetBytes, () => planOf(question));
}

function resized(shape: StepShape, factor: number, step: number): StepShape {
  const side = (size: number) => Math.max(step, Math.floor(size * factor / step) * step);
  const { slotPixels } = shape;
  return {
    batch: shape.batch,
    height: side(shape.height),
    width: side(shape.width),
    ...(slotPixels === undefined ? {} : { slotPixels: quadruple(slotPixels * factor * factor) }),
  };
}

const area = ({ height, width }: StepShape): number => quadruple(height * width);

const quadruple = (pixels: number): number => Math.ceil(pixels / 4) * 4;

/** Values kept for each parameter while training: itself, its gradient, two of the optimizer. */
const VALUES_PER_PARAMETER = 4;

/**
 * A sentence that says that the parameters alone are too many, and which width would fit;
 * `undefined` when they fit. Looks at counts only, so that nothing huge is ever drawn.
 */
export function suggestWidth(config: UnetConfig, budgetBytes: number): string | undefined {
  const bytesOf = (width: number) =>
    parameterCount({ ...config, width }) * 4 * VALUES_PER_PARAMETER;
  const needed = bytesOf(config.width);
  if (needed <= budgetBytes) return undefined;
  let width = config.width;
  while (width > 4 && bytesOf(width) > budgetBytes / 2) width = Math.floor(width / 2);
  return `${describe(config)} takes ${
    mib(needed)
  } for parameters, gradients and optimizer state, ` +
    `but ${mib(budgetBytes)} may be used; what would fit: --width ${width} (${
      mib(bytesOf(width))
    })`;
}
