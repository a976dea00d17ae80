/**
 * Writing zip archives of stored members, as PyTorch's files are; `zip.ts` reads them.
 * @module
 */
import { crc32 } from "./crc32.ts";

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const LOCAL_HEADER_BYTES = 30;
const CENTRAL_HEADER_BYTES = 46;
const END_BYTES = 22;
/** Sizes from here on need the zip64 extension. */
const LIMIT = 0xffffffff;

/** A member to be written. */
export interface ZipMember {
  /** ASCII, with `/` between folders. */
  name: string;
  data: ArrayBufferView<ArrayBuffer>;
}

/** As PyTorch aligns its members, so that tensors can be mapped into memory. */
const ALIGNMENT = 64;
/** PyTorch's extra field for the alignment: "FB". */
const PADDING_EXTRA = 0x4246;
/** Version 2.0 of the format is what a reader needs. */
const VERSION = 20;
/** 1980-01-01, the format's first day: the same weights give the same bytes. */
const DATE = 0x21;

/**
 * Writes an archive of stored members, the data of each aligned to 64 bytes.
 * @throws {RangeError} If it would need zip64, at 4 GiB.
 */
export function encodeZip(members: readonly ZipMember[]): Uint8Array<ArrayBuffer> {
  const placed = [];
  let position = 0;
  for (const { name, data } of members) {
    const nameBytes = new TextEncoder().encode(name);
    const unpadded = position + LOCAL_HEADER_BYTES + nameBytes.length + 4;
    const padding = (ALIGNMENT - unpadded % ALIGNMENT) % ALIGNMENT;
    const contents = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    placed.push({ name: nameBytes, contents, offset: position, padding, crc: crc32(contents) });
    position = unpadded + padding + contents.length;
  }
  const directoryBytes = placed.reduce(
    (sum, { name }) => sum + CENTRAL_HEADER_BYTES + name.length,
    0,
  );
  const total = position + directoryBytes + END_BYTES;
  if (total >= LIMIT || placed.length >= 0xffff) {
    throw new RangeError(`a zip archive of ${total} bytes needs zip64, which is not written`);
  }
  const file = new Uint8Array(total);
  const view = new DataView(file.buffer);
  const header = (at: number, length: number, crc: number, nameBytes: number) => {
    view.setUint16(at, VERSION, true);
    view.setUint16(at + 8, DATE, true);
    view.setUint32(at + 10, crc, true);
    view.setUint32(at + 14, length, true);
    view.setUint32(at + 18, length, true);
    view.setUint16(at + 22, nameBytes, true);
  };
  let central = position;
  for (const { name, contents, offset, padding, crc } of placed) {
    view.setUint32(offset, LOCAL_HEADER, true);
    header(offset + 4, contents.length, crc, name.length);
    view.setUint16(offset + 28, 4 + padding, true);
    file.set(name, offset + LOCAL_HEADER_BYTES);
    const extra = offset + LOCAL_HEADER_BYTES + name.length;
    view.setUint16(extra, PADDING_EXTRA, true);
    view.setUint16(extra + 2, padding, true);
    file.set(contents, extra + 4 + padding);

    view.setUint32(central, CENTRAL_HEADER, true);
    view.setUint16(central + 4, VERSION, true);
    header(central + 6, contents.length, crc, name.length);
    view.setUint32(central + 42, offset, true);
    file.set(name, central + CENTRAL_HEADER_BYTES);
    central += CENTRAL_HEADER_BYTES + name.length;
  }
  view.setUint32(central, END, true);
  view.setUint16(central + 8, placed.length, true);
  view.setUint16(central + 10, placed.length, true);
  view.setUint32(central + 12, directoryBytes, true);
  view.setUint32(central + 16, position, true);
  return file;
}
