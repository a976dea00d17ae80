/**
 * 2-D transposed convolution (PyTorch: `conv_transpose2d`, groups 1), the adjoint of `conv2d`:
 * every x[n,c,i,j] adds w[c,o,u,v] x[n,c,i,j] to y[n, o, i*s - p + u*d, j*s - p + v*d].
 * @module
 */
import { type Array64, dims4, type Pair, zeros } from "./array.ts";

export interface ConvTranspose2dOptions {
  /** Default [1, 1]. */
  stride?: Pair;
  /** Rows and columns cut off both sides of the output, default [0, 0]. */
  padding?: Pair;
  /** Rows and columns added at the bottom and right, below stride or dilation; default [0, 0]. */
  outputPadding?: Pair;
  /** Default [1, 1]. */
  dilation?: Pair;
}

/** The output extent of a transposed convolution along one axis. */
export function convTransposeOutputSize(
  input: number,
  kernel: number,
  stride: number,
  padding: number,
  outputPadding: number,
  dilation: number,
): number {
  if (outputPadding >= Math.max(stride, dilation)) {
    throw new RangeError(
      `convTranspose2d was given output padding ${outputPadding}, ` +
        `expected less than stride ${stride} or dilation ${dilation}.`,
    );
  }
  return (input - 1) * stride - 2 * padding + dilation * (kernel - 1) + outputPadding + 1;
}

/** Takes `x` `[N, I, H, W]` with `weight` `[I, O, kH, kW]` and `bias` `[O]` to `[N, O, H', W']`. */
export function convTranspose2d(
  x: Array64,
  weight: Array64,
  bias: Array64 | undefined,
  options: ConvTranspose2dOptions = {},
): Array64 {
  const { stride: [sh, sw] = [1, 1], padding: [ph, pw] = [0, 0], dilation: [dh, dw] = [1, 1] } =
    options;
  const [outputPadH, outputPadW] = options.outputPadding ?? [0, 0];
  const [n, channels, h, w] = dims4("convTranspose2d", x);
  const [inChannels, outChannels, kh, kw] = dims4("convTranspose2d", weight);
  if (inChannels !== channels) {
    throw new RangeError(
      `convTranspose2d was given ${channels} channels, its weight expects ${inChannels}.`,
    );
  }
  const oh = convTransposeOutputSize(h, kh, sh, ph, outputPadH, dh);
  const ow = convTransposeOutputSize(w, kw, sw, pw, outputPadW, dw);
  const y = zeros([n, outChannels, oh, ow]);
  for (let image = 0; image < n; image++) {
    for (let o = 0; o < outChannels; o++) {
      const yPlane = (image * outChannels + o) * oh * ow;
      y.data.fill(bias?.data[o] ?? 0, yPlane, yPlane + oh * ow);
      for (let c = 0; c < channels; c++) {
        const xPlane = (image * channels + c) * h * w;
        for (let u = 0; u < kh; u++) {
          for (let v = 0; v < kw; v++) {
            const tap = weight.data[((c * outChannels + o) * kh + u) * kw + v]!;
            for (let i = 0; i < h; i++) {
              const row = i * sh - ph + u * dh;
              if (row < 0 || row >= oh) continue;
              for (let j = 0; j < w; j++) {
                const column = j * sw - pw + v * dw;
                if (column < 0 || column >= ow) continue;
                y.data[yPlane + row * ow + column]! += tap * x.data[xPlane + i * w + j]!;
              }
            }
          }
        }
      }
    }
  }
  return y;
}

/** The gradients of {@linkcode convTranspose2d} for the input, the weight and the bias `[O]`. */
export function convTranspose2dBackward(
  gradOutput: Array64,
  x: Array64,
  weight: Array64,
  options: ConvTranspose2dOptions = {},
): { x: Array64; weight: Array64; bias: Array64 } {
  const { stride: [sh, sw] = [1, 1], padding: [ph, pw] = [0, 0], dilation: [dh, dw] = [1, 1] } =
    options;
  const [n, channels, h, w] = dims4("convTranspose2dBackward", x);
  const [, outChannels, kh, kw] = dims4("convTranspose2dBackward", weight);
  const [, , oh, ow] = dims4("convTranspose2dBackward", gradOutput);
  const gradX = zeros(x.shape);
  const gradWeight = zeros(weight.shape);
  const gradBias = zeros([outChannels]);
  for (let image = 0; image < n; image++) {
    for (let o = 0; o < outChannels; o++) {
      const yPlane = (image * outChannels + o) * oh * ow;
      for (let p = 0; p < oh * ow; p++) gradBias.data[o]! += gradOutput.data[yPlane + p]!;
      for (let c = 0; c < channels; c++) {
        const xPlane = (image * channels + c) * h * w;
        for (let u = 0; u < kh; u++) {
          for (let v = 0; v < kw; v++) {
            const index = ((c * outChannels + o) * kh + u) * kw + v;
            const tap = weight.data[index]!;
            let gradTap = 0;
            for (let i = 0; i < h; i++) {
              const row = i * sh - ph + u * dh;
              if (row < 0 || row >= oh) continue;
              for (let j = 0; j < w; j++) {
                const column = j * sw - pw + v * dw;
                if (column < 0 || column >= ow) continue;
                const grad = gradOutput.data[yPlane + row * ow + column]!;
                gradX.data[xPlane + i * w + j]! += tap * grad;
                gradTap += x.data[xPlane + i * w + j]! * grad;
              }
            }
            gradWeight.data[index]! += gradTap;
          }
        }
      }
    }
  }
  return { x: gradX, weight: gradWeight, bias: gradBias };
}
