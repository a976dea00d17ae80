/**
 * Values that the host gives for an input, as they are to lie on the GPU.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Tensor } from "./graph.ts";
import { type C4Memory, elementCount, packC4 } from "./layout.ts";

/** Row-major values; bytes stand for 32-bit words, four of them for one. */
export type HostValues = Float32Array | Uint32Array | Uint8Array | Uint8ClampedArray;

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
  const count = elementCount(shape);
  if (values.byteLength !== count * 4) {
    const [unit, expected] = values.BYTES_PER_ELEMENT === 1
      ? ["bytes", `${count * 4}, four a value,`]
      : ["values", count];
    throw new InputError(
      `Writing input "${label}" got ${values.length} ${unit}, expected ${expected} for shape ` +
        `[${shape.join(",")}].`,
    );
  }
  return layout === "c4" ? packC4(values, shape, dtype) : values;
}
