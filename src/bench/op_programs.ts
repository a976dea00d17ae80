/**
 * The programs whose ops are measured one by one: a U-Net's train step, and what a step may have in
 * place of its loss and its image: focal loss, soft Dice, augmentation.
 * @module
 */
import { differentiate, parameterGradients } from "../graph/autograd.ts";
import { Graph, type Tensor } from "../graph/graph.ts";
import type { HostValues } from "../graph/host_values.ts";
import type { ParameterStore } from "../graph/store.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import { rmsprop } from "../nn/optimizers.ts";
import { Stream } from "../nn/random.ts";
import { UNet } from "../nn/unet.ts";
import type { UnetConfig } from "../nn/unet_spec.ts";
import { augment, TRANSFORM_FLOATS } from "../ops/augment.ts";
import { crossEntropy, focalLoss } from "../ops/cross_entropy.ts";
import { softDice } from "../ops/soft_dice.ts";
import { IGNORED } from "../train/metrics.ts";
import { benchBatch } from "./step.ts";

/** A recorded program with values for its inputs. */
export interface OpProgram {
  graph: Graph;
  /** What is to be computed; all ops on the way there are measured. */
  outputs: readonly Tensor[];
  inputs: Readonly<Record<string, HostValues>>;
  /** Of the parameters, where it has some. */
  store?: ParameterStore;
}

const [SEED, CLASSES] = [1234, 23];

/** The settings of the train step's optimizer, RMSprop. */
export const RMSPROP = { alpha: 0.99, eps: 1e-8, weightDecay: 1e-8, learningRate: 0.01 } as const;

/** Records the train step of a network. */
export function recordTrainStep(
  network: Pick<UnetConfig, "model" | "width" | "upsample">,
  shape: BatchShape,
): OpProgram & { store: ParameterStore } {
  const { batch, height, width } = shape;
  const net = new UNet({ classes: CLASSES, ...network }, SEED);
  const { store } = net;
  const graph = new Graph();
  const image = graph.input("image", { shape: [batch, 3, height, width], layout: "c4" });
  const labels = graph.input("labels", { shape: [batch, height, width], dtype: "u32" });
  const loss = crossEntropy(net.forward(image, { training: true }), labels);
  const optimizer = rmsprop(RMSPROP);
  optimizer.record(graph, store, parameterGradients(loss, store));
  const state = optimizer.stepState(RMSPROP.learningRate, 1);
  return { graph, outputs: [loss], inputs: { ...benchBatch(shape), optimizer: state }, store };
}

/** Records augmentation, focal loss and soft Dice, with the gradients of both. */
export function recordExtras(shape: BatchShape): OpProgram {
  const { batch, height, width } = shape;
  const slot = Math.ceil(height * width / 4) * 4;
  const graph = new Graph();
  const pixels = graph.input("pixels", { shape: [batch, slot], dtype: "u32" });
  const labels = graph.input("labels", { shape: [batch, slot / 4], dtype: "u32" });
  const transforms = graph.input("transforms", { shape: [batch, TRANSFORM_FLOATS] });
  const view = { height, width, ignoreIndex: IGNORED };
  const { image, ids } = augment(pixels, labels, transforms, view);
  const logits = graph.input("logits", { shape: [batch, CLASSES, height, width], layout: "c4" });
  const options = { ignoreIndex: IGNORED };
  const losses = [focalLoss(logits, ids, options), softDice(logits, ids, options)];
  const gradients = losses.flatMap((loss) => [...differentiate(loss, [logits]).values()]);
  return {
    graph,
    outputs: [image, ...losses, ...gradients],
    inputs: {
      ...photos(shape, slot),
      transforms: transformsOf(shape),
      logits: new Stream(SEED).uniform(batch * CLASSES * height * width, 3),
    },
  };
}

/**
 * The benchmark's images as RGBA bytes and labels as bytes, each image in a slot of its own.
 * Neighbours differ in their labels, so that a wrong neighbour is noticed.
 */
function photos(
  shape: BatchShape,
  slot: number,
): { pixels: Uint8Array; labels: Uint8Array } {
  const { image } = benchBatch(shape);
  const area = shape.height * shape.width;
  const pixels = new Uint8Array(shape.batch * slot * 4).fill(255);
  const ids = new Uint8Array(shape.batch * slot);
  for (let n = 0; n < shape.batch; n++) {
    for (let i = 0; i < area; i++) {
      ids[n * slot + i] = (7 * i + n) % CLASSES;
      for (let c = 0; c < 3; c++) {
        const value = 255 * (image[(n * 3 + c) * area + i] ?? 0);
        pixels[(n * slot + i) * 4 + c] = Math.min(255, Math.max(0, Math.round(value)));
      }
    }
  }
  return { pixels, labels: ids };
}

/**
 * Images turned by 13 degrees about their middle, whose corners then come from outside, every other
 * one mirrored. All coordinates are multiples of 1/128 and none is half a pixel: so they are exact
 * in float32, and rounding never decides which pixel is the nearest.
 */
function transformsOf({ batch, height, width }: BatchShape): Float32Array {
  const values: number[] = [];
  for (let n = 0; n < batch; n++) {
    const mirror = n % 2 === 0 ? 1 : -1;
    for (const [p, q, size] of [[62 * mirror, -14, width], [14 * mirror, 62, height]] as const) {
      const first = 32 * (size - 1) - (p * (width - 1) + q * (height - 1)) / 2;
      values.push(p / 64, q / 64, Math.round(first) / 64 + 1 / 128, size);
    }
    values.push(1.1, -0.05, 0.02, -0.03, 0.04, 0.9, 0.06, 0.01, -0.07, 0.03, 1.05, 0.02);
  }
  return Float32Array.from(values);
}
