/**
 * Writing PyTorch's files: the zip container of `torch.save` since 1.6 with an OrderedDict of
 * tensors, in the instructions that its `weights_only` reader knows.
 *
 * Source: `torch/serialization.py` and `torch/_weights_only_unpickler.py` of PyTorch 1.13.
 * @module
 */
import { InputError } from "../errors.ts";
import { PickleWriter } from "./pickle_write.ts";
import type { Dtype, SafeTensor } from "./safetensors.ts";
import { encodeZip, type ZipMember } from "./zip_write.ts";

/** The folder inside the container; PyTorch takes the file's name, readers take any. */
const FOLDER = "archive";
/** The container's own version, as PyTorch writes it. */
const VERSION = "3\n";

/** Storage classes of PyTorch by safetensors' names of the elements' types. */
const STORAGE_CLASSES: Readonly<Partial<Record<Dtype, string>>> = {
  F32: "FloatStorage",
  F64: "DoubleStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  I64: "LongStorage",
  I32: "IntStorage",
  I16: "ShortStorage",
  I8: "CharStorage",
  U8: "ByteStorage",
  BOOL: "BoolStorage",
};

/**
 * The bytes of a file from which `torch.load` gives an OrderedDict of these tensors, in order.
 * @param extras Further members of the container, which PyTorch passes over.
 * @throws {InputError} For types that PyTorch 1.13 lacks, and at 4 GiB.
 */
export function encodePthTensors(
  tensors: readonly (readonly [string, SafeTensor])[],
  extras: readonly ZipMember[] = [],
): Uint8Array<ArrayBuffer> {
  const pickle = new PickleWriter();
  pickle.global("collections", "OrderedDict").integers([]).call().mark();
  tensors.forEach(([name, { dtype, shape }], key) => {
    const storage = STORAGE_CLASSES[dtype];
    if (!storage) {
      throw new InputError(`Writing a .pth file: tensor ${name} is ${dtype}, which PyTorch lacks.`);
    }
    const elements = shape.reduce((product, size) => product * size, 1);
    pickle.text(name).global("torch._utils", "_rebuild_tensor_v2").mark();
    pickle.mark().text("storage").global("torch", storage).text(String(key)).text("cpu")
      .integer(elements).tuple().persistent();
    pickle.integer(0).integers(shape).integers(stridesOf(shape)).no();
    pickle.global("collections", "OrderedDict").integers([]).call().tuple().call();
  });
  const text = (value: string) => new TextEncoder().encode(value);
  // PyTorch takes the folder's name from the first member.
  const members: ZipMember[] = [
    { name: "data.pkl", data: pickle.setItems().end() },
    { name: "byteorder", data: text("little") },
    ...tensors.map(([, { data }], key): ZipMember => ({ name: `data/${key}`, data })),
    { name: "version", data: text(VERSION) },
    ...extras,
  ];
  try {
    return encodeZip(members.map(({ name, data }) => ({ name: `${FOLDER}/${name}`, data })));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(
      "Writing a .pth file: the network has 4 GiB or more, which needs an extension of zip that is " +
        "not written; use .safetensors.",
    );
  }
}

/** Row-major. */
function stridesOf(shape: readonly number[]): number[] {
  let stride = 1;
  return shape.toReversed().map((size) => {
    const own = stride;
    stride *= Math.max(1, size);
    return own;
  }).reverse();
}
