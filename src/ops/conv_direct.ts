/**
 * Convolutions that can do with nothing but storage buffers: any kernel, stride, padding and
 * dilation, on every adapter. Everything here is plain data; the caller owns the buffers.
 *
 * One gather kernel serves both directions. An output position is a whole step plus a phase: a
 * convolution has one phase and steps over the input by its stride; its adjoint (input gradient,
 * transposed convolution) steps over the input by one and has a phase for each residue of the
 * stride, each with the taps that hit an input pixel there.
 * @module
 */
import gatherSource from "../../shaders/conv2d_direct_gather.wgsl" with { type: "text" };
import packSource from "../../shaders/conv2d_direct_pack_weights.wgsl" with { type: "text" };
import gradSource from "../../shaders/conv2d_direct_weight_grad.wgsl" with { type: "text" };
import reduceSource from "../../shaders/conv2d_direct_weight_grad_reduce.wgsl" with {
  type: "text",
};
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import { c4Geometry, type ImageType } from "../graph/layout.ts";
import { type Epilogue, epilogueConstants } from "./conv_epilogue.ts";
import { type ConvShape, totalInputChannels } from "./conv_shape.ts";
import { MAX_SEGMENTS, planesOf, segmentWords } from "./conv_texture_geometry.ts";
import { linearGrid } from "./grid.ts";

/** A convolution or adjoint: packing its weights, then computing it. */
export interface DirectDispatches {
  readonly packedBytes: number;
  /** Bindings: 0 params, 1 weights (flat), 2 packed. */
  readonly pack: DispatchSpec;
  /** Bindings: 0 params, 1 .. inputs (c4), packed, output (c4), what the epilogue needs. */
  readonly gather: DispatchSpec;
}

/** y = conv(x, w) + bias for weights [O, I, kH, kW]. */
export function directForward(
  shape: ConvShape,
  epilogue: Epilogue,
  images: ImageType = "f32",
): DirectDispatches {
  const taps = shape.kernel[0] * shape.kernel[1];
  const axes = ([0, 1] as const).map((axis) => forwardAxis(shape, axis));
  return direct({
    name: "conv2d_direct_forward",
    batch: shape.batch,
    inputChannels: shape.inputChannels,
    inputSize: shape.inputSize,
    outputChannels: shape.outputChannels,
    outputSize: shape.outputSize,
    kernel: shape.kernel,
    axes: [axes[0]!, axes[1]!],
    weights: {
      first: 0,
      outputStride: totalInputChannels(shape) * taps,
      inputStride: taps,
    },
    epilogue,
    images,
  });
}

/**
 * The gradient of input number `segment` for weights [O, I, kH, kW]. With a bias it is a transposed
 * convolution.
 */
export function directInputGrad(
  shape: ConvShape,
  segment: number,
  epilogue: Epilogue,
  images: ImageType = "f32",
): DirectDispatches {
  const taps = shape.kernel[0] * shape.kernel[1];
  const before = shape.inputChannels.slice(0, segment).reduce((sum, c) => sum + c, 0);
  const axes = ([0, 1] as const).map((axis) => adjointAxis(shape, axis));
  return direct({
    name: "conv2d_direct_input_grad",
    batch: shape.batch,
    inputChannels: [shape.outputChannels],
    inputSize: shape.outputSize,
    outputChannels: shape.inputChannels[segment] ?? 0,
    outputSize: shape.inputSize,
    kernel: shape.kernel,
    axes: [axes[0]!, axes[1]!],
    weights: {
      first: before * taps,
      outputStride: taps,
      inputStride: totalInputChannels(shape) * taps,
    },
    epilogue,
    images,
  });
}

/** Where along an axis a gather reads; positions count from the border, so the image starts at 1. */
interface Axis {
  /** Input positions from one step to the next. */
  readonly inputStride: number;
  /** Output positions from one step to the next, which is the number of phases. */
  readonly outputStride: number;
  /** By phase: the taps and their input positions at step 0. */
  readonly phases: readonly (readonly { tap: number; offset: number }[])[];
}

function forwardAxis(shape: ConvShape, axis: 0 | 1): Axis {
  const [kernel, stride, padding, dilation] = axisOf(shape, axis);
  const taps = range(kernel).map((tap) => ({
    tap,
    offset: 1 - stride - padding + tap * dilation,
  }));
  return { inputStride: stride, outputStride: 1, phases: [taps] };
}

function adjointAxis(shape: ConvShape, axis: 0 | 1): Axis {
  const [kernel, stride, padding, dilation] = axisOf(shape, axis);
  const phases = range(stride).map((phase) =>
    range(kernel).flatMap((tap) => {
      const steps = (phase - 1 + padding - tap * dilation) / stride;
      return Number.isInteger(steps) ? [{ tap, offset: steps + 1 }] : [];
    })
  );
  return { inputStride: 1, outputStride: stride, phases };
}

function axisOf(shape: ConvShape, axis: 0 | 1): [number, number, number, number] {
  return [shape.kernel[axis], shape.stride[axis], shape.padding[axis], shape.dilation[axis]];
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

interface Gather {
  readonly name: string;
  readonly batch: number;
  readonly inputChannels: readonly number[];
  readonly inputSize: readonly [number, number];
  readonly outputChannels: number;
  readonly outputSize: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly axes: readonly [Axis, Axis];
  /** Where the weight of an output and an input channel lies: the index of its first tap. */
  readonly weights: { first: number; outputStride: number; inputStride: number };
  readonly epilogue: Epilogue;
  readonly images: ImageType;
}

/** Lanes of a gather's workgroup. */
const LANES = 64;
/** Output rows an invocation computes; fewer where the image has few. */
const TILE_ROWS = 8;
const SMALL_TILE_ROWS = 2;

/** Planes of output channels an invocation computes. */
function outPlanesOf(channels: number): number {
  return channels <= 4 ? 1 : channels < 16 ? 2 : 4;
}

function direct(g: Gather): DirectDispatches {
  const taps = g.kernel[0] * g.kernel[1];
  const inputPlanes = g.inputChannels.reduce((sum, c) => sum + planesOf(c), 0);
  const outPlanes = outPlanesOf(g.outputChannels);
  const outputPlanes = planesOf(g.outputChannels);
  const blocks = Math.ceil(outputPlanes / outPlanes);
  const packed = blocks * taps * inputPlanes * 4 * outPlanes;
  const packGrid = linearGrid(packed);
  const input = c4Geometry([g.batch, 4, ...g.inputSize], g.images);
  const output = c4Geometry([g.batch, 4, ...g.outputSize], g.images);
  const [axisY, axisX] = g.axes;
  const stepsX = Math.ceil(output.pitch / axisX.outputStride);
  const stepsY = Math.ceil(output.rows / axisY.outputStride);
  const tileRows = stepsY <= SMALL_TILE_ROWS * 4 ? SMALL_TILE_ROWS : TILE_ROWS;
  const tiles = stepsX * Math.ceil(stepsY / tileRows);
  const phases = axisX.outputStride * axisY.outputStride;
  return {
    packedBytes: packed * 16,
    pack: {
      kernel: {
        name: "conv2d_direct_pack_weights",
        source: packSource,
        constants: { OUT_PLANES: outPlanes },
      },
      params: [
        packed,
        packGrid.stride,
        g.outputChannels,
        inputPlanes,
        taps,
        g.weights.first,
        g.weights.outputStride,
        g.weights.inputStride,
        ...segmentWords(g.inputChannels),
      ],
      grid: packGrid.grid,
    },
    gather: {
      kernel: {
        name: "conv2d_direct_gather",
        source: gatherSource,
        constants: {
          SEGMENTS: g.inputChannels.length,
          OUT_PLANES: outPlanes,
          TILE_ROWS: tileRows,
          ...epilogueConstants(g.epilogue),
        },
      },
      params: [
        output.width,
        output.height,
        output.rows,
        output.pitch,
        g.outputChannels,
        outputPlanes,
        blocks,
        input.rows,
        input.width + 1,
        input.pitch,
        inputPlanes,
        taps,
        axisX.inputStride,
        axisY.inputStride,
        axisX.outputStride,
        axisY.outputStride,
        stepsX,
        tiles,
        ...range(MAX_SEGMENTS).map((s) => planesOf(g.inputChannels[s] ?? 0)),
        ...tapTable(g.axes, g.kernel[1]),
      ],
      grid: [blocks * phases, Math.ceil(tiles / LANES), g.batch],
    },
  };
}

/** The first entry of each phase, rows of phases first, then (y offset, x offset, tap) of each. */
function tapTable([y, x]: readonly [Axis, Axis], kernelWidth: number): number[] {
  const starts = [0];
  const entries: number[] = [];
  for (const rows of y.phases) {
    for (const columns of x.phases) {
      for (const row of rows) {
        for (const column of columns) {
          entries.push(row.offset >>> 0, column.offset >>> 0, row.tap * kernelWidth + column.tap);
        }
      }
      starts.push(entries.length);
    }
  }
  return [...starts.map((start) => starts.length + start), ...entries];
}

/** The dispatches of a weight gradient, in order, and the buffer between them. */
export interface DirectWeightGrad {
  readonly partialBytes: number;
  /** By input. Bindings: 0 params, 1 that input (c4), 2 output gradient (c4), 3 partials. */
  readonly accumulate: readonly DispatchSpec[];
  /** Bindings: 0 params, 1 partials, 2 dW [O, I, kH, kW] (flat). */
  readonly reduce: DispatchSpec;
}

/** Partial sums of a weight gradient: enough of them to fill a device, few enough to add up. */
const MAX_PARTIAL_BYTES = 64 * 2 ** 20;
const MAX_STRIPS = 256;

/**
 * dW [O, I, kH, kW] from the inputs and the output gradient.
 * @param invocations how many keep the device busy
 * @param maxBindingBytes that the partial sums may take, where fewer do
 */
export function directWeightGrad(
  shape: ConvShape,
  invocations: number,
  maxBindingBytes: number,
  images: ImageType = "f32",
): DirectWeightGrad {
  const { batch, inputChannels, outputChannels } = shape;
  const [kh, kw] = shape.kernel;
  const inputPlanes = inputChannels.reduce((sum, c) => sum + planesOf(c), 0);
  const outputPlanes = planesOf(outputChannels);
  const outPlanes = outputChannels <= 4 ? 1 : 2;
  const blocks = Math.ceil(outputPlanes / outPlanes);
  const tapsAtOnce = Math.min(kw, kw === 4 ? 2 : 3);
  const tapGroups = Math.ceil(kw / tapsAtOnce);
  const tasks = blocks * inputPlanes * kh * tapGroups;
  const stripVectors = tasks * tapsAtOnce * 4 * outPlanes;
  const input = c4Geometry([batch, 4, ...shape.inputSize], images);
  const gradient = c4Geometry([batch, 4, ...shape.outputSize], images);
  const rows = batch * gradient.height;
  const strips = Math.max(
    1,
    Math.min(
      rows,
      MAX_STRIPS,
      Math.ceil(invocations / tasks),
      Math.floor(Math.min(MAX_PARTIAL_BYTES, maxBindingBytes) / (stripVectors * 16)),
    ),
  );
  const rowsPerStrip = Math.ceil(rows / strips);
  const usedStrips = Math.ceil(rows / rowsPerStrip);
  const [strideY, strideX] = shape.stride;
  const [dilationY, dilationX] = shape.dilation;
  const [paddingY, paddingX] = shape.padding;
  const reduceGrid = linearGrid(stripVectors);
  let firstPlane = 0;
  const accumulate = inputChannels.map((channels): DispatchSpec => {
    const planes = planesOf(channels);
    const count = blocks * planes * kh * tapGroups * usedStrips;
    const { grid, stride } = linearGrid(count);
    const spec: DispatchSpec = {
      kernel: {
        name: "conv2d_direct_weight_grad",
        source: gradSource,
        constants: {
          OUT_PLANES: outPlanes,
          TAPS: tapsAtOnce,
          // Neighbouring pixels share input columns where both steps are one.
          PIXELS: strideX === 1 && dilationX === 1 ? 4 : 1,
        },
      },
      params: [
        count,
        stride,
        planes,
        firstPlane,
        inputPlanes,
        outputPlanes,
        blocks,
        kh,
        tapGroups,
        gradient.width,
        gradient.height,
        gradient.rows,
        gradient.pitch,
        input.rows,
        input.width + 1,
        input.pitch,
        strideX,
        strideY,
        dilationX,
        dilationY,
        (1 - paddingX) >>> 0,
        (1 - paddingY) >>> 0,
        rowsPerStrip,
        rows,
      ],
      grid,
    };
    firstPlane += planes;
    return spec;
  });
  return {
    partialBytes: usedStrips * stripVectors * 16,
    accumulate,
    reduce: {
      kernel: {
        name: "conv2d_direct_weight_grad_reduce",
        source: reduceSource,
        constants: { OUT_PLANES: outPlanes, TAPS: tapsAtOnce },
      },
      params: [
        usedStrips,
        stripVectors,
        reduceGrid.stride,
        outputChannels,
        totalInputChannels(shape),
        inputPlanes,
        kh,
        kw,
        tapGroups,
        ...segmentWords(inputChannels),
      ],
      grid: reduceGrid.grid,
    },
  };
}
