/**
 * The steps that normalise: those of a batch normalisation, and of a convolution that has to add up
 * parts first.
 * @module
 */
import code from "../../shaders/batch_norm2d_normalize.wgsl" with { type: "text" };
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Attributes, Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";
import type { LowerContext } from "../graph/lower.ts";
import { mapGrid } from "./channel_chunks.ts";

/**
 * Emits the steps that normalise.
 * @param inputs x, weight, bias, mean, and inverse standard deviation or running variance
 * @param attributes `training`, `eps` and `relu`
 */
export function lowerNormalize(
  context: LowerContext,
  [x, weight, bias, mean, spread]: readonly Tensor[],
  output: Tensor,
  { relu, training, eps }: Attributes,
): void {
  if (!x || !weight || !bias || !mean || !spread) {
    throw new Error(`Normalising to ${output.label} lacks inputs`);
  }
  const g = c4Geometry(x.shape, x.dtype);
  const { grid, constants, rows } = mapGrid(g, context.target);
  context.split(g.planes, [x, output], (window) => {
    context.dispatch({
      kernel: {
        name: "batch_norm2d_normalize",
        source: code,
        constants: {
          ...constants,
          RELU: relu === true ? 1 : 0,
          RUNNING: training === true ? 0 : 1,
        },
      },
      params: [
        g.channels,
        g.channelBlocks,
        g.height,
        g.width,
        g.pitch,
        f32Bits(Number(eps)),
        window.first,
        rows,
      ],
      grid: grid(window.count),
    }, [
      context.reading("x", window.of(x)),
      ...context.readings(
        ["weight", "bias", "mean", "spread"],
        [weight, bias, mean, spread],
        "f32",
      ),
      window.of(output),
    ]);
  });
}
