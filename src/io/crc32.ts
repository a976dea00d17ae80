/**
 * Checksums of 32 bits: of zip archives (CRC-32 of ISO 3309) and of TensorFlow's records
 * (CRC-32C, Castagnoli).
 * @module
 */

/** The remainders of all bytes by a polynomial, given with its bits reversed. */
function tableOf(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    return value;
  });
}

const iso = tableOf(0xedb88320);
const castagnoli = tableOf(0x82f63b78);

/** The checksum of `bytes` in a zip archive, an unsigned 32-bit number. */
export function crc32(bytes: Uint8Array): number {
  return checksum(bytes, iso);
}

/** The Castagnoli checksum of `bytes`, an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array): number {
  return checksum(bytes, castagnoli);
}

function checksum(bytes: Uint8Array, table: Uint32Array): number {
  let crc = 0xffffffff;
  // An indexed loop: weights are hundreds of megabytes, and iterators are several times slower.
  for (let i = 0; i < bytes.length; i++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  }
  return ~crc >>> 0;
}
