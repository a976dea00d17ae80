/**
 * The benchmark step: UNetSmall on weights, input and labels that follow from formulas, so that
 * other frameworks can run the very same step.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { parameterGradients } from "../graph/autograd.ts";
import { Graph, type Tensor } from "../graph/graph.ts";
import type { ImageType } from "../graph/layout.ts";
import type { ProfileEntry } from "../graph/profile.ts";
import { compile } from "../graph/program.ts";
import { LossScale } from "../nn/loss_scale.ts";
import { type Optimizer, rmsprop } from "../nn/optimizers.ts";
import { Stream } from "../nn/random.ts";
import { UNet } from "../nn/unet.ts";
import { unetBlocks, type UnetModel } from "../nn/unet_spec.ts";
import { crossEntropy } from "../ops/cross_entropy.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import { median } from "./peers.ts";
import { medianRun } from "./profile_table.ts";
import { MOST_QUEUED, timeSteps } from "./queued.ts";

const WEIGHT_SEED = 1234;
const NOISE_SEED = 99;
const CLASSES = 23;
const LEARNING_RATE = 0.01;

/** What to measure. */
export interface StepOptions extends BatchShape {
  mode: "train" | "infer";
  /** Times taken after the first, cold step; each is that of one step, see `queued.ts`. */
  steps: number;
  /** Channels of the first level. */
  firstLevel: number;
  /** How images are kept; default f32. */
  images?: ImageType;
  /** Default `unet-small`. */
  model?: UnetModel;
  /** Profiled steps after the timed ones; default none. */
  profiledSteps?: number;
  /** Called after each wait for the device, while all memory of a step is held. */
  onStep?: () => void;
}

/** What was measured. */
export interface StepResult {
  coldMs: number;
  /** From the start of the process to the end of the first step. */
  sinceStartMs: number;
  medianMs: number;
  minMs: number;
  /** FLOPs of the convolutions over the median time. */
  gflops: number;
  plannedBytes: number;
  dispatches: number;
  /** Of the first `steps + 1` steps, the cold one first; training only. */
  losses?: number[];
  /** Mean |logit|; inference only. */
  checksum?: number;
  /** Where the time of the profiled step of median time went. */
  profile?: ProfileEntry[];
}

/** Labels in blocks of 16 pixels, and an image that shows them with some noise. */
export function benchBatch({ batch, height, width }: BatchShape): {
  image: Float32Array;
  labels: Uint32Array;
} {
  const labels = new Uint32Array(batch * height * width);
  const image = new Float32Array(batch * 3 * height * width);
  const noise = new Stream(NOISE_SEED);
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < 3; c++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const label = ((y >> 4) * 7 + (x >> 4) * 3 + n) % CLASSES;
          const value = ((label * 37 + c * 91) % 101) / 101 + 0.1 * (noise.next() - 0.5);
          image[((n * 3 + c) * height + y) * width + x] = value;
          labels[(n * height + y) * width + x] = label;
        }
      }
    }
  }
  return { image, labels };
}

/** FLOPs of all convolutions of a forward pass; multiply and add counted as two. */
function convolutionFlops(net: UNet, { batch, height, width }: BatchShape): number {
  const { encoder, decoder, head } = unetBlocks(net.config);
  const area = (level: number) => Math.floor(height / 2 ** level) * Math.floor(width / 2 ** level);
  const double = (b: { in: number; mid: number; out: number }) =>
    9 * (b.in * b.mid + b.mid * b.out);
  let macs = head.in * head.out * area(0);
  encoder.forEach((block, level) => macs += double(block) * area(level));
  for (const { up, skip, conv } of decoder) {
    macs += double(conv) * area(skip);
    if (up) macs += up.in * up.out * 4 * area(skip + 1);
  }
  return 2 * macs * batch;
}

/** A recorded step. */
export interface RecordedStep {
  net: UNet;
  graph: Graph;
  optimizer: Optimizer;
  /** Of a train step with images of 16 bits, as in training; to be uploaded before the first run. */
  lossScale?: LossScale;
  /** `loss`, or at inference `logits`. */
  outputs: Record<string, Tensor>;
}

/** Records the step. */
export function recordStep(options: Omit<StepOptions, "steps">): RecordedStep {
  const { batch, height, width, mode, model = "unet-small" } = options;
  const net = new UNet({ classes: CLASSES, width: options.firstLevel, model }, WEIGHT_SEED);
  const graph = new Graph(options.images ? { images: options.images } : {});
  const x = graph.input("image", { shape: [batch, 3, height, width], layout: "c4" });
  const logits = net.forward(x, { training: mode === "train" });
  const optimizer = rmsprop({ momentum: 0.9, weightDecay: 1e-8 });
  if (mode === "infer") return { net, graph, optimizer, outputs: { logits } };
  const target = graph.input("labels", { shape: [batch, height, width], dtype: "u32" });
  const loss = crossEntropy(logits, target);
  const lossScale = options.images === "f16" ? new LossScale() : undefined;
  const gradients = parameterGradients(loss, net.store, lossScale?.seed(graph));
  optimizer.record(graph, net.store, gradients, undefined, lossScale);
  return { net, graph, optimizer, outputs: { loss }, ...(lossScale ? { lossScale } : {}) };
}

/**
 * Runs the step once, which includes planning and compiling, and then until `options.steps` times are
 * taken.
 */
export async function benchStep(gpu: Gpu, options: StepOptions): Promise<StepResult> {
  const started = performance.now();
  const { net, graph, optimizer, outputs, lossScale } = recordStep(options);
  const training = options.mode === "train";
  using program = await compile(gpu, graph, {
    outputs,
    stores: [net.store],
    ...(training ? { historyOf: "loss", historyLength: MOST_QUEUED } : {}),
  });
  const { image, labels } = benchBatch(options);
  program.write("image", image);
  if (training) program.write("labels", labels);
  lossScale?.upload(gpu);

  const runStep = (step: number) => {
    if (training) program.write("optimizer", optimizer.stepState(LEARNING_RATE, step + 1));
    program.run();
  };
  runStep(0);
  await gpu.idle();
  const coldMs = performance.now() - started;
  const sinceStartMs = Date.now() - performance.timeOrigin;
  const losses: number[] = [];
  const onGroup = async (steps: number) => {
    if (training && losses.length <= options.steps) losses.push(...await program.history(steps));
    options.onStep?.();
  };
  await onGroup(1);
  const times = await timeSteps(gpu, options.steps, (i) => runStep(1 + i), onGroup);
  const medianMs = median(times);
  // By convention a train step counts three times the forward pass.
  const flops = convolutionFlops(net, options) * (training ? 3 : 1);
  const result: StepResult = {
    coldMs,
    sinceStartMs,
    medianMs,
    minMs: Math.min(...times),
    gflops: flops / medianMs / 1e6,
    plannedBytes: program.plannedBytes,
    dispatches: program.dispatches,
  };
  if (training) result.losses = losses.slice(0, options.steps + 1);
  else result.checksum = meanAbsolute(await program.read("logits"));
  const runs: ProfileEntry[][] = [];
  for (let run = 0; run < (options.profiledSteps ?? 0); run++) runs.push(await program.profile());
  if (runs.length > 0) result.profile = medianRun(runs);
  lossScale?.destroy();
  return result;
}

function meanAbsolute(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += Math.abs(value);
  return sum / values.length;
}
