/**
 * Batch normalisation (Ioffe and Szegedy, 2015; PyTorch: `BatchNorm2d`), over N, H and W:
 * y = weight * (x - mean) / sqrt(var + eps) + bias.
 * @module
 */
import { type Array64, dims4, zeros } from "./array.ts";

export interface BatchNorm2dOptions {
  /** Default 1e-5. */
  eps?: number;
  /** The share of the batch in the new running statistics, default 0.1. */
  momentum?: number;
}

/** The running statistics, `[C]` each. */
export interface RunningStatistics {
  mean: Array64;
  variance: Array64;
}

export interface BatchNorm2dTraining {
  y: Array64;
  /** Mean of the batch, `[C]`. */
  mean: Array64;
  /** Biased variance of the batch, `[C]`. */
  variance: Array64;
  /** The running statistics after this batch; the variance among them is unbiased. */
  running: RunningStatistics;
}

/** Calls `visit(index, channel)` for every element of an NCHW array. */
function forEachInChannel(x: Array64, visit: (index: number, channel: number) => void): void {
  const [n, channels, h, w] = dims4("batchNorm2d", x);
  for (let index = 0; index < n * channels * h * w; index++) {
    visit(index, Math.floor(index / (h * w)) % channels);
  }
}

/** Normalises `[N, C, H, W]` by the statistics of the batch. */
export function batchNorm2dTraining(
  x: Array64,
  weight: Array64,
  bias: Array64,
  running: RunningStatistics,
  { eps = 1e-5, momentum = 0.1 }: BatchNorm2dOptions = {},
): BatchNorm2dTraining {
  const [n, channels, h, w] = dims4("batchNorm2dTraining", x);
  const count = n * h * w;
  if (count < 2) {
    throw new RangeError(
      `batchNorm2dTraining was given [${x.shape}], expected more than one value a channel.`,
    );
  }
  const mean = zeros([channels]);
  const variance = zeros([channels]);
  forEachInChannel(x, (i, c) => mean.data[c]! += x.data[i]! / count);
  forEachInChannel(x, (i, c) => variance.data[c]! += (x.data[i]! - mean.data[c]!) ** 2 / count);
  const blend = (old: Array64, batch: (channel: number) => number): Array64 => ({
    shape: [channels],
    data: old.data.map((value, c) => (1 - momentum) * value + momentum * batch(c)),
  });
  return {
    y: batchNorm2dInference(x, weight, bias, { mean, variance }, { eps }),
    mean,
    variance,
    running: {
      mean: blend(running.mean, (c) => mean.data[c]!),
      variance: blend(running.variance, (c) => variance.data[c]! * count / (count - 1)),
    },
  };
}

/**
 * The gradients of {@linkcode batchNorm2dTraining}. With z = (x - mean) / sqrt(var + eps):
 * dx = weight / sqrt(var + eps) * (dy - mean(dy) - z * mean(dy * z)).
 */
export function batchNorm2dTrainingBackward(
  gradOutput: Array64,
  x: Array64,
  weight: Array64,
  { eps = 1e-5 }: BatchNorm2dOptions = {},
): { x: Array64; weight: Array64; bias: Array64 } {
  const [n, channels, h, w] = dims4("batchNorm2dTrainingBackward", x);
  const count = n * h * w;
  const unused = { mean: zeros([channels]), variance: zeros([channels]) };
  const { mean, variance } = batchNorm2dTraining(x, weight, zeros([channels]), unused, { eps });
  const { weight: gradWeight, bias: gradBias } = batchNorm2dInferenceBackward(
    gradOutput,
    x,
    weight,
    { mean, variance },
    { eps },
  );
  const gradX = zeros(x.shape);
  forEachInChannel(x, (i, c) => {
    const invStd = 1 / Math.sqrt(variance.data[c]! + eps);
    const z = (x.data[i]! - mean.data[c]!) * invStd;
    gradX.data[i] = weight.data[c]! * invStd *
      (gradOutput.data[i]! - gradBias.data[c]! / count - z * gradWeight.data[c]! / count);
  });
  return { x: gradX, weight: gradWeight, bias: gradBias };
}

/** Normalises `[N, C, H, W]` by the running statistics. */
export function batchNorm2dInference(
  x: Array64,
  weight: Array64,
  bias: Array64,
  running: RunningStatistics,
  { eps = 1e-5 }: BatchNorm2dOptions = {},
): Array64 {
  const y = zeros(x.shape);
  forEachInChannel(x, (i, c) => {
    const invStd = 1 / Math.sqrt(running.variance.data[c]! + eps);
    y.data[i] = (x.data[i]! - running.mean.data[c]!) * invStd * weight.data[c]! + bias.data[c]!;
  });
  return y;
}

/** The gradients of {@linkcode batchNorm2dInference}; the running statistics are constants. */
export function batchNorm2dInferenceBackward(
  gradOutput: Array64,
  x: Array64,
  weight: Array64,
  running: RunningStatistics,
  { eps = 1e-5 }: BatchNorm2dOptions = {},
): { x: Array64; weight: Array64; bias: Array64 } {
  const gradX = zeros(x.shape);
  const gradWeight = zeros(weight.shape);
  const gradBias = zeros(weight.shape);
  forEachInChannel(x, (i, c) => {
    const invStd = 1 / Math.sqrt(running.variance.data[c]! + eps);
    const grad = gradOutput.data[i]!;
    gradX.data[i] = grad * weight.data[c]! * invStd;
    gradWeight.data[c]! += grad * (x.data[i]! - running.mean.data[c]!) * invStd;
    gradBias.data[c]! += grad;
  });
  return { x: gradX, weight: gradWeight, bias: gradBias };
}
