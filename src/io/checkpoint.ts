/**
 * Checkpoints: a safetensors file with the network's tensors under PyTorch's state_dict names, and
 * everything needed to use it without flags as JSON in `__metadata__`.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu, KernelChoice } from "../gpu/device.ts";
import { UNet } from "../nn/unet.ts";
import { isTuning } from "../gpu/tuning.ts";
import { recognise, type UnetConfig, unetTensors } from "../nn/unet_spec.ts";
import {
  encodeSafetensors,
  float32Tensor,
  parseSafetensors,
  type SafeTensor,
  toFloat32,
} from "./safetensors.ts";

/** A class as a checkpoint knows it; its position is its id. */
export interface CheckpointClass {
  /** For people and for lookups by name, such as `tree`. */
  name: string;
  /** Red, green, blue, 0 to 255. */
  color: readonly [number, number, number];
  /** The value that stands for it in the masks it was trained on. */
  value?: number;
}

/** What a checkpoint says about its network. */
export interface CheckpointInfo {
  /** One for each channel of the logits, in order. */
  classes: CheckpointClass[];
  /** Photos were scaled by this before the network saw them; absent when unknown. */
  scale?: number;
  /** How pixels become numbers. */
  normalization: "divide by 255";
  /** Mask value that counted nowhere. */
  ignore?: number | null;
  /** Epochs trained so far. */
  epoch: number;
  /** Optimizer steps trained so far. */
  step: number;
  /** Scores on the validation split. */
  metrics?: Record<string, number>;
  /**
   * What it was trained with; other kernels round otherwise. Files are given those of the device
   * they come from.
   */
  kernels?: KernelChoice;
  /** Settings of the training that made it, for people. */
  training?: Record<string, string | number | boolean | null>;
}

/** A checkpoint in memory. */
export interface Checkpoint {
  /** Architecture, recognised from the tensors' names and shapes. */
  config: UnetConfig;
  /** What the file says of its training; defaults where it says nothing. */
  info: CheckpointInfo;
  /** By state_dict name. */
  tensors: Map<string, Float32Array>;
}

/** The key of `__metadata__` that holds the description. */
const METADATA_KEY = "webgpu-unet";

/** Tensors under this prefix belong to the optimizer, not to the network. */
const OPTIMIZER_PREFIX = "optimizer.";

/** The bytes of a checkpoint of `net` as it is now on `gpu`. */
export async function encodeCheckpoint(
  gpu: Gpu,
  net: UNet,
  info: CheckpointInfo,
): Promise<Uint8Array<ArrayBuffer>> {
  const values = await net.store.read(gpu);
  const tensors = unetTensors(net.config).map(({ name, shape, role }): [string, SafeTensor] => {
    if (role === "num-batches-tracked") {
      const data = BigInt64Array.of(BigInt(net.batchesTracked));
      return [name, { dtype: "I64", shape, data }];
    }
    return [name, float32Tensor(shape, Float32Array.from(values.get(name) ?? []))];
  });
  const description = { format: 1, config: net.config, ...info, kernels: gpu.kernels };
  return encodeSafetensors(tensors, { [METADATA_KEY]: JSON.stringify(description) });
}

/**
 * Reads a checkpoint. Files of other programs that hold a U-Net under the same names work too:
 * architecture and width follow from the shapes, classes are then called `class_0`, `class_1`, ...
 *
 * @param file Named in errors.
 * @throws {InputError} for a damaged file or one that holds no U-Net.
 */
export function decodeCheckpoint(bytes: Uint8Array<ArrayBuffer>, file: string): Checkpoint {
  const { tensors, metadata } = parseSafetensors(bytes, file);
  const own = [...tensors].filter(([name]) => !name.startsWith(OPTIMIZER_PREFIX));
  const config = recognise(new Map(own.map(([name, { shape }]) => [name, shape])), file);
  const info = readInfo(metadata[METADATA_KEY], config, file);
  const values = new Map(own.map(([name, t]) => [name, toFloat32(t)]));
  for (const [name, numbers] of values) {
    if (!numbers.every(Number.isFinite)) {
      throw new InputError(
        `${file}: tensor ${name} holds values that are no finite numbers; its training went wrong, ` +
          "use an earlier checkpoint",
      );
    }
  }
  return { config, info, tensors: values };
}

/** The network of a checkpoint. */
export function networkOf(checkpoint: Checkpoint, file: string): UNet {
  const net = new UNet(checkpoint.config);
  net.load(checkpoint.tensors, file);
  return net;
}

function readInfo(text: string | undefined, config: UnetConfig, file: string): CheckpointInfo {
  const plain: CheckpointInfo = {
    classes: Array.from({ length: config.classes }, (_, k) => ({
      name: `class_${k}`,
      color: grey(k, config.classes),
    })),
    normalization: "divide by 255",
    epoch: 0,
    step: 0,
  };
  if (text === undefined) return plain;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(
      `${file}: its description (${METADATA_KEY}) is no JSON; the file is damaged, use another one`,
    );
  }
  const info: Partial<CheckpointInfo> = typeof value === "object" && value !== null ? value : {};
  const classes = Array.isArray(info.classes) ? info.classes.filter(isClass) : [];
  if (classes.length !== config.classes) {
    throw new InputError(
      `${file}: its description names ${classes.length} classes, but the network has ` +
        `${config.classes}; the file is damaged, use another one`,
    );
  }
  const { scale, ignore, metrics, kernels, training } = info;
  return {
    classes,
    normalization: "divide by 255",
    epoch: count(info.epoch),
    step: count(info.step),
    ...(typeof scale === "number" && scale > 0 ? { scale } : {}),
    ...(typeof ignore === "number" || ignore === null ? { ignore } : {}),
    ...(metrics && typeof metrics === "object" ? { metrics } : {}),
    ...(isKernelChoice(kernels) ? { kernels } : {}),
    ...(training && typeof training === "object" ? { training } : {}),
  };
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : 0;
}

function isClass(value: unknown): value is CheckpointClass {
  if (typeof value !== "object" || value === null) return false;
  const { name, color }: Partial<CheckpointClass> = value;
  return typeof name === "string" && Array.isArray(color) && color.length === 3 &&
    color.every((c) => typeof c === "number" && c >= 0 && c <= 255);
}

function isKernelChoice(value: unknown): value is KernelChoice {
  if (typeof value !== "object" || value === null) return false;
  const { family, tuning }: Partial<KernelChoice> = value;
  return (family === "cpu" || family === "gpu") && (tuning === undefined || isTuning(tuning));
}

/** Distinct greys for classes whose colours nobody told. */
function grey(k: number, classes: number): [number, number, number] {
  const level = classes < 2 ? 255 : Math.round((255 * k) / (classes - 1));
  return [level, level, level];
}
