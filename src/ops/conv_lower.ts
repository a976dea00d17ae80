/**
 * The steps of a convolution in each kernel family: forward, gradient of one input, gradient of the
 * weight. Tensors come from the node that is lowered.
 * @module
 */
import type { Tensor } from "../graph/graph.ts";
import { storageBytes } from "../graph/layout.ts";
import type { ImageView, LowerContext, LowerTarget } from "../graph/lower.ts";
import type { BufferMemory } from "../graph/memory.ts";
import { rangesOf } from "../graph/windows.ts";
import { clearBorder } from "./clear_border.ts";
import {
  type ConvJob,
  type ConvLimits,
  imagesAtOnce,
  splitForward,
  splitInputGrad,
  splitWeightGrad,
  type WeightGradJob,
} from "./conv_windows.ts";
import { type Affine, type Finish, finishOf } from "./conv_epilogue.ts";
import { type Preparation, withCopies } from "./conv_prologue.ts";
import {
  type DirectDispatches,
  directForward,
  directInputGrad,
  directWeightGrad,
} from "./conv_direct.ts";
import { gemmForward, gemmInputGrad } from "./conv_gemm.ts";
import { gemmWeightGrad } from "./conv_gemm_weight_grad.ts";
import { type ConvShape, totalInputChannels } from "./conv_shape.ts";
import {
  type ConvDims,
  fitsTextureFamily,
  forwardOf,
  inputGradOf,
  type TextureConvolution,
  textureConvolution,
  textureWeightGrad,
} from "./conv_texture.ts";
import { suitsWinograd, winogradConvolution } from "./conv_winograd.ts";
import {
  accumulateBlocks,
  multiplyWindows,
  packWeights,
  transformWindows,
} from "./conv_winograd_lower.ts";
import { suitsWinogradWeightGrad, winogradWeightGrad } from "./conv_winograd_weight_grad.ts";
import { wholeTexture } from "./pieced_texture.ts";

/** Kernels of one kind of adapter. */
export type ConvFamily = "texture" | "direct" | "gemm";

/** The kernel family for a convolution on a device, where no part of it is too large. */
export function chooseConvFamily(target: LowerTarget, shape: ConvShape): ConvFamily {
  if (target.kernelFamily === "gpu") return "gemm";
  const dims = textureDims(shape);
  return dims && fitsTextureFamily(dims, target) ? "texture" : "direct";
}

/** The texture family's view of a convolution; none where its kernels do not apply. */
export function textureDims(shape: ConvShape): ConvDims | undefined {
  const [kernel, kw] = shape.kernel;
  if (kernel !== kw || (kernel !== 1 && kernel !== 3)) return undefined;
  const isUnit = [...shape.stride, ...shape.dilation].every((n) => n === 1);
  if (!isUnit || shape.padding.some((n) => n !== (kernel - 1) / 2)) return undefined;
  const [height, width] = shape.inputSize;
  const { batch, inputChannels, outputChannels } = shape;
  return { batch, height, width, inputChannels, outputChannels, kernel };
}

/** y = conv(concat(inputs), weight) + bias, or what `affine` makes of the convolution. */
export function lowerForward(
  context: LowerContext,
  shape: ConvShape,
  inputs: readonly Tensor[],
  weight: Tensor,
  bias: Tensor | undefined,
  output: Tensor,
  { affine, preparation }: { affine?: Affine; preparation?: Preparation | undefined } = {},
): void {
  const job = {
    shape,
    inputs: inputs.map((input) => context.view(input)),
    weight: context.memory(weight),
    bias: bias && context.memory(bias),
    affine,
    preparation,
    output: context.view(output),
  };
  const limits = forwardLimits(context.target, shape);
  splitForward(context, job, limits, (part) => forward(context, part));
}

/** The way of a convolution, or of its weight's gradient, that can prepare what it reads. */
const PREPARING = { forward: suitsWinograd, weightGrad: suitsWinogradWeightGrad };

/** Whether `most` images at once, and what is left of the batch, go a way that prepares them. */
export function canPrepare(
  target: LowerTarget,
  shape: ConvShape,
  way: keyof typeof PREPARING,
  most: number = limitsOf(target, shape).mostImages,
): boolean {
  return shape.inputChannels.length === 1 && most >= 1 &&
    rangesOf(shape.batch, most).every(({ count: batch }) => {
      const dims = textureDims({ ...shape, batch });
      return dims !== undefined && PREPARING[way](dims, target) &&
        chooseConvFamily(target, { ...shape, batch }) === "texture";
    });
}

/** The same where the images are known, which may be too large to be bound. */
export function canPrepareImages(
  context: LowerContext,
  shape: ConvShape,
  way: keyof typeof PREPARING,
  input: Tensor,
  output: Tensor,
): boolean {
  const { target } = context;
  const images = { inputs: [context.view(input)], output: context.view(output) };
  const limits = way === "forward" ? forwardLimits(target, shape) : weightGradLimits(target, shape);
  return canPrepare(target, shape, way, imagesAtOnce(context, images, limits));
}

/** Whether no image of a convolution has to be cut by channels, so that no sum comes in parts. */
export function takesWholeImages(
  context: LowerContext,
  shape: ConvShape,
  inputs: readonly Tensor[],
  output: Tensor,
): boolean {
  const images = {
    inputs: inputs.map((input) => context.view(input)),
    output: context.view(output),
  };
  return imagesAtOnce(context, images, forwardLimits(context.target, shape)) >= 1;
}

function forward(context: LowerContext, job: ConvJob): void {
  const { shape, inputs, weight, bias, affine, output } = job;
  const finish = finishOf(bias, affine);
  const dims = texture(context, shape);
  if (dims) {
    convolve(context, forwardOf(dims), job, finish);
    clearBorder(context, output);
    return;
  }
  if (isGemm(context, shape)) {
    const spec = gemmForward(shape, finish.epilogue, context.target);
    const packed = context.scratch("packed", spec.packedBytes);
    context.dispatch(spec.pack, [weight, packed]);
    const memories = inputs.map((input) => input.memory);
    context.dispatch(spec.gemm, [...memories, packed, output.memory, ...finish.operands]);
    clearBorder(context, output);
    return;
  }
  const spec = directForward(shape, finish.epilogue, context.images);
  gather(context, spec, inputs, weight, output, finish);
}

/** The gradient of input number `segment`; with a bias, a transposed convolution. */
export function lowerInputGrad(
  context: LowerContext,
  shape: ConvShape,
  segment: number,
  gradient: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  output: Tensor,
): void {
  const job = {
    shape,
    inputs: [context.view(gradient)],
    weight: context.memory(weight),
    bias: bias && context.memory(bias),
    output: context.view(output),
  };
  const limits = inputGradLimits(context.target, shape, segment);
  splitInputGrad(context, job, segment, limits, (part, segment) => {
    inputGrad(context, part, segment);
  });
}

function inputGrad(context: LowerContext, job: ConvJob, segment: number): void {
  const { shape, inputs: [gradient], weight, bias, output } = job;
  if (!gradient) throw new Error("An input gradient needs the output's gradient");
  const finish = finishOf(bias);
  const dims = texture(context, shape);
  if (dims) {
    convolve(context, inputGradOf(dims, segment), job, finish);
    clearBorder(context, output);
    return;
  }
  if (isGemm(context, shape)) {
    const spec = gemmInputGrad(shape, segment, finish.epilogue, context.target);
    const packed = context.scratch("packed", spec.packedBytes);
    context.dispatch(spec.pack, [weight, packed]);
    context.dispatch(spec.gemm, [gradient.memory, packed, output.memory, ...finish.operands]);
    clearBorder(context, output);
    return;
  }
  const spec = directInputGrad(shape, segment, finish.epilogue, context.images);
  gather(context, spec, [gradient], weight, output, finish);
}

/** Invocations that keep a software adapter busy. */
const BUSY_INVOCATIONS = 1024;

/** dW = sum over pixels of inputs times output gradient. */
export function lowerWeightGrad(
  context: LowerContext,
  shape: ConvShape,
  inputs: readonly Tensor[],
  gradient: Tensor,
  output: Tensor,
  preparation?: Preparation,
): void {
  const job = {
    shape,
    inputs: inputs.map((input) => context.view(input)),
    gradient: context.view(gradient),
    preparation,
    output: context.memory(output),
  };
  splitWeightGrad(context, job, weightGradLimits(context.target, shape), (part) => {
    weightGrad(context, part);
  });
}

function weightGrad(
  context: LowerContext,
  { shape, inputs, gradient, preparation, output, isCut }: WeightGradJob,
): void {
  const { maxBindingBytes } = context.target;
  const dims = texture(context, shape);
  if (dims) {
    if (suitsWinogradWeightGrad(dims, context.target)) {
      const prologue = preparation?.prologue;
      const spec = winogradWeightGrad(dims, context.target, undefined, false, prologue);
      const sums = context.scratch("sums", spec.sumBytes);
      const prepared = withCopies(context, preparation);
      for (const part of spec.parts) {
        const windows = transformWindows(context, part, [gradient]);
        accumulateBlocks(context, part, windows, inputs, sums, prepared);
      }
      context.dispatch(spec.finish, [context.reading("sums", sums, "f32"), output]);
      return;
    }
    if (preparation) throw new Error("Only Winograd's transforms prepare what they read");
    const spec = textureWeightGrad(dims, stagingTarget(context, isCut));
    // Where textures call for many parts, the direct kernels serve.
    if (spec.partialBytes <= maxBindingBytes) {
      const partials = context.scratch("partials", spec.partialBytes);
      for (const { part, dispatch } of spec.accumulate) {
        const stagedGradient = context.stage([gradient], part);
        context.dispatch(dispatch, [context.stage(inputs, part), stagedGradient, partials]);
      }
      context.dispatch(spec.reduce, [partials, output]);
      return;
    }
  }
  if (isGemm(context, shape)) {
    const spec = gemmWeightGrad(shape, maxBindingBytes, context.target);
    const partials = context.scratch("partials", spec.partialBytes);
    spec.accumulate.forEach((dispatch, i) => {
      const input = inputs[i];
      if (input) context.dispatch(dispatch, [input.memory, gradient.memory, partials]);
    });
    context.dispatch(spec.reduce, [partials, output]);
    return;
  }
  const spec = directWeightGrad(shape, BUSY_INVOCATIONS, maxBindingBytes, context.images);
  const partials = context.scratch("partials", spec.partialBytes);
  spec.accumulate.forEach((dispatch, i) => {
    const input = inputs[i];
    if (!input) return;
    const images = context.readings(["input", "gradient"], [input.memory, gradient.memory]);
    context.dispatch(dispatch, [...images, partials]);
  });
  context.dispatch(spec.reduce, [context.reading("partials", partials, "f32"), output]);
}

/** Images of jobs that read by way of textures: enough of them to keep threads busy. */
const COPIED_BYTES = 64 * 2 ** 20;

/**
 * How much of a convolution its kernels take at once.
 * @param takesPlanes whether those of the texture family for a shape need not bind whole images
 */
export function limitsOf(
  target: LowerTarget,
  shape: ConvShape,
  takesPlanes: (dims: ConvDims) => boolean = () => false,
): ConvLimits {
  const family = chooseConvFamily(target, shape);
  const one = textureDims({ ...shape, batch: 1 });
  const limits = {
    bindsInputs: family !== "texture",
    takesPlanes: family === "texture" && one !== undefined && takesPlanes(one),
  };
  const copies = family === "texture" ||
    (family === "direct" && (target.textureReadBytes ?? Infinity) < Infinity);
  if (!copies) return { ...limits, mostImages: shape.batch };
  const [height, width] = shape.inputSize;
  const channels = Math.max(totalInputChannels(shape), shape.outputChannels);
  const imageBytes = storageBytes([1, channels, height, width], "c4", target.images ?? "f32");
  const mostImages = Math.min(shape.batch, Math.max(1, Math.floor(COPIED_BYTES / imageBytes)));
  return { ...limits, mostImages };
}

function forwardLimits(target: LowerTarget, shape: ConvShape): ConvLimits {
  return limitsOf(target, shape, (dims) => suitsWinograd(dims, target));
}

function inputGradLimits(target: LowerTarget, shape: ConvShape, segment: number): ConvLimits {
  return limitsOf(target, shape, (dims) => suitsWinograd(inputGradOf(dims, segment).dims, target));
}

/** Some of the texture family's kernels for weight gradients bind the inputs, too. */
function weightGradLimits(target: LowerTarget, shape: ConvShape): ConvLimits {
  const limits = limitsOf(target, shape, (dims) => suitsWinogradWeightGrad(dims, target));
  return { ...limits, bindsInputs: true };
}

function texture(context: LowerContext, shape: ConvShape): ConvDims | undefined {
  return chooseConvFamily(context.target, shape) === "texture" ? textureDims(shape) : undefined;
}

function isGemm(context: LowerContext, shape: ConvShape): boolean {
  return chooseConvFamily(context.target, shape) === "gemm";
}

/** A convolution, or its adjoint, by the direct family's kernel. */
function gather(
  context: LowerContext,
  spec: DirectDispatches,
  inputs: readonly ImageView[],
  weight: BufferMemory,
  output: ImageView,
  { operands }: Finish,
): void {
  const packed = context.scratch("packed", spec.packedBytes);
  context.dispatch(spec.pack, [weight, packed]);
  context.dispatch(spec.gather, [
    ...inputs.map(({ memory }, i) => context.reading(`x${i}`, memory)),
    context.reading("weights", packed, "f32"),
    output.memory,
    ...context.readings(["epilogue"], operands, "f32"),
  ]);
}

/** A convolution of the inputs of a job by the kernels of the texture family. */
function convolve(
  context: LowerContext,
  convolution: TextureConvolution,
  { inputs, weight, output, preparation, isCut }: ConvJob,
  { epilogue, operands }: Finish,
): void {
  if (!suitsWinograd(convolution.dims, context.target)) {
    if (preparation) throw new Error("Only Winograd's transforms prepare what they read");
    const spec = textureConvolution(convolution, stagingTarget(context, isCut), epilogue);
    const packed = packWeights(context, wholeTexture(spec.packed, spec.pack), weight);
    for (const { part, dispatch } of spec.convolve) {
      context.dispatch(dispatch, [
        context.stage(inputs, part),
        packed,
        output.memory,
        ...operands,
      ]);
    }
    return;
  }
  const prologue = preparation?.prologue;
  const spec = winogradConvolution(convolution, context.target, epilogue, undefined, prologue);
  const packed = packWeights(context, spec.packed, weight);
  const prepared = withCopies(context, preparation);
  for (const part of spec.parts) {
    const windows = transformWindows(context, part, inputs, prepared);
    multiplyWindows(context, part, windows, packed, output, operands);
  }
}

/** What several jobs in a row read is staged whole for them, not in parts for each. */
function stagingTarget({ target }: LowerContext, isCut = false): LowerTarget {
  return isCut ? { ...target, stagedPartTexels: Infinity } : target;
}
