/**
 * What a checkpoint says about its network besides the weights, and its form as JSON.
 * @module
 */
import { InputError } from "../errors.ts";
import type { KernelChoice } from "../gpu/device.ts";
import { isTuning } from "../gpu/tuning.ts";

/** A class as a checkpoint knows it; its position is its id. */
export interface CheckpointClass {
  /** For people and for lookups by name, such as `tree`. */
  name: string;
  /** Red, green, blue, 0 to 255. */
  color: readonly [number, number, number];
  /** The value that stands for it in the masks it was trained on. */
  value?: number;
}

/** What a checkpoint says about its network. */
export interface CheckpointInfo {
  /** One for each channel of the logits, in order. */
  classes: CheckpointClass[];
  /** Photos were scaled by this before the network saw them; absent when unknown. */
  scale?: number;
  /** How pixels become numbers. */
  normalization: "divide by 255";
  /** Mask value that counted nowhere. */
  ignore?: number | null;
  /** Epochs trained so far. */
  epoch: number;
  /** Optimizer steps trained so far. */
  step: number;
  /** Scores on the validation split. */
  metrics?: Record<string, number>;
  /**
   * What it was trained with; other kernels round otherwise. Files are given those of the device
   * they come from.
   */
  kernels?: KernelChoice;
  /** Settings of the training that made it, for people. */
  training?: Record<string, string | number | boolean | null>;
}

/** Where a file holds the description: the key in safetensors and ONNX, the member in `.pth`. */
export const DESCRIPTION = "webgpu-unet";

/**
 * The description of a network of which only the weights are known.
 * @param maskValues What stood for each class in the masks, as milesial/Pytorch-UNet saves it:
 *   numbers, or colours.
 */
export function plainInfo(classes: number, maskValues?: unknown): CheckpointInfo {
  const given: unknown[] = Array.isArray(maskValues) && maskValues.length === classes
    ? maskValues
    : [];
  return {
    classes: Array.from({ length: classes }, (_, k): CheckpointClass => {
      const value = given[k];
      return {
        name: `class_${k}`,
        color: isColor(value) ? value : grey(k, classes),
        ...(isLevel(value) ? { value } : {}),
      };
    }),
    normalization: "divide by 255",
    epoch: 0,
    step: 0,
  };
}

/**
 * Reads a description.
 * @param classes How many the network has.
 * @param file Named in errors.
 * @throws {InputError} If it is no JSON or names another number of classes.
 */
export function parseInfo(text: string, classes: number, file: string): CheckpointInfo {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(
      `${file}: its description (${DESCRIPTION}) is no JSON; the file is damaged, use another one`,
    );
  }
  const info: Partial<CheckpointInfo> = typeof value === "object" && value !== null ? value : {};
  const named = Array.isArray(info.classes) ? info.classes.filter(isClass) : [];
  if (named.length !== classes) {
    throw new InputError(
      `${file}: its description names ${named.length} classes, but the network has ` +
        `${classes}; the file is damaged, use another one`,
    );
  }
  // Other programs, and older versions, say less or something else.
  const usable = Object.entries(RULES)
    .map(([key, { fits }]) => [key, info[key as keyof typeof RULES], fits] as const)
    .filter(([, found, fits]) => fits(found))
    .map(([key, found]) => [key, found]);
  const rest: Partial<CheckpointInfo> = Object.fromEntries(usable);
  return { normalization: "divide by 255", epoch: 0, step: 0, ...rest, classes: named };
}

/**
 * Whether {@linkcode parseInfo} would read a description as it is.
 * @param classes How many the network has.
 * @throws {InputError} naming what it would refuse or leave out.
 */
export function checkInfo(info: CheckpointInfo, classes: number): void {
  const refuse = (found: string, expected: string) =>
    new InputError(`cannot write a checkpoint whose info has ${found}, expected ${expected}`);
  if (info.classes.length !== classes) {
    throw refuse(`${info.classes.length} classes`, `the network's ${classes}`);
  }
  for (const [k, one] of info.classes.entries()) {
    if (isClass(one)) continue;
    const { name, color }: Partial<CheckpointClass> = one ?? {};
    throw refuse(
      `a class ${k} of name ${name} and color [${color}]`,
      "a text and three numbers from 0 to 255",
    );
  }
  for (const [key, { fits, expected, optional }] of Object.entries(RULES)) {
    const found = info[key as keyof typeof RULES];
    if (fits(found) || (optional && found === undefined)) continue;
    const shown = typeof found === "object" ? JSON.stringify(found) : String(found);
    throw refuse(`${key} ${shown}`, expected);
  }
}

/** What fits into a description, beside the classes: for those who read it and who write it. */
const RULES: Readonly<
  Record<
    Exclude<keyof CheckpointInfo, "classes">,
    { fits: (value: unknown) => boolean; expected: string; optional?: boolean }
  >
> = {
  scale: {
    fits: (value) => typeof value === "number" && value > 0 && value < Infinity,
    expected: "a number above 0",
    optional: true,
  },
  normalization: { fits: (value) => value === "divide by 255", expected: "divide by 255" },
  ignore: {
    fits: (value) => value === null || Number.isFinite(value),
    expected: "a number or null",
    optional: true,
  },
  epoch: { fits: isCount, expected: "a whole number of at least 0" },
  step: { fits: isCount, expected: "a whole number of at least 0" },
  metrics: { fits: isRecord, expected: "an object", optional: true },
  kernels: { fits: isKernelChoice, expected: "a family cpu or gpu", optional: true },
  training: { fits: isRecord, expected: "an object", optional: true },
};

function isCount(value: unknown): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function isRecord(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function isKernelChoice(value: unknown): value is KernelChoice {
  if (typeof value !== "object" || value === null) return false;
  const { family, tuning }: Partial<KernelChoice> = value;
  return (family === "cpu" || family === "gpu") && (tuning === undefined || isTuning(tuning));
}

function isClass(value: unknown): value is CheckpointClass {
  if (typeof value !== "object" || value === null) return false;
  const { name, color }: Partial<CheckpointClass> = value;
  return typeof name === "string" && Array.isArray(color) && color.length === 3 &&
    color.every((c) => typeof c === "number" && c >= 0 && c <= 255);
}

/** A level of 8 bits, as mask values are. */
function isLevel(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 255;
}

function isColor(value: unknown): value is [number, number, number] {
  return Array.isArray(value) && value.length === 3 && value.every(isLevel);
}

/** Distinct greys for classes whose colours nobody told. */
function grey(k: number, classes: number): [number, number, number] {
  const level = classes < 2 ? 255 : Math.round((255 * k) / (classes - 1));
  return [level, level, level];
}
