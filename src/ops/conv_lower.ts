/**
 * The steps of a convolution in each kernel family: forward, gradient of one input, gradient of the
 * weight. Tensors come from the node that is lowered.
 * @module
 */
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import type { LowerContext, LowerTarget } from "../graph/lower.ts";
import type { BufferMemory, TextureMemory } from "../graph/memory.ts";
import { clearBorder } from "./clear_border.ts";
import { directForward, directInputGrad, directWeightGrad } from "./conv_direct.ts";
import { gemmForward, gemmInputGrad } from "./conv_gemm.ts";
import { gemmWeightGrad } from "./conv_gemm_weight_grad.ts";
import type { ConvShape } from "./conv_shape.ts";
import {
  type ConvDims,
  fitsTextureFamily,
  inputGradDims,
  packedWeightGeometry,
  packInputGradWeights,
  packWeights,
  textureForward,
  textureWeightGrad,
} from "./conv_texture.ts";

/** Kernels of one kind of adapter. */
export type ConvFamily = "texture" | "direct" | "gemm";

/** The kernel family for a convolution on a device. */
export function chooseConvFamily(target: LowerTarget, shape: ConvShape): ConvFamily {
  if (target.kernelFamily === "gpu") return "gemm";
  const dims = textureDims(shape);
  return dims && fitsTextureFamily(dims, target.maxTextureDimension) ? "texture" : "direct";
}

/** The texture family's view of a convolution; none where its kernels do not apply. */
function textureDims(shape: ConvShape): ConvDims | undefined {
  const [kernel, kw] = shape.kernel;
  if (kernel !== kw || (kernel !== 1 && kernel !== 3)) return undefined;
  const isUnit = [...shape.stride, ...shape.dilation].every((n) => n === 1);
  if (!isUnit || shape.padding.some((n) => n !== (kernel - 1) / 2)) return undefined;
  const [height, width] = shape.inputSize;
  const { batch, inputChannels, outputChannels } = shape;
  return { batch, height, width, inputChannels, outputChannels, kernel };
}

/** y = conv(concat(inputs), weight) + bias. */
export function lowerForward(
  context: LowerContext,
  shape: ConvShape,
  inputs: readonly Tensor[],
  weight: Tensor,
  bias: Tensor | undefined,
  output: Tensor,
): void {
  const biases = bias ? [bias] : [];
  const dims = texture(context, shape);
  if (dims) {
    const limit = context.target.maxTextureDimension;
    const staged = context.stage(inputs);
    const packed = packToTexture(context, dims, packWeights(dims, limit), weight);
    const spec = textureForward(dims, limit, bias !== undefined);
    context.dispatch(spec, [staged, packed, output, ...biases]);
    clearBorder(context, output);
    return;
  }
  if (isGemm(context, shape)) {
    const spec = gemmForward(shape, bias !== undefined);
    const packed = context.scratch("packed", spec.packedBytes);
    context.dispatch(spec.pack, [weight, packed]);
    context.dispatch(spec.gemm, [...inputs, packed, output, ...biases]);
    clearBorder(context, output);
    return;
  }
  const spec = directForward(shape, bias !== undefined);
  const packed = context.scratch("packed", spec.packedBytes);
  context.dispatch(spec.pack, [weight, packed]);
  context.dispatch(spec.gather, [...inputs, packed, output, ...biases]);
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
  const biases = bias ? [bias] : [];
  const dims = texture(context, shape);
  if (dims) {
    const limit = context.target.maxTextureDimension;
    const adjoint = inputGradDims(dims, segment);
    const staged = context.stage([gradient]);
    const pack = packInputGradWeights(dims, segment, limit);
    const packed = packToTexture(context, adjoint, pack, weight);
    const spec = textureForward(adjoint, limit, bias !== undefined);
    context.dispatch(spec, [staged, packed, output, ...biases]);
    clearBorder(context, output);
    return;
  }
  if (isGemm(context, shape)) {
    const spec = gemmInputGrad(shape, segment, bias !== undefined);
    const packed = context.scratch("packed", spec.packedBytes);
    context.dispatch(spec.pack, [weight, packed]);
    context.dispatch(spec.gemm, [gradient, packed, output, ...biases]);
    clearBorder(context, output);
    return;
  }
  const spec = directInputGrad(shape, segment, bias !== undefined);
  const packed = context.scratch("packed", spec.packedBytes);
  context.dispatch(spec.pack, [weight, packed]);
  context.dispatch(spec.gather, [gradient, packed, output, ...biases]);
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
): void {
  const dims = texture(context, shape);
  if (dims) {
    // The gradient first: the input gradient before this has most likely staged it already.
    const stagedGradient = context.stage([gradient]);
    const staged = context.stage(inputs);
    const spec = textureWeightGrad(dims, context.target.maxTextureDimension);
    const partials = context.scratch("partials", spec.partialBytes);
    context.dispatch(spec.accumulate, [staged, stagedGradient, partials]);
    context.dispatch(spec.reduce, [partials, output]);
    return;
  }
  const spec = isGemm(context, shape)
    ? gemmWeightGrad(shape, context.target.maxBindingBytes)
    : directWeightGrad(shape, BUSY_INVOCATIONS);
  const partials = context.scratch("partials", spec.partialBytes);
  spec.accumulate.forEach((dispatch, i) => {
    const input = inputs[i];
    if (input) context.dispatch(dispatch, [input, gradient, partials]);
  });
  context.dispatch(spec.reduce, [partials, output]);
}

function texture(context: LowerContext, shape: ConvShape): ConvDims | undefined {
  return chooseConvFamily(context.target, shape) === "texture" ? textureDims(shape) : undefined;
}

function isGemm(context: LowerContext, shape: ConvShape): boolean {
  return chooseConvFamily(context.target, shape) === "gemm";
}

/** Packs weights and brings them into a texture. */
function packToTexture(
  context: LowerContext,
  dims: ConvDims,
  pack: DispatchSpec,
  weight: Tensor,
): TextureMemory {
  const { bytes, bytesPerRow, width, height } = packedWeightGeometry(
    dims,
    context.target.maxTextureDimension,
  );
  const packed: BufferMemory = context.scratch("packed", bytes);
  const target = context.scratchTexture("packed", width, height);
  context.dispatch(pack, [weight, packed]);
  context.copyToTexture({
    source: packed,
    offsetBytes: 0,
    bytesPerRow,
    target,
    x: 0,
    y: 0,
    width,
    height,
  });
  return target;
}
