/**
 * Zero padding and cropping of images.
 * @module
 */
import code from "../../shaders/pad2d.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";

/** Pixels added at each side; negative ones are cropped. */
export interface Pad2dOptions {
  /** Columns before the first; floor(difference / 2) in the U-Nets' decoder. */
  left: number;
  /** Columns after the last. */
  right: number;
  /** Rows above the first; floor(difference / 2) in the U-Nets' decoder. */
  top: number;
  /** Rows below the last. */
  bottom: number;
}

/**
 * Zeros around an image, or less of it (PyTorch: `pad`, mode "constant"). With nothing to add or
 * crop the result is `x` itself.
 *
 * @param x c4 [N, C, H, W]
 * @returns c4 [N, C, top + H + bottom, left + W + right]
 * @throws {ShapeError} for amounts that are no whole numbers or leave no pixel.
 */
export function pad2d(x: Tensor, { left, right, top, bottom }: Pad2dOptions): Tensor {
  const amounts = `left ${left}, right ${right}, top ${top}, bottom ${bottom}`;
  if (x.layout !== "c4") {
    throw new ShapeError(
      `pad2d got "${x.label}" ${x.describe()} (${x.layout}), expected f32 [N, C, H, W] in c4 layout.`,
    );
  }
  const [n = 1, c = 1, h = 1, w = 1] = x.shape;
  const shape = [n, c, top + h + bottom, left + w + right];
  if (![left, right, top, bottom].every(Number.isInteger) || shape.some((size) => size < 1)) {
    throw new ShapeError(
      `pad2d of "${x.label}" ${x.describe()} by ${amounts} would have shape [${
        shape.join(",")
      }], ` +
        "expected whole numbers that leave at least one pixel.",
    );
  }
  if (left === 0 && right === 0 && top === 0 && bottom === 0) return x;
  const input = c4Geometry(x.shape, x.dtype);
  const output = c4Geometry(shape, x.dtype);
  return x.graph.record({
    op: "pad2d",
    inputs: [x],
    outputs: [{ shape, layout: "c4" }],
    attributes: { left, right, top, bottom },
    isCheap: true,
    lower(context, node) {
      const operands = [...node.inputs, node.output];
      context.split(output.planes, operands, (window) => {
        context.dispatch({
          kernel: { name: "pad2d", source: code, constants: {} },
          params: [
            ...[output.width, output.height, output.pitch, output.planeSize],
            ...[input.width, input.height, input.pitch, input.planeSize],
            ...[left >>> 0, top >>> 0],
          ],
          grid: [output.pitch / 16, Math.ceil(output.rows / 4), window.count],
        }, [...context.readings(["x"], node.inputs.map(window.of)), window.of(node.output)]);
      });
    },
    backward: ([dy], needs) => [
      dy && needs[0]
        ? pad2d(dy, { left: -left, right: -right, top: -top, bottom: -bottom })
        : undefined,
    ],
  }).output;
}
