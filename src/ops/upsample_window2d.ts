/**
 * Bilinear doubling of a window of an image as it comes out in the whole image. With aligned
 * corners the coordinates depend on the size of what is doubled, so that a window doubled by itself
 * would be off by up to half a pixel of its deep, coarse level.
 * @module
 */
import code from "../../shaders/upsample_window2d.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount } from "../graph/layout.ts";

/** A window along one axis of an image. */
export interface WindowAxis {
  /** Pixels of the whole image. */
  whole: number;
  /** First pixel of the window. */
  start: number;
  /** Pixels of the window. */
  length: number;
}

/**
 * Doubles a window (PyTorch: `interpolate(scale_factor=2, mode="bilinear", align_corners=True)` of
 * the whole image, cut). What lies outside of the window is taken to be like its edge. Has no
 * gradient.
 *
 * @param x c4 [1, C, h, w]
 * @param taps u32 [2 * (2 * w + 2 * h)], see {@linkcode windowTaps}
 * @returns c4 [1, C, 2 * h, 2 * w]
 */
export function upsampleWindow2d(x: Tensor, taps: Tensor): Tensor {
  const [n = 1, c = 1, h = 1, w = 1] = x.shape;
  if (x.layout !== "c4" || taps.dtype !== "u32" || elementCount(taps.shape) !== 4 * (h + w)) {
    throw new ShapeError(
      `upsample_window2d got "${x.label}" ${x.describe()} (${x.layout}) and taps ` +
        `${taps.describe()}, expected an image in c4 layout and u32[${4 * (h + w)}].`,
    );
  }
  const shape = [n, c, 2 * h, 2 * w];
  return x.graph.record({
    op: "upsample_window2d",
    inputs: [x, taps],
    outputs: [{ shape, layout: "c4" }],
    flops: 6 * elementCount(shape),
    lower(context, node) {
      const [map, places] = node.inputs;
      if (!map || !places) throw new Error("upsample_window2d operands");
      const [input, output] = [c4Geometry(map.shape, map.dtype), c4Geometry(shape, map.dtype)];
      context.split(output.planes, [map, node.output], (window) => {
        context.dispatch({
          kernel: { name: "upsample_window2d", source: code, constants: {} },
          params: [
            ...[output.width, output.height, output.pitch, output.planeSize],
            ...[input.pitch, input.planeSize],
          ],
          grid: [Math.ceil(output.pitch / 64), output.rows, window.count],
        }, [context.reading("x", window.of(map)), places, window.of(node.output)]);
      });
    },
  }).output;
}

/** The taps of {@linkcode upsampleWindow2d} for a window of the image that is doubled. */
export function windowTaps(columns: WindowAxis, rows: WindowAxis): Uint32Array {
  return Uint32Array.from(
    [columns, rows].flatMap(({ whole, start, length }) =>
      Array.from({ length: 2 * length }, (_, i) => {
        const source = (2 * start + i) * ((whole - 1) / (2 * whole - 1)) - start;
        const inside = Math.max(0, Math.min(source, length - 1));
        const first = Math.floor(inside);
        return [first, f32Bits(first === length - 1 ? 0 : inside - first)];
      }).flat()
    ),
  );
}
