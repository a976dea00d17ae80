/**
 * Maximum pooling.
 * @module
 */
import backwardCode from "../../shaders/max_pool2d_backward.wgsl" with { type: "text" };
import pairsCode from "../../shaders/max_pool2d_backward_pairs.wgsl" with { type: "text" };
import forwardCode from "../../shaders/max_pool2d_forward.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount } from "../graph/layout.ts";

/** A number for both directions, or one for each, height first. */
export type Extent = number | readonly [height: number, width: number];

/** Options of {@linkcode maxPool2d}. */
export interface MaxPool2dOptions {
  /** Default: the kernel. */
  stride?: Extent;
  /** At most half of the kernel; default 0. */
  padding?: Extent;
}

/**
 * Maximum over windows (PyTorch: `max_pool2d`, `ceil_mode=False`). Of equal values the first in
 * row-major order gets the gradient.
 *
 * @param x c4 [N, C, H, W]
 * @returns c4 [N, C, floor((H + 2 padding - kernel) / stride) + 1, W alike]
 * @throws {ShapeError} for a window that does not fit or padding past half of it.
 */
export function maxPool2d(x: Tensor, kernel: Extent, options: MaxPool2dOptions = {}): Tensor {
  const [kh, kw] = pair(kernel);
  const [sh, sw] = pair(options.stride ?? kernel);
  const [ph, pw] = pair(options.padding ?? 0);
  if (x.layout !== "c4") {
    throw new ShapeError(
      `maxPool2d got "${x.label}" ${x.describe()} (${x.layout}), expected f32 [N, C, H, W] in c4 ` +
        "layout.",
    );
  }
  const whole = [kh, kw, sh, sw, ph, pw].every(Number.isInteger);
  if (
    !whole || Math.min(kh, kw, sh, sw) < 1 || Math.min(ph, pw) < 0 || 2 * ph > kh || 2 * pw > kw
  ) {
    throw new ShapeError(
      `maxPool2d of "${x.label}" got kernel [${kh},${kw}], stride [${sh},${sw}] and padding ` +
        `[${ph},${pw}]; kernel and stride must be at least 1, padding at most half of the kernel.`,
    );
  }
  const [n = 1, c = 1, h = 1, w = 1] = x.shape;
  const shape = [
    n,
    c,
    Math.floor((h + 2 * ph - kh) / sh) + 1,
    Math.floor((w + 2 * pw - kw) / sw) + 1,
  ];
  const input = c4Geometry(x.shape, x.dtype);
  const output = c4Geometry(shape, x.dtype);
  const isPairs = [kh, kw, sh, sw].every((size) => size === 2) && ph === 0 && pw === 0;
  const words = [
    ...[output.width, output.height, output.pitch, output.planeSize],
    ...[input.width, input.height, input.pitch, input.planeSize],
    ...[kw, kh, sw, sh, pw, ph],
  ];

  function gradient(dy: Tensor, y: Tensor): Tensor {
    const node = x.graph.record({
      op: "max_pool2d_grad",
      inputs: isPairs ? [dy, x] : [dy, x, y],
      outputs: [{ shape: x.shape, layout: "c4" }],
      lower(context, node) {
        const operands = [...node.inputs, node.output];
        // Pairs -1 .. cover `rows` and `pitch`, one of them holding a single row or column.
        const across = input.pitch / 2 + 1;
        const down = Math.floor(input.rows / 2) + 1;
        context.split(input.planes, operands, (window) => {
          const spec: DispatchSpec = isPairs
            ? {
              kernel: { name: "max_pool2d_backward_pairs", source: pairsCode, constants: {} },
              params: [...words.slice(0, 4), input.pitch, input.rows, input.planeSize],
              grid: [Math.ceil(across / 16), Math.ceil(down / 4), window.count],
            }
            : {
              kernel: { name: "max_pool2d_backward", source: backwardCode, constants: {} },
              params: words,
              grid: [input.pitch / 16, Math.ceil(input.rows / 4), window.count],
            };
          context.dispatch(spec, [
            ...context.readings(["dy", "x", "y"], node.inputs.map(window.of)),
            window.of(node.output),
          ]);
        });
      },
    });
    return node.output;
  }

  return x.graph.record({
    op: "max_pool2d",
    inputs: [x],
    outputs: [{ shape, layout: "c4" }],
    isCheap: true,
    attributes: { kernel: `${kh}x${kw}`, stride: `${sh}x${sw}`, padding: `${ph}x${pw}` },
    flops: elementCount(shape) * (kh * kw - 1),
    lower(context, node) {
      const operands = [...node.inputs, node.output];
      context.split(output.planes, operands, (window) => {
        context.dispatch({
          kernel: {
            name: "max_pool2d_forward",
            source: forwardCode,
            constants: { PAIRS: isPairs ? 1 : 0 },
          },
          params: words,
          grid: [output.pitch / 16, Math.ceil(output.rows / 4), window.count],
        }, [...context.readings(["x"], node.inputs.map(window.of)), window.of(node.output)]);
      });
    },
    backward: ([dy], needs, node) => [dy && needs[0] ? gradient(dy, node.output) : undefined],
  }).output;
}

function pair(extent: Extent): readonly [number, number] {
  return typeof extent === "number" ? [extent, extent] : extent;
}
