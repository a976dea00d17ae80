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
import { f32Bits, type KernelSpec } from "../gpu/kernel_spec.ts";
import type { Node, Tensor } from "../graph/graph.ts";
import { c4Geometry, elementCount, vectorTypeOf } from "../graph/layout.ts";
import type { LowerContext } from "../graph/lower.ts";
import type { BufferMemory } from "../graph/memory.ts";
import { finishGrid, type PlaneChunks, planeChunks } from "./channel_chunks.ts";
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
      const { batch, channelBlocks, planeSize } = c4Geometry(x.shape, x.dtype);
      lowerSum(context, node, { images: batch, blocks: channelBlocks, planeSize });
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
    lower: (context, node) => lowerSum(context, node, { images: 1, blocks: 1 }),
    backward: ([dy]) => [dy && broadcast(dy, x, "scalar", scale)],
  }).output;
}

/** What is summed apart: `blocks` planes of an image; images are added up. */
interface Extent {
  images: number;
  blocks: number;
  /** vec4s of a plane; default: one plane of everything. */
  planeSize?: number;
}

/** A part of what is summed that is bound at once: planes of so many vec4s. */
interface SummedPart {
  memory: BufferMemory;
  chunks: PlaneChunks;
  vectors: number;
  /** Values in the last vec4. */
  tail: number;
  planes: number;
}

function lowerSum(
  context: LowerContext,
  node: Node,
  { images, blocks, planeSize = 0 }: Extent,
): void {
  const [x] = node.inputs;
  if (!x) throw new Error(`Node ${node.label} has no input`);
  const scalar = node.op === "channel_sum" ? 0 : 1;
  const { kernelFamily, maxBindingBytes } = context.target;
  const mostLength = maxBindingBytes / (images * blocks * 16);
  const parts: SummedPart[] = [];
  if (images * blocks > 1) {
    const chunks = planeChunks(planeSize, kernelFamily, mostLength);
    context.split(images * blocks, [x], ({ of, count: planes }) => {
      parts.push({ memory: of(x), chunks, vectors: planeSize, tail: 4, planes });
    });
  } else {
    context.splitVectors([x], ({ of, vectors, values }) => {
      const chunks = planeChunks(vectors, kernelFamily, mostLength);
      const tail = values - (vectors - 1) * 4;
      parts.push({ memory: of(x), chunks, vectors, tail, planes: 1 });
    });
  }
  const lengths = parts.map(({ chunks, planes }) => chunks.length * planes);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const length = total / (images * blocks);
  const partials = context.scratch("partials", total * 16);
  let firstPartial = 0;
  parts.forEach(({ memory, chunks: chunked, vectors, tail, planes }, i) => {
    const { chunkSize, chunks, grid, constants } = chunked;
    context.dispatch({
      kernel: {
        name: "reduce_sum",
        source: sumCode,
        constants: {
          ...constants,
          TAIL: tail < 4 ? 1 : 0,
          UNROLL: 8,
          IMAGE: vectorTypeOf(x.dtype),
        },
      },
      params: [vectors, chunkSize, chunks, tail, firstPartial],
      grid: grid(planes),
    }, [context.reading("x", memory, x.dtype), partials]);
    firstPartial += lengths[i] ?? 0;
  });
  // For a single sum the processor, too, takes many lanes.
  const finish = finishGrid(blocks, scalar ? "gpu" : kernelFamily);
  context.dispatch({
    kernel: {
      name: "reduce_finish",
      source: finishCode,
      constants: { ...finish.constants, SCALAR: scalar },
    },
    params: [images, blocks, length, f32Bits(Number(node.attributes.scale ?? 1))],
    grid: finish.grid,
  }, [context.reading("partials", partials, "f32"), node.output]);
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
      const g = c4Geometry(shape, node.output.dtype);
      const kernel: KernelSpec = {
        name: "reduce_broadcast",
        source: broadcastCode,
        constants: { SOURCE: source, LAYOUT: layout, IMAGE: vectorTypeOf(node.output.dtype) },
      };
      const scaleBits = f32Bits(Number(node.attributes.scale));
      const y = node.output;
      const [dy] = node.inputs;
      if (!dy) throw new Error("broadcast operands");
      if (layout === "flat") {
        context.splitVectors([y], ({ of, vectors, values }) => {
          const { grid, stride } = linearGrid(vectors);
          context.dispatch({ kernel, params: [scaleBits, values, stride], grid }, [dy, of(y)]);
        });
        return;
      }
      context.split(g.planes, [y], (window) => {
        context.dispatch({
          kernel,
          params: [
            scaleBits,
            g.channels,
            g.channelBlocks,
            g.height,
            g.width,
            g.pitch,
            window.first,
          ],
          grid: [g.pitch / 16, Math.ceil(g.rows / 4), window.count],
        }, [dy, window.of(y)]);
      });
    },
  }).output;
}

function expectFloat(op: string, x: Tensor): void {
  if (x.dtype === "u32") {
    throw new ShapeError(`${op} got "${x.label}" of type ${x.dtype}, expected f32 or f16.`);
  }
}
