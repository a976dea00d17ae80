/**
 * Networks without biases in front of batch norm, as milesial/Pytorch-UNet has them since 3.0.
 * @module
 */
import { unetTensors } from "../nn/unet_spec.ts";
import type { Checkpoint } from "./checkpoint.ts";

/**
 * The same network without the biases in front of batch norm: what they add, batch norm subtracts
 * again with the mean, so taking each off its running mean changes no answer beyond rounding.
 */
export function withoutConvBias(checkpoint: Checkpoint): Checkpoint {
  const tensors = new Map(checkpoint.tensors);
  for (const { name, role, optional } of unetTensors(checkpoint.config)) {
    const bias = tensors.get(name);
    if (role !== "conv-bias" || !optional || !bias) continue;
    const mean = name.replace(
      /\.(\d)\.bias$/,
      (_, layer: string) => `.${Number(layer) + 1}.running_mean`,
    );
    const running = tensors.get(mean);
    if (!running) continue;
    tensors.set(mean, running.map((value, channel) => value - (bias[channel] ?? 0)));
    tensors.delete(name);
  }
  return { ...checkpoint, tensors };
}
