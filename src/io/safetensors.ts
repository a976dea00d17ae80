/**
 * The safetensors format: a length, a JSON header, then the tensors' bytes without gaps. Reading
 * trusts nothing: a header can neither reach outside the file nor name the same byte twice.
 *
 * Source: https://github.com/huggingface/safetensors#format
 * @module
 */
import { InputError } from "../errors.ts";

/** An element type, by the format's name. */
export type Dtype =
  | "BOOL"
  | "U8"
  | "I8"
  | "U16"
  | "I16"
  | "F16"
  | "BF16"
  | "U32"
  | "I32"
  | "F32"
  | "U64"
  | "I64"
  | "F64";

/** Bytes of an element by the format's name for its type. */
export const elementBytes: Readonly<Record<Dtype, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
};

/** A tensor in a file. */
export interface SafeTensor {
  /** Type of its elements, as in the file. */
  dtype: Dtype;
  /** Sizes in row-major order; empty for a scalar. */
  shape: readonly number[];
  /** Its little-endian elements; as parsed, a view of the file's bytes. */
  data: ArrayBufferView<ArrayBuffer>;
}

/** What a file holds. */
export interface SafeTensorsFile {
  /** By name, in the order of their bytes in the file. */
  tensors: Map<string, SafeTensor>;
  /** The header's `__metadata__`. */
  metadata: Record<string, string>;
}

/** The format's own bound; it keeps a hostile length from allocating. */
const maximumHeaderBytes = 100_000_000;

/**
 * Reads a safetensors file; the tensors are views of `bytes`, nothing is copied.
 * @param file Named in errors.
 * @throws {InputError} If the bytes are no complete, well-formed safetensors file.
 */
export function parseSafetensors(bytes: Uint8Array<ArrayBuffer>, file: string): SafeTensorsFile {
  const refuse = (found: string) =>
    new InputError(
      `${file}: could not be read as safetensors: ${found}; the file is damaged or of another ` +
        "format, make or download it again",
    );
  if (bytes.byteLength < 8) {
    throw refuse(`it has ${bytes.byteLength} bytes, at least 8 were expected`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(Math.min(maximumHeaderBytes, bytes.byteLength - 8))) {
    throw refuse(
      `its header claims ${length} bytes, at most ${
        Math.min(maximumHeaderBytes, bytes.byteLength - 8)
      } are possible in a file of ${bytes.byteLength} bytes`,
    );
  }
  const dataStart = 8 + Number(length);
  const header = parseHeader(bytes.subarray(8, dataStart));
  if (!header) throw refuse("its header is no JSON object");

  let metadata: Record<string, string> = {};
  const entries: { name: string; dtype: Dtype; shape: number[]; begin: number; end: number }[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      if (!isTextRecord(value)) throw refuse("its __metadata__ is not an object of strings");
      metadata = value;
      continue;
    }
    // A name comes from the file: shown quoted and cut, so that it cannot garble a terminal.
    const shown = JSON.stringify(name.slice(0, 100));
    if (!isRecord(value)) throw refuse(`tensor ${shown} is not described by an object`);
    const { dtype, shape, data_offsets: offsets } = value;
    if (!isDtype(dtype)) {
      throw refuse(
        `tensor ${shown} has element type ${JSON.stringify(dtype)?.slice(0, 40)}, one of ${
          Object.keys(elementBytes).join(", ")
        } was expected`,
      );
    }
    if (!isSizes(shape)) throw refuse(`the shape of tensor ${shown} is not a list of sizes`);
    if (!isSizes(offsets) || offsets.length !== 2) {
      throw refuse(`the data_offsets of tensor ${shown} are not two positions`);
    }
    const [begin, end] = offsets as [number, number];
    const expected = shape.reduce((product, size) => product * size, elementBytes[dtype]);
    if (end - begin !== expected) {
      throw refuse(
        `tensor ${shown} has ${end - begin} bytes, ${expected} were expected for ${dtype} ` +
          `[${shape}]`,
      );
    }
    entries.push({ name, dtype, shape, begin, end });
  }

  // Without gaps and without overlaps every byte has exactly one meaning; this also catches a name
  // that stands twice in the header, of which JSON.parse keeps the last only.
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const tensors = new Map<string, SafeTensor>();
  let position = 0;
  for (const { name, dtype, shape, begin, end } of entries) {
    if (begin !== position) {
      throw refuse(
        `tensor ${JSON.stringify(name.slice(0, 100))} begins at byte ${begin}, ` +
          `${position} was expected (no gaps, no overlaps)`,
      );
    }
    if (end > bytes.byteLength - dataStart) {
      throw refuse(
        `tensor ${JSON.stringify(name.slice(0, 100))} ends at byte ${end}, the file has ` +
          `${bytes.byteLength - dataStart} bytes of tensors`,
      );
    }
    tensors.set(name, { dtype, shape, data: bytes.subarray(dataStart + begin, dataStart + end) });
    position = end;
  }
  if (position !== bytes.byteLength - dataStart) {
    throw refuse(
      `it has ${
        bytes.byteLength - dataStart
      } bytes of tensors, its header accounts for ${position}`,
    );
  }
  return { tensors, metadata };
}

/**
 * Writes a safetensors file. Tensors of wide elements come first, else in the order given, so that
 * each lies aligned to its element size.
 * @throws {RangeError} If a tensor's bytes do not match its shape and type, or a name is reserved.
 */
export function encodeSafetensors(
  tensors: Iterable<readonly [string, SafeTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const ordered = [...tensors].sort(([, a], [, b]) =>
    elementBytes[b.dtype] - elementBytes[a.dtype]
  );
  // Pairs, not an object literal: a tensor named like a number or `__proto__` must keep its place.
  const header: string[] = [];
  if (Object.keys(metadata).length > 0) header.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const names = new Set(["__metadata__"]);
  let position = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    if (names.has(name)) throw new RangeError(`safetensors: the name ${name} stands twice`);
    names.add(name);
    const expected = shape.reduce((product, size) => product * size, elementBytes[dtype]);
    if (data.byteLength !== expected) {
      throw new RangeError(
        `safetensors: tensor ${name} has ${data.byteLength} bytes, ${expected} were expected for ` +
          `${dtype} [${shape}]`,
      );
    }
    const entry = { dtype, shape, data_offsets: [position, position + expected] };
    header.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    position += expected;
  }
  const text = new TextEncoder().encode(`{${header.join(",")}}`);
  const headerBytes = Math.ceil(text.byteLength / 8) * 8;
  const file = new Uint8Array(8 + headerBytes + position);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, 8, 8 + headerBytes).set(text, 8);
  let offset = 8 + headerBytes;
  for (const [, { data }] of ordered) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return file;
}

/** A float32 tensor for {@link encodeSafetensors}. */
export function float32Tensor(
  shape: readonly number[],
  data: Float32Array<ArrayBuffer>,
): SafeTensor {
  return { dtype: "F32", shape, data };
}

/**
 * The elements of a tensor of any type as float32, always in memory of its own. Doubles and wide
 * integers are rounded to the nearest float32.
 */
export function toFloat32(tensor: SafeTensor): Float32Array<ArrayBuffer> {
  const { data } = tensor;
  const length = data.byteLength / elementBytes[tensor.dtype];
  // A copy first: in the file an element may lie unaligned. The elements are little-endian, as is
  // every machine that runs WebGPU.
  const buffer = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
  switch (tensor.dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "F64":
      return Float32Array.from(new Float64Array(buffer));
    case "F16":
      return Float32Array.from(new Uint16Array(buffer), halfToNumber);
    case "BF16": {
      const words = Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16);
      return new Float32Array(words.buffer, 0, length);
    }
    case "I64":
      return Float32Array.from(new BigInt64Array(buffer), Number);
    case "U64":
      return Float32Array.from(new BigUint64Array(buffer), Number);
    case "I32":
      return Float32Array.from(new Int32Array(buffer));
    case "U32":
      return Float32Array.from(new Uint32Array(buffer));
    case "I16":
      return Float32Array.from(new Int16Array(buffer));
    case "U16":
      return Float32Array.from(new Uint16Array(buffer));
    case "I8":
      return Float32Array.from(new Int8Array(buffer));
    case "U8":
    case "BOOL":
      return Float32Array.from(new Uint8Array(buffer));
  }
}

/** IEEE 754 binary16 to a number; `DataView.getFloat16` is not everywhere yet. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function parseHeader(bytes: Uint8Array<ArrayBuffer>): Record<string, unknown> | undefined {
  try {
    const header: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isRecord(header) ? header : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTextRecord(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((text) => typeof text === "string");
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(elementBytes, value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
