/**
 * Sums and means, and their gradients.
 *
 * Two levels: many short sums, then one sum of those. Besides being parallel this keeps the error
 * far below that of one long float32 sum (Higham, "The accuracy of floating point summation", 1993).
 * @module
 */
import broadcastCode from "../../shaders/reduce_broadcast.wgsl" with { type: "text" };
import finishCode from "../../shaders/reduce_finish.wgsl" with { type: "text" };
import sumCode from "../../shaders/reduce_sum.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Node, Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount } from "../graph/layout.ts";
import type { LowerContext } from "../graph/lower.ts";
import { finishLanes, planeChunks } from "./channel_chunks.ts";
import { linearGrid } from "./grid.ts";

/**
 * Sums a `c4` tensor [N, C, H, W] over N, H and W.
 *
 * @returns `flat` [C]
 * @throws {ShapeError} for another layout.
 */
export function channelSum(x: Tensor): Tensor {
  expectFloat("channel_sum", x);
  if (x.layout !== "c4") {
    throw new ShapeError(
      `channel_sum got "${x.label}" ${x.describe()} (${x.layout}), expected an image in c4 layout.`,
    );
  }
  return x.graph.record({
    op: "channel_sum",
    inputs: [x],
    outputs: [{ shape: [x.shape[1] ?? 1] }],
    flops: elementCount(x.shape),
    lower(context, node) {
      const g = c4Geometry(x.shape);
      lowerSum(context, node, { count: g.planeSize, images: g.batch, blocks: g.channelBlocks });
    },
    backward: ([dy]) => [dy && broadcast(dy, x, "channel", 1)],
  }).output;
}

/** The sum of all elements of a tensor of any layout, as `flat` [1]. */
export function sum(x: Tensor): Tensor {
  return total("sum", x, 1);
}

/** The mean of all elements of a tensor of any layout, as `flat` [1]. */
export function mean(x: Tensor): Tensor {
  return total("mean", x, 1 / elementCount(x.shape));
}

function total(op: string, x: Tensor, scale: number): Tensor {
  expectFloat(op, x);
  return x.graph.record({
    op,
    inputs: [x],
    outputs: [{ shape: [1] }],
    attributes: { scale },
    flops: elementCount(x.shape),
    lower: (context, node) =>
      lowerSum(context, node, { count: x.sizeBytes / 16, images: 1, blocks: 1 }),
    backward: ([dy]) => [dy && broadcast(dy, x, "scalar", scale)],
  }).output;
}

/** Planes of `count` vec4s, `blocks` of them an image; images are added up. */
interface Extent {
  count: number;
  images: number;
  blocks: number;
}

function lowerSum(context: LowerContext, node: Node, { count, images, blocks }: Extent): void {
  const [x] = node.inputs;
  if (!x) throw new Error(`Node ${node.label} has no input`);
  const scalar = node.op === "channel_sum" ? 0 : 1;
  const { kernelFamily } = context.target;
  const planes = images * blocks;
  const { chunkSize, chunks, length, grid, constants } = planeChunks(count, kernelFamily);
  const tail = x.layout === "flat" ? elementCount(x.shape) - (count - 1) * 4 : 4;
  const partials = context.scratch("partials", planes * length * 16);
  context.dispatch({
    kernel: {
      name: "reduce_sum",
      source: sumCode,
      constants: { ...constants, TAIL: tail < 4 ? 1 : 0, UNROLL: 8 },
    },
    params: [count, chunkSize, chunks, tail],
    grid: grid(planes),
  }, [x, partials]);
  const lanes = scalar ? 64 : finishLanes(kernelFamily);
  context.dispatch({
    kernel: {
      name: "reduce_finish",
      source: finishCode,
      constants: { LANES: lanes, SCALAR: scalar },
    },
    params: [images, blocks, length, f32Bits(Number(node.attributes.scale ?? 1))],
    grid: [Math.ceil(blocks * lanes / 64), 1, 1],
  }, [partials, node.output]);
}

/** `scale * dy` at every element of a tensor like `x`; zero in its padding. */
function broadcast(dy: Tensor, x: Tensor, source: "scalar" | "channel", scale: number): Tensor {
  const { shape, layout } = x;
  return x.graph.record({
    op: `${source}_broadcast`,
    inputs: [dy],
    outputs: [{ shape, layout }],
    attributes: { scale },
    lower(context, node) {
      const g = c4Geometry(shape);
      const linear = linearGrid(x.sizeBytes / 16);
      context.dispatch({
        kernel: {
          name: "reduce_broadcast",
          source: broadcastCode,
          constants: { SOURCE: source, LAYOUT: layout },
        },
        params: [
          f32Bits(Number(node.attributes.scale)),
          g.channels,
          g.channelBlocks,
          g.height,
          g.width,
          g.pitch,
          elementCount(shape),
          linear.stride,
        ],
        grid: layout === "flat" ? linear.grid : [g.pitch / 16, Math.ceil(g.rows / 4), g.planes],
      }, [...node.inputs, node.output]);
    },
  }).output;
}

function expectFloat(op: string, x: Tensor): void {
  if (x.dtype !== "f32") {
    throw new ShapeError(`${op} got "${x.label}" of type ${x.dtype}, expected f32.`);
  }
}
