/**
 * Whether a training step fits into memory, and what would if it does not.
 * @module
 */
import { InputError, ShapeError } from "../errors.ts";
import type { LowerTarget } from "../graph/lower.ts";
import { mib } from "../graph/memory.ts";
import type { Optimizer } from "../nn/optimizers.ts";
import { UNet } from "../nn/unet.ts";
import { describe, parameterCount, type UnetConfig } from "../nn/unet_spec.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import { planStep } from "./step.ts";

/** Scales are suggested down to this share of the one asked for. */
const SMALLEST_FACTOR = 0.1;

/**
 * A sentence that says why a step does not fit and which batch, scale or width would; `undefined`
 * when it fits.
 *
 * @param asked the scale that led to `shape`, to be suggested smaller
 * @throws {ShapeError} when `shape` is too small for the network.
 */
export function suggestFit(
  net: UNet,
  optimizer: Optimizer,
  shape: BatchShape,
  target: LowerTarget,
  budgetBytes: number,
  asked: { scale: number },
): string | undefined {
  const bytesOf = (candidate: UNet, s: BatchShape): number | string => {
    try {
      return planStep(candidate, optimizer, s, target).plannedBytes;
    } catch (error) {
      // Over a limit of the device: as good as too large. Too small is another matter.
      if (error instanceof InputError && !(error instanceof ShapeError)) return error.message;
      throw error;
    }
  };
  const fits = (candidate: UNet, s: BatchShape) => {
    try {
      const bytes = bytesOf(candidate, s);
      return typeof bytes === "number" && bytes <= budgetBytes ? bytes : undefined;
    } catch (error) {
      if (error instanceof ShapeError) return undefined;
      throw error;
    }
  };
  const needed = bytesOf(net, shape);
  if (typeof needed === "number" && needed <= budgetBytes) return undefined;
  const problem = typeof needed === "string"
    ? needed.replace(/;[^;]*$/, "")
    : `A training step with batch ${shape.batch} of ${shape.width} x ${shape.height} pixels plans ` +
      `${mib(needed)} of GPU memory, but ${mib(budgetBytes)} may be used`;

  const advice: string[] = [];
  for (
    let batch = shape.batch - 1;
    batch >= 1;
    batch = batch > 8 ? Math.floor(batch / 2) : batch - 1
  ) {
    const bytes = fits(net, { ...shape, batch });
    if (bytes !== undefined) {
      advice.push(`-b ${batch} (${mib(bytes)})`);
      break;
    }
  }
  for (let factor = 0.9; factor >= SMALLEST_FACTOR; factor -= 0.1) {
    const smaller = {
      ...shape,
      height: Math.max(1, Math.floor(shape.height * factor)),
      width: Math.max(1, Math.floor(shape.width * factor)),
    };
    const bytes = fits(net, smaller);
    if (bytes !== undefined) {
      advice.push(`-s ${Number((asked.scale * factor).toPrecision(2))} (${mib(bytes)})`);
      break;
    }
  }
  for (let width = Math.floor(net.config.width / 2); width >= 4; width = Math.floor(width / 2)) {
    const bytes = fits(new UNet({ ...net.config, width }), shape);
    if (bytes !== undefined) {
      advice.push(`--width ${width} (${mib(bytes)})`);
      break;
    }
  }
  const what = advice.length > 0 ? `what would fit: ${advice.join(" or ")}` : "use a smaller scale";
  return `${problem}; ${what}`;
}

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
