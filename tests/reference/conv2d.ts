/**
 * 2-D cross-correlation (PyTorch: `conv2d`, groups 1, zero padding):
 * y[n,o,i,j] = b[o] + sum over c,u,v of w[o,c,u,v] x[n, c, i*s - p + u*d, j*s - p + v*d].
 * @module
 */
import { type Array64, dims4, type Pair, zeros } from "./array.ts";
import { concat, concatBackward } from "./concat.ts";

export interface Conv2dOptions {
  /** Default [1, 1]. */
  stride?: Pair;
  /** Zeros added on both sides, default [0, 0]. */
  padding?: Pair;
  /** Default [1, 1]. */
  dilation?: Pair;
}

/** The output extent of a convolution along one axis. */
export function convOutputSize(
  input: number,
  kernel: number,
  stride: number,
  padding: number,
  dilation: number,
): number {
  return Math.floor((input + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

/**
 * Convolves `inputs`, concatenated on channels to `[N, I, H, W]`, with `weight` `[O, I, kH, kW]` and
 * `bias` `[O]`; returns `[N, O, H', W']`.
 */
export function conv2d(
  inputs: readonly Array64[],
  weight: Array64,
  bias: Array64 | undefined,
  options: Conv2dOptions = {},
): Array64 {
  const { stride: [sh, sw] = [1, 1], padding: [ph, pw] = [0, 0], dilation: [dh, dw] = [1, 1] } =
    options;
  const x = concat(inputs);
  const [n, channels, h, w] = dims4("conv2d", x);
  const [outChannels, inChannels, kh, kw] = dims4("conv2d", weight);
  if (inChannels !== channels) {
    throw new RangeError(
      `conv2d was given ${channels} channels, its weight expects ${inChannels}.`,
    );
  }
  const oh = convOutputSize(h, kh, sh, ph, dh);
  const ow = convOutputSize(w, kw, sw, pw, dw);
  const y = zeros([n, outChannels, oh, ow]);
  for (let image = 0; image < n; image++) {
    for (let o = 0; o < outChannels; o++) {
      const yPlane = (image * outChannels + o) * oh * ow;
      y.data.fill(bias?.data[o] ?? 0, yPlane, yPlane + oh * ow);
      for (let c = 0; c < channels; c++) {
        const xPlane = (image * channels + c) * h * w;
        for (let u = 0; u < kh; u++) {
          for (let v = 0; v < kw; v++) {
            const tap = weight.data[((o * channels + c) * kh + u) * kw + v]!;
            for (let i = 0; i < oh; i++) {
              const row = i * sh - ph + u * dh;
              if (row < 0 || row >= h) continue;
              for (let j = 0; j < ow; j++) {
                const column = j * sw - pw + v * dw;
                if (column < 0 || column >= w) continue;
                y.data[yPlane + i * ow + j]! += tap * x.data[xPlane + row * w + column]!;
              }
            }
          }
        }
      }
    }
  }
  return y;
}

/** The gradients of {@linkcode conv2d} for every input, the weight and the bias `[O]`. */
export function conv2dBackward(
  gradOutput: Array64,
  inputs: readonly Array64[],
  weight: Array64,
  options: Conv2dOptions = {},
): { inputs: Array64[]; weight: Array64; bias: Array64 } {
  const { stride: [sh, sw] = [1, 1], padding: [ph, pw] = [0, 0], dilation: [dh, dw] = [1, 1] } =
    options;
  const x = concat(inputs);
  const [n, channels, h, w] = dims4("conv2dBackward", x);
  const [outChannels, , kh, kw] = dims4("conv2dBackward", weight);
  const [, , oh, ow] = dims4("conv2dBackward", gradOutput);
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
            const index = ((o * channels + c) * kh + u) * kw + v;
            const tap = weight.data[index]!;
            let gradTap = 0;
            for (let i = 0; i < oh; i++) {
              const row = i * sh - ph + u * dh;
              if (row < 0 || row >= h) continue;
              for (let j = 0; j < ow; j++) {
                const column = j * sw - pw + v * dw;
                if (column < 0 || column >= w) continue;
                const grad = gradOutput.data[yPlane + i * ow + j]!;
                gradX.data[xPlane + row * w + column]! += tap * grad;
                gradTap += x.data[xPlane + row * w + column]! * grad;
              }
            }
            gradWeight.data[index]! += gradTap;
          }
        }
      }
    }
  }
  const splits = inputs.map((input) => dims4("conv2dBackward", input)[1]);
  return { inputs: concatBackward(gradX, splits), weight: gradWeight, bias: gradBias };
}
