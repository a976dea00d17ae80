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
import { rangesOf } from "../graph/windows.ts";
import { splitBlocks, splitImages } from "./image_windows.ts";
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
  const { batch, channelBlocks, height, width, planes } = c4Geometry(logits.shape, logits.dtype);
  const [acrossGroups, chunkGroups] = geometry.forwardGrid(1);
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
      const [logits, target] = node.inputs;
      const [loss, coefficients, ...normaliser] = node.outputs;
      if (!logits || !target || !loss || !coefficients) throw new Error(`${op} operands`);
      if (!BINARY) {
        splitImages(context, [logits], [target, ...normaliser], (window) => {
          context.dispatch({
            kernel: {
              name: "soft_dice_normaliser",
              source: normaliserCode,
              constants: { ROWS, LOSS: 0, WEIGHTED: 0, FOCAL: 0, PARTS: window.parts },
            },
            params: geometry.params(window, target, normaliser[0]),
            grid: geometry.forwardGrid(window.count),
          }, [
            ...window.of(logits).map((part, i) => context.reading(`logits${i}`, part)),
            ...normaliser.flatMap(window.of),
          ]);
        });
      }
      const sums = context.scratch("sums", channelBlocks * 48);
      const blockBytes = geometry.partials * 48;
      const mostBound = context.mostUnits(batch, [logits]) >= 1
        ? channelBlocks
        : context.mostUnits(planes, [logits]);
      const mostSummed = Math.floor(context.target.maxBindingBytes / blockBytes);
      for (const blocks of rangesOf(channelBlocks, Math.min(mostBound, mostSummed))) {
        const partials = context.scratch("partials", blocks.count * blockBytes);
        splitBlocks(context, logits, [target, ...normaliser], blocks, (window) => {
          context.dispatch({
            kernel: { name: "soft_dice_sums", source: sumsCode, constants: { ROWS, BINARY } },
            params: [...geometry.params(window, target, normaliser[0]), batch, blocks.first],
            grid: [acrossGroups, chunkGroups, window.count * blocks.count],
          }, [
            ...context.readings(["logits"], window.of(logits)),
            ...window.of(target),
            partials,
            ...normaliser.flatMap(window.of),
          ]);
        });
        context.dispatch({
          kernel: { name: "soft_dice_finalise", source: finaliseCode, constants: { PASS: "sums" } },
          params: [geometry.partials, channelBlocks, f32Bits(eps), blocks.first],
          grid: [blocks.count, 1, 1],
        }, [context.reading("partials", partials, "f32"), sums]);
      }
      const params = [geometry.partials, channelBlocks, f32Bits(eps), 0];
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
          const [dy, logits, target, coefficients, ...normaliser] = node.inputs;
          const dx = node.output;
          if (!dy || !logits || !target || !coefficients) throw new Error(`${op}_grad operands`);
          splitImages(context, [logits, dx], [target, ...normaliser], (window) => {
            context.dispatch({
              kernel: {
                name: "soft_dice_backward",
                source: backwardCode,
                constants: { BINARY, PARTS: window.parts },
              },
              params: geometry.params(window, target, normaliser[0]),
              grid: geometry.backwardGrid(window.count),
            }, [
              dy,
              ...window.of(logits).map((part, i) => context.reading(`logits${i}`, part)),
              ...window.of(target),
              context.reading("coefficients", coefficients, "f32"),
              ...window.of(dx),
              ...normaliser.flatMap(window.of),
            ]);
          });
        },
      });
      return [gradient.output];
    },
  }).output;
}
