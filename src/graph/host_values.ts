/**
 * Values that the host gives for an input, as they are to lie on the GPU.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Tensor } from "./graph.ts";
import { elementCount, packC4 } from "./layout.ts";

/** Row-major values; bytes stand for 32-bit words, four of them for one. */
export type HostValues = Float32Array | Uint32Array | Uint8Array;

/**
 * `values` of `tensor` in its memory layout.
 * @throws {InputError} for a wrong number or kind of values.
 */
export function deviceValues(tensor: Tensor, values: HostValues): HostValues {
  const { label, shape, layout } = tensor;
  if (layout === "c4" && !(values instanceof Float32Array)) {
    throw new InputError(`Input "${label}" is ${tensor.describe()}; write a Float32Array.`);
  }
  const count = values instanceof Uint8Array ? values.length / 4 : values.length;
  if (count !== elementCount(shape)) {
    throw new InputError(
      `Writing input "${label}" got ${count} values, expected ${elementCount(shape)} for shape ` +
        `[${shape.join(",")}].`,
    );
  }
  return layout === "c4" ? packC4(values, shape) : values;
}
