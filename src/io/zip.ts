/**
 * Zip archives, as far as PyTorch's files need them: of an archive in memory stored members are
 * views, deflated ones are inflated when asked for, and sizes that a hostile archive declares never
 * allocate anything.
 *
 * Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (6.3.10)
 * @module
 */
import type { InputError } from "../errors.ts";
import type { ByteSource } from "./byte_source.ts";
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
/** A comment may follow the end of the directory. */
const MOST_COMMENT_BYTES = 0xffff;
/** That of a training checkpoint has some ten thousand bytes. */
const MOST_DIRECTORY_BYTES = 1 << 26;
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

/** A zip archive whose directory was read. */
export class ZipArchive {
  private constructor(
    readonly source: ByteSource,
    readonly refuse: Refuse,
    readonly members: ReadonlyMap<string, Readonly<Member>>,
  ) {}

  /**
   * Reads the archive's directory.
   * @param refuse Makes the error for what is wrong with the file.
   * @throws What `refuse` makes, if the directory is damaged.
   */
  static async open(source: ByteSource, refuse: Refuse): Promise<ZipArchive> {
    return new ZipArchive(source, refuse, await readDirectory(source, refuse));
  }

  /** Names of the members in the order of the directory. */
  get names(): string[] {
    return [...this.members.keys()];
  }

  /**
   * The bytes of a member; of a stored one, a view of the archive.
   * @param mostBytes A larger member is refused before it is inflated.
   * @throws What the archive's `refuse` makes, if the member is missing, too large or damaged.
   */
  async read(name: string, mostBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const { member, shown } = this.#member(name);
    const { flags, method, packedBytes, sizeBytes, crc } = member;
    if (flags & ENCRYPTED) throw this.refuse(`its member ${shown} is encrypted`);
    if (sizeBytes > mostBytes) {
      throw this.refuse(
        `its member ${shown} has ${sizeBytes} bytes, at most ${mostBytes} were expected`,
      );
    }
    const packed = await this.#packed(member, shown, packedBytes);
    let data: Uint8Array<ArrayBuffer> | undefined;
    if (method === STORED) data = packed;
    else if (method === DEFLATED) data = await inflate(packed, sizeBytes);
    else throw this.refuse(`its member ${shown} is packed by method ${method}, which is unknown`);
    if (data?.byteLength !== sizeBytes || crc32(data) !== crc) {
      throw this.refuse(`its member ${shown} is damaged (size or checksum)`);
    }
    return data;
  }

  /**
   * The bytes that a member has once it is read, after a look at whether they can be there.
   * @throws What the archive's `refuse` makes, if it is missing or reaches past the end of the file.
   */
  sizeOf(name: string): number {
    const { member: { offset, packedBytes, sizeBytes }, shown } = this.#member(name);
    if (offset + LOCAL_HEADER_BYTES + packedBytes > this.source.sizeBytes) {
      throw this.#beyond(shown);
    }
    return sizeBytes;
  }

  #member(name: string): { member: Readonly<Member>; shown: string } {
    const member = this.members.get(name);
    const shown = JSON.stringify(name.slice(0, 100));
    if (!member) throw this.refuse(`it has no member ${shown}`);
    return { member, shown };
  }

  #beyond(shown: string): InputError {
    return this.refuse(`its member ${shown} reaches past the end of the file`);
  }

  async #packed(
    { offset }: Pick<Member, "offset">,
    shown: string,
    packedBytes: number,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { source } = this;
    const end = offset + LOCAL_HEADER_BYTES;
    const view = end > source.sizeBytes ? undefined : viewOf(await source.read(offset, end));
    if (view?.getUint32(0, true) !== LOCAL_HEADER) {
      throw this.refuse(`its member ${shown} is not where the directory says`);
    }
    // The local header repeats name and extra field, not always of the directory's length.
    const start = end + view.getUint16(26, true) + view.getUint16(28, true);
    if (start + packedBytes > source.sizeBytes) throw this.#beyond(shown);
    return await source.read(start, start + packedBytes);
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): DataView {
  return new DataView(buffer, byteOffset, byteLength);
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

async function readDirectory(
  source: ByteSource,
  refuse: Refuse,
): Promise<Map<string, Member>> {
  const { count, start, sizeBytes } = await directoryPlace(source, refuse);
  if (start + sizeBytes > source.sizeBytes || count * CENTRAL_HEADER_BYTES > sizeBytes) {
    throw refuse(`its directory of ${count} members does not lie inside the file`);
  }
  if (sizeBytes > MOST_DIRECTORY_BYTES) {
    throw refuse(
      `its directory has ${sizeBytes} bytes, at most ${MOST_DIRECTORY_BYTES} were expected`,
    );
  }
  const bytes = await source.read(start, start + sizeBytes);
  const view = viewOf(bytes);
  const members = new Map<string, Member>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_HEADER_BYTES > sizeBytes || view.getUint32(at, true) !== CENTRAL_HEADER) {
      throw refuse(`its directory is damaged at member ${i} of ${count}`);
    }
    const flags = view.getUint16(at + 8, true);
    const nameBytes = view.getUint16(at + 28, true);
    const extraBytes = view.getUint16(at + 30, true);
    const next = at + CENTRAL_HEADER_BYTES + nameBytes + extraBytes +
      view.getUint16(at + 32, true);
    if (next > sizeBytes) throw refuse(`its directory is damaged at member ${i} of ${count}`);
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

async function directoryPlace(
  source: ByteSource,
  refuse: Refuse,
): Promise<{ count: number; start: number; sizeBytes: number }> {
  const most = END64_LOCATOR_BYTES + END_BYTES + MOST_COMMENT_BYTES;
  const tailStart = Math.max(0, source.sizeBytes - most);
  const tail = viewOf(await source.read(tailStart, source.sizeBytes));
  const end = findEnd(tail);
  if (end === undefined) {
    throw refuse("the directory at its end is missing; it was cut off while copying or saving");
  }
  const place = {
    count: tail.getUint16(end + 10, true),
    sizeBytes: tail.getUint32(end + 12, true),
    start: tail.getUint32(end + 16, true),
  };
  const locator = end - END64_LOCATOR_BYTES;
  if (locator < 0 || tail.getUint32(locator, true) !== END64_LOCATOR) return place;
  const end64 = Number(tail.getBigUint64(locator + 8, true));
  const view = end64 + END64_BYTES > tailStart + locator
    ? undefined
    : viewOf(await source.read(end64, end64 + END64_BYTES));
  if (view?.getUint32(0, true) !== END64) throw refuse("its zip64 directory is damaged");
  const wide = (field: number) => Number(view.getBigUint64(field, true));
  return { count: wide(32), sizeBytes: wide(40), start: wide(48) };
}

/** Searched from the end, for the comment's sake. */
function findEnd(view: DataView): number | undefined {
  for (let at = view.byteLength - END_BYTES; at >= 0; at--) {
    if (
      view.getUint32(at, true) === END &&
      at + END_BYTES + view.getUint16(at + 20, true) === view.byteLength
    ) return at;
  }
  return undefined;
}
