/**
 * Convolutions of tensors larger than a binding: cut into convolutions of fewer images, and where a
 * single image is too large for kernels that do not take it plane by plane, of fewer channels. Those are of the same kind, so every kernel family
 * serves; weights are cut to size, and sums over input channels or images are added up.
 * @module
 */
import { c4Geometry, type ImageType, vectorBytesOf } from "../graph/layout.ts";
import type { ImageView, LowerContext } from "../graph/lower.ts";
import type { BufferMemory } from "../graph/memory.ts";
import { mostUnits, rangesOf, type UnitRange, windowOfUnits } from "../graph/windows.ts";
import type { Affine } from "./conv_epilogue.ts";
import type { Preparation } from "./conv_prologue.ts";
import { type ConvShape, totalInputChannels } from "./conv_shape.ts";
import { MAX_SEGMENTS } from "./conv_texture_geometry.ts";
import { copyBlock } from "./copy_block.ts";
import { mostPlanes, planesIn } from "./plane_windows.ts";

/** A convolution, or the gradient of one of its inputs, with everything it touches. */
export interface ConvJob {
  readonly shape: ConvShape;
  /** The concatenated inputs; for a gradient, the output's gradient alone. */
  readonly inputs: readonly ImageView[];
  /** [O, I, kH, kW], `flat` */
  readonly weight: BufferMemory;
  /** `flat`, a value for each channel of `output` */
  readonly bias: BufferMemory | undefined;
  /** Instead of a bias; only where {@linkcode imagesAtOnce} gives at least one. */
  readonly affine?: Affine | undefined;
  /** Done to the only input; where {@linkcode imagesAtOnce} gives at least one. */
  readonly preparation?: Preparation | undefined;
  readonly output: ImageView;
  /** Whether it takes some channels of an image: then other jobs may read the same inputs. */
  readonly isCut?: boolean;
}

/** A weight gradient with everything it touches. */
export interface WeightGradJob {
  readonly shape: ConvShape;
  readonly inputs: readonly ImageView[];
  readonly gradient: ImageView;
  /** Done to the only input; where whole images can be bound. */
  readonly preparation?: Preparation | undefined;
  /** [O, I, kH, kW], `flat` */
  readonly output: BufferMemory;
  /** As that of a {@linkcode ConvJob}. */
  readonly isCut?: boolean;
}

/** How much of a convolution can be computed at once. */
export interface ConvLimits {
  /** Whether the kernels bind images they read as storage buffers. */
  readonly bindsInputs: boolean;
  /** Images at once, for other reasons than bindings. */
  readonly mostImages: number;
  /** Whether the kernels take an image that cannot be bound plane by plane. */
  readonly takesPlanes: boolean;
}

/** Calls `run` for parts of a convolution that can be bound. */
export function splitForward(
  context: LowerContext,
  job: ConvJob,
  limits: ConvLimits,
  run: (part: ConvJob) => void,
): void {
  if (splitImages(context, job, limits, run)) return;
  const { shape, inputs, output, bias } = job;
  if (job.affine) throw new Error("Partial sums of a convolution cannot be scaled and offset");
  if (job.preparation) throw new Error("Some channels of an image cannot be prepared");
  const { batch, outputChannels } = shape;
  const pieces = inputs.flatMap((view, i) => {
    const before = shape.inputChannels.slice(0, i).reduce((sum, c) => sum + c, 0);
    return channelRanges(context, view, limits.bindsInputs).map((range) => ({
      view,
      range,
      channel: before + range.first,
    }));
  });
  for (let image = 0; image < batch; image++) {
    for (const outputs of channelRanges(context, output, true)) {
      const result = channelsOf(context, output, image, outputs);
      for (let first = 0; first < pieces.length; first += MAX_SEGMENTS) {
        const some = pieces.slice(first, first + MAX_SEGMENTS);
        const counts = some.map(({ range }) => range.count);
        const channels = {
          first: some[0]?.channel ?? 0,
          count: counts.reduce((sum, count) => sum + count, 0),
        };
        addUpImages(context, result, first === 0, (target) =>
          run({
            shape: { ...shape, batch: 1, inputChannels: counts, outputChannels: outputs.count },
            inputs: some.map(({ view, range }) => channelsOf(context, view, image, range)),
            weight: cutWeight(context, job, outputs, channels),
            bias: bias && first === 0
              ? cut(context, bias, outputs.first, outputs.count, outputChannels)
              : undefined,
            output: target,
            isCut: true,
          }));
      }
    }
  }
}

/** Calls `run` for parts of the gradient of input `segment`, with the segment's number there. */
export function splitInputGrad(
  context: LowerContext,
  job: ConvJob,
  segment: number,
  limits: ConvLimits,
  run: (part: ConvJob, segment: number) => void,
): void {
  if (splitImages(context, job, limits, (part) => run(part, segment))) return;
  const { shape, inputs: [gradient], output, bias } = job;
  if (!gradient) throw new Error("An input gradient needs the output's gradient");
  const before = shape.inputChannels.slice(0, segment).reduce((sum, c) => sum + c, 0);
  for (let image = 0; image < shape.batch; image++) {
    for (const results of channelRanges(context, output, true)) {
      const result = channelsOf(context, output, image, results);
      const channels = { first: before + results.first, count: results.count };
      channelRanges(context, gradient, limits.bindsInputs).forEach((outputs, i) => {
        addUpImages(context, result, i === 0, (target) =>
          run({
            shape: {
              ...shape,
              batch: 1,
              inputChannels: [results.count],
              outputChannels: outputs.count,
            },
            inputs: [channelsOf(context, gradient, image, outputs)],
            weight: cutWeight(context, job, outputs, channels),
            bias: bias && i === 0
              ? cut(context, bias, results.first, results.count, shape.inputChannels[segment] ?? 0)
              : undefined,
            output: target,
            isCut: true,
          }, 0));
      });
    }
  }
}

/** Calls `run` for parts of a weight gradient, and adds up what they give. */
export function splitWeightGrad(
  context: LowerContext,
  job: WeightGradJob,
  limits: ConvLimits,
  run: (part: WeightGradJob) => void,
): void {
  const { shape, inputs, gradient, output } = job;
  const most = atOnce(context, limits.bindsInputs ? [...inputs, gradient] : [], limits);
  if (most >= shape.batch) {
    run(job);
    return;
  }
  const rowLength = totalInputChannels(shape) * tapsOf(shape);
  if (most >= 1) {
    const length = shape.outputChannels * rowLength;
    rangesOf(shape.batch, most).forEach((range, i) => {
      const runPart = (target: BufferMemory) =>
        run({
          shape: { ...shape, batch: range.count },
          inputs: inputs.map((view) => imagesOf(view, range)),
          gradient: imagesOf(gradient, range),
          preparation: job.preparation,
          output: target,
        });
      addUp(context, output, length, "f32", i === 0, runPart);
    });
    return;
  }
  for (let image = 0; image < shape.batch; image++) {
    for (const outputs of channelRanges(context, gradient, true)) {
      let before = 0;
      inputs.forEach((view, i) => {
        for (const range of channelRanges(context, view, true)) {
          const length = range.count * tapsOf(shape);
          const part = context.scratch("part", roundUp(outputs.count * length * 4));
          run({
            shape: {
              ...shape,
              batch: 1,
              inputChannels: [range.count],
              outputChannels: outputs.count,
            },
            inputs: [channelsOf(context, view, image, range)],
            gradient: channelsOf(context, gradient, image, outputs),
            output: part,
            isCut: true,
          });
          copyBlock(context, part, output, {
            rows: outputs.count,
            length,
            xFirst: 0,
            xStride: length,
            yFirst: outputs.first * rowLength + (before + range.first) * tapsOf(shape),
            yStride: rowLength,
            add: image > 0,
          });
        }
        before += shape.inputChannels[i] ?? 0;
      });
    }
  }
}

/** Cuts by images only; `false` where a single one is too large. */
function splitImages(
  context: LowerContext,
  job: ConvJob,
  limits: ConvLimits,
  run: (part: ConvJob) => void,
): boolean {
  const { shape, inputs, output } = job;
  const most = imagesAtOnce(context, job, limits);
  if (most < 1) return false;
  if (most >= shape.batch) {
    run(job);
    return true;
  }
  for (const range of rangesOf(shape.batch, most)) {
    run({
      ...job,
      shape: { ...shape, batch: range.count },
      inputs: inputs.map((view) => imagesOf(view, range)),
      output: imagesOf(output, range),
    });
  }
  return true;
}

/** How many whole images a convolution takes at once; 0 where one has to be cut by channels. */
export function imagesAtOnce(
  context: LowerContext,
  { inputs, output }: Pick<ConvJob, "inputs" | "output">,
  limits: ConvLimits,
): number {
  return atOnce(context, [output, ...(limits.bindsInputs ? inputs : [])], limits);
}

/** The same for whatever has to be bound. */
export function atOnce(
  context: LowerContext,
  bound: readonly ImageView[],
  { mostImages: most, takesPlanes }: Omit<ConvLimits, "bindsInputs">,
): number {
  return Math.max(takesPlanes ? 1 : 0, Math.min(most, mostImages(context, bound)));
}

/** How many images of each can be bound at once; 0 where not even one can. */
function mostImages(context: LowerContext, views: readonly ImageView[]): number {
  const images = views.map((view) => ({
    memory: view.memory,
    unitBytes: view.memory.sizeBytes / (view.shape[0] ?? 1),
  }));
  return mostUnits(images, context.target.maxBindingBytes);
}

/** Some of the images. */
export function imagesOf({ memory, shape }: ImageView, range: UnitRange): ImageView {
  const [batch = 1, ...sizes] = shape;
  const unitBytes = memory.sizeBytes / batch;
  return {
    memory: windowOfUnits({ memory, unitBytes }, range).memory,
    shape: [range.count, ...sizes],
  };
}

/** Ranges of channels of an image that can be bound, or all of them where they need not be. */
function channelRanges(context: LowerContext, view: ImageView, isBound: boolean): UnitRange[] {
  const { channels, channelBlocks } = c4Geometry(view.shape, context.images);
  if (!isBound) return [{ first: 0, count: channels }];
  return rangesOf(channelBlocks, mostPlanes(context, view)).map(({ first, count }) => ({
    first: first * 4,
    count: Math.min(count * 4, channels - first * 4),
  }));
}

function channelsOf(
  context: LowerContext,
  view: ImageView,
  image: number,
  range: UnitRange,
): ImageView {
  const { channelBlocks } = c4Geometry(view.shape, context.images);
  const planes = {
    first: image * channelBlocks + range.first / 4,
    count: Math.ceil(range.count / 4),
  };
  return {
    memory: planesIn(context, view, planes),
    shape: [1, range.count, ...view.shape.slice(2)],
  };
}

/** Lets `run` compute images into `result`, or into scratch memory that is then added to it. */
function addUpImages(
  context: LowerContext,
  { memory, shape }: ImageView,
  isFirst: boolean,
  run: (target: ImageView) => void,
): void {
  const length = memory.sizeBytes * 4 / vectorBytesOf(context.images);
  addUp(
    context,
    memory,
    length,
    context.images,
    isFirst,
    (target) => run({ memory: target, shape }),
  );
}

/**
 * The same for any memory of `length` values. What follows them is left alone: nobody writes it in
 * scratch memory, and in the arena of gradients it must stay zero.
 */
function addUp(
  context: LowerContext,
  result: BufferMemory,
  length: number,
  type: ImageType,
  isFirst: boolean,
  run: (target: BufferMemory) => void,
): void {
  if (isFirst) {
    run(result);
    return;
  }
  const part = context.scratch("part", result.sizeBytes);
  run(part);
  const whole = { rows: 1, length, xFirst: 0, xStride: 0, yFirst: 0, yStride: 0, add: true };
  copyBlock(context, part, result, whole, type);
}

/** The weights between some output and some input channels. */
function cutWeight(
  context: LowerContext,
  { shape, weight }: ConvJob,
  outputs: UnitRange,
  inputs: UnitRange,
): BufferMemory {
  const taps = tapsOf(shape);
  const all = totalInputChannels(shape);
  if (outputs.count === shape.outputChannels && inputs.count === all) return weight;
  const length = inputs.count * taps;
  const part = context.scratch("weight", roundUp(outputs.count * length * 4));
  copyBlock(context, weight, part, {
    rows: outputs.count,
    length,
    xFirst: (outputs.first * all + inputs.first) * taps,
    xStride: all * taps,
    yFirst: 0,
    yStride: length,
    add: false,
  });
  return part;
}

/** `count` of the `all` values of a vector. */
function cut(
  context: LowerContext,
  vector: BufferMemory,
  first: number,
  count: number,
  all: number,
): BufferMemory {
  if (count === all) return vector;
  const part = context.scratch("bias", roundUp(count * 4));
  const row = { rows: 1, length: count, xStride: 0, yFirst: 0, yStride: 0, add: false };
  copyBlock(context, vector, part, { ...row, xFirst: first });
  return part;
}

function tapsOf({ kernel: [height, width] }: ConvShape): number {
  return height * width;
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}
