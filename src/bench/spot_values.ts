/**
 * The formulas of the ops of a training step in double precision, for single elements of their
 * outputs: what `bench ops` holds the kernels to, on the very numbers that they got. Independent of
 * the kernels and of how they are chosen; whole arrays are compared in the tests.
 * @module
 */
import type { Node } from "../graph/graph.ts";
import { ownInputs, PROLOGUE } from "../ops/conv_prologue.ts";
import {
  at,
  type Exact,
  type Formula,
  inside,
  meanOver,
  perChannel,
  sumOver,
  type Values,
} from "./spot_arrays.ts";
import { AUGMENT_FORMULAS } from "./spot_augment.ts";
import { LOSS_FORMULAS } from "./spot_losses.ts";

/** The formulas of a node's outputs; `undefined` for an op that has none here. */
export function exactOutputs(
  node: Node,
  inputs: readonly Values[],
): (Exact | undefined)[] | undefined {
  const formula = Object.hasOwn(FORMULAS, node.op) ? FORMULAS[node.op] : undefined;
  return formula?.(inputs, node);
}

/**
 * What rounding errors of a node's results are relative to, where that is more than the results
 * themselves: the terms of a sum that may cancel. The sum over the gradient behind a batch norm is
 * zero but for rounding.
 */
export function termsOf({ op }: Node, [x]: readonly Values[]): number {
  if (op !== "channel_sum") return 0;
  const [, channels = 0] = x?.shape ?? [];
  let largest = 0;
  for (let c = 0; c < channels; c++) {
    largest = Math.max(largest, sumOver(x, (n, i, j) => Math.abs(at(x, n, c, i, j))));
  }
  return largest;
}

const FORMULAS: Readonly<Record<string, Formula>> = {
  ...AUGMENT_FORMULAS,
  ...LOSS_FORMULAS,
  add: ([a, b], { attributes: { alpha, beta } }) => [
    (i) => Number(alpha) * at(a, ...i) + Number(beta) * at(b, ...i),
  ],
  scale: ([x], { attributes: { alpha } }) => [(i) => Number(alpha) * at(x, ...i)],
  relu: ([x]) => [(i) => Math.max(0, at(x, ...i))],
  relu_grad: ([dy, y]) => [(i) => at(y, ...i) > 0 ? at(dy, ...i) : 0],
  channel_sum: ([x]) => [([c = 0]) => sumOver(x, (n, i, j) => at(x, n, c, i, j))],
  pad2d: ([x], { attributes: { top, left } }) => [
    ([n = 0, c = 0, i = 0, j = 0]) => at(x, n, c, i - Number(top), j - Number(left)),
  ],
  conv2d: (inputs, node) => {
    const isNormalized = node.attributes.normalize === true;
    const [own, vectors] = withoutPrologue(isNormalized ? inputs.slice(0, -4) : inputs, node);
    const bias = own.at(-1)?.shape.length === 1 ? own.at(-1) : undefined;
    const rest = bias ? own.slice(0, -1) : own;
    const image = imageOf(rest.slice(0, -1), vectors, node);
    const sums = convolve(image, rest.at(-1), bias, node);
    return [isNormalized ? normalizedAndRectified(sums, inputs.slice(-4), node) : sums];
  },
  conv2d_input_grad: ([dy, weight], node) => {
    // The channels of the first or of the last of the concatenated inputs.
    const [, all = 0] = weight?.shape ?? [];
    const [, own = 0] = node.output.shape;
    return [scatter(dy, weight, undefined, node, node.attributes.segment === 0 ? 0 : all - own)];
  },
  conv2d_weight_grad: (inputs, node) => {
    const [own, vectors] = withoutPrologue(inputs, node);
    const image = imageOf(own.slice(0, -1), vectors, node);
    const dy = own.at(-1);
    return [
      ([o = 0, c = 0, u = 0, v = 0]) =>
        sumOver(dy, (n, i, j) => at(dy, n, o, i, j) * image(n, c, ...source(node, i, j, u, v))),
    ];
  },
  conv_transpose2d: ([x, weight, bias], node) => [scatter(x, weight, bias, node, 0)],
  conv_transpose2d_input_grad: ([dy, weight], node) => [
    convolve(concatenated(dy ? [dy] : []), weight, undefined, node),
  ],
  max_pool2d: ([x], node) => [
    ([n = 0, c = 0, i = 0, j = 0]) => {
      const [kh, kw] = pair(node, "kernel");
      let most = -Infinity;
      for (let u = 0; u < kh; u++) {
        for (let v = 0; v < kw; v++) {
          const [y, x0] = source(node, i, j, u, v);
          if (inside(x, y, x0)) most = Math.max(most, at(x, n, c, y, x0));
        }
      }
      return most;
    },
  ],
  // Windows of 2 x 2 without padding: the first of equal values gets the gradient.
  max_pool2d_grad: ([dy, x, other]) =>
    other ? [undefined] : [([n = 0, c = 0, i = 0, j = 0]) => {
      const [y0, x0] = [i - i % 2, j - j % 2];
      const window = [0, 1, 2, 3].map((k) => at(x, n, c, y0 + (k >> 1), x0 + k % 2));
      const first = window.indexOf(Math.max(...window));
      return first === (i % 2) * 2 + j % 2 ? at(dy, n, c, y0 / 2, x0 / 2) : 0;
    }],
  upsample_bilinear2d: ([x], { output, attributes: { alignCorners } }) => {
    const [, , h = 1, w = 1] = output.shape;
    const [, , rows = 1, columns = 1] = x?.shape ?? [];
    return [([n = 0, c = 0, i = 0, j = 0]) => {
      let sum = 0;
      for (const [y, wy] of taps(i, rows, h, alignCorners === true)) {
        for (const [z, wz] of taps(j, columns, w, alignCorners === true)) {
          sum += wy * wz * at(x, n, c, y, z);
        }
      }
      return sum;
    }];
  },
  // The U-Nets align corners.
  upsample_bilinear2d_grad: ([dy], { output }) => {
    const [, , rows = 1, columns = 1] = output.shape;
    const [, , h = 1, w = 1] = dy?.shape ?? [];
    const weightOf = (to: number, from: number, size: number, sizeAfter: number) =>
      taps(from, size, sizeAfter, true).reduce(
        (sum, [k, weight]) => k === to ? sum + weight : sum,
        0,
      );
    return [([n = 0, c = 0, y = 0, x = 0]) => {
      let sum = 0;
      for (let i = 0; i < h; i++) {
        const wy = weightOf(y, i, rows, h);
        if (wy === 0) continue;
        for (let j = 0; j < w; j++) sum += wy * weightOf(x, j, columns, w) * at(dy, n, c, i, j);
      }
      return sum;
    }];
  },
  batch_norm2d_stats: ([x], { attributes: { eps } }) => {
    const moments = perChannel((c) => {
      const mean = meanOver(x, (n, i, j) => at(x, n, c, i, j));
      const variance = meanOver(x, (n, i, j) => (at(x, n, c, i, j) - mean) ** 2);
      return { mean, invStd: 1 / Math.sqrt(variance + Number(eps)) };
    });
    return [([c = 0]) => moments(c).mean, ([c = 0]) => moments(c).invStd];
  },
  batch_norm2d_normalize: ([x, ...state], node) => [
    normalizedAndRectified((i) => at(x, ...i), state, node),
  ],
  batch_norm2d_grad_reduce: (inputs, node) => {
    const { masked, centred, x } = normGradient(inputs, node);
    return [
      ([c = 0]) => sumOver(x, (n, i, j) => masked([n, c, i, j])),
      ([c = 0]) => sumOver(x, (n, i, j) => masked([n, c, i, j]) * centred([n, c, i, j])),
      undefined,
    ];
  },
  batch_norm2d_grad_input: (inputs, node) => {
    const { masked, centred, x, scale } = normGradient(inputs, node);
    const means = perChannel((c) => ({
      plain: meanOver(x, (n, i, j) => masked([n, c, i, j])),
      weighted: meanOver(x, (n, i, j) => masked([n, c, i, j]) * centred([n, c, i, j])),
    }));
    return [(i) => {
      const [, c = 0] = i;
      if (node.attributes.training !== true) return scale(c) * masked(i);
      return scale(c) * (masked(i) - means(c).plain - centred(i) * means(c).weighted);
    }];
  },
};

/** Two numbers of an attribute such as `3x3`; 1 each, or 0 for padding, where there is none. */
function pair({ attributes }: Node, name: string): [number, number] {
  const [a, b] = String(attributes[name] ?? "").split("x").map(Number);
  const otherwise = name === "padding" ? 0 : 1;
  return Number.isNaN(a) || a === undefined || b === undefined ? [otherwise, otherwise] : [a, b];
}

/** The input pixel that tap (u, v) of output pixel (i, j) reads. */
function source(node: Node, i: number, j: number, u: number, v: number): [number, number] {
  if (node.attributes.kernel === undefined) return [i, j];
  const [sy, sx] = pair(node, "stride");
  const [py, px] = pair(node, "padding");
  const [dy, dx] = pair(node, "dilation");
  return [i * sy - py + u * dy, j * sx - px + v * dx];
}

type Image = (n: number, c: number, y: number, x: number) => number;

/** Images joined along channels. */
function concatenated(parts: readonly Values[]): Image {
  return (n, c, y, x) => {
    let channel = c;
    for (const part of parts) {
      const [, own = 0] = part.shape;
      if (channel < own) return at(part, n, channel, y, x);
      channel -= own;
    }
    return NaN;
  };
}

/** A node's own inputs, and the vectors of its prologue, none without one. */
function withoutPrologue(inputs: readonly Values[], node: Node): [Values[], Values[]] {
  const count = node.inputs.length - ownInputs(node).length;
  return [inputs.slice(0, inputs.length - count), inputs.slice(inputs.length - count)];
}

/** What a convolution reads: images joined along channels, the first normalised by a prologue. */
function imageOf(parts: readonly Values[], vectors: readonly Values[], node: Node): Image {
  const whole = concatenated(parts);
  if (vectors.length === 0) return whole;
  const [first] = parts;
  const [, own = 0] = first?.shape ?? [];
  const y = normalized((i) => at(first, ...i), vectors, { attributes: { training: true } });
  const isRectified = node.attributes[PROLOGUE] === "normalize_relu";
  return (n, c, i, j) => {
    if (c >= own) return whole(n, c, i, j);
    if (!inside(first, i, j)) return 0;
    return isRectified ? Math.max(0, y([n, c, i, j])) : y([n, c, i, j]);
  };
}

function convolve(
  image: Image,
  weight: Values | undefined,
  bias: Values | undefined,
  node: Node,
): Exact {
  const [, channels = 0, kh = 0, kw = 0] = weight?.shape ?? [];
  return ([n = 0, o = 0, i = 0, j = 0]) => {
    let sum = bias ? at(bias, o) : 0;
    for (let c = 0; c < channels; c++) {
      for (let u = 0; u < kh; u++) {
        for (let v = 0; v < kw; v++) {
          sum += at(weight, o, c, u, v) * image(n, c, ...source(node, i, j, u, v));
        }
      }
    }
    return sum;
  };
}

/** The adjoint of a convolution, for the weights' input channels from `first` on. */
function scatter(
  dy: Values | undefined,
  weight: Values | undefined,
  bias: Values | undefined,
  node: Node,
  first: number,
): Exact {
  const [outputs = 0, , kh = 0, kw = 0] = weight?.shape ?? [];
  const [sy, sx] = pair(node, "stride");
  return ([n = 0, c = 0, y = 0, x = 0]) => {
    let sum = bias ? at(bias, c) : 0;
    for (let u = 0; u < kh; u++) {
      for (let v = 0; v < kw; v++) {
        const [oy, ox] = source(node, 0, 0, u, v);
        const [i, j] = [(y - oy) / sy, (x - ox) / sx];
        if (!Number.isInteger(i) || !Number.isInteger(j)) continue;
        for (let o = 0; o < outputs; o++) {
          sum += at(dy, n, o, i, j) * at(weight, o, first + c, u, v);
        }
      }
    }
    return sum;
  };
}

/** Where a resized coordinate reads, with its weights. */
function taps(i: number, size: number, sizeAfter: number, align: boolean): [number, number][] {
  const position = align
    ? sizeAfter > 1 ? i * (size - 1) / (sizeAfter - 1) : 0
    : Math.max(0, (i + 0.5) * size / sizeAfter - 0.5);
  const first = Math.min(Math.floor(position), size - 1);
  const second = Math.min(first + 1, size - 1);
  return [[first, 1 - (position - first)], [second, position - first]];
}

/** The output of a batch norm and of a ReLU behind it, where one is fused. */
function normalizedAndRectified(x: Exact, state: readonly Values[], node: Node): Exact {
  const y = normalized(x, state, node);
  return (i) => node.attributes.relu === true ? Math.max(0, y(i)) : y(i);
}

/** Batch norm's output; `spread` is the inverse deviation in training, else the variance. */
function normalized(
  x: Exact,
  [weight, bias, mean, spread]: readonly Values[],
  node: Pick<Node, "attributes">,
): Exact {
  const deviation = inverseDeviation(spread, node);
  return (i) => {
    const [, c = 0] = i;
    return at(weight, c) * (x(i) - at(mean, c)) * deviation(c) + at(bias, c);
  };
}

function inverseDeviation(
  spread: Values | undefined,
  { attributes: { training, eps } }: Pick<Node, "attributes">,
): (c: number) => number {
  return (c) => training === true ? at(spread, c) : 1 / Math.sqrt(at(spread, c) + Number(eps));
}

/** What the two gradients of batch norm are made of. */
function normGradient(
  [dy, x, ...state]: readonly Values[],
  node: Node,
): { masked: Exact; centred: Exact; x: Values | undefined; scale: (c: number) => number } {
  const [weight, , mean, spread] = state;
  const deviation = inverseDeviation(spread, node);
  const y = normalized((i) => at(x, ...i), state, node);
  const masks = node.attributes.reluMask === true;
  return {
    x,
    masked: (i) => masks && y(i) <= 0 ? 0 : at(dy, ...i),
    centred: (i) => (at(x, ...i) - at(mean, i[1] ?? 0)) * deviation(i[1] ?? 0),
    scale: (c) => at(weight, c) * deviation(c),
  };
}
