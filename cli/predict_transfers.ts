/**
 * Pixels that change hands between threads instead of being copied.
 * @module
 */

/** The memory of a message that its receiver can have: whole buffers of byte arrays. */
export function transfers(value: unknown): ArrayBuffer[] {
  if (value instanceof Uint8Array) {
    const { buffer } = value;
    return buffer instanceof ArrayBuffer && buffer.byteLength === value.byteLength ? [buffer] : [];
  }
  if (typeof value !== "object" || value === null) return [];
  return [...new Set(Object.values(value).flatMap(transfers))];
}
