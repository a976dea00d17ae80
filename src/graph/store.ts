/**
 * Parameters and running statistics: named arrays that outlive programs and are shared by them.
 * Trainable ones lie in one arena with a gradient arena of the same offsets, so that one dispatch
 * updates all of them.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { elementCount } from "./layout.ts";
import { type Home, PersistentBuffer } from "./memory.ts";

/** A named array of a {@linkcode ParameterStore}, float32, row-major, PyTorch's shape. */
export interface StoredTensor {
  /** Unique in its store; the U-Nets use PyTorch's state_dict names. */
  readonly name: string;
  /** Sizes, outermost first; [out, in, kH, kW] for a convolution's weight. */
  readonly shape: readonly number[];
  /** Whether optimizers update it; running statistics are not trainable. */
  readonly trainable: boolean;
  /** Its window of the store's `parameters` or `statistics`. */
  readonly home: Home;
}

/** What a store's arrays lie in: nobody else uploads their values. */
class Arena extends PersistentBuffer {}

/** Named arrays on the GPU, with their initial values until a GPU is known. */
export class ParameterStore {
  /** Trainable arrays. */
  readonly parameters: PersistentBuffer = new Arena("parameters");
  /** Arrays that training updates without gradients, such as running means. */
  readonly statistics: PersistentBuffer = new Arena("statistics");
  #companions = new Map<string, PersistentBuffer>();
  #tensors = new Map<string, StoredTensor>();
  #pending = new Map<string, Float32Array>();

  /** Declares an array and its initial values. */
  add(
    name: string,
    shape: readonly number[],
    values: Float32Array,
    trainable = true,
  ): StoredTensor {
    if (this.#tensors.has(name)) throw new InputError(`Declared parameter "${name}" twice.`);
    checkCount(name, shape, values);
    const buffer = trainable ? this.parameters : this.statistics;
    const offsetBytes = buffer.reserve(values.byteLength);
    if (trainable) {
      for (const arena of this.#companions.values()) {
        arena.reserve(values.byteLength);
      }
    }
    const stored = { name, shape: [...shape], trainable, home: { buffer, offsetBytes } };
    this.#tensors.set(name, stored);
    this.#pending.set(name, values);
    return stored;
  }

  /** Every array, in order of declaration. */
  get tensors(): StoredTensor[] {
    return [...this.#tensors.values()];
  }

  /** The trainable arrays, in order of declaration. */
  get trainable(): StoredTensor[] {
    return this.tensors.filter((t) => t.trainable);
  }

  /** Number of trainable values. */
  get parameterCount(): number {
    return this.trainable.reduce((sum, t) => sum + elementCount(t.shape), 0);
  }

  /** An array by name. */
  get(name: string): StoredTensor {
    const stored = this.#tensors.get(name);
    if (!stored) throw new InputError(`Asked for parameter "${name}", which does not exist.`);
    return stored;
  }

  /**
   * An arena with one float for every trainable one at the same offset: gradients, momentum and
   * the like. Zero at first.
   */
  companion(name: string): PersistentBuffer {
    let arena = this.#companions.get(name);
    if (!arena) {
      arena = new PersistentBuffer(name);
      arena.reserve(this.parameters.sizeBytes);
      this.#companions.set(name, arena);
    }
    return arena;
  }

  /** Sets a companion arena to zero. */
  clear(gpu: Gpu, name: string): void {
    const encoder = gpu.device.createCommandEncoder({ label: `clear ${name}` });
    encoder.clearBuffer(this.companion(name).on(gpu));
    gpu.device.queue.submit([encoder.finish()]);
  }

  /** Names of the companion arenas in use. */
  get companions(): string[] {
    return [...this.#companions.keys()];
  }

  /** Replaces the values of an array. */
  set(name: string, values: Float32Array): void {
    checkCount(name, this.get(name).shape, values);
    this.#pending.set(name, values);
  }

  /** Brings pending values to the GPU; programs call it before they run. */
  upload(gpu: Gpu): void {
    for (const [name, values] of this.#pending) {
      const { home } = this.get(name);
      gpu.device.queue.writeBuffer(
        home.buffer.on(gpu),
        home.offsetBytes,
        values.buffer as ArrayBuffer,
        values.byteOffset,
        values.byteLength,
      );
    }
    this.#pending.clear();
  }

  /** All values as they are now on the GPU (or pending), by name. */
  async read(gpu: Gpu): Promise<Map<string, Float32Array>> {
    this.upload(gpu);
    const arenas = new Map<PersistentBuffer, ArrayBuffer>();
    for (const arena of [this.parameters, this.statistics]) {
      if (arena.sizeBytes > 0) {
        arenas.set(arena, await gpu.readBuffer(arena.on(gpu), 0, arena.sizeBytes));
      }
    }
    return new Map(this.tensors.map(({ name, shape, home }) => {
      const bytes = arenas.get(home.buffer);
      if (!bytes) throw new InputError(`Parameter "${name}" has no memory.`);
      return [name, new Float32Array(bytes, home.offsetBytes, elementCount(shape)).slice()];
    }));
  }

  /** A companion arena's values by name of the parameter they belong to. */
  async readCompanion(gpu: Gpu, arenaName: string): Promise<Map<string, Float32Array>> {
    const arena = this.companion(arenaName);
    const bytes = await gpu.readBuffer(arena.on(gpu), 0, arena.sizeBytes);
    return new Map(
      this.trainable.map((
        { name, shape, home },
      ) => [name, new Float32Array(bytes, home.offsetBytes, elementCount(shape)).slice()]),
    );
  }

  /**
   * Replaces values of a companion arena by name of the parameter they belong to; others stay.
   * @throws {InputError} for an unknown name or a wrong number of values.
   */
  writeCompanion(gpu: Gpu, arenaName: string, values: ReadonlyMap<string, Float32Array>): void {
    const buffer = this.companion(arenaName).on(gpu);
    for (const [name, array] of values) {
      const { shape, home } = this.get(name);
      checkCount(`${arenaName} of ${name}`, shape, array);
      gpu.device.queue.writeBuffer(
        buffer,
        home.offsetBytes,
        array.buffer as ArrayBuffer,
        array.byteOffset,
        array.byteLength,
      );
    }
  }

  /** Frees the GPU memory; values not read before are lost. */
  destroy(): void {
    for (const arena of [this.parameters, this.statistics, ...this.#companions.values()]) {
      arena.destroy();
    }
  }
}

function checkCount(name: string, shape: readonly number[], values: Float32Array): void {
  if (values.length !== elementCount(shape)) {
    throw new InputError(
      `Parameter "${name}" of shape [${shape.join(",")}] got ${values.length} values, expected ` +
        `${elementCount(shape)}.`,
    );
  }
}

/**
 * Throws where `stores` lack an array that a graph uses: nobody would upload it, and it would be zero.
 * @throws {InputError} naming the first one.
 */
export function checkStores(
  used: readonly StoredTensor[],
  stores: readonly ParameterStore[],
): void {
  const buffers = new Set(stores.flatMap(({ parameters, statistics }) => [parameters, statistics]));
  const missing = used.find(({ home: { buffer } }) =>
    buffer instanceof Arena && !buffers.has(buffer)
  );
  if (!missing) return;
  throw new InputError(
    `Compiling a graph that uses parameter "${missing.name}" got no store that holds it; name its ` +
      "ParameterStore in `stores`.",
  );
}
