/**
 * Which taps of a convolution, or of its adjoint, a kernel of the gemm family handles together.
 *
 * An output position is a whole step plus a phase: a convolution has one phase and steps over the
 * input by its stride; its adjoint (input gradient, transposed convolution) steps over the input by
 * one and has a phase for each residue of the stride, each with the taps that hit an input pixel
 * there.
 * @module
 */
import type { ConvShape } from "./conv_shape.ts";

/** Taps that see a rectangle of neighbouring input pixels from every output pixel. */
export interface TapGroup {
  /** Input position of the first tap at step 0, counted from the border: the image starts at 1. */
  readonly offsetY: number;
  readonly offsetX: number;
  /** Indices into a kernel [kH, kW], in the order of the pixels they see, row by row. */
  readonly taps: readonly number[];
}

/** How the taps of all phases are grouped; every group has the same size. */
export interface TapGroups {
  readonly tapsY: number;
  readonly tapsX: number;
  readonly inputStride: readonly [y: number, x: number];
  readonly outputStride: readonly [y: number, x: number];
  /** By phase, rows of phases first. */
  readonly phases: readonly (readonly TapGroup[])[];
}

interface Tap {
  readonly tap: number;
  readonly offset: number;
}

interface Axis {
  readonly inputStride: number;
  readonly outputStride: number;
  /** By phase, by offset. */
  readonly phases: readonly (readonly Tap[])[];
}

/** The tap groups of a convolution, of at most `maxTaps` taps in at most `maxSide` columns. */
export function forwardTaps(shape: ConvShape, maxTaps: number, maxSide = maxTaps): TapGroups {
  const axis = (a: 0 | 1): Axis => {
    const { kernel, stride, padding, dilation } = shape;
    const taps = range(kernel[a]).map((tap) => ({
      tap,
      offset: 1 - padding[a] + tap * dilation[a],
    }));
    return { inputStride: stride[a], outputStride: 1, phases: [taps] };
  };
  return groupTaps(axis(0), axis(1), shape.kernel[1], maxTaps, maxSide);
}

/** The tap groups of a convolution's adjoint, of at most `maxTaps` taps. */
export function adjointTaps(shape: ConvShape, maxTaps: number): TapGroups {
  const axis = (a: 0 | 1): Axis => {
    const { kernel, stride, padding, dilation } = shape;
    const phases = range(stride[a]).map((phase) =>
      range(kernel[a]).flatMap((tap) => {
        const steps = (phase + padding[a] - tap * dilation[a]) / stride[a];
        return Number.isInteger(steps) ? [{ tap, offset: steps + 1 }] : [];
      }).reverse()
    );
    return { inputStride: 1, outputStride: stride[a], phases };
  };
  return groupTaps(axis(0), axis(1), shape.kernel[1], maxTaps, maxTaps);
}

function groupTaps(
  y: Axis,
  x: Axis,
  kernelWidth: number,
  maxTaps: number,
  maxSide: number,
): TapGroups {
  const tapsX = commonRun(x, Math.min(maxTaps, maxSide));
  const tapsY = commonRun(y, Math.min(Math.floor(maxTaps / tapsX), maxSide));
  const phases = y.phases.flatMap((rows) =>
    x.phases.map((columns) =>
      chunk(rows, tapsY).flatMap((groupY) =>
        chunk(columns, tapsX).map((groupX): TapGroup => ({
          offsetY: groupY[0]?.offset ?? 0,
          offsetX: groupX[0]?.offset ?? 0,
          taps: groupY.flatMap((row) => groupX.map((column) => row.tap * kernelWidth + column.tap)),
        }))
      )
    )
  );
  return {
    tapsY,
    tapsX,
    inputStride: [y.inputStride, x.inputStride],
    outputStride: [y.outputStride, x.outputStride],
    phases,
  };
}

/** Taps of an axis in a group: all of a phase where they see neighbours in every phase, else one. */
function commonRun({ inputStride, phases }: Axis, most: number): number {
  const count = phases[0]?.length ?? 0;
  const isRun = (taps: readonly Tap[]) =>
    taps.length === count && taps.every((t, i) => t.offset === (taps[0]?.offset ?? 0) + i);
  return inputStride === 1 && count >= 1 && count <= most && phases.every(isRun) ? count : 1;
}

function chunk<T>(items: readonly T[], size: number): T[][] {
  return range(Math.ceil(items.length / size)).map((i) => items.slice(i * size, (i + 1) * size));
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
