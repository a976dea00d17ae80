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
import type { ByteSource } from "./byte_source.ts";
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
  /**
   * Looks whether the elements of a tensor can be there, without reading them.
   * @throws {InputError} where the file holds less, or more, than the tensor says.
   */
  check: (tensor: PthTensor, name: string) => void;
  /** The bytes of another member of the container, if there is one. */
  extra: (name: string, mostBytes: number) => Promise<Uint8Array<ArrayBuffer> | undefined>;
}

/** `data.pkl` of a U-Net has some ten thousand bytes. */
const MOST_PICKLE_BYTES = 1 << 26;

/** Those of a legacy file stand at its start, without their length: first so much of it is tried. */
const LEGACY_PICKLES_BYTES = 1 << 20;

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
export async function parsePth(source: ByteSource, file: string): Promise<PthFile> {
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
  const reader = () => new PthReader(source, refuse, refuseGlobal);
  const start = await source.read(0, Math.min(source.sizeBytes, LEGACY_START.length));
  const container = pthContainer(start);
  if (container === "zip") return await reader().zip();
  if (container !== "legacy") throw refuse("it begins like no file of torch.save");
  try {
    return await reader().legacy(LEGACY_PICKLES_BYTES);
  } catch (error) {
    if (!(error instanceof InputError) || source.sizeBytes <= LEGACY_PICKLES_BYTES) throw error;
    return await reader().legacy(MOST_PICKLE_BYTES);
  }
}

class PthReader {
  readonly #storages = new Map<string, PthStorage>();

  constructor(
    readonly source: ByteSource,
    readonly refuse: Refuse,
    readonly refuseGlobal: (name: string) => InputError,
  ) {}

  async zip(): Promise<PthFile> {
    const archive = await ZipArchive.open(this.source, this.refuse);
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
    const check = (tensor: PthTensor, name: string) => {
      checkExtent(tensor, name, this.refuse);
      const expected = storageBytes(tensor.storage);
      const found = archive.sizeOf(`${folder}data/${tensor.storage.key}`);
      if (found !== expected) {
        throw this.refuse(
          `the memory of tensor ${shown(name)} has ${found} bytes, ${expected} were expected`,
        );
      }
    };
    const tensor = async (tensor: PthTensor, name: string) => {
      check(tensor, name);
      const { storage } = tensor;
      const data = memory.get(storage) ??
        await archive.read(`${folder}data/${storage.key}`, storageBytes(storage));
      memory.set(storage, data);
      return elementsOf(tensor, data);
    };
    return { value, extra, check, tensor };
  }

  /** @param mostBytes How much of the file may be pickles. */
  async legacy(mostBytes: number): Promise<PthFile> {
    const { source, refuse } = this;
    const bytes = await source.read(0, Math.min(source.sizeBytes, mostBytes));
    let at = 0;
    const next = (): unknown => {
      const { value, end } = this.#unpickle(bytes, at);
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
    const memory = await this.#legacyMemory(keys, at);
    const startOf = (tensor: PthTensor, name: string) => {
      checkExtent(tensor, name, refuse);
      const start = memory.get(tensor.storage);
      if (start === undefined) throw refuse(`the memory of tensor ${shown(name)} is missing`);
      return start;
    };
    return {
      value,
      extra: () => Promise.resolve(undefined),
      check: startOf,
      tensor: async (tensor, name) => {
        const start = startOf(tensor, name);
        return elementsOf(tensor, await source.read(start, start + storageBytes(tensor.storage)));
      },
    };
  }

  /** Each storage: how many elements, then the elements. @returns where those start */
  async #legacyMemory(keys: readonly unknown[], start: number): Promise<Map<PthStorage, number>> {
    const { source, refuse } = this;
    const memory = new Map<PthStorage, number>();
    let at = start;
    for (const key of keys) {
      const storage = typeof key === "string" ? this.#storages.get(key) : undefined;
      if (!storage) throw refuse(`it holds memory ${shown(key)} that no tensor uses`);
      if (memory.has(storage)) throw refuse(`it holds memory ${shown(key)} twice`);
      if (at + 8 > source.sizeBytes) throw refuse("it ends in the middle of its tensors");
      const count = await source.read(at, at + 8);
      const elements = new DataView(count.buffer, count.byteOffset).getBigUint64(0, true);
      if (elements !== BigInt(storage.elements)) {
        throw refuse(
          `memory ${shown(key)} has ${elements} elements, ${storage.elements} were expected`,
        );
      }
      memory.set(storage, at + 8);
      at += 8 + storageBytes(storage);
      if (at > source.sizeBytes) throw refuse("it ends in the middle of its tensors");
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

const storageBytes = ({ dtype, elements }: PthStorage): number => elements * elementBytes[dtype];

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
