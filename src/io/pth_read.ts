/**
 * PyTorch's files (`torch.save`), without Python: both containers, read by {@linkcode unpickle},
 * which runs nothing.
 *
 * Source: `torch/serialization.py` of PyTorch 1.13.
 * @module
 */
import { InputError } from "../errors.ts";
import { unpickle } from "./pickle.ts";
import { pthGlobals, type PthStorage, type PthTensor, storageOf } from "./pth_globals.ts";
import { elementBytes, type SafeTensor } from "./safetensors.ts";
import { type Refuse, ZipArchive } from "./zip.ts";

/** The value of a PyTorch file, and what its tensors hold. */
export interface PthFile {
  /**
   * Dicts are Maps, lists and tuples arrays; tensors are {@linkcode PthTensor}s, whose elements
   * `tensor` gives.
   */
  value: unknown;
  /** The elements of a tensor in row-major order; contiguous ones as a view of the file. */
  tensor: (tensor: PthTensor, name: string) => Promise<SafeTensor>;
  /** The bytes of another member of the container, if there is one. */
  extra: (name: string, mostBytes: number) => Promise<Uint8Array<ArrayBuffer> | undefined>;
}

/** `data.pkl` of a U-Net has some ten thousand bytes. */
const MOST_PICKLE_BYTES = 1 << 26;

/** A legacy file begins with this number as a pickle of its own. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;
const LEGACY_START = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9];

/**
 * Elements that a tensor may have beyond those of its storage (`expand` repeats elements by a stride
 * of zero). Without a bound a file of a few bytes could ask for terabytes.
 */
const MOST_REPEATED = 1 << 16;

/** Which of the two containers of `torch.save` the bytes begin like, if any. */
export function pthContainer(bytes: Uint8Array): "zip" | "legacy" | undefined {
  const startsWith = (start: readonly number[]) => start.every((byte, i) => bytes[i] === byte);
  if (startsWith([0x50, 0x4b, 0x03, 0x04])) return "zip";
  return startsWith(LEGACY_START) ? "legacy" : undefined;
}

/**
 * Reads a file of `torch.save`, of either container.
 * @param file Named in errors.
 * @throws {InputError} If the file is damaged, is none of PyTorch's, or names anything but tensors
 *   and plain containers; the name is in the message.
 */
export async function parsePth(bytes: Uint8Array<ArrayBuffer>, file: string): Promise<PthFile> {
  const refuse: Refuse = (found) =>
    new InputError(
      `${file}: could not be read as a PyTorch file: ${found}; save or download it again`,
    );
  const refuseGlobal = (name: string) =>
    new InputError(
      `${file}: could not be read as PyTorch weights: it asks for ${
        JSON.stringify(name.slice(0, 200))
      }, but only tensors and plain containers are allowed, so nothing was run; save the weights ` +
        "alone, with torch.save(model.state_dict(), FILE)",
    );
  const reader = new PthReader(bytes, refuse, refuseGlobal);
  const container = pthContainer(bytes);
  if (container === "zip") return await reader.zip();
  if (container === "legacy") return reader.legacy();
  throw refuse("it begins like no file of torch.save");
}

class PthReader {
  readonly #storages = new Map<string, PthStorage>();

  constructor(
    readonly bytes: Uint8Array<ArrayBuffer>,
    readonly refuse: Refuse,
    readonly refuseGlobal: (name: string) => InputError,
  ) {}

  async zip(): Promise<PthFile> {
    const archive = new ZipArchive(this.bytes, this.refuse);
    const pickle = archive.names.find((name) => /^([^/]+\/)?data\.pkl$/.test(name));
    if (pickle === undefined) throw this.refuse("it is a zip archive without a member data.pkl");
    const folder = pickle.slice(0, -"data.pkl".length);
    const extra = async (name: string, mostBytes: number) =>
      archive.names.includes(folder + name)
        ? await archive.read(folder + name, mostBytes)
        : undefined;
    const order = await extra("byteorder", 16);
    if (order && new TextDecoder().decode(order).trim() !== "little") {
      throw this.refuse("its numbers are big-endian");
    }
    const { value } = this.#unpickle(await archive.read(pickle, MOST_PICKLE_BYTES), 0);
    // Checked and inflated once, however many tensors share it.
    const memory = new Map<PthStorage, Uint8Array<ArrayBuffer>>();
    const tensor = async (tensor: PthTensor, name: string) => {
      checkExtent(tensor, name, this.refuse);
      const { key, dtype, elements } = tensor.storage;
      const expected = elements * elementBytes[dtype];
      const data = memory.get(tensor.storage) ??
        await archive.read(`${folder}data/${key}`, expected);
      memory.set(tensor.storage, data);
      if (data.byteLength !== expected) {
        throw this.refuse(
          `the memory of tensor ${shown(name)} has ${data.byteLength} bytes, ${expected} were ` +
            "expected",
        );
      }
      return elementsOf(tensor, data);
    };
    return { value, extra, tensor };
  }

  legacy(): PthFile {
    const { refuse } = this;
    let at = 0;
    const next = (): unknown => {
      const { value, end } = this.#unpickle(this.bytes, at);
      at = end;
      return value;
    };
    if (next() !== LEGACY_MAGIC) throw refuse("it begins like no file of torch.save");
    const protocol = next();
    if (protocol !== LEGACY_PROTOCOL) throw refuse(`its format is ${shown(protocol)}`);
    const system = next();
    if (system instanceof Map && system.get("little_endian") === false) {
      throw refuse("its numbers are big-endian");
    }
    const value = next();
    const keys = next();
    if (!Array.isArray(keys)) throw refuse("the list of its tensors' memory is missing");
    const memory = this.#legacyMemory(keys, at);
    return {
      value,
      extra: () => Promise.resolve(undefined),
      tensor: (tensor, name) => {
        checkExtent(tensor, name, refuse);
        const data = memory.get(tensor.storage);
        if (!data) throw refuse(`the memory of tensor ${shown(name)} is missing`);
        return Promise.resolve(elementsOf(tensor, data));
      },
    };
  }

  /** Each storage: how many elements, then the elements. */
  #legacyMemory(
    keys: readonly unknown[],
    start: number,
  ): Map<PthStorage, Uint8Array<ArrayBuffer>> {
    const { bytes, refuse } = this;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const memory = new Map<PthStorage, Uint8Array<ArrayBuffer>>();
    let at = start;
    for (const key of keys) {
      const storage = typeof key === "string" ? this.#storages.get(key) : undefined;
      if (!storage) throw refuse(`it holds memory ${shown(key)} that no tensor uses`);
      if (at + 8 > bytes.byteLength) throw refuse("it ends in the middle of its tensors");
      const elements = view.getBigUint64(at, true);
      const length = storage.elements * elementBytes[storage.dtype];
      if (elements !== BigInt(storage.elements)) {
        throw refuse(
          `memory ${shown(key)} has ${elements} elements, ${storage.elements} were expected`,
        );
      }
      at += 8;
      if (at + length > bytes.byteLength) throw refuse("it ends in the middle of its tensors");
      memory.set(storage, bytes.subarray(at, at + length));
      at += length;
    }
    return memory;
  }

  #unpickle(bytes: Uint8Array<ArrayBuffer>, start: number): { value: unknown; end: number } {
    return unpickle(bytes, start, {
      globals: pthGlobals,
      refuse: this.refuse,
      refuseGlobal: this.refuseGlobal,
      persistent: (id) => {
        const made = storageOf(id);
        if (!made) return undefined;
        const known = this.#storages.get(made.key);
        if (known && known.dtype === made.dtype && known.elements === made.elements) return known;
        if (known) throw this.refuse(`memory ${shown(made.key)} has two types or sizes`);
        this.#storages.set(made.key, made);
        return made;
      },
    });
  }
}

/** Whether all elements of a tensor lie inside its storage. */
function checkExtent(tensor: PthTensor, name: string, refuse: Refuse): void {
  const { storage, offset, shape, strides } = tensor;
  const count = countOf(shape);
  if (count === 0) return;
  const last = shape.reduce((at, size, axis) => at + (size - 1) * (strides[axis] ?? 0), offset);
  // Beyond 2^53 both are inexact, but far too large all the same.
  if (last >= storage.elements) {
    throw refuse(
      `tensor ${shown(name)} [${shape}] reaches element ${last} of ${storage.elements}`,
    );
  }
  if (count > storage.elements && count > MOST_REPEATED) {
    throw refuse(
      `tensor ${shown(name)} [${shape}] repeats the ${storage.elements} elements that it has`,
    );
  }
}

/** Gathers the elements in row-major order. */
function elementsOf(
  { storage: { dtype }, offset, shape, strides }: PthTensor,
  memory: Uint8Array<ArrayBuffer>,
): SafeTensor {
  const size = elementBytes[dtype];
  const count = countOf(shape);
  if (count === 0 || isContiguous(shape, strides)) {
    const start = count === 0 ? 0 : offset * size;
    return { dtype, shape, data: memory.subarray(start, start + count * size) };
  }
  const data = new Uint8Array(count * size);
  const index = shape.map(() => 0);
  let from = offset;
  for (let to = 0; to < count; to++) {
    for (let byte = 0; byte < size; byte++) {
      data[to * size + byte] = memory[from * size + byte] ?? 0;
    }
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const stride = strides[axis] ?? 0;
      const at = (index[axis] ?? 0) + 1;
      from += stride;
      if (at < (shape[axis] ?? 1)) {
        index[axis] = at;
        break;
      }
      index[axis] = 0;
      from -= at * stride;
    }
  }
  return { dtype, shape, data };
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    if (size !== 1 && strides[axis] !== expected) return false;
    expected *= size;
  }
  return true;
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Names and values come from the file: quoted and cut, so that they cannot garble a terminal. */
function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 100)) : typeof value;
}
