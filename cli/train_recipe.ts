/**
 * The recipe of a training run: everything that decides its numbers, from flags, from the checkpoint
 * that it goes on from, or by default.
 * @module
 */

import { shownPath } from "../src/data/files.ts";
import { InputError, UsageError } from "../src/errors.ts";
import type { ImageType } from "../src/graph/layout.ts";
import { adamw, type Clipping, type Optimizer, rmsprop, sgd } from "../src/nn/optimizers.ts";
import type { AugmentStrength } from "../src/train/augmentation.ts";
import type { ImageSize } from "../src/train/batches.ts";
import { LOSSES, type LossName } from "../src/train/losses.ts";
import { OneCycle, Poly, ReduceOnPlateau, type Schedule, WarmUp } from "../src/train/schedule.ts";
import { choice, float, int, text, type Values } from "./args.ts";

/** Share of the batches in which a cosine schedule first rises, unless told otherwise. */
const COSINE_WARM_UP = 0.1;
/** The original clips every gradient value to this. */
const CLIP_VALUE = 0.1;

const SAVE_EVERY = 10;

/** The flags that a recipe comes from. None has a default here: what is not given may be saved. */
export const recipeOptions = {
  "batch-size": text("images in a batch (default: 2), or auto: as many as fit, up to 32", {
    short: "b",
    placeholder: "N",
  }),
  "learning-rate": float("learning rate (default: 0.01; adamw 0.001)", {
    short: "l",
    min: 0,
    open: true,
  }),
  scale: float("scale of the photos (default: 0.1)", { short: "s", min: 0.001, max: 1 }),
  optimizer: choice("optimizer (default: rmsprop)", ["rmsprop", "sgd", "adamw"]),
  schedule: choice(
    "learning rate: a tenth of it after 2 epochs without gain; a short rise and a cosine to 0; or " +
      "(1 - progress)^0.9 (default: plateau)",
    ["plateau", "cosine", "poly"],
  ),
  warmup: float("epochs in which the learning rate rises (default: 0; cosine a tenth of all)", {
    min: 0,
  }),
  loss: choice("loss: cross-entropy, soft Dice, both, or focal (default: ce)", LOSSES),
  "class-weights": text(
    "weights of the classes in the loss: none, auto (frequency^-0.5) or a CSV " +
      "of name,weight (default: none)",
    { placeholder: "none|auto|FILE" },
  ),
  augment: choice(
    "vary the images: light mirrors, zooms and recolours a little; strong also turns them and " +
      "turns them over (default: none)",
    ["none", "light", "strong"],
  ),
  crop: text("train on random parts of this size, N or HEIGHTxWIDTH (default: whole images)", {
    placeholder: "SIZE",
  }),
  accumulate: int("batches whose gradients are averaged for one update (default: 1)", {
    min: 1,
    max: 128,
  }),
  clip: float(
    "joint norm to which gradients are limited, 0 for no limit (default: every value " +
      "to 0.1 instead)",
    { min: 0 },
  ),
  ema: float(
    "decay of a running average of the weights, which is then scored and saved, such as " +
      "0.999 (default: none)",
    { min: 0, max: 1, open: true },
  ),
  precision: choice(
    "how images are kept on the GPU: f16 halves the memory of a step, where the adapter has " +
      "shader-f16; weights and sums stay f32 (default: f32)",
    ["f32", "f16"],
  ),
  seed: int("seed of initial weights, shuffling and augmentation (default: 42)", {
    min: 0,
    max: 2 ** 32 - 1,
  }),
  patience: int("end after so many epochs without a better mean IoU (default: never)", { min: 1 }),
  "save-every": int("keep a checkpoint of its own every so many epochs (default: 10)", { min: 1 }),
};

/** Everything that decides the numbers of a run, fit for JSON. */
export interface Recipe {
  readonly batchSize: number;
  readonly learningRate: number;
  readonly scale: number;
  readonly optimizer: "rmsprop" | "sgd" | "adamw";
  readonly schedule: "plateau" | "cosine" | "poly";
  /** Epochs; `null` is the schedule's own default. */
  readonly warmup: number | null;
  readonly loss: LossName;
  /** `none`, `auto` or a file. */
  readonly classWeights: string;
  /** What that came to, by class id; `null` for none. */
  readonly classWeightValues: readonly number[] | null;
  readonly augment: AugmentStrength;
  /** `HEIGHTxWIDTH`; `null` for whole images. */
  readonly crop: string | null;
  readonly accumulate: number;
  /** Norm, 0 for none; `null` limits values instead. */
  readonly clip: number | null;
  /** 0 for none. */
  readonly ema: number;
  readonly seed: number;
  /** Epochs without gain that end the run, 0 for any number; a run that goes on may change it. */
  readonly patience: number;
  /** Epochs from one checkpoint of its own to the next; a run that goes on may change it. */
  readonly saveEvery: number;
  /** Element type of activations and their gradients. */
  readonly precision: ImageType;
}

/** A recipe whose batch size and class weights may still have to be found. */
export type OpenRecipe = Omit<Recipe, "batchSize" | "classWeightValues"> & {
  readonly batchSize: number | "auto";
  /** `undefined` until known. */
  readonly classWeightValues: Recipe["classWeightValues"] | undefined;
};

/**
 * The recipe of the flags, else of the checkpoint, else the defaults.
 * @param saved of the run that goes on
 * @throws {InputError} for a flag that contradicts the run that goes on.
 */
export function resolveRecipe(
  o: Values<typeof recipeOptions>,
  saved?: { recipe: Partial<Recipe>; file: string },
): OpenRecipe {
  const pick = <K extends keyof Recipe, V extends Recipe[K] | "auto">(
    key: K,
    flag: string,
    given: V | undefined,
    fallback: V,
  ): Recipe[K] | V => {
    const known = saved?.recipe[key];
    if (known === undefined) return given ?? fallback;
    if (given === undefined || given === known) return known;
    throw new InputError(
      `${flag} ${given} contradicts the run in ${shownPath(saved?.file ?? "")}, which has ` +
        `${known ?? "none"}; leave it out to go on, or start from the weights alone (-f)`,
    );
  };
  const optimizer = pick("optimizer", "--optimizer", o.optimizer, "rmsprop");
  const rate = optimizer === "adamw" ? 0.001 : 0.01;
  const loss = pick("loss", "--loss", o.loss, "ce");
  if (loss === "dice" && o.classWeights !== undefined && o.classWeights !== "none") {
    throw new UsageError(
      "--class-weights has no effect on --loss dice, which weighs classes alike already; leave it " +
        "out or use ce+dice",
    );
  }
  return {
    batchSize: pick("batchSize", "-b", batchSizeOf(o.batchSize), 2),
    learningRate: pick("learningRate", "-l", o.learningRate, rate),
    scale: pick("scale", "-s", o.scale, 0.1),
    optimizer,
    schedule: pick("schedule", "--schedule", o.schedule, "plateau"),
    warmup: pick("warmup", "--warmup", o.warmup, null),
    loss,
    classWeights: pick("classWeights", "--class-weights", o.classWeights, "none"),
    // Its place among the others is the same in every run, and so is the checkpoint.
    classWeightValues: saved?.recipe.classWeightValues,
    augment: pick("augment", "--augment", o.augment, "none"),
    crop: pick("crop", "--crop", cropOf(o.crop), null),
    accumulate: pick("accumulate", "--accumulate", o.accumulate, 1),
    clip: pick("clip", "--clip", o.clip, null),
    ema: pick("ema", "--ema", o.ema, 0),
    seed: pick("seed", "--seed", o.seed, 42),
    patience: o.patience ?? saved?.recipe.patience ?? 0,
    saveEvery: o.saveEvery ?? saved?.recipe.saveEvery ?? SAVE_EVERY,
    precision: pick("precision", "--precision", o.precision, "f32"),
  };
}

function batchSizeOf(given: string | undefined): number | "auto" | undefined {
  if (given === undefined || given === "auto") return given;
  const size = Number(given);
  if (/^\+?\d+$/.test(given) && size >= 1) return size;
  throw new UsageError(
    `--batch-size must be a whole number of at least 1, or auto, got '${given}'`,
  );
}

/** In one form, whatever was typed. */
function cropOf(given: string | undefined): string | undefined {
  if (given === undefined) return undefined;
  const [, height = "", width = height] = /^([1-9]\d{0,4})(?:[xX]([1-9]\d{0,4}))?$/.exec(given) ??
    [];
  if (height !== "") return `${height}x${width}`;
  throw new UsageError(
    `--crop must be a number of pixels, such as 256, or a height and a width, such as 192x256, got ` +
      `'${given}'`,
  );
}

/** The size of the crops of a recipe. */
export function cropSize({ crop }: Pick<Recipe, "crop">): ImageSize | undefined {
  if (crop === null) return undefined;
  const [height = 1, width = 1] = crop.split("x").map(Number);
  return { height, width };
}

/** The optimizer of a recipe. */
export function makeOptimizer({ optimizer }: Pick<Recipe, "optimizer">): Optimizer {
  switch (optimizer) {
    case "rmsprop":
      return rmsprop({ momentum: 0.9, weightDecay: 1e-8 });
    case "sgd":
      return sgd({ momentum: 0.9, weightDecay: 1e-8 });
    case "adamw":
      return adamw();
  }
}

/** The limits on gradients of a recipe. */
export function clippingOf({ clip }: Pick<Recipe, "clip">): Clipping {
  if (clip === null) return { clipValue: CLIP_VALUE };
  return clip === 0 ? {} : { clipNorm: clip };
}

/** The schedule of a recipe for a run of `batches` batches, `perEpoch` an epoch. */
export function makeSchedule(
  { schedule, learningRate, warmup }: Pick<Recipe, "schedule" | "learningRate" | "warmup">,
  batches: number,
  perEpoch: number,
): Schedule {
  const rising = Math.round((warmup ?? 0) * perEpoch);
  if (schedule === "cosine") {
    const share = warmup === null ? COSINE_WARM_UP : Math.min(1, rising / batches);
    return new OneCycle(learningRate, batches, { rising: share });
  }
  const inner = schedule === "poly"
    ? new Poly(learningRate, batches)
    : new ReduceOnPlateau(learningRate);
  return rising > 0 ? new WarmUp(inner, rising) : inner;
}
