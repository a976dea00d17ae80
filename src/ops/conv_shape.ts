/**
 * The sizes of a convolution, shared by all kernel families. A transposed convolution is described
 * by the convolution it is the adjoint of: its input is that one's output.
 * @module
 */
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";

/** Height first, as in PyTorch. */
export type Pair = readonly [height: number, width: number];

/** A convolution from `inputSize` to `outputSize`. */
export interface ConvShape {
  readonly batch: number;
  /** Channels of each concatenated input, in order; one to four of them. */
  readonly inputChannels: readonly number[];
  readonly inputSize: Pair;
  readonly outputChannels: number;
  readonly outputSize: Pair;
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
  readonly dilation: Pair;
}

/** Channels of all inputs together. */
export function totalInputChannels(shape: ConvShape): number {
  return shape.inputChannels.reduce((sum, channels) => sum + channels, 0);
}

/** Multiplications and additions of one direction of a convolution. */
export function convFlops(shape: ConvShape): number {
  const [height, width] = shape.outputSize;
  const [kh, kw] = shape.kernel;
  return 2 * shape.batch * height * width * shape.outputChannels * totalInputChannels(shape) * kh *
    kw;
}

/** The output extent of a convolution along one axis. */
export function convOutputSize(
  size: number,
  kernel: number,
  stride: number,
  padding: number,
  dilation: number,
): number {
  return Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

/** A setting given as one number or one for each axis. */
export function pairOf(
  op: string,
  name: string,
  value: number | Pair | undefined,
  otherwise: number,
  least: number,
): Pair {
  const pair: Pair = typeof value === "object" ? value : [value ?? otherwise, value ?? otherwise];
  if (pair.length !== 2 || pair.some((n) => !Number.isInteger(n) || n < least)) {
    throw new ShapeError(
      `${op} got ${name} ${
        pair.join("x")
      }, expected one or two whole numbers of at least ${least}.`,
    );
  }
  return pair;
}

/** The dimensions of an image tensor. */
export function imageDims(op: string, x: Tensor): [number, number, number, number] {
  const [n, c, h, w] = x.shape;
  if (
    x.shape.length !== 4 || x.layout !== "c4" || n === undefined || c === undefined ||
    h === undefined || w === undefined
  ) {
    throw new ShapeError(
      `${op} got "${x.label}" ${x.describe()} in layout ${x.layout}, expected an image tensor ` +
        "[N,C,H,W] in layout c4.",
    );
  }
  return [n, c, h, w];
}

/** Checks weight and bias and returns the weight's dimensions. */
export function weightDims(
  op: string,
  weight: Tensor,
  bias: Tensor | undefined,
  biasAxis: 0 | 1,
): [number, number, number, number] {
  const [a, b, kh, kw] = weight.shape;
  if (
    weight.shape.length !== 4 || weight.layout !== "flat" || weight.dtype !== "f32" ||
    a === undefined || b === undefined || kh === undefined || kw === undefined
  ) {
    throw new ShapeError(
      `${op} got weight "${weight.label}" ${weight.describe()} in layout ${weight.layout}, ` +
        `expected ${biasAxis === 0 ? "[O,I,kH,kW]" : "[I,O,kH,kW]"} in layout flat.`,
    );
  }
  const channels = biasAxis === 0 ? a : b;
  if (bias && (bias.shape.join() !== `${channels}` || bias.layout !== "flat")) {
    throw new ShapeError(
      `${op} got bias "${bias.label}" ${bias.describe()}, but weight "${weight.label}" ` +
        `${weight.describe()} makes ${channels} channels; expected shape [${channels}].`,
    );
  }
  return [a, b, kh, kw];
}
