/**
 * 2-D transposed convolution (PyTorch: `conv_transpose2d`, one group) and its gradients: the
 * adjoint of a convolution, so each direction runs a kernel of that convolution.
 * @module
 */
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { type Conv2dOptions, convAttributes, convWeightGrad } from "./conv2d.ts";
import { lowerForward, lowerInputGrad } from "./conv_lower.ts";
import {
  convFlops,
  type ConvShape,
  imageDims,
  type Pair,
  pairOf,
  weightDims,
} from "./conv_shape.ts";
import { channelSum } from "./reduce.ts";

/** Settings of {@linkcode convTranspose2d}: one number, or [height, width]. */
export interface ConvTranspose2dOptions extends Conv2dOptions {
  /** Pixels added at the bottom and right, less than stride or dilation; default 0. */
  outputPadding?: number | Pair;
}

/**
 * Takes images [N, I, H, W] with `weight` [I, O, kH, kW] to [N, O, H', W'] with
 * H' = (H - 1) stride - 2 padding + dilation (kH - 1) + outputPadding + 1: every x[n,c,i,j] adds
 * w[c,o,u,v] x[n,c,i,j] to y[n, o, i stride - padding + u dilation, j stride - padding + v dilation].
 * @throws {ShapeError} when the shapes do not fit together.
 */
export function convTranspose2d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options: ConvTranspose2dOptions = {},
): Tensor {
  const shape = adjointShape(input, weight, bias, options);
  const [height, width] = shape.inputSize;
  const outputChannels = shape.inputChannels[0] ?? 0;
  return input.graph.record({
    op: "conv_transpose2d",
    inputs: [input, weight, ...(bias ? [bias] : [])],
    outputs: [{ shape: [shape.batch, outputChannels, height, width], layout: "c4" }],
    attributes: convAttributes(shape),
    flops: convFlops(shape),
    lower(context, node) {
      const [x, w, b] = node.inputs;
      if (x && w) lowerInputGrad(context, shape, 0, x, w, b, node.output);
    },
    backward([dy], [needsInput, needsWeight, needsBias]) {
      if (!dy) return [];
      return [
        needsInput ? inputGrad(shape, dy, weight, input) : undefined,
        needsWeight ? convWeightGrad(shape, [dy], input, weight.shape) : undefined,
        needsBias ? channelSum(dy) : undefined,
      ];
    },
  }).output;
}

/** The gradient of the input, which is the convolution of the output's gradient. */
function inputGrad(shape: ConvShape, dy: Tensor, weight: Tensor, input: Tensor): Tensor {
  return dy.graph.record({
    op: "conv_transpose2d_input_grad",
    inputs: [dy, weight],
    outputs: [{ shape: input.shape, layout: "c4" }],
    attributes: convAttributes(shape),
    flops: convFlops(shape),
    lower(context, node) {
      const [gradient, w] = node.inputs;
      if (gradient && w) lowerForward(context, shape, [gradient], w, undefined, node.output);
    },
  }).output;
}

/** The convolution that this is the adjoint of: from the transposed convolution's output. */
function adjointShape(
  input: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  options: ConvTranspose2dOptions,
): ConvShape {
  const op = "conv_transpose2d";
  const [batch, channels, height, width] = imageDims(op, input);
  const [inputChannels, outputChannels, kh, kw] = weightDims(op, weight, bias, 1);
  if (inputChannels !== channels) {
    throw new ShapeError(
      `${op} got "${input.label}" ${input.describe()} and weight "${weight.label}" ` +
        `${weight.describe()}, which expects ${inputChannels} channels.`,
    );
  }
  const stride = pairOf(op, "stride", options.stride, 1, 1);
  const padding = pairOf(op, "padding", options.padding, 0, 0);
  const dilation = pairOf(op, "dilation", options.dilation, 1, 1);
  const outputPadding = pairOf(op, "outputPadding", options.outputPadding, 0, 0);
  const sizeOf = (axis: 0 | 1, size: number, kernel: number): number => {
    if (outputPadding[axis] >= Math.max(stride[axis], dilation[axis])) {
      throw new ShapeError(
        `${op} got outputPadding ${outputPadding.join("x")}, expected less than stride ` +
          `${stride.join("x")} or dilation ${dilation.join("x")}.`,
      );
    }
    return (size - 1) * stride[axis] - 2 * padding[axis] + dilation[axis] * (kernel - 1) +
      outputPadding[axis] + 1;
  };
  return {
    batch,
    inputChannels: [outputChannels],
    inputSize: [sizeOf(0, height, kh), sizeOf(1, width, kw)],
    outputChannels: channels,
    outputSize: [height, width],
    kernel: [kh, kw],
    stride,
    padding,
    dilation,
  };
}
