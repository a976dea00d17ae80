/**
 * Checkpoints: a network's tensors under PyTorch's state_dict names, and everything needed to use it
 * without flags. Their own format is safetensors with the description as JSON in `__metadata__`.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { UNet } from "../nn/unet.ts";
import { describe, recognise, type UnetConfig, unetTensors } from "../nn/unet_spec.ts";
import {
  checkInfo,
  type CheckpointInfo,
  DESCRIPTION,
  parseInfo,
  plainInfo,
} from "./checkpoint_info.ts";
import { isResumeTensor, RESUME, type ResumeState, resumeTensors } from "./resume_state.ts";
import {
  encodeSafetensors,
  float32Tensor,
  parseSafetensors,
  type SafeTensor,
  toFloat32,
} from "./safetensors.ts";

export { type CheckpointClass, type CheckpointInfo } from "./checkpoint_info.ts";
export { decodeResumeState, type ResumeState } from "./resume_state.ts";

/** A checkpoint in memory. */
export interface Checkpoint {
  /** Architecture, recognised from the tensors' names and shapes. */
  config: UnetConfig;
  /** What the file says of its training; defaults where it says nothing. */
  info: CheckpointInfo;
  /**
   * By state_dict name. Biases in front of batch norm and `num_batches_tracked` may be missing:
   * zero then.
   */
  tensors: Map<string, Float32Array<ArrayBuffer>>;
  /**
   * Written into safetensors files; {@linkcode decodeResumeState} reads it, {@linkcode
   * decodeCheckpoint} does not.
   */
  resume?: ResumeState | undefined;
}

/** `net` as it is now on `gpu`. */
export async function checkpointOf(
  gpu: Gpu,
  net: UNet,
  info: CheckpointInfo,
): Promise<Checkpoint> {
  const values = await net.store.read(gpu);
  const tensors = unetTensors(net.config).map((
    { name, role },
  ): [string, Float32Array<ArrayBuffer>] => [
    name,
    role === "num-batches-tracked"
      ? Float32Array.of(net.batchesTracked)
      : Float32Array.from(values.get(name) ?? []),
  ]);
  return { config: net.config, info: { ...info, kernels: gpu.kernels }, tensors: new Map(tensors) };
}

/**
 * The bytes of a checkpoint of `net` as it is now on `gpu`, in the safetensors format.
 * @throws {InputError} as {@linkcode encodeSafetensorsCheckpoint}
 */
export async function encodeCheckpoint(
  gpu: Gpu,
  net: UNet,
  info: CheckpointInfo,
): Promise<Uint8Array<ArrayBuffer>> {
  return encodeSafetensorsCheckpoint(await checkpointOf(gpu, net, info));
}

/**
 * A checkpoint in the safetensors format.
 * @throws {InputError} where {@linkcode decodeCheckpoint} would not read it as it is.
 */
export function encodeSafetensorsCheckpoint(checkpoint: Checkpoint): Uint8Array<ArrayBuffer> {
  checkCheckpoint(checkpoint);
  const { config, resume } = checkpoint;
  return encodeSafetensors(
    [...stateDict(checkpoint), ...(resume ? resumeTensors(config, resume) : [])],
    {
      [DESCRIPTION]: describeCheckpoint(checkpoint),
      ...(resume ? { [RESUME]: JSON.stringify(resume.run) } : {}),
    },
  );
}

/**
 * Whether a checkpoint will be read as it is: for writers, since a network that was trained for
 * hours had better not be saved unreadably.
 * @throws {InputError} naming the tensor or the part of the description that would be refused.
 */
export function checkCheckpoint({ config, info, tensors }: Checkpoint): void {
  checkInfo(info, config.classes);
  for (const { name, shape, optional } of unetTensors(config)) {
    const values = tensors.get(name);
    if (!values && optional) continue;
    const size = shape.reduce((a, b) => a * b, 1);
    if (values?.length === size && isUsable(values)) continue;
    const found = !values
      ? "which is missing"
      : values.length === size
      ? "in which not all values are finite numbers"
      : `which has ${values.length} values`;
    throw new InputError(
      `cannot write a checkpoint of ${describe(config)} with a tensor ${name} ${found}, ` +
        `expected ${size} finite numbers; use a network of this architecture whose training went well`,
    );
  }
}

/** No network computes anything with other values. */
function isUsable(values: Float32Array): boolean {
  return values.every(Number.isFinite);
}

/** The tensors of a checkpoint in module order, of PyTorch's types. */
export function stateDict({ config, tensors }: Checkpoint): [string, SafeTensor][] {
  return unetTensors(config).flatMap(({ name, shape, dtype }): [string, SafeTensor][] => {
    const values = tensors.get(name);
    if (!values) return [];
    if (dtype === "F32") return [[name, float32Tensor(shape, values)]];
    const data = BigInt64Array.from(values, (value) => BigInt(Math.trunc(value)));
    return [[name, { dtype, shape, data }]];
  });
}

/** Everything about a checkpoint but its tensors, as JSON. */
export function describeCheckpoint({ config, info }: Checkpoint): string {
  return JSON.stringify({ format: 1, config, ...info });
}

/**
 * Reads a checkpoint. Files of other programs that hold a U-Net under the same names work too:
 * architecture and width follow from the shapes, classes are then called `class_0`, `class_1`, ...
 * {@linkcode decodeModel} also reads PyTorch's own files.
 *
 * @param file Named in errors.
 * @throws {InputError} for a damaged file or one that holds no U-Net.
 */
export function decodeCheckpoint(bytes: Uint8Array<ArrayBuffer>, file: string): Checkpoint {
  const { tensors, metadata } = parseSafetensors(bytes, file);
  const own = [...tensors].filter(([name]) => !isResumeTensor(name));
  const config = recognise(new Map(own.map(([name, { shape }]) => [name, shape])), file);
  return makeCheckpoint(config, new Map(own), { description: metadata[DESCRIPTION] }, file);
}

/** What a file says of its network beside the tensors. */
export interface ToldInfo {
  /** Its own description. */
  readonly description: string | undefined;
  /** What milesial/Pytorch-UNet saves beside the weights. */
  readonly maskValues?: unknown;
}

/**
 * What is known of a network. One of a single logit, whose class is where the sigmoid is above a
 * threshold, counts as the two-class network of the same answer, see {@linkcode makeCheckpoint}.
 *
 * @param config As recognised from the tensors.
 * @param file Named in errors.
 * @throws {InputError} where the description does not fit.
 */
export function describeNetwork(
  config: UnetConfig,
  { description, maskValues }: ToldInfo,
  file: string,
): Pick<Checkpoint, "config" | "info"> {
  const classes = Math.max(2, config.classes);
  const info = description === undefined
    ? plainInfo(classes, maskValues)
    : parseInfo(description, config.classes, file);
  const [only] = info.classes;
  if (info.classes.length === 1 && only) {
    info.classes = [{ name: "background", color: [0, 0, 0] }, only];
  }
  return { config: { ...config, classes }, info };
}

/**
 * The checkpoint of a file's tensors. A network of one logit becomes one of two classes: its logits
 * are 0 and that one, and softmax over [0, x] is sigmoid(x).
 *
 * @param config As recognised from the tensors.
 * @param file Named in errors.
 * @throws {InputError} where a value is no finite number or the description does not fit.
 */
export function makeCheckpoint(
  config: UnetConfig,
  tensors: ReadonlyMap<string, SafeTensor>,
  told: ToldInfo,
  file: string,
): Checkpoint {
  const values = new Map([...tensors].map(([name, tensor]) => [name, toFloat32(tensor)]));
  for (const [name, numbers] of values) {
    if (!isUsable(numbers)) {
      throw new InputError(
        `${file}: tensor ${name} holds values that are no finite numbers; its training went wrong, ` +
          "use an earlier checkpoint",
      );
    }
  }
  if (config.classes === 1) {
    for (const name of ["outc.conv.weight", "outc.conv.bias"]) {
      const one = values.get(name) ?? new Float32Array();
      const two = new Float32Array(2 * one.length);
      two.set(one, one.length);
      values.set(name, two);
    }
  }
  return { ...describeNetwork(config, told, file), tensors: values };
}

/** The network of a checkpoint. */
export function networkOf(checkpoint: Checkpoint, file: string): UNet {
  const net = new UNet(checkpoint.config);
  net.load(checkpoint.tensors, file);
  return net;
}
