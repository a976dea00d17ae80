/**
 * Initial weights as PyTorch's modules draw them, from a seed.
 * @module
 */
import { Stream } from "./random.ts";
import { type UnetConfig, type UnetTensor, unetTensors } from "./unet_spec.ts";

/**
 * Initial values of every parameter and buffer by state_dict name, in module order. Convolution
 * weights and biases are uniform in +-1/sqrt(fan-in), drawn from one stream, weight before bias; BN
 * starts as the identity with running mean 0 and variance 1.
 *
 * Source: PyTorch's `_ConvNd.reset_parameters`, kaiming_uniform with a = sqrt(5), whose bound
 * sqrt(6 / ((1 + a^2) fan-in)) is 1/sqrt(fan-in).
 * @throws {UsageError} If a count of the configuration is not a positive whole number.
 */
export function initialTensors(
  config: UnetConfig,
  seed: number,
): Map<string, Float32Array<ArrayBuffer>> {
  const stream = new Stream(seed);
  return new Map(
    unetTensors(config).map((tensor) => [tensor.name, initialValues(tensor, stream)]),
  );
}

function initialValues(tensor: UnetTensor, stream: Stream): Float32Array<ArrayBuffer> {
  const length = tensor.shape.reduce((a, b) => a * b, 1);
  switch (tensor.role) {
    case "conv-weight":
    case "conv-bias":
      return stream.uniform(length, 1 / Math.sqrt(tensor.fanIn));
    case "bn-weight":
    case "running-var":
      return new Float32Array(length).fill(1);
    case "bn-bias":
    case "running-mean":
    case "num-batches-tracked":
      return new Float32Array(length);
  }
}
