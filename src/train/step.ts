/**
 * The recorded training step: network, loss, gradients, clipping, optimizer and running average as
 * one graph.
 * @module
 */
import { parameterGradients } from "../graph/autograd.ts";
import { Graph, type Tensor } from "../graph/graph.ts";
import type { ImageType } from "../graph/layout.ts";
import type { LowerTarget } from "../graph/lower.ts";
import { planProgram, type ProgramPlan } from "../graph/program_plan.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import { LossScale } from "../nn/loss_scale.ts";
import type { Clipping, Optimizer } from "../nn/optimizers.ts";
import type { UNet } from "../nn/unet.ts";
import { arenaBlend } from "../ops/arena_blend.ts";
import { augment, TRANSFORM_FLOATS } from "../ops/augment.ts";
import { imageInput } from "../ops/image_input.ts";
import { type LossName, recordLoss } from "./losses.ts";
import { IGNORED } from "./metrics.ts";

/** What a step does with its gradients: use them, add them to others, or add and use the sum. */
export type StepKind = "whole" | "add" | "update";

/** Images of a step as the network sees them, and as they arrive. */
export interface StepShape extends BatchShape {
  /** Words for each source image where they are augmented; default: they come as they are. */
  slotPixels?: number | undefined;
}

/** How a step is to be recorded. */
export interface StepSettings {
  /** Default `ce`, the cross-entropy. */
  loss?: LossName | undefined;
  /** Limits on the gradients; default none. */
  clipping?: Clipping | undefined;
  /** What a pixel of each class counts in the loss, by class id; default 1 each. */
  classWeights?: Float32Array | undefined;
  /** Whether batch norm normalises by the batch; default true. */
  training?: boolean | undefined;
  /** A network of the same shapes that receives the running average of the weights. */
  average?: UNet | undefined;
  /** Default `whole`. */
  kind?: StepKind | undefined;
  /** How images are kept, such as activations and their gradients; default `f32`. */
  images?: ImageType | undefined;
  /** What the loss is multiplied with in the backward pass; default: it is not. */
  lossScale?: LossScale | undefined;
}

/** Name of the arena in which gradients of several batches add up. */
export const SUM_ARENA = "gradient_sum";

/**
 * Records one step; its inputs are `pixels`, `labels`, `transforms` (for augmented images),
 * `optimizer`, `accumulate` and `average`.
 */
export function recordStep(
  net: UNet,
  optimizer: Optimizer,
  shape: StepShape,
  settings: StepSettings = {},
): { graph: Graph; loss: Tensor } {
  const { clipping, classWeights, training = true, average, kind = "whole" } = settings;
  const { loss: name = "ce", images = "f32", lossScale } = settings;
  const graph = new Graph({ images });
  const { store } = net;
  const { image, ids } = recordInput(graph, net.config.channels, shape);
  const logits = net.forward(image, { training });
  const loss = recordLoss(name, logits, ids, classWeights);
  const gradients = parameterGradients(loss, store, lossScale?.seed(graph));
  if (kind !== "whole") {
    const arenas = [store.companion(SUM_ARENA), store.companion("gradients")] as const;
    const [target, source] = kind === "add" ? arenas : [arenas[1], arenas[0]];
    const coefficients = graph.input("accumulate", { shape: [2] });
    arenaBlend("accumulate", target, source, coefficients, gradients.map((g) => g.gradient));
    if (kind === "add") return { graph, loss };
  }
  optimizer.record(graph, store, gradients, clipping, lossScale);
  if (average) {
    const coefficients = graph.input("average", { shape: [2] });
    arenaBlend("average", average.store.parameters, store.parameters, coefficients);
    arenaBlend("average", average.store.statistics, store.statistics, coefficients);
  }
  return { graph, loss };
}

/** Records how images and labels come in. */
export function recordInput(
  graph: Graph,
  channels: number,
  { batch, height, width, slotPixels }: StepShape,
): { image: Tensor; ids: Tensor } {
  if (slotPixels === undefined) {
    const shape = [batch, height, width];
    const pixels = graph.input("pixels", { shape, dtype: "u32" });
    const ids = graph.input("labels", { shape, dtype: "u32" });
    return { image: imageInput(pixels, channels), ids };
  }
  const pixels = graph.input("pixels", { shape: [batch, slotPixels], dtype: "u32" });
  const labels = graph.input("labels", { shape: [batch, slotPixels / 4], dtype: "u32" });
  const transforms = graph.input("transforms", { shape: [batch, TRANSFORM_FLOATS] });
  return augment(pixels, labels, transforms, { height, width, channels, ignoreIndex: IGNORED });
}

/** What a training step would need, without a GPU; in 16 bits with a loss scale. */
export function planStep(
  net: UNet,
  optimizer: Optimizer,
  shape: StepShape,
  target: LowerTarget,
  settings: StepSettings = {},
): ProgramPlan {
  // Which scale it is changes nothing in a plan.
  const lossScale = settings.lossScale ??
    (settings.images === "f16" ? new LossScale() : undefined);
  const { graph, loss } = recordStep(net, optimizer, shape, { ...settings, lossScale });
  return planProgram(graph, { loss }, target);
}
