/**
 * The logistic function and its gradient.
 * @module
 */
import code from "../../shaders/sigmoid.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry, vectorTypeOf } from "../graph/layout.ts";
import { linearGrid } from "./grid.ts";

/**
 * `1 / (1 + exp(-x))` for a tensor of any layout.
 *
 * @throws {ShapeError} when `x` does not hold floats.
 */
export function sigmoid(x: Tensor): Tensor {
  if (x.dtype === "u32") {
    throw new ShapeError(`sigmoid got "${x.label}" of type ${x.dtype}, expected f32 or f16.`);
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
  const names = inputs.length === 1 ? ["x"] : ["dy", "y"];
  return like.graph.record({
    op,
    inputs,
    outputs: [{ shape, layout }],
    lower(context, node) {
      const g = c4Geometry(shape, node.output.dtype);
      const operands = [...node.inputs, node.output];
      if (layout === "c4" && op === "sigmoid") {
        context.split(g.planes, operands, (window) => {
          context.dispatch({
            kernel: { name: op, source: code, constants: { OP: "forward", LAYOUT: "c4" } },
            params: [g.channels, g.channelBlocks, g.height, g.width, g.pitch, window.first],
            grid: [Math.ceil(g.pitch / 64), g.rows, window.count],
          }, [...context.readings(names, node.inputs.map(window.of)), window.of(node.output)]);
        });
        return;
      }
      const constants = {
        OP: op === "sigmoid" ? "forward" : "grad",
        LAYOUT: "flat",
        IMAGE: vectorTypeOf(node.output.dtype),
      };
      context.splitVectors([node.output, ...node.inputs], ({ of, vectors, values }) => {
        const { grid, stride } = linearGrid(vectors);
        context.dispatch({
          kernel: { name: op, source: code, constants },
          params: [values, stride],
          grid,
        }, [...context.readings(names, node.inputs.map(of), like.dtype), of(node.output)]);
      });
    },
    ...(gradient ? { backward: ([dy]) => [dy && gradient(dy)] } : {}),
  }).output;
}
