/**
 * The steps of convolutions by Winograd's algorithms: what is written to a buffer and then copied to
 * a texture, part by part.
 * @module
 */
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import type { ImageView, LowerContext } from "../graph/lower.ts";
import type { BufferMemory, TextureMemory } from "../graph/memory.ts";
import type { Preparation } from "./conv_prologue.ts";
import type { WinogradPart } from "./conv_winograd.ts";
import type { ImageTransform } from "./conv_winograd_geometry.ts";
import type { WinogradGradPart } from "./conv_winograd_weight_grad.ts";
import { fillTexture, type PiecedTexture } from "./pieced_texture.ts";
import { planeWindows } from "./plane_windows.ts";

/** The texture of packed weights; the texture family's other kernels pack theirs alike. */
export function packWeights(
  context: LowerContext,
  packed: PiecedTexture<DispatchSpec>,
  weight: BufferMemory,
): TextureMemory {
  // Small weights, too, where large ones are copied: else there were two kernels to translate. That
  // costs a layer of few channels a pass.
  const readings = context.copied([context.reading("weights", weight, "f32")], 0);
  return fillTexture(context, "packed", packed, (pack, buffer) => {
    context.dispatch(pack, [...readings, buffer]);
  });
}

/** The texture of a part's transformed windows of images. */
export function transformWindows(
  context: LowerContext,
  { rows, transformed }: ImageTransform,
  images: readonly ImageView[],
  preparation?: Preparation,
): TextureMemory {
  const staged = context.stageRows(images, rows);
  return fillTexture(context, "transformed", transformed, (dispatches, buffer) => {
    for (const dispatch of dispatches) {
      context.dispatch(dispatch, [staged, buffer, ...preparation?.operands ?? []]);
    }
  });
}

/** A part of a convolution from its transformed windows. */
export function multiplyWindows(
  context: LowerContext,
  { multiply, productBytes, finish }: WinogradPart,
  windows: TextureMemory,
  packed: TextureMemory,
  output: ImageView,
  operands: readonly BufferMemory[],
): void {
  const products = context.scratch("products", productBytes);
  context.dispatch(multiply, [windows, packed, products]);
  const read = context.reading("products", products, "f32");
  const readings = [read, ...context.readings(["epilogue"], operands, "f32")];
  const outputs = planeWindows(context, output);
  const isCut = outputs.length > 1;
  // What several dispatches read through textures is copied once.
  const [first = read, ...others] = isCut && context.copies(readings)
    ? context.copied(readings, 0)
    : readings;
  for (const { planes, memory } of outputs) {
    context.dispatch(finish(isCut ? planes : undefined), [first, memory, ...others]);
  }
}

/** A part of a weight gradient from the transformed windows of the output's gradient. */
export function accumulateBlocks(
  context: LowerContext,
  { rows, blocks, stagesInputs, accumulate, isAdded }: WinogradGradPart,
  windows: TextureMemory,
  inputs: readonly ImageView[],
  sums: BufferMemory,
  preparation?: Preparation,
): void {
  const memories = inputs.map((input) =>
    stagesInputs ? context.stageRows([input], rows) : input.memory
  );
  const texture = fillTexture(context, "blocks", blocks, (dispatches, buffer) => {
    for (const [i, memory] of memories.entries()) {
      for (const dispatch of dispatches[i] ?? []) {
        context.dispatch(dispatch, [memory, buffer, ...preparation?.operands ?? []]);
      }
    }
  });
  const reading = context.reading("before", sums, "f32");
  const copied = context.copies([reading], 2);
  // Where no sums precede any texture will do: else there were two large kernels to compile.
  const before = isAdded ? reading : { ...reading, copy: windows };
  context.dispatch(accumulate(copied), [windows, texture, sums, ...copied ? [before] : []]);
}
