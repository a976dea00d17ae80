/**
 * From scores to class ids.
 * @module
 */
import code from "../../shaders/argmax.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Attributes, Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";
import { splitImages } from "./image_windows.ts";

/**
 * The channel of the largest value at every pixel of [N, C, H, W] (`c4`); of equal ones the first.
 *
 * @returns `flat` u32 [N, H, W]
 * @throws {ShapeError} for another layout.
 */
export function argmax(x: Tensor): Tensor {
  return record("argmax", x, {});
}

/**
 * 1 where the positive class is more probable than `threshold`, else 0, from logits of one channel
 * (the probability is their sigmoid) or of two (the softmax of the second).
 *
 * @param threshold from 0 to 1
 * @returns `flat` u32 [N, H, W]
 * @throws {ShapeError} for another layout or more channels.
 */
export function argmaxThreshold(x: Tensor, threshold: number): Tensor {
  if (!(threshold >= 0 && threshold <= 1)) {
    throw new ShapeError(
      `argmax_threshold of "${x.label}" got threshold ${threshold}, expected one from 0 to 1.`,
    );
  }
  const channels = x.shape[1] ?? 0;
  if (channels > 2) {
    throw new ShapeError(
      `argmax_threshold got "${x.label}" ${x.describe()}, expected one or two channels; use argmax.`,
    );
  }
  return record("argmax_threshold", x, { threshold, channels });
}

function record(op: string, x: Tensor, attributes: Attributes): Tensor {
  if (x.layout !== "c4") {
    throw new ShapeError(
      `${op} got "${x.label}" ${x.describe()} (${x.layout}), expected an image in c4 layout.`,
    );
  }
  const g = c4Geometry(x.shape, x.dtype);
  return x.graph.record({
    op,
    inputs: [x],
    outputs: [{ shape: [g.batch, g.height, g.width], dtype: "u32" }],
    attributes,
    lower(context, node) {
      const { threshold, channels } = node.attributes;
      const [x] = node.inputs;
      const y = node.output;
      if (!x) throw new Error(`${op} operands`);
      splitImages(context, [x], [y], (window) => {
        const PARTS = window.parts;
        context.dispatch({
          kernel: {
            name: op,
            source: code,
            constants: channels === undefined
              ? { OP: "argmax", PARTS }
              : { OP: "threshold", CHANNELS: Number(channels), PARTS },
          },
          params: [
            g.channels,
            g.channelBlocks,
            g.height,
            g.width,
            g.pitch,
            f32Bits(Number(threshold ?? 0)),
            window.partBlocks,
            window.skip(y),
          ],
          grid: [Math.ceil(g.width / 64), g.height, window.count],
        }, [
          ...window.of(x).map((part, i) => context.reading(`x${i}`, part)),
          ...window.of(y),
        ]);
      });
    },
  }).output;
}
