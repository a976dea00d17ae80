import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import {
  encodeSafetensors,
  float32Tensor,
  parseSafetensors,
  type SafeTensor,
  toFloat32,
} from "../../src/io/safetensors.ts";

/** A file with the given header text and this many bytes of tensors. */
function file(header: string, dataBytes: number): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.byteLength + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  bytes.set(text, 8);
  return bytes;
}

function entry(begin: number, end: number, shape: unknown = [end - begin], dtype = "U8"): string {
  return JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
}

Deno.test("safetensors: what is written is read back", () => {
  const tensors: [string, SafeTensor][] = [
    ["mask", { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 3) }],
    ["outc.conv.weight", float32Tensor([2, 1, 1, 2], Float32Array.of(1.5, -0, NaN, 1e-40))],
    ["__proto__", float32Tensor([1], Float32Array.of(4))],
    ["7", float32Tensor([0, 3], new Float32Array(0))],
    ["count", { dtype: "I64", shape: [], data: BigInt64Array.of(-12n) }],
  ];
  const metadata = { classes: '["Himmel","Straße"]', empty: "" };
  const bytes = encodeSafetensors(tensors, metadata);
  const read = parseSafetensors(bytes, "a.safetensors");
  assertEquals(read.metadata, metadata);
  assertEquals([...read.tensors.keys()].sort(), tensors.map(([name]) => name).sort());
  for (const [name, written] of tensors) {
    const tensor = read.tensors.get(name)!;
    assertEquals([tensor.dtype, tensor.shape], [written.dtype, written.shape]);
    assertEquals(toFloat32(tensor), toFloat32(written));
  }
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  assertEquals(headerBytes % 8, 0);
  for (const { dtype, data } of read.tensors.values()) {
    assertEquals(data.byteOffset % (dtype === "I64" ? 8 : dtype === "F32" ? 4 : 1), 0);
  }
});

Deno.test("safetensors: a file inside a larger buffer is read, its tensors at any alignment", () => {
  const inner = file(`{"a":${entry(0, 1)},"b":${entry(1, 9, [2], "F32")}}`, 9);
  inner.set(new Uint8Array(Float32Array.of(2.5, -3).buffer), inner.length - 8);
  const outer = new Uint8Array(inner.length + 3);
  outer.set(inner, 3);
  const { tensors } = parseSafetensors(outer.subarray(3), "a.safetensors");
  assertEquals(toFloat32(tensors.get("b")!), Float32Array.of(2.5, -3));
});

Deno.test("safetensors: every element type becomes float32", () => {
  const cases: [SafeTensor["dtype"], ArrayBufferView<ArrayBuffer>, number[]][] = [
    ["F64", Float64Array.of(0.1, -1e300), [Math.fround(0.1), -Infinity]],
    [
      "F16",
      Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x3555),
      [1, -2, 2 ** -24, 65504, Infinity, -Infinity, NaN, 0.333251953125],
    ],
    ["BF16", Uint16Array.of(0x3f80, 0xc040, 0x0001), [1, -3, 2 ** -133]],
    ["I64", BigInt64Array.of(-5n, 1n << 40n), [-5, 2 ** 40]],
    ["U64", BigUint64Array.of(3n), [3]],
    ["I32", Int32Array.of(-7), [-7]],
    ["U32", Uint32Array.of(4294967295), [4294967296]],
    ["I16", Int16Array.of(-300), [-300]],
    ["U16", Uint16Array.of(65535), [65535]],
    ["I8", Int8Array.of(-1), [-1]],
    ["U8", Uint8Array.of(255), [255]],
    ["BOOL", Uint8Array.of(1, 0), [1, 0]],
  ];
  for (const [dtype, data, expected] of cases) {
    assertEquals([...toFloat32({ dtype, shape: [expected.length], data })], expected, dtype);
  }
});

Deno.test("safetensors: hostile and damaged files are refused by name", () => {
  const long = file("{}", 0);
  new DataView(long.buffer).setBigUint64(0, 0xffffffffffffffffn, true);
  const cases: [Uint8Array<ArrayBuffer>, string][] = [
    [new Uint8Array(0), "it has 0 bytes"],
    [long, "its header claims 18446744073709551615 bytes"],
    [file("{}", 4).subarray(0, 9), "its header claims 2 bytes"],
    [file("[]", 0), "no JSON object"],
    [file("null", 0), "no JSON object"],
    [file('{"a":', 0), "no JSON object"],
    [file('{"__metadata__":{"a":1}}', 0), "__metadata__"],
    [file('{"a":3}', 0), 'tensor "a" is not described'],
    [file(`{"a":${entry(0, 4, [4], "F8_E4M3")}}`, 4), 'element type "F8_E4M3"'],
    [file(`{"a":${entry(0, 4, [4], "toString")}}`, 4), 'element type "toString"'],
    [file(`{"a":{"shape":[1],"data_offsets":[0,1]}}`, 1), "element type undefined"],
    [file(`{"a":${entry(0, 4, [-4])}}`, 4), "not a list of sizes"],
    [file(`{"a":${entry(0, 4, [1.5])}}`, 4), "not a list of sizes"],
    [file(`{"a":${entry(0, 4, "4")}}`, 4), "not a list of sizes"],
    [file('{"a":{"dtype":"U8","shape":[1e400],"data_offsets":[0,1]}}', 1), "not a list of sizes"],
    [file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}', 1), "not two positions"],
    [file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1e99]}}', 1), "not two positions"],
    [file(`{"a":${entry(0, 4, [5])}}`, 4), "has 4 bytes, 5 were expected"],
    [file(`{"a":${entry(0, 4, [2 ** 52, 2 ** 52, 2 ** 52], "F32")}}`, 4), "has 4 bytes"],
    [file(`{"a":${entry(4, 0, [4])}}`, 4), "has -4 bytes"],
    [file(`{"a":${entry(0, 4)},"b":${entry(2, 6)}}`, 6), "begins at byte 2"],
    [file(`{"a":${entry(0, 4)},"b":${entry(5, 6)}}`, 6), "begins at byte 5"],
    [file(`{"a":${entry(0, 4)},"a":${entry(4, 8)}}`, 8), "begins at byte 4, 0 was expected"],
    [file(`{"a":${entry(0, 8)}}`, 4), "ends at byte 8"],
    [file(`{"a":${entry(0, 4)}}`, 6), "accounts for 4"],
  ];
  for (const [bytes, message] of cases) {
    const error = assertThrows(() => parseSafetensors(bytes, "bad.safetensors"), InputError);
    assertEquals(
      error.message.startsWith("bad.safetensors: could not be read as safetensors: "),
      true,
    );
    assertEquals(error.message.includes(message), true, error.message);
  }
});

Deno.test("safetensors: a terminal is safe from names in a damaged file", () => {
  const bytes = file(`{"\\u001b[2J${"x".repeat(5000)}":3}`, 0);
  const error = assertThrows(() => parseSafetensors(bytes, "bad.safetensors"), InputError);
  assertEquals(error.message.includes("\u001b"), false);
  assertEquals(error.message.length < 400, true);
});

Deno.test("safetensors: tensors that do not match their shape are not written", () => {
  const two = Float32Array.of(1, 2);
  assertThrows(() => encodeSafetensors([["a", float32Tensor([3], two)]]), RangeError, "8 bytes");
  assertThrows(
    () => encodeSafetensors([["__metadata__", float32Tensor([2], two)]]),
    RangeError,
    "__metadata__",
  );
});
