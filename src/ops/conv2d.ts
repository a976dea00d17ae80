/**
 * 2-D convolution (PyTorch: `conv2d`, one group, zero padding) and its gradients.
 * @module
 */
import { ShapeError } from "../errors.ts";
import type { Attributes, Joint, Tensor } from "../graph/graph.ts";
import { concatParts } from "./concat.ts";
import { lowerNormalizedConv } from "./conv_batch_norm.ts";
import { ConvGradients } from "./conv_joint_grads.ts";
import {
  canPrepare,
  canPrepareImages,
  chooseConvFamily,
  lowerForward,
  lowerInputGrad,
  lowerWeightGrad,
} from "./conv_lower.ts";
import { firstInput, ownInputs } from "./conv_prologue.ts";
import {
  convFlops,
  convOutputSize,
  type ConvShape,
  imageDims,
  type Pair,
  pairOf,
  totalInputChannels,
  weightDims,
} from "./conv_shape.ts";
import { scale } from "./elementwise.ts";
import { channelSum } from "./reduce.ts";

export { chooseConvFamily };

/** Settings of {@linkcode conv2d}: one number, or [height, width]. */
export interface Conv2dOptions {
  /** Default 1. */
  stride?: number | Pair;
  /** Zeros on each side; default 0. */
  padding?: number | Pair;
  /** Input pixels from one tap to the next; default 1. */
  dilation?: number | Pair;
}

/**
 * Convolves images [N, I, H, W] with `weight` [O, I, kH, kW], to [N, O, H', W'] with
 * H' = floor((H + 2 padding - dilation (kH - 1) - 1) / stride) + 1:
 * y[n,o,i,j] = bias[o] + sum over c,u,v of
 * w[o,c,u,v] x[n, c, i stride - padding + u dilation, j stride - padding + v dilation].
 *
 * The output of a `concat` is never built for it: its parts are read where they are.
 * @throws {ShapeError} when the shapes do not fit together.
 */
export function conv2d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options: Conv2dOptions = {},
): Tensor {
  const shape = shapeOf(input, weight, bias, options);
  const parts = concatParts(input);
  const [height, width] = shape.outputSize;
  return input.graph.record({
    op: "conv2d",
    inputs: [...parts, weight, ...(bias ? [bias] : [])],
    outputs: [{ shape: [shape.batch, shape.outputChannels, height, width], layout: "c4" }],
    attributes: convAttributes(shape),
    flops: convFlops(shape),
    // What normalises its own results has inputs of its own behind the others.
    takesPrologue: (node, target) =>
      node.attributes.normalize !== true && canPrepare(target, shape, "forward"),
    lower(context, node) {
      const inputs = node.inputs.slice(0, parts.length);
      const [w, ...rest] = node.inputs.slice(parts.length);
      const b = bias && rest[0];
      const [x] = inputs;
      if (!w || !x) return;
      if (node.attributes.normalize === true) {
        lowerNormalizedConv(context, node, { shape, inputs, weight: w, bias: b });
        return;
      }
      const isPrepared = canPrepareImages(context, shape, "forward", x, node.output);
      const [first, preparation] = firstInput(context, node, x, isPrepared);
      const sources = [first, ...inputs.slice(1)];
      lowerForward(context, shape, sources, w, b, node.output, { preparation });
    },
    backward([dy], needs) {
      if (!dy) return [];
      const [needsWeight, needsBias] = needs.slice(parts.length);
      // The weight's first: after it the inputs need not be kept, and theirs are not there yet.
      const joint = new ConvGradients(shape);
      const dWeight = needsWeight
        ? convWeightGrad(shape, parts, dy, weight.shape, joint)
        : undefined;
      const dBias = needsBias && bias ? biasGrad(dy, bias) : undefined;
      return [
        ...parts.map((x, i) => needs[i] ? inputGrad(shape, i, dy, weight, x, joint) : undefined),
        dWeight,
        dBias,
      ].slice(0, needs.length);
    },
  }).output;
}

/** The gradient of one input from that of the output. */
function inputGrad(
  shape: ConvShape,
  segment: number,
  dy: Tensor,
  weight: Tensor,
  input: Tensor,
  joint: Joint,
): Tensor {
  const ownChannels = shape.inputChannels[segment] ?? 0;
  return dy.graph.record({
    op: "conv2d_input_grad",
    inputs: [dy, weight],
    outputs: [{ shape: input.shape, layout: "c4" }],
    attributes: { ...convAttributes(shape), segment },
    flops: convFlops(shape) * ownChannels / totalInputChannels(shape),
    joint,
    lower(context, node) {
      const [gradient, w] = node.inputs;
      if (gradient && w) {
        lowerInputGrad(context, shape, segment, gradient, w, undefined, node.output);
      }
    },
  }).output;
}

/**
 * The gradient of a convolution's weight, of shape `weightShape`.
 * @param inputs the concatenated inputs, [N, I_s, H, W] each
 * @param dy the output's gradient, [N, O, H', W']
 * @param joint shared with the other gradients of the convolution
 */
export function convWeightGrad(
  shape: ConvShape,
  inputs: readonly Tensor[],
  dy: Tensor,
  weightShape: readonly number[],
  joint?: Joint,
): Tensor {
  return dy.graph.record({
    op: "conv2d_weight_grad",
    inputs: [...inputs, dy],
    outputs: [{ shape: weightShape }],
    attributes: convAttributes(shape),
    flops: convFlops(shape),
    ...(joint ? { joint } : {}),
    takesPrologue: (_, target) => canPrepare(target, shape, "weightGrad"),
    lower(context, node) {
      const [x, ...others] = ownInputs(node);
      const gradient = others.pop();
      if (!x || !gradient) return;
      const isPrepared = canPrepareImages(context, shape, "weightGrad", x, gradient);
      const [first, preparation] = firstInput(context, node, x, isPrepared);
      lowerWeightGrad(context, shape, [first, ...others], gradient, node.output, preparation);
    },
  }).output;
}

/**
 * The gradient of a convolution's bias. A normalisation by statistics of the batch takes each
 * channel's mean away, and with it all that the bias adds: what it hands back sums up to 0 but for
 * rounding.
 */
function biasGrad(dy: Tensor, bias: Tensor): Tensor {
  const isCentred = dy.producer?.op === "batch_norm2d_grad_input" &&
    dy.producer.attributes.training === true;
  return isCentred ? scale(bias, 0) : channelSum(dy);
}

/** The settings of a convolution for printed graphs. */
export function convAttributes(shape: ConvShape): Attributes {
  const { kernel, stride, padding, dilation } = shape;
  return {
    kernel: kernel.join("x"),
    stride: stride.join("x"),
    padding: padding.join("x"),
    dilation: dilation.join("x"),
  };
}

function shapeOf(
  input: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  options: Conv2dOptions,
): ConvShape {
  const [batch, channels, height, width] = imageDims("conv2d", input);
  const [outputChannels, inputChannels, kh, kw] = weightDims("conv2d", weight, bias, 0);
  if (inputChannels !== channels) {
    throw new ShapeError(
      `conv2d got "${input.label}" ${input.describe()} and weight "${weight.label}" ` +
        `${weight.describe()}, which expects ${inputChannels} channels.`,
    );
  }
  const stride = pairOf("conv2d", "stride", options.stride, 1, 1);
  const padding = pairOf("conv2d", "padding", options.padding, 0, 0);
  const dilation = pairOf("conv2d", "dilation", options.dilation, 1, 1);
  const outputSize: Pair = [
    convOutputSize(height, kh, stride[0], padding[0], dilation[0]),
    convOutputSize(width, kw, stride[1], padding[1], dilation[1]),
  ];
  if (outputSize.some((size) => size < 1)) {
    throw new ShapeError(
      `conv2d got "${input.label}" ${input.describe()}, which is smaller than the kernel of weight ` +
        `"${weight.label}" ${weight.describe()}; use a larger image or more padding.`,
    );
  }
  return {
    batch,
    inputChannels: concatParts(input).map((part) => part.shape[1] ?? 0),
    inputSize: [height, width],
    outputChannels,
    outputSize,
    kernel: [kh, kw],
    stride,
    padding,
    dilation,
  };
}
