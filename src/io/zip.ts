/**
 * Zip archives in memory, as far as PyTorch's files need them: stored members are views of the
 * archive, deflated ones are inflated when asked for, and sizes that a hostile archive declares
 * never allocate anything.
 *
 * Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (6.3.10)
 * @module
 */
import type { InputError } from "../errors.ts";
import { crc32 } from "./crc32.ts";

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const LOCAL_HEADER_BYTES = 30;
const CENTRAL_HEADER_BYTES = 46;
const END_BYTES = 22;
const END64_BYTES = 56;
const END64_LOCATOR_BYTES = 20;
/** Stands in a 32-bit field whose value is in the zip64 extra field. */
const IN_ZIP64 = 0xffffffff;
const ZIP64_EXTRA = 1;
const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 1;
const UTF8_NAME = 0x800;

/** What is wrong with a file, as the error that names it. */
export type Refuse = (found: string) => InputError;

interface Member {
  method: number;
  flags: number;
  crc: number;
  packedBytes: number;
  sizeBytes: number;
  /** Of its local header. */
  offset: number;
}

/** A zip archive that was read. */
export class ZipArchive {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #refuse: Refuse;
  readonly #members: Map<string, Member>;

  /**
   * Reads the archive's directory.
   * @param refuse Makes the error for what is wrong with the file.
   * @throws What `refuse` makes, if the directory is damaged.
   */
  constructor(bytes: Uint8Array<ArrayBuffer>, refuse: Refuse) {
    this.#bytes = bytes;
    this.#refuse = refuse;
    this.#members = readDirectory(bytes, refuse);
  }

  /** Names of the members in the order of the directory. */
  get names(): string[] {
    return [...this.#members.keys()];
  }

  /**
   * The bytes of a member; of a stored one, a view of the archive.
   * @param mostBytes A larger member is refused before it is inflated.
   * @throws What the archive's `refuse` makes, if the member is missing, too large or damaged.
   */
  async read(name: string, mostBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const member = this.#members.get(name);
    const shown = JSON.stringify(name.slice(0, 100));
    if (!member) throw this.#refuse(`it has no member ${shown}`);
    const { flags, method, packedBytes, sizeBytes, crc } = member;
    if (flags & ENCRYPTED) throw this.#refuse(`its member ${shown} is encrypted`);
    if (sizeBytes > mostBytes) {
      throw this.#refuse(
        `its member ${shown} has ${sizeBytes} bytes, at most ${mostBytes} were expected`,
      );
    }
    const packed = this.#packed(member, shown, packedBytes);
    let data: Uint8Array<ArrayBuffer> | undefined;
    if (method === STORED) data = packed;
    else if (method === DEFLATED) data = await inflate(packed, sizeBytes);
    else throw this.#refuse(`its member ${shown} is packed by method ${method}, which is unknown`);
    if (data?.byteLength !== sizeBytes || crc32(data) !== crc) {
      throw this.#refuse(`its member ${shown} is damaged (size or checksum)`);
    }
    return data;
  }

  #packed({ offset }: Member, shown: string, packedBytes: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#bytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (
      offset + LOCAL_HEADER_BYTES > bytes.byteLength ||
      view.getUint32(offset, true) !== LOCAL_HEADER
    ) {
      throw this.#refuse(`its member ${shown} is not where the directory says`);
    }
    // The local header repeats name and extra field, not always of the directory's length.
    const start = offset + LOCAL_HEADER_BYTES + view.getUint16(offset + 26, true) +
      view.getUint16(offset + 28, true);
    if (start + packedBytes > bytes.byteLength) {
      throw this.#refuse(`its member ${shown} reaches past the end of the file`);
    }
    return bytes.subarray(start, start + packedBytes);
  }
}

/** The inflated bytes, or `undefined` if they are damaged or more than `sizeBytes`. */
async function inflate(
  packed: Uint8Array<ArrayBuffer>,
  sizeBytes: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  // By a reader: not every browser can iterate over a stream yet.
  const reader = new Blob([packed]).stream()
    .pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.byteLength;
      if (length > sizeBytes) {
        // A bomb costs one part more than it declared.
        await reader.cancel();
        return undefined;
      }
      parts.push(value);
    }
  } catch {
    return undefined;
  }
  const data = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.byteLength;
  }
  return data;
}

function readDirectory(bytes: Uint8Array<ArrayBuffer>, refuse: Refuse): Map<string, Member> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { count, start, sizeBytes } = directoryPlace(view, refuse);
  if (start + sizeBytes > bytes.byteLength || count * CENTRAL_HEADER_BYTES > sizeBytes) {
    throw refuse(`its directory of ${count} members does not lie inside the file`);
  }
  const members = new Map<string, Member>();
  const end = start + sizeBytes;
  let at = start;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_HEADER_BYTES > end || view.getUint32(at, true) !== CENTRAL_HEADER) {
      throw refuse(`its directory is damaged at member ${i} of ${count}`);
    }
    const flags = view.getUint16(at + 8, true);
    const nameBytes = view.getUint16(at + 28, true);
    const extraBytes = view.getUint16(at + 30, true);
    const next = at + CENTRAL_HEADER_BYTES + nameBytes + extraBytes +
      view.getUint16(at + 32, true);
    if (next > end) throw refuse(`its directory is damaged at member ${i} of ${count}`);
    const nameStart = at + CENTRAL_HEADER_BYTES;
    const encoding = flags & UTF8_NAME ? "utf-8" : "latin1";
    const name = new TextDecoder(encoding).decode(
      bytes.subarray(nameStart, nameStart + nameBytes),
    );
    if (members.has(name)) {
      throw refuse(`it has two members ${JSON.stringify(name.slice(0, 100))}`);
    }
    const wide = wideSizes(view, at, nameStart + nameBytes, extraBytes);
    if (!wide) throw refuse(`its directory is damaged at member ${i} of ${count}`);
    members.set(name, {
      flags,
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      ...wide,
    });
    at = next;
  }
  return members;
}

/** Sizes and offset of a directory entry, from its zip64 extra field where they need one. */
function wideSizes(
  view: DataView,
  at: number,
  extraStart: number,
  extraBytes: number,
): Pick<Member, "sizeBytes" | "packedBytes" | "offset"> | undefined {
  const [sizeBytes, packedBytes, offset] = [24, 20, 42].map((field) =>
    view.getUint32(at + field, true)
  ) as [number, number, number];
  const fields = { sizeBytes, packedBytes, offset };
  let extra = extraStart;
  const end = extraStart + extraBytes;
  while (extra + 4 <= end) {
    const id = view.getUint16(extra, true);
    const length = view.getUint16(extra + 2, true);
    let value = extra + 4;
    extra = value + length;
    if (id !== ZIP64_EXTRA || extra > end) continue;
    for (const key of ["sizeBytes", "packedBytes", "offset"] as const) {
      if (fields[key] !== IN_ZIP64) continue;
      if (value + 8 > extra) return undefined;
      fields[key] = Number(view.getBigUint64(value, true));
      value += 8;
    }
  }
  return fields;
}

function directoryPlace(
  view: DataView,
  refuse: Refuse,
): { count: number; start: number; sizeBytes: number } {
  const end = findEnd(view);
  if (end === undefined) {
    throw refuse("the directory at its end is missing; it was cut off while copying or saving");
  }
  const place = {
    count: view.getUint16(end + 10, true),
    sizeBytes: view.getUint32(end + 12, true),
    start: view.getUint32(end + 16, true),
  };
  const locator = end - END64_LOCATOR_BYTES;
  if (locator < 0 || view.getUint32(locator, true) !== END64_LOCATOR) return place;
  const end64 = Number(view.getBigUint64(locator + 8, true));
  if (end64 + END64_BYTES > locator || view.getUint32(end64, true) !== END64) {
    throw refuse("its zip64 directory is damaged");
  }
  const wide = (field: number) => Number(view.getBigUint64(end64 + field, true));
  return { count: wide(32), sizeBytes: wide(40), start: wide(48) };
}

/** Searched from the end: a comment of up to 64 KiB may follow. */
function findEnd(view: DataView): number | undefined {
  const last = view.byteLength - END_BYTES;
  for (let at = last; at >= Math.max(0, last - 0xffff); at--) {
    if (
      view.getUint32(at, true) === END &&
      at + END_BYTES + view.getUint16(at + 20, true) === view.byteLength
    ) return at;
  }
  return undefined;
}
