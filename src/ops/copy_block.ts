/**
 * Copies of rows of values from one memory to another.
 * @module
 */
import source from "../../shaders/copy_block.wgsl" with { type: "text" };
import type { ImageType } from "../graph/layout.ts";
import type { LowerContext } from "../graph/lower.ts";
import type { BufferMemory } from "../graph/memory.ts";
import { linearGrid } from "./grid.ts";

/** Rows of `length` values, from `xFirst` and `yFirst` on; in 32-bit words. */
export interface Block {
  rows: number;
  length: number;
  xFirst: number;
  xStride: number;
  yFirst: number;
  yStride: number;
  add: boolean;
}

/** Emits the copy of a block, or with `add` its addition to what is there. */
export function copyBlock(
  context: LowerContext,
  x: BufferMemory,
  y: BufferMemory,
  block: Block,
  type: ImageType = "f32",
): void {
  const { rows, length, xFirst, xStride, yFirst, yStride, add } = block;
  const { grid, stride } = linearGrid(rows * length);
  context.dispatch({
    kernel: { name: "copy_block", source, constants: { ADD: add ? 1 : 0, TYPE: type } },
    params: [rows * length, stride, length, xFirst, xStride, yFirst, yStride],
    grid,
  }, [x, y]);
}
