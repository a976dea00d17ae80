/**
 * Values that the host gives for an input, as they are to lie on the GPU.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Tensor } from "./graph.ts";
import { type C4Memory, elementCount, packC4 } from "./layout.ts";

/** Row-major values; bytes stand for 32-bit words, four of them for one. */
export type HostValues = Float32Array | Uint32Array | Uint8Array;

/**
 * `values` of `tensor` in its memory layout.
 * @throws {InputError} for a wrong number or kind of values.
 */
export function deviceValues(tensor: Tensor, values: HostValues): HostValues | C4Memory {
  const { label, shape, layout, dtype } = tensor;
  // Words of the other type would pass for numbers of this one, and nobody would notice.
  const wantsFloats = dtype !== "u32";
  if (values instanceof Float32Array !== wantsFloats) {
    const kind = wantsFloats ? "a Float32Array" : "a Uint32Array or Uint8Array";
    throw new InputError(`Input "${label}" is ${tensor.describe()}; write ${kind}.`);
  }
  const count = values instanceof Uint8Array ? values.length / 4 : values.length;
  if (count !== elementCount(shape)) {
    throw new InputError(
      `Writing input "${label}" got ${count} values, expected ${elementCount(shape)} for shape ` +
        `[${shape.join(",")}].`,
    );
  }
  return layout === "c4" ? packC4(values, shape, dtype) : values;
}
