/**
 * Binary cross-entropy of logits.
 * @module
 */
import backwardCode from "../../shaders/bce_with_logits_backward.wgsl" with { type: "text" };
import forwardCode from "../../shaders/bce_with_logits_forward.wgsl" with { type: "text" };
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import { elementCount } from "../graph/layout.ts";
import { splitImages } from "./image_windows.ts";
import {
  checkBinary,
  checkPixelLoss,
  finaliseMean,
  pixelLossGeometry,
  ROWS,
} from "./pixel_loss.ts";

/** Options of {@linkcode bceWithLogits}. */
export interface BceWithLogitsOptions {
  /** Weight of positive pixels, default 1. */
  posWeight?: number | undefined;
  /** Target of pixels that do not count; targets other than 0 and 1 never count. */
  ignoreIndex?: number | undefined;
}

/**
 * Mean binary cross-entropy over the pixels that count (PyTorch:
 * `binary_cross_entropy_with_logits`, reduction "mean"). Where none counts, the loss is 0 and so is
 * its gradient.
 *
 * @param logits c4 [N, 1, H, W]
 * @param target flat u32 [N, H, W] of 0 and 1
 * @returns flat [1]
 * @throws {ShapeError} when shapes, types or layouts do not fit.
 */
export function bceWithLogits(
  logits: Tensor,
  target: Tensor,
  { posWeight = 1, ignoreIndex }: BceWithLogitsOptions = {},
): Tensor {
  checkPixelLoss("bceWithLogits", logits, target);
  checkBinary("bceWithLogits", logits);
  const geometry = pixelLossGeometry(logits, ignoreIndex);
  return logits.graph.record({
    op: "bce_with_logits",
    inputs: [logits, target],
    outputs: [{ shape: [1] }, { shape: [1] }],
    attributes: { posWeight, ...(ignoreIndex === undefined ? {} : { ignoreIndex }) },
    flops: 8 * elementCount(logits.shape),
    lower(context, node) {
      const [logits, target] = node.inputs;
      const [loss, total] = node.outputs;
      if (!logits || !target || !loss || !total) throw new Error("bce_with_logits operands");
      const partials = context.scratch("partials", geometry.partials * 8);
      splitImages(context, [logits], [target], (window) => {
        context.dispatch({
          kernel: { name: "bce_with_logits_forward", source: forwardCode, constants: { ROWS } },
          params: [...geometry.params(window, target), f32Bits(posWeight)],
          grid: geometry.forwardGrid(window.count),
        }, [...context.readings(["logits"], window.of(logits)), ...window.of(target), partials]);
      });
      finaliseMean(context, partials, geometry.partials, loss, total);
    },
    backward([dy], needs, node) {
      const [, total] = node.outputs;
      if (!dy || !needs[0] || !total) return [];
      const gradient = logits.graph.record({
        op: "bce_with_logits_grad",
        inputs: [dy, logits, target, total],
        outputs: [{ shape: logits.shape, layout: "c4" }],
        flops: 6 * elementCount(logits.shape),
        lower(context, node) {
          const [dy, logits, target, total] = node.inputs;
          const dx = node.output;
          if (!dy || !logits || !target || !total) throw new Error("bce_with_logits_grad operands");
          splitImages(context, [logits, dx], [target], (window) => {
            context.dispatch({
              kernel: { name: "bce_with_logits_backward", source: backwardCode, constants: {} },
              params: [...geometry.params(window, target), f32Bits(posWeight)],
              grid: geometry.backwardGrid(window.count),
            }, [
              dy,
              ...context.readings(["logits"], window.of(logits)),
              ...window.of(target),
              total,
              ...window.of(dx),
            ]);
          });
        },
      });
      return [gradient.output];
    },
  }).output;
}
