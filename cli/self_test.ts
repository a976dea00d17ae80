/**
 * A check of about a second that an adapter computes right, and how fast: one train step's loss and
 * gradients of a small U-Net against PyTorch's numbers, and the rate of a 3x3 convolution.
 * @module
 */

import { queueLength, timeQueued } from "../src/bench/queued.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { differentiate } from "../src/graph/autograd.ts";
import { Graph } from "../src/graph/graph.ts";
import { compile } from "../src/graph/program.ts";
import { Stream } from "../src/nn/random.ts";
import { UNet } from "../src/nn/unet.ts";
import { conv2d } from "../src/ops/conv2d.ts";
import { crossEntropy } from "../src/ops/cross_entropy.ts";

const [HEIGHT, WIDTH, CLASSES] = [20, 28, 3];
const [WEIGHT_SEED, IMAGE_SEED] = [7, 8];

/**
 * PyTorch 1.13 in float64, in training mode, on weights drawn as PyTorch's modules do from seed 7:
 * the loss, the mean magnitude of the logits and the L2 norms of four gradients.
 */
const EXPECTED: Readonly<Record<string, number>> = {
  "loss": 1.156076216,
  "mean |logit|": 0.361107495,
  "inc.double_conv.0.weight": 0.576202734,
  "down2.maxpool_conv.1.double_conv.3.weight": 0.262896852,
  "up4.conv.double_conv.1.weight": 0.0404962162,
  "outc.conv.weight": 0.142072922,
};

/** What float32 may differ by, relative to the number; a wrong kernel is off by far more. */
const TOLERANCE = 1e-4;

/** One number of the check. */
export interface Comparison {
  readonly name: string;
  readonly found: number;
  readonly expected: number;
  /** Whether it is what PyTorch gives, up to rounding. */
  readonly right: boolean;
}

/** Runs one train step's forward and backward pass and compares it. */
export async function checkUnet(gpu: Gpu): Promise<Comparison[]> {
  const net = new UNet({ classes: CLASSES, width: 4 }, WEIGHT_SEED);
  const graph = new Graph();
  const x = graph.input("image", { shape: [1, 3, HEIGHT, WIDTH], layout: "c4" });
  const target = graph.input("labels", { shape: [1, HEIGHT, WIDTH], dtype: "u32" });
  const logits = net.forward(x, { training: true });
  const loss = crossEntropy(logits, target);
  const names = Object.keys(EXPECTED).slice(2);
  const parameters = names.map((name) => graph.parameter(net.store.get(name)));
  const gradients = differentiate(loss, parameters);
  const outputs = Object.fromEntries(
    parameters.map((parameter, i) => [names[i] ?? "", gradients.get(parameter) ?? parameter]),
  );
  using program = await compile(gpu, graph, {
    outputs: { loss, logits, ...outputs },
    stores: [net.store],
  });
  // Memory that a kernel forgets to write then shows in the numbers.
  program.fill(NaN);
  const stream = new Stream(IMAGE_SEED);
  program.write("image", Float32Array.from({ length: 3 * HEIGHT * WIDTH }, () => stream.next()));
  program.write(
    "labels",
    Uint32Array.from({ length: HEIGHT * WIDTH }, (_, i) => {
      const [row, column] = [Math.floor(i / WIDTH), i % WIDTH];
      return ((row >> 2) + (column >> 2)) % CLASSES;
    }),
  );
  program.run();
  const found: Record<string, number> = {
    "loss": (await program.read("loss"))[0] ?? NaN,
    "mean |logit|": meanMagnitude(await program.read("logits")),
  };
  for (const name of names) found[name] = norm(await program.read(name));
  return Object.entries(EXPECTED).map(([name, expected]) => {
    const value = found[name] ?? NaN;
    const right = Math.abs(value - expected) <= TOLERANCE * Math.abs(expected);
    return { name, found: value, expected, right };
  });
}

/** How fast a convolution runs. */
export interface Rate {
  /** 10^9 floating-point operations a second, a multiply-add counted as two. */
  readonly gflops: number;
  /** The first run, shaders compiled. */
  readonly coldMs: number;
}

const [CHANNELS, SIDE] = [64, 128];
/** Runs for a first guess; a GPU does so many while one waits for it. */
const FIRST_RUNS = 4;

/** Times a 3x3 convolution of 64 channels at 128x128 pixels. */
export async function measureConv(gpu: Gpu): Promise<Rate> {
  const graph = new Graph();
  const stream = new Stream(1);
  const shape = [1, CHANNELS, SIDE, SIDE];
  const x = graph.input("image", { shape, layout: "c4" });
  const weightShape = [CHANNELS, CHANNELS, 3, 3];
  const weight = graph.constant(
    "weight",
    weightShape,
    stream.uniform(CHANNELS * CHANNELS * 9, 0.1),
  );
  const y = conv2d(x, weight, undefined, { padding: 1 });
  const started = performance.now();
  using program = await compile(gpu, graph, { outputs: { y } });
  program.write("image", stream.uniform(CHANNELS * SIDE * SIDE, 1));
  program.run();
  await gpu.idle();
  const coldMs = performance.now() - started;
  const guessMs = await timeQueued(gpu, FIRST_RUNS, () => program.run());
  const runMs = await timeQueued(gpu, queueLength(guessMs), () => program.run());
  const flops = 2 * CHANNELS * CHANNELS * 9 * SIDE * SIDE;
  return { gflops: flops / runMs / 1e6, coldMs };
}

function meanMagnitude(values: Float32Array): number {
  return values.reduce((sum, value) => sum + Math.abs(value), 0) / values.length;
}

function norm(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}
