/**
 * Bytes that are read in pieces: of a file they need not all be in memory.
 * @module
 */

/** Where bytes come from. */
export interface ByteSource {
  /** How many there are. */
  readonly sizeBytes: number;
  /**
   * The bytes from `start` up to `end`, which must lie inside. One read at a time.
   * @throws InputError where they cannot be read.
   */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** Bytes in memory; what is read are views of them. */
export function memorySource(bytes: Uint8Array<ArrayBuffer>): ByteSource {
  return {
    sizeBytes: bytes.byteLength,
    read: (start, end) => Promise.resolve(bytes.subarray(start, end)),
  };
}
