import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { crc32 } from "../../src/io/crc32.ts";
import { memorySource } from "../../src/io/byte_source.ts";
import { ZipArchive } from "../../src/io/zip.ts";
import { encodeZip } from "../../src/io/zip_write.ts";

const open = (bytes: Uint8Array<ArrayBuffer>): Promise<ZipArchive> =>
  ZipArchive.open(memorySource(bytes), (found) => new InputError(found));

Deno.test("crc32: the check value of its definition", () => {
  assertEquals(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  assertEquals(crc32(new Uint8Array()), 0);
});

Deno.test("zip: members come back, each aligned to 64 bytes", async () => {
  const members = [
    { name: "a/data.pkl", data: Uint8Array.of(1, 2, 3) },
    { name: "a/data/0", data: Float32Array.of(1.5, -2) },
    { name: "a/empty", data: new Uint8Array() },
    { name: "a/Straße", data: Uint8Array.from({ length: 1000 }, (_, i) => i) },
  ];
  const bytes = encodeZip(members);
  const archive = await open(bytes);
  assertEquals(archive.names.length, members.length);
  for (const [at, { data }] of members.entries()) {
    const read = await archive.read(archive.names[at] ?? "", data.byteLength);
    assertEquals(read, new Uint8Array(data.buffer));
    assertEquals([read.buffer === bytes.buffer, read.byteOffset % 64], [true, 0]);
  }
  // The same members give the same bytes.
  assertEquals(encodeZip(members), bytes);
});

/** `bytes` compressed, as zip's method 8. */
async function deflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** An archive of one deflated member that claims to be of `bytes`. */
async function deflatedZip(bytes: Uint8Array<ArrayBuffer>, sizeBytes = bytes.length) {
  const packed = await deflated(bytes);
  const archive = encodeZip([{ name: "x", data: packed }]);
  const view = new DataView(archive.buffer);
  const central = view.getUint32(archive.length - 6, true);
  view.setUint16(central + 10, 8, true);
  view.setUint32(central + 16, crc32(bytes), true);
  view.setUint32(central + 24, sizeBytes, true);
  return open(archive);
}

Deno.test("zip: deflated members are inflated, bombs are not", async () => {
  const text = new TextEncoder().encode("weights ".repeat(50_000));
  assertEquals(await (await deflatedZip(text)).read("x", text.length), text);
  const refused = (archive: ZipArchive, message: string) =>
    assertRejects(() => archive.read("x", 1000), InputError, message);
  const zeros = new Uint8Array(1 << 24);
  await refused(await deflatedZip(zeros), "at most 1000 were expected");
  await refused(await deflatedZip(zeros, 1000), "is damaged");
  const cut = (await deflated(text)).slice(0, 100);
  const archive = encodeZip([{ name: "x", data: cut }]);
  const view = new DataView(archive.buffer);
  const central = view.getUint32(archive.length - 6, true);
  view.setUint16(central + 10, 8, true);
  view.setUint32(central + 24, 1000, true);
  await refused(await open(archive), "is damaged");
});

Deno.test("zip: a comment may follow, other bytes may not", async () => {
  const bytes = encodeZip([{ name: "x", data: Uint8Array.of(7) }]);
  const commented = new Uint8Array(bytes.length + 5);
  commented.set(bytes);
  await assertRejects(() => open(commented), InputError, "directory at its end");
  new DataView(commented.buffer).setUint16(bytes.length - 2, 5, true);
  assertEquals(await (await open(commented)).read("x", 1), Uint8Array.of(7));
  await assertRejects(() => open(new Uint8Array(10)), InputError);
});

Deno.test("zip: sizes and places in zip64 fields", async () => {
  const data = Uint8Array.of(4, 5, 6);
  const plain = encodeZip([{ name: "x", data }]);
  const start = new DataView(plain.buffer).getUint32(plain.length - 6, true);
  const [entryBytes, extraBytes, end64Bytes, locatorBytes] = [47, 4 + 24, 56, 20];
  const bytes = new Uint8Array(plain.length + extraBytes + end64Bytes + locatorBytes);
  bytes.set(plain.subarray(0, start + entryBytes));
  const view = new DataView(bytes.buffer);
  const [packed, size, offset] = [20, 24, 42].map((field) => {
    const value = view.getUint32(start + field, true);
    view.setUint32(start + field, 0xffffffff, true);
    return BigInt(value);
  });
  view.setUint16(start + 30, extraBytes, true);
  let at = start + entryBytes;
  view.setUint16(at, 1, true);
  view.setUint16(at + 2, 24, true);
  [size, packed, offset].forEach((value, i) => view.setBigUint64(at + 4 + 8 * i, value!, true));
  at += extraBytes;
  view.setUint32(at, 0x06064b50, true);
  view.setBigUint64(at + 32, 1n, true);
  view.setBigUint64(at + 40, BigInt(entryBytes + extraBytes), true);
  view.setBigUint64(at + 48, BigInt(start), true);
  view.setUint32(at + end64Bytes, 0x07064b50, true);
  view.setBigUint64(at + end64Bytes + 8, BigInt(at), true);
  at += end64Bytes + locatorBytes;
  bytes.set(plain.subarray(start + entryBytes), at);
  view.setUint32(at + 16, 0xffffffff, true);
  assertEquals(await (await open(bytes)).read("x", 3), data);
  // A field that is announced and missing.
  view.setUint16(start + entryBytes + 2, 16, true);
  await assertRejects(() => open(bytes), InputError, "damaged at member 0");
});
