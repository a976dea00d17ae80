/**
 * Softmax over channels and its gradient.
 * @module
 */
import code from "../../shaders/softmax.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount } from "../graph/layout.ts";
import { splitImages } from "./image_windows.ts";

/**
 * Probabilities of the channels at every pixel of [N, C, H, W] (`c4`): `torch.softmax(x, dim=1)`.
 *
 * @throws {ShapeError} for another layout.
 */
export function softmax(x: Tensor): Tensor {
  if (x.layout !== "c4") {
    throw new ShapeError(
      `softmax got "${x.label}" ${x.describe()} (${x.layout}), expected an image in c4 layout.`,
    );
  }
  const y: Tensor = record("softmax", [x], x, (dy) => record("softmax_grad", [dy, y], x));
  return y;
}

function record(
  op: string,
  inputs: Tensor[],
  like: Tensor,
  gradient?: (dy: Tensor) => Tensor,
): Tensor {
  const { shape } = like;
  const names = inputs.length === 1 ? ["x"] : ["dy", "y"];
  return like.graph.record({
    op,
    inputs,
    outputs: [{ shape, layout: "c4" }],
    flops: 5 * elementCount(shape),
    lower(context, node) {
      const g = c4Geometry(shape, context.images);
      const operands = [...node.inputs, node.output];
      splitImages(context, operands, [], (window) => {
        context.dispatch({
          kernel: {
            name: op,
            source: code,
            constants: { OP: op === "softmax" ? "forward" : "grad", PARTS: window.parts },
          },
          params: [g.channels, g.channelBlocks, g.height, g.width, g.pitch, window.partBlocks],
          grid: [Math.ceil(g.pitch / 64), g.rows, window.count],
        }, [
          ...node.inputs.flatMap((input, k) =>
            window.of(input).map((part, i) => context.reading(`${names[k]}${i}`, part))
          ),
          ...window.of(node.output),
        ]);
      });
    },
    ...(gradient ? { backward: ([dy]) => [dy && gradient(dy)] } : {}),
  }).output;
}
