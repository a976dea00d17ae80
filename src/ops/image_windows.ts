/**
 * Windows for kernels that need all channels of a pixel at once.
 * @module
 */
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";
import type { LowerContext, TensorWindow } from "../graph/lower.ts";
import type { BufferMemory } from "../graph/memory.ts";
import type { UnitRange } from "../graph/windows.ts";

/** Some images; a single one may come in several bindings. */
export interface ImageWindow extends Pick<TensorWindow, "first" | "count" | "skip"> {
  /** Bindings of a `c4` tensor, which the kernel's constant PARTS tells it. */
  readonly parts: number;
  /** Planes of an image in each of them, the last one holding the rest. */
  readonly partBlocks: number;
  /** The bindings of a `c4` tensor, or the only one of a `flat` tensor. */
  of(tensor: Tensor): BufferMemory[];
}

/**
 * Calls `emit` for as many images at a time as can be bound, and for one at a time in several
 * bindings where a single one is too large for one.
 *
 * @param images `c4` tensors of one shape [N, C, H, W]
 * @param others `flat` tensors of N equal parts
 * @throws {InputError} when a plane of an image is too large.
 */
export function splitImages(
  context: LowerContext,
  images: readonly Tensor[],
  others: readonly Tensor[],
  emit: (window: ImageWindow) => void,
): void {
  const { batch, channelBlocks, planes } = c4Geometry(images[0]?.shape ?? [], context.images);
  const partBlocks = Math.min(channelBlocks, context.mostUnits(planes, images));
  const fits = context.mostUnits(batch, images) >= 1;
  if (fits || partBlocks < 1) {
    context.split(batch, [...images, ...others], (window) => {
      emit({ ...window, parts: 1, partBlocks: channelBlocks, of: (t) => [window.of(t)] });
    });
    return;
  }
  const parts = Math.ceil(channelBlocks / partBlocks);
  for (let first = 0; first < batch; first++) {
    const image = { first, count: 1 };
    emit({
      ...image,
      parts,
      partBlocks,
      skip: (tensor) => context.part(tensor, batch, image).skip,
      of: (tensor) => {
        if (!images.includes(tensor)) return [context.part(tensor, batch, image).memory];
        return Array.from({ length: parts }, (_, i) => {
          const done = i * partBlocks;
          const count = Math.min(partBlocks, channelBlocks - done);
          return context.part(tensor, planes, { first: first * channelBlocks + done, count })
            .memory;
        });
      },
    });
  }
}

/**
 * Calls `emit` for windows that hold only the planes `blocks` of each image: for as many images at
 * a time as can be bound where those are all planes, else for one at a time.
 *
 * @param image `c4` [N, C, H, W]
 * @param others `flat` tensors of N equal parts
 * @throws {InputError} when the planes of an image are too large.
 */
export function splitBlocks(
  context: LowerContext,
  image: Tensor,
  others: readonly Tensor[],
  blocks: UnitRange,
  emit: (window: ImageWindow) => void,
): void {
  const { batch, channelBlocks, planes } = c4Geometry(image.shape, image.dtype);
  if (blocks.count === channelBlocks) {
    context.split(batch, [image, ...others], (window) => {
      emit({ ...window, parts: 1, partBlocks: channelBlocks, of: (t) => [window.of(t)] });
    });
    return;
  }
  for (let first = 0; first < batch; first++) {
    const range = { first, count: 1 };
    const part = { first: first * channelBlocks + blocks.first, count: blocks.count };
    emit({
      ...range,
      parts: 1,
      partBlocks: blocks.count,
      skip: (tensor) => context.part(tensor, batch, range).skip,
      of: (tensor) => [
        tensor === image
          ? context.part(tensor, planes, part).memory
          : context.part(tensor, batch, range).memory,
      ],
    });
  }
}
