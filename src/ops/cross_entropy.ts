/**
 * Cross-entropy of logits against class ids, plain and focal.
 * @module
 */
import backwardCode from "../../shaders/cross_entropy_backward.wgsl" with { type: "text" };
import forwardCode from "../../shaders/cross_entropy_forward.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
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
  options: CrossEntropyOptions = {},
): Tensor {
  checkPixelLoss("crossEntropy", logits, target);
  return record("cross_entropy", logits, target, options);
}

/** Options of {@linkcode focalLoss}. */
export interface FocalLossOptions extends CrossEntropyOptions {
  /** How much less pixels count that are right already, at least 1; default 2. */
  gamma?: number | undefined;
}

/**
 * {@linkcode crossEntropy} with `(1 - p)^gamma` as a factor of each pixel's loss, p being the
 * probability of its class (Lin et al., 2017). The mean is over the same weights.
 *
 * @param logits c4 [N, K, H, W]
 * @param target flat u32 [N, H, W], class ids
 * @returns flat [1]
 * @throws {ShapeError} when shapes, types or layouts do not fit, or gamma is below 1.
 */
export function focalLoss(
  logits: Tensor,
  target: Tensor,
  { gamma = 2, ...options }: FocalLossOptions = {},
): Tensor {
  checkPixelLoss("focalLoss", logits, target);
  if (!(gamma >= 1)) {
    throw new ShapeError(
      `focalLoss got a gamma of ${gamma}, expected at least 1; crossEntropy is what 0 would be.`,
    );
  }
  return record("focal_loss", logits, target, options, gamma);
}

function record(
  op: string,
  logits: Tensor,
  target: Tensor,
  { weight, ignoreIndex }: CrossEntropyOptions,
  gamma?: number,
): Tensor {
  const [n = 1, classes = 1, h = 1, w = 1] = logits.shape;
  if (weight && (weight.dtype !== "f32" || weight.shape.join() !== `${classes}`)) {
    throw new ShapeError(
      `${op} got logits "${logits.label}" ${logits.describe()} and weight ` +
        `"${weight.label}" ${weight.describe()}, expected a weight f32[${classes}].`,
    );
  }
  const weights = weight ? [weight] : [];
  const constants = { WEIGHTED: weights.length, FOCAL: gamma === undefined ? 0 : 1 };
  const geometry = pixelLossGeometry(logits, ignoreIndex);
  const node = logits.graph.record({
    op,
    inputs: [logits, target, ...weights],
    outputs: [{ shape: [1] }, { shape: [1] }, { shape: [n, h, w, gamma === undefined ? 2 : 4] }],
    attributes: {
      ...(ignoreIndex === undefined ? {} : { ignoreIndex }),
      ...(gamma === undefined ? {} : { gamma }),
    },
    flops: 6 * elementCount(logits.shape),
    lower(context, node) {
      const [x, ids, ...rest] = node.inputs;
      const [loss, total, normaliser] = node.outputs;
      if (!x || !ids || !loss || !total || !normaliser) throw new Error(`${op} operands`);
      const partials = context.scratch("partials", geometry.partials * 8);
      splitImages(context, [x], [ids, normaliser], (window) => {
        context.dispatch({
          kernel: {
            name: `${op}_forward`,
            source: forwardCode,
            constants: { ...constants, ROWS, LOSS: 1, PARTS: window.parts },
          },
          params: [
            ...geometry.params(window, ids, normaliser),
            ...(gamma === undefined ? [] : [f32Bits(gamma)]),
          ],
          grid: geometry.forwardGrid(window.count),
        }, [
          ...window.of(x).map((part, i) => context.reading(`logits${i}`, part)),
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
        op: `${op}_grad`,
        inputs: [dy, logits, normaliser, total, target, ...weights],
        outputs: [{ shape: logits.shape, layout: "c4" }],
        flops: 4 * elementCount(logits.shape),
        lower(context, node) {
          const [dy, logits, normaliser, total, target, ...weights] = node.inputs;
          const dx = node.output;
          if (!dy || !logits || !normaliser || !total || !target) {
            throw new Error(`${op}_grad operands`);
          }
          splitImages(context, [logits, dx], [normaliser, target], (window) => {
            const results = window.of(dx);
            window.of(logits).forEach((part, i) => {
              const result = results[i];
              if (!result) return;
              context.dispatch({
                kernel: { name: `${op}_backward`, source: backwardCode, constants },
                params: [
                  ...geometry.params(window, target, normaliser),
                  i * window.partBlocks,
                ],
                grid: geometry.backwardGrid(window.count),
              }, [
                dy,
                context.reading("logits", part),
                ...window.of(normaliser).map((memory) =>
                  gamma === undefined ? memory : context.reading("normaliser", memory, "f32")
                ),
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
