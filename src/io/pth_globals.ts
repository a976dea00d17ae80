/**
 * What a PyTorch file may name: the functions and classes that make tensors, and the plain containers
 * and numbers that training scripts store beside them. Nothing here does more than make a value.
 * @module
 */
import { OpaqueObject, PickleGlobal } from "./pickle.ts";
import type { Dtype } from "./safetensors.ts";

/** The memory of one or more tensors. */
export class PthStorage {
  /**
   * @param dtype Type of its elements.
   * @param key Its name in the file.
   * @param elements How many it has.
   */
  constructor(readonly dtype: Dtype, readonly key: string, readonly elements: number) {}
}

/** A tensor as a view of a storage; lengths are in elements. */
export class PthTensor {
  /**
   * @param storage Where its elements lie.
   * @param offset Position of its first element.
   * @param shape Sizes.
   * @param strides Distance between neighbours on each axis.
   */
  constructor(
    readonly storage: PthStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/** Storage classes by name; their elements' types by safetensors' names. */
const STORAGES: Readonly<Record<string, Dtype>> = {
  "torch.FloatStorage": "F32",
  "torch.DoubleStorage": "F64",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
};

/** The storage that a persistent id of `torch.save` stands for, or `undefined` for anything else. */
export function storageOf(id: unknown): PthStorage | undefined {
  if (!Array.isArray(id)) return undefined;
  // The location (a device) and, in old files, a view of another storage follow.
  const [kind, type, key, , elements, view]: unknown[] = id;
  const dtype = type instanceof PickleGlobal ? STORAGES[type.name] : undefined;
  if (kind !== "storage" || !dtype || typeof key !== "string" || !isSize(elements)) {
    return undefined;
  }
  return view === undefined || view === null ? new PthStorage(dtype, key, elements) : undefined;
}

/** By module and name. */
export const pthGlobals: ReadonlyMap<string, PickleGlobal> = new Map(
  [
    ...Object.keys(STORAGES).map((name) => new PickleGlobal(name)),
    new PickleGlobal("torch._utils._rebuild_tensor_v2", rebuildTensor),
    new PickleGlobal("torch._utils._rebuild_tensor", rebuildTensor),
    new PickleGlobal("torch._utils._rebuild_parameter", ([data]) => tensorOnly(data)),
    new PickleGlobal("torch._utils._rebuild_parameter_with_state", ([data]) => tensorOnly(data)),
    new PickleGlobal("collections.OrderedDict", dict),
    // What optimizers, schedulers and scores bring along.
    ...["float16", "bfloat16", "float32", "float64", "int64", "int32", "uint8", "bool"]
      .map((name) => new PickleGlobal(`torch.${name}`)),
    new PickleGlobal("torch.Size", ([sizes = []]) => Array.isArray(sizes) ? sizes : undefined),
    new PickleGlobal("torch.device", () => new OpaqueObject("torch.device")),
    new PickleGlobal("collections.Counter", dict),
    new PickleGlobal("collections.defaultdict", () => new Map()),
    new PickleGlobal("_codecs.encode", ([text]) => typeof text === "string" ? text : undefined),
    ...["builtins", "__builtin__"].flatMap((module) => [
      new PickleGlobal(`${module}.set`, ([items = []]) => setOf(items)),
      // Only as what a defaultdict makes.
      ...["dict", "list", "int", "float"].map((name) => new PickleGlobal(`${module}.${name}`)),
    ]),
    ...[
      "numpy.dtype",
      "numpy.core.multiarray.scalar",
      "numpy._core.multiarray.scalar",
    ].map((name) => new PickleGlobal(name, () => new OpaqueObject(name))),
  ].map((made) => [made.name, made]),
);

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`. */
function rebuildTensor(
  [storage, offset, shape, strides]: readonly unknown[],
): PthTensor | undefined {
  if (!(storage instanceof PthStorage) || !isSize(offset) || !isSizes(shape)) return undefined;
  if (!isSizes(strides) || strides.length !== shape.length) return undefined;
  return new PthTensor(storage, offset, [...shape], [...strides]);
}

function tensorOnly(data: unknown): PthTensor | undefined {
  return data instanceof PthTensor ? data : undefined;
}

/** A dict of nothing, of another dict, or of a list of pairs. */
function dict([items = []]: readonly unknown[]): Map<unknown, unknown> | undefined {
  if (items instanceof Map) return new Map(items);
  if (!Array.isArray(items) || !items.every(isPair)) return undefined;
  return new Map(items);
}

function isPair(item: unknown): item is [unknown, unknown] {
  return Array.isArray(item) && item.length === 2;
}

function setOf(items: unknown): Set<unknown> | undefined {
  return Array.isArray(items) ? new Set(items) : undefined;
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isSize);
}
