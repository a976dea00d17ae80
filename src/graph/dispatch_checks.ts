/**
 * What a device must allow for a dispatch.
 * @module
 */
import { InputError } from "../errors.ts";
import type { DispatchSpec } from "../gpu/kernel_spec.ts";
import type { LowerTarget } from "./lower.ts";
import { type Memory, mib } from "./memory.ts";

/**
 * Checks a dispatch against the limits of `target`.
 * @param node label of the node that emits it
 * @throws {InputError} when an operand is larger than one storage binding may be, for too many
 *   operands and for too many workgroups.
 */
export function checkDispatch(
  node: string,
  { kernel, grid }: DispatchSpec,
  operands: readonly Memory[],
  { maxBindingBytes, maxStorageBuffers = Infinity }: LowerTarget,
): void {
  const buffers = operands.filter((memory) => memory.kind === "buffer");
  for (const memory of buffers) {
    if (memory.sizeBytes > maxBindingBytes) {
      throw new InputError(
        `Planning ${node}: tensor "${memory.label}" takes ${mib(memory.sizeBytes)}, but this ` +
          `adapter binds at most ${mib(maxBindingBytes)} at once; use a smaller batch, scale or ` +
          "width.",
      );
    }
  }
  if (1 + buffers.length > maxStorageBuffers) {
    throw new InputError(
      `Planning ${node}: kernel ${kernel.name} would bind ${
        1 + buffers.length
      } buffers, but this ` +
        `adapter allows ${maxStorageBuffers}; use a smaller scale.`,
    );
  }
  if (grid.some((n) => !(n >= 1 && n <= 65535))) {
    throw new InputError(
      `Planning ${node}: kernel ${kernel.name} would need a grid of ${grid.join(" x ")} ` +
        "workgroups, at most 65535 each way are possible; use a smaller batch or scale.",
    );
  }
}
