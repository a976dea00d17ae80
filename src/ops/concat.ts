/**
 * Concatenation along channels and its gradient, channel slices.
 * @module
 */
import code from "../../shaders/channel_copy.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry, type ImageType } from "../graph/layout.ts";
import type { LowerContext } from "../graph/lower.ts";
import { rangesOf } from "../graph/windows.ts";
import { imageDims } from "./conv_shape.ts";
import { MAX_SEGMENTS, planesOf } from "./conv_texture_geometry.ts";

/**
 * Joins images [N, C_i, H, W] to [N, sum C_i, H, W] (PyTorch: `torch.cat(tensors, 1)`).
 *
 * A convolution reads the parts themselves; only another reader makes the program build the joined
 * tensor.
 * @throws {ShapeError} when batch, height or width differ.
 */
export function concat(tensors: readonly Tensor[]): Tensor {
  const parts = flatten(tensors);
  const [first, ...others] = parts;
  if (!first) throw new ShapeError("concat needs at least one tensor.");
  if (others.length === 0) return first;
  if (parts.length > MAX_SEGMENTS) {
    return concat([concat(parts.slice(0, MAX_SEGMENTS)), ...parts.slice(MAX_SEGMENTS)]);
  }
  const [batch, , height, width] = imageDims("concat", first);
  const channels = parts.map((part) => {
    const [n, c, h, w] = imageDims("concat", part);
    if (n !== batch || h !== height || w !== width) {
      throw new ShapeError(
        `concat got "${first.label}" ${first.describe()} and "${part.label}" ${part.describe()}; ` +
          "all but the channels must be equal.",
      );
    }
    return c;
  });
  const starts = channels.map((_, i) => channels.slice(0, i).reduce((sum, c) => sum + c, 0));
  const total = channels.reduce((sum, c) => sum + c, 0);
  const shape = [batch, total, height, width];
  return first.graph.record({
    op: "concat",
    inputs: parts,
    outputs: [{ shape, layout: "c4" }],
    lower(context, node) {
      const segments = channels.map((c, i) => {
        const start = starts[i] ?? 0;
        return { begin: start, end: start + c, shift: -start, channels: c };
      });
      lowerChannelCopy(context, node.inputs, node.output, segments);
    },
    backward: ([dy], needs) =>
      channels.map((c, i) => dy && needs[i] ? sliceChannels(dy, starts[i] ?? 0, c) : undefined),
  }).output;
}

/** The tensors that make up `tensor`: a concatenation's parts, or itself. */
export function concatParts(tensor: Tensor): readonly Tensor[] {
  return tensor.producer?.op === "concat" ? tensor.producer.inputs : [tensor];
}

/** Parts of parts, as long as the kernels can take them all. */
function flatten(tensors: readonly Tensor[]): readonly Tensor[] {
  const flat = tensors.flatMap(concatParts);
  return flat.length <= MAX_SEGMENTS ? flat : tensors;
}

/** Channels [start, start + count) of [N, C, H, W]. */
function sliceChannels(x: Tensor, start: number, count: number): Tensor {
  const [batch, channels, height, width] = imageDims("slice_channels", x);
  const shape = [batch, count, height, width];
  return x.graph.record({
    op: "slice_channels",
    inputs: [x],
    outputs: [{ shape, layout: "c4" }],
    attributes: { start },
    lower(context, node) {
      const segments = [{ begin: 0, end: count, shift: start, channels }];
      lowerChannelCopy(context, node.inputs, node.output, segments);
    },
  }).output;
}

/** Output channels [begin, end) are channels + `shift` of an input of `channels` channels. */
interface Segment {
  begin: number;
  end: number;
  shift: number;
  channels: number;
}

function lowerChannelCopy(
  context: LowerContext,
  inputs: readonly Tensor[],
  output: Tensor,
  segments: readonly Segment[],
): void {
  const { batch, channelBlocks, planes } = c4Geometry(output.shape, output.dtype);
  if (context.mostUnits(batch, [...inputs, output]) >= 1) {
    context.split(batch, [...inputs, output], (window) => {
      const [, ...sizes] = output.shape;
      const spec = channelCopy([window.count, ...sizes], context.images, segments);
      const parts = inputs.map((x, i) => context.reading(`x${i}`, window.of(x)));
      context.dispatch(spec, [...parts, window.of(output)]);
    });
    return;
  }
  // One image at a time, as many output planes as need no more than can be bound of any input: a
  // range of planes may begin and end within planes of the input.
  const fits = context.mostUnits(planes, [output]);
  const inputFits = inputs.map((x) =>
    context.mostUnits(c4Geometry(x.shape, x.dtype).planes, [x]) - 1
  );
  const most = Math.min(fits, ...inputFits);
  const [, , ...sizes] = output.shape;
  for (let image = 0; image < batch; image++) {
    for (const { first, count } of rangesOf(channelBlocks, most)) {
      const firstPlanes = segments.map((s, i) => {
        const last = c4Geometry(inputs[i]?.shape ?? [], context.images).channelBlocks - 1;
        const from = Math.max(s.begin, first * 4) + s.shift;
        return Math.min(last, Math.max(0, Math.floor(from / 4)));
      });
      const parts = inputs.map((x, i) => {
        const g = c4Geometry(x.shape, x.dtype);
        const begin = firstPlanes[i] ?? 0;
        const range = {
          first: image * g.channelBlocks + begin,
          count: Math.min(count + 1, g.channelBlocks - begin),
        };
        return context.reading(`x${i}`, context.part(x, g.planes, range).memory);
      });
      const moved = segments.map((s, i) => ({
        begin: Math.max(0, s.begin - first * 4),
        end: Math.max(0, s.end - first * 4),
        shift: s.shift + (first - (firstPlanes[i] ?? 0)) * 4,
        channels: s.channels,
      }));
      const range = { first: image * channelBlocks + first, count };
      const spec = channelCopy([1, count * 4, ...sizes], context.images, moved);
      context.dispatch(spec, [...parts, context.part(output, planes, range).memory]);
    }
  }
}

function channelCopy(
  shape: readonly number[],
  images: ImageType,
  segments: readonly Segment[],
): DispatchSpec {
  const { channelBlocks, planeSize, batch } = c4Geometry(shape, images);
  return {
    kernel: {
      name: "channel_copy",
      source: code,
      constants: { SEGMENTS: segments.length },
    },
    params: [
      planeSize,
      channelBlocks,
      ...segments.flatMap((s) => [s.begin, s.end, s.shift >>> 0, planesOf(s.channels)]),
    ],
    grid: [Math.ceil(planeSize / 64), channelBlocks, batch],
  };
}
