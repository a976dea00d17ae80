/**
 * PyTorch's own files in `pth/`, as `make_pth.py` wrote them, with what PyTorch computes with them.
 * @module
 */
import { parseSafetensors, type SafeTensor, toFloat32 } from "../../src/io/safetensors.ts";
import { Stream } from "../../src/nn/random.ts";
import type { UnetConfig } from "../../src/nn/unet_spec.ts";
import bfloat16 from "./pth/bfloat16.pth" with { type: "bytes" };
import expected from "./pth/expected.safetensors" with { type: "bytes" };
import half from "./pth/half.pth" with { type: "bytes" };
import legacy from "./pth/legacy.pth" with { type: "bytes" };
import oneClass from "./pth/one_class.pth" with { type: "bytes" };
import views from "./pth/views.pth" with { type: "bytes" };
import zip from "./pth/zip.pth" with { type: "bytes" };

/** A file of `torch.save` and what is known of it. */
export interface GoldenPth {
  name: string;
  /** How it was saved. */
  about: string;
  bytes: Uint8Array<ArrayBuffer>;
  config: UnetConfig;
  /** Whether there are biases in front of batch norm. */
  bias: boolean;
  /** Of {@linkcode pthInput}, computed in float64; one channel for the one-class network. */
  logits: Float32Array<ArrayBuffer>;
  /** Class ids of {@linkcode pthCrop}, height and width in front. */
  crop: SafeTensor;
  /** Class ids of the whole photo, where they are stored. */
  photo: SafeTensor | undefined;
}

const { tensors, metadata } = parseSafetensors(expected, "expected.safetensors");

/** The photo, below the folder of test data. */
export const pthPhoto: string = metadata.photo ?? "";

/** Left, top, right and bottom of the crop. */
export const pthCrop = JSON.parse(metadata.crop ?? "[]") as [number, number, number, number];

const small = { model: "unet-small", upsample: "bilinear", channels: 3 } as const;

/** All of them. */
export const goldenPths: readonly GoldenPth[] = [
  golden("zip", "zip container, float32", zip, { ...small, width: 8, classes: 5 }),
  golden("legacy", "legacy container, training checkpoint of DataParallel", legacy, {
    ...small,
    upsample: "transposed",
    width: 4,
    classes: 3,
  }),
  golden("half", "float16, pickle protocol 4, no biases, mask_values", half, {
    ...small,
    model: "unet",
    width: 4,
    classes: 4,
  }, false),
  golden("bfloat16", "bfloat16, model_state_dict, mask_values of colours", bfloat16, {
    ...small,
    model: "unet",
    upsample: "transposed",
    width: 2,
    classes: 2,
  }),
  golden("views", "float64, one shared storage, not contiguous", views, {
    ...small,
    width: 4,
    classes: 3,
  }),
  golden("one_class", "one class, no biases, mask_values", oneClass, {
    ...small,
    width: 4,
    classes: 2,
  }, false),
];

/** Size of {@linkcode pthInput}: one image of three channels. */
export const PTH_INPUT = { height: 33, width: 47 };

/** The image of the stored logits, [1, 3, height, width]. */
export function pthInput(): Float32Array<ArrayBuffer> {
  const stream = new Stream(99);
  const { height, width } = PTH_INPUT;
  return Float32Array.from({ length: 3 * height * width }, () => stream.next());
}

function golden(
  name: string,
  about: string,
  bytes: Uint8Array<ArrayBuffer>,
  config: UnetConfig,
  bias = true,
): GoldenPth {
  const tensor = (part: string) => tensors.get(`${name}.${part}`);
  const [logits, crop] = [tensor("logits"), tensor("crop")];
  if (!logits || !crop) throw new RangeError(`expected.safetensors lacks ${name}`);
  return {
    name,
    about,
    bytes,
    config,
    bias,
    logits: toFloat32(logits),
    crop,
    photo: tensor("photo"),
  };
}
