/**
 * Cross-entropy of logits against class ids.
 * @module
 */
import backwardCode from "../../shaders/cross_entropy_backward.wgsl" with { type: "text" };
import forwardCode from "../../shaders/cross_entropy_forward.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { elementCount } from "../graph/layout.ts";
import { splitImages } from "./image_windows.ts";
import { checkPixelLoss, finaliseMean, pixelLossGeometry, ROWS } from "./pixel_loss.ts";

/** Options of {@linkcode crossEntropy}. */
export interface CrossEntropyOptions {
  /** Weights of the classes, flat f32 [K]; default 1 each. They get no gradient. */
  weight?: Tensor | undefined;
  /** Class id of pixels that do not count; ids that are no class never count. */
  ignoreIndex?: number | undefined;
}

/**
 * Weighted mean of `-log softmax(logits)[target]` over the pixels that count (PyTorch:
 * `cross_entropy`, reduction "mean"). Where none counts, the loss is 0 and so is its gradient.
 *
 * @param logits c4 [N, K, H, W]
 * @param target flat u32 [N, H, W], class ids
 * @returns flat [1]
 * @throws {ShapeError} when shapes, types or layouts do not fit.
 */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  { weight, ignoreIndex }: CrossEntropyOptions = {},
): Tensor {
  checkPixelLoss("crossEntropy", logits, target);
  const [n = 1, classes = 1, h = 1, w = 1] = logits.shape;
  if (weight && (weight.dtype !== "f32" || weight.shape.join() !== `${classes}`)) {
    throw new ShapeError(
      `crossEntropy got logits "${logits.label}" ${logits.describe()} and weight ` +
        `"${weight.label}" ${weight.describe()}, expected a weight f32[${classes}].`,
    );
  }
  const weights = weight ? [weight] : [];
  const constants = { WEIGHTED: weights.length };
  const geometry = pixelLossGeometry(logits, ignoreIndex);
  const node = logits.graph.record({
    op: "cross_entropy",
    inputs: [logits, target, ...weights],
    outputs: [{ shape: [1] }, { shape: [1] }, { shape: [n, h, w, 2] }],
    attributes: ignoreIndex === undefined ? {} : { ignoreIndex },
    flops: 6 * elementCount(logits.shape),
    lower(context, node) {
      const [x, ids, ...rest] = node.inputs;
      const [loss, total, normaliser] = node.outputs;
      if (!x || !ids || !loss || !total || !normaliser) throw new Error("cross_entropy operands");
      const partials = context.scratch("partials", geometry.partials * 8);
      splitImages(context, [x], [ids, normaliser], (window) => {
        context.dispatch({
          kernel: {
            name: "cross_entropy_forward",
            source: forwardCode,
            constants: { ...constants, ROWS, LOSS: 1, PARTS: window.parts },
          },
          params: geometry.params(window, ids, normaliser),
          grid: geometry.forwardGrid(window.count),
        }, [
          ...window.of(x),
          ...window.of(normaliser),
          ...window.of(ids),
          partials,
          ...rest,
        ]);
      });
      finaliseMean(context, partials, geometry.partials, loss, total);
    },
    backward([dy], needs, node) {
      const [, total, normaliser] = node.outputs;
      if (!dy || !needs[0] || !total || !normaliser) return [];
      const gradient = logits.graph.record({
        op: "cross_entropy_grad",
        inputs: [dy, logits, normaliser, total, target, ...weights],
        outputs: [{ shape: logits.shape, layout: "c4" }],
        flops: 4 * elementCount(logits.shape),
        lower(context, node) {
          const [dy, logits, normaliser, total, target, ...weights] = node.inputs;
          const dx = node.output;
          if (!dy || !logits || !normaliser || !total || !target) {
            throw new Error("cross_entropy_grad operands");
          }
          splitImages(context, [logits, dx], [normaliser, target], (window) => {
            const results = window.of(dx);
            window.of(logits).forEach((part, i) => {
              const result = results[i];
              if (!result) return;
              context.dispatch({
                kernel: { name: "cross_entropy_backward", source: backwardCode, constants },
                params: [
                  ...geometry.params(window, target, normaliser),
                  i * window.partBlocks,
                ],
                grid: geometry.backwardGrid(window.count),
              }, [
                dy,
                part,
                ...window.of(normaliser),
                total,
                ...window.of(target),
                result,
                ...weights,
              ]);
            });
          });
        },
      });
      return [gradient.output];
    },
  });
  return node.output;
}
