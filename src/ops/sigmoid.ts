/**
 * The logistic function and its gradient.
 * @module
 */
import code from "../../shaders/sigmoid.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount } from "../graph/layout.ts";
import { linearGrid } from "./grid.ts";

/**
 * `1 / (1 + exp(-x))` for a tensor of any layout.
 *
 * @throws {ShapeError} when `x` does not hold floats.
 */
export function sigmoid(x: Tensor): Tensor {
  if (x.dtype !== "f32") {
    throw new ShapeError(`sigmoid got "${x.label}" of type ${x.dtype}, expected f32.`);
  }
  const y: Tensor = record("sigmoid", [x], x, (dy) => record("sigmoid_grad", [dy, y], x));
  return y;
}

function record(
  op: string,
  inputs: Tensor[],
  like: Tensor,
  gradient?: (dy: Tensor) => Tensor,
): Tensor {
  const { shape, layout } = like;
  return like.graph.record({
    op,
    inputs,
    outputs: [{ shape, layout }],
    lower(context, node) {
      const g = c4Geometry(shape);
      const masked = layout === "c4" && op === "sigmoid";
      const count = layout === "c4" ? like.sizeBytes / 4 : elementCount(shape);
      const linear = linearGrid(like.sizeBytes / 16);
      context.dispatch({
        kernel: {
          name: op,
          source: code,
          constants: {
            OP: op === "sigmoid" ? "forward" : "grad",
            LAYOUT: masked ? "c4" : "flat",
          },
        },
        params: [count, linear.stride, g.channels, g.channelBlocks, g.height, g.width, g.pitch],
        grid: masked ? [Math.ceil(g.pitch / 64), g.rows, g.planes] : linear.grid,
      }, [...node.inputs, node.output]);
    },
    ...(gradient ? { backward: ([dy]) => [dy && gradient(dy)] } : {}),
  }).output;
}
