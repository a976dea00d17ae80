/**
 * Soft Dice loss over softmax or sigmoid.
 * @module
 */
import normaliserCode from "../../shaders/cross_entropy_forward.wgsl" with { type: "text" };
import backwardCode from "../../shaders/soft_dice_backward.wgsl" with { type: "text" };
import finaliseCode from "../../shaders/soft_dice_finalise.wgsl" with { type: "text" };
import sumsCode from "../../shaders/soft_dice_sums.wgsl" with { type: "text" };
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount } from "../graph/layout.ts";
import { checkBinary, checkPixelLoss, pixelLossGeometry, ROWS } from "./pixel_loss.ts";

/** Options of {@linkcode softDice} and {@linkcode binarySoftDice}. */
export interface SoftDiceOptions {
  /** Target of pixels that do not count; targets that are no class never count. */
  ignoreIndex?: number | undefined;
  /** Added to numerator and denominator, default 1e-6. */
  eps?: number | undefined;
}

/**
 * `1 - mean over classes of (2 sum(p t) + eps) / (sum(p) + sum(t) + eps)` with p = softmax of the
 * logits (Milletari et al., 2016, with sums in place of squares). Sums go over the batch and the
 * pixels that count; classes absent from the target are left out of the mean. With no class left,
 * loss and gradient are 0.
 *
 * @param logits c4 [N, K, H, W]
 * @param target flat u32 [N, H, W], class ids
 * @returns flat [1]
 * @throws {ShapeError} when shapes, types or layouts do not fit.
 */
export function softDice(logits: Tensor, target: Tensor, options: SoftDiceOptions = {}): Tensor {
  checkPixelLoss("softDice", logits, target);
  return record("soft_dice", logits, target, options, 0);
}

/**
 * {@linkcode softDice} of the positive class with p = sigmoid of the logits.
 *
 * @param logits c4 [N, 1, H, W]
 * @param target flat u32 [N, H, W] of 0 and 1
 * @returns flat [1]
 * @throws {ShapeError} when shapes, types or layouts do not fit.
 */
export function binarySoftDice(
  logits: Tensor,
  target: Tensor,
  options: SoftDiceOptions = {},
): Tensor {
  checkPixelLoss("binarySoftDice", logits, target);
  checkBinary("binarySoftDice", logits);
  return record("binary_soft_dice", logits, target, options, 1);
}

function record(
  op: string,
  logits: Tensor,
  target: Tensor,
  { ignoreIndex, eps = 1e-6 }: SoftDiceOptions,
  BINARY: 0 | 1,
): Tensor {
  const geometry = pixelLossGeometry(logits, ignoreIndex);
  const { batch, channelBlocks, height, width, planes } = c4Geometry(logits.shape);
  const [acrossGroups, chunkGroups] = geometry.forwardGrid;
  return logits.graph.record({
    op,
    inputs: [logits, target],
    outputs: [
      { shape: [1] },
      { shape: [channelBlocks, 2, 4] },
      ...(BINARY ? [] : [{ shape: [batch, height, width, 2] }]),
    ],
    attributes: { eps, ...(ignoreIndex === undefined ? {} : { ignoreIndex }) },
    flops: 10 * elementCount(logits.shape),
    lower(context, node) {
      const [x] = node.inputs;
      const [loss, coefficients, ...normaliser] = node.outputs;
      if (!x || !loss || !coefficients) throw new Error(`${op} operands`);
      if (!BINARY) {
        context.dispatch({
          kernel: {
            name: "soft_dice_normaliser",
            source: normaliserCode,
            constants: { ROWS, LOSS: 0, WEIGHTED: 0 },
          },
          params: geometry.params,
          grid: geometry.forwardGrid,
        }, [x, ...normaliser]);
      }
      const partials = context.scratch("partials", geometry.partials * channelBlocks * 48);
      context.dispatch({
        kernel: { name: "soft_dice_sums", source: sumsCode, constants: { ROWS, BINARY } },
        params: [...geometry.params, batch],
        grid: [acrossGroups, chunkGroups, planes],
      }, [...node.inputs, partials, ...normaliser]);
      const sums = context.scratch("sums", channelBlocks * 48);
      const params = [geometry.partials, channelBlocks, f32Bits(eps)];
      context.dispatch({
        kernel: { name: "soft_dice_finalise", source: finaliseCode, constants: { PASS: "sums" } },
        params,
        grid: [channelBlocks, 1, 1],
      }, [partials, sums]);
      context.dispatch({
        kernel: { name: "soft_dice_finalise", source: finaliseCode, constants: { PASS: "final" } },
        params,
        grid: [1, 1, 1],
      }, [sums, loss, coefficients]);
    },
    backward([dy], needs, node) {
      const [, coefficients, ...normaliser] = node.outputs;
      if (!dy || !needs[0] || !coefficients) return [];
      const gradient = logits.graph.record({
        op: `${op}_grad`,
        inputs: [dy, logits, target, coefficients, ...normaliser],
        outputs: [{ shape: logits.shape, layout: "c4" }],
        flops: 16 * elementCount(logits.shape),
        lower(context, node) {
          context.dispatch({
            kernel: { name: "soft_dice_backward", source: backwardCode, constants: { BINARY } },
            params: geometry.params,
            grid: geometry.backwardGrid,
          }, [...node.inputs.slice(0, 4), node.output, ...node.inputs.slice(4)]);
        },
      });
      return [gradient.output];
    },
  }).output;
}
