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
import type { ImageTransform, TextureImage } from "./conv_winograd_geometry.ts";
import { stagesBlocks, type WinogradGradPart } from "./conv_winograd_weight_grad.ts";

/** A texture with what `fill` writes to a buffer. */
function viaTexture(
  context: LowerContext,
  label: string,
  { bytes, bytesPerRow, width, height }: TextureImage,
  fill: (buffer: BufferMemory) => void,
): TextureMemory {
  const source = context.scratch(label, bytes);
  const target = context.scratchTexture(label, width, height);
  fill(source);
  context.copyToTexture({
    source,
    offsetBytes: 0,
    bytesPerRow,
    target,
    x: 0,
    y: 0,
    width,
    height,
  });
  return target;
}

/** The texture of packed weights; the texture family's other kernels pack theirs alike. */
export function packWeights(
  context: LowerContext,
  { pack, packed }: { pack: DispatchSpec; packed: TextureImage },
  weight: BufferMemory,
): TextureMemory {
  return viaTexture(
    context,
    "packed",
    packed,
    (buffer) => context.dispatch(pack, [context.reading("weights", weight, "f32"), buffer]),
  );
}

/** The texture of a part's transformed windows of images. */
export function transformWindows(
  context: LowerContext,
  { rows, transform, transformed }: ImageTransform,
  images: readonly ImageView[],
  preparation?: Preparation,
): TextureMemory {
  const staged = context.stageRows(images, rows);
  return viaTexture(context, "transformed", transformed, (buffer) => {
    for (const dispatch of transform) {
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
  output: BufferMemory,
  operands: readonly BufferMemory[],
): void {
  const products = context.scratch("products", productBytes);
  context.dispatch(multiply, [windows, packed, products]);
  context.dispatch(finish, [
    context.reading("products", products, "f32"),
    output,
    ...operands.map((memory) => context.reading("epilogue", memory, "f32")),
  ]);
}

/** A part of a weight gradient from the transformed windows of the output's gradient. */
export function accumulateBlocks(
  context: LowerContext,
  { rows, transformBlocks, blocks, accumulate, isAdded }: WinogradGradPart,
  windows: TextureMemory,
  inputs: readonly ImageView[],
  sums: BufferMemory,
  preparation?: Preparation,
): void {
  const texture = viaTexture(context, "blocks", blocks, (buffer) => {
    transformBlocks.forEach((dispatches, i) => {
      const input = inputs[i];
      if (!input) throw new RangeError(`There is no input ${i}`);
      const memory = stagesBlocks(context.target) ? context.stageRows([input], rows) : input.memory;
      for (const dispatch of dispatches) {
        context.dispatch(dispatch, [memory, buffer, ...preparation?.operands ?? []]);
      }
    });
  });
  const before = context.reading("before", sums, "f32");
  const copied = isAdded && context.copies([before], 2);
  context.dispatch(accumulate(copied), [windows, texture, sums, ...copied ? [before] : []]);
}
