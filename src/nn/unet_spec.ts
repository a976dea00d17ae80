/**
 * What a U-Net is made of: its blocks with their channel counts, and its parameters and buffers
 * under PyTorch's state_dict names. No tensors and no GPU here: the recorder, the initialiser and
 * the checkpoint readers all follow this one description.
 *
 * Structure: O. Ronneberger et al., "U-Net" (2015), in the form of milesial/Pytorch-UNet.
 * @module
 */
import { checkChoice } from "../choices.ts";
import { InputError, UsageError } from "../errors.ts";

/** `unet` has four levels below the first, `unet-small` two. */
export type UnetModel = "unet-small" | "unet";

/** How the decoder doubles the size: a fixed bilinear filter or a learned transposed convolution. */
export type Upsample = "bilinear" | "transposed";

/** All of them. */
export const MODELS: readonly UnetModel[] = ["unet-small", "unet"];
/** All of them. */
export const UPSAMPLES: readonly Upsample[] = ["bilinear", "transposed"];

/** Everything that decides the shapes of a U-Net's parameters. */
export interface UnetConfig {
  /** Depth: two or four levels below the first. */
  model: UnetModel;
  /** Channels of the first level; every deeper level has a multiple of it. */
  width: number;
  /** Bilinear has fewer parameters; see {@linkcode Upsample}. */
  upsample: Upsample;
  /** Channels of the input image. */
  channels: number;
  /** Channels of the logits. */
  classes: number;
}

/** Two 3x3 convolutions, each followed by batch normalisation and ReLU. */
export interface DoubleConvSpec {
  /** Prefix of its tensors, up to and without `.double_conv`. */
  name: string;
  in: number;
  mid: number;
  out: number;
}

/** A level of the decoder: upsample, pad to the skip's size, concatenate after it, convolve. */
export interface UpSpec {
  /** Prefix of the level, e.g. `up1`. */
  name: string;
  /** The encoder block, by index, whose output is concatenated in front. */
  skip: number;
  /** The transposed convolution (2x2, stride 2), or `undefined` for bilinear upsampling. */
  up: { name: string; in: number; out: number } | undefined;
  conv: DoubleConvSpec;
}

/** The blocks of a U-Net in the order in which they run. */
export interface UnetBlocks {
  /** The first block sees the image, every further one the 2x2 max-pooled output before it. */
  encoder: DoubleConvSpec[];
  decoder: UpSpec[];
  /** The final 1x1 convolution to the logits. */
  head: { name: string; in: number; out: number };
}

/** One entry of the state_dict. */
export interface UnetTensor {
  /** PyTorch's state_dict name. */
  name: string;
  shape: number[];
  /** Parameters are trained; buffers are BN's running statistics. */
  kind: "parameter" | "buffer";
  /** What it is, hence how it starts. */
  role:
    | "conv-weight"
    | "conv-bias"
    | "bn-weight"
    | "bn-bias"
    | "running-mean"
    | "running-var"
    | "num-batches-tracked";
  /** For `conv-weight` and `conv-bias`: PyTorch's fan-in of the weight, else 0. */
  fanIn: number;
  /** The element type in a checkpoint. */
  dtype: "F32" | "I64";
  /**
   * A checkpoint may lack it, and zeros stand in: the bias in front of a batch normalisation, which
   * subtracts it again (milesial's networks dropped it in 3.0), and `num_batches_tracked`.
   */
  optional: boolean;
}

/** The smallest height and width that still has a pixel on the deepest level. */
export function smallestSize(model: UnetModel): number {
  return model === "unet" ? 16 : 4;
}

/**
 * The blocks of a U-Net with their channel counts.
 * @throws {UsageError} If a count of the configuration is not a positive whole number.
 * @throws {InputError} If it has an unknown name.
 */
export function unetBlocks(config: UnetConfig): UnetBlocks {
  checkChoice("model", config.model, MODELS);
  checkChoice("upsample", config.upsample, UPSAMPLES);
  for (const key of ["width", "channels", "classes"] as const) {
    if (!Number.isSafeInteger(config[key]) || config[key] < 1) {
      throw new UsageError(
        `a U-Net with ${key} ${
          config[key]
        } was asked for, ${key} must be a whole number of at least 1`,
      );
    }
  }
  const w = config.width;
  const bilinear = config.upsample === "bilinear";
  const depth = config.model === "unet" ? 4 : 2;

  const encoder: DoubleConvSpec[] = [{ name: "inc", in: config.channels, mid: w, out: w }];
  for (let level = 1; level <= depth; level++) {
    // A fixed filter cannot halve the channels as the transposed convolution does, so with bilinear
    // upsampling the deepest block leaves the halved count already.
    const out = level === depth && bilinear ? w * 2 ** (level - 1) : w * 2 ** level;
    encoder.push({
      name: `down${level}.maxpool_conv.1`,
      in: w * 2 ** (level - 1),
      mid: out,
      out,
    });
  }

  const decoder: UpSpec[] = [];
  for (let level = depth - 1; level >= 0; level--) {
    const name = `up${4 - level}`;
    const channels = w * 2 ** level;
    decoder.push({
      name,
      skip: level,
      up: bilinear ? undefined : { name: `${name}.up`, in: 2 * channels, out: channels },
      conv: {
        name: `${name}.conv`,
        in: 2 * channels,
        mid: channels,
        out: bilinear && level > 0 ? channels / 2 : channels,
      },
    });
  }
  return { encoder, decoder, head: { name: "outc.conv", in: w, out: config.classes } };
}

/**
 * The parameters and buffers of a U-Net in PyTorch's module order.
 * @throws {UsageError} If a count of the configuration is not a positive whole number.
 */
export function unetTensors(config: UnetConfig): UnetTensor[] {
  const blocks = unetBlocks(config);
  const tensors: UnetTensor[] = [];
  const add = (
    name: string,
    shape: number[],
    role: UnetTensor["role"],
    fanIn = 0,
    optional = false,
  ) => {
    const count = role === "num-batches-tracked";
    const kind = count || role === "running-mean" || role === "running-var"
      ? "buffer"
      : "parameter";
    tensors.push({
      name,
      shape,
      kind,
      role,
      fanIn,
      dtype: count ? "I64" : "F32",
      optional: optional || count,
    });
  };
  const conv = (name: string, shape: [number, number, number, number], out: number, bn = false) => {
    // PyTorch takes size(1) times the receptive field, for transposed convolutions as well.
    const fanIn = shape[1] * shape[2] * shape[3];
    add(`${name}.weight`, shape, "conv-weight", fanIn);
    add(`${name}.bias`, [out], "conv-bias", fanIn, bn);
  };
  const doubleConv = (block: DoubleConvSpec) => {
    const layers: [number, number, number][] = [[0, block.in, block.mid], [
      3,
      block.mid,
      block.out,
    ]];
    for (const [index, inputs, outputs] of layers) {
      conv(`${block.name}.double_conv.${index}`, [outputs, inputs, 3, 3], outputs, true);
      const bn = `${block.name}.double_conv.${index + 1}`;
      add(`${bn}.weight`, [outputs], "bn-weight");
      add(`${bn}.bias`, [outputs], "bn-bias");
      add(`${bn}.running_mean`, [outputs], "running-mean");
      add(`${bn}.running_var`, [outputs], "running-var");
      add(`${bn}.num_batches_tracked`, [], "num-batches-tracked");
    }
  };

  blocks.encoder.forEach(doubleConv);
  for (const level of blocks.decoder) {
    if (level.up) conv(level.up.name, [level.up.in, level.up.out, 2, 2], level.up.out);
    doubleConv(level.conv);
  }
  const { name, in: inputs, out } = blocks.head;
  conv(name, [out, inputs, 1, 1], out);
  return tensors;
}

/** How many trained numbers the network has, as PyTorch counts them. */
export function parameterCount(config: UnetConfig): number {
  return unetTensors(config)
    .filter((tensor) => tensor.kind === "parameter")
    .reduce((sum, tensor) => sum + tensor.shape.reduce((a, b) => a * b, 1), 0);
}

/** The network in words, for messages. */
export function describe(config: UnetConfig): string {
  const { model, width, upsample, channels, classes } = config;
  return `${model} of width ${width}, ${upsample} upsampling, ${channels} input channels, ` +
    `${classes} classes`;
}

/**
 * The configuration behind a state_dict, from the names and shapes of its tensors alone. Tensors
 * marked `optional` in {@link unetTensors} may be missing.
 * @param shapes Shape of every tensor by its state_dict name; nothing but the network's tensors.
 * @param file Named in the error.
 * @throws {InputError} If no U-Net has these tensors; it says which one does not fit.
 */
export function recognise(
  shapes: ReadonlyMap<string, readonly number[]>,
  file: string,
): UnetConfig {
  const refuse = (found: string, expected: string) =>
    new InputError(
      `${file}: could not be read as a U-Net: ${found}, ${expected}; use a checkpoint of unet-small ` +
        "or unet",
    );
  const sized = (name: string) => {
    const shape = shapes.get(name);
    if (shape?.length === 4 && shape.every((size) => Number.isSafeInteger(size) && size > 0)) {
      return shape as readonly [number, number, number, number];
    }
    throw refuse(
      shape ? `${name} has shape [${shape}]` : `it has no tensor ${name}`,
      "four sizes of at least 1 were expected there",
    );
  };
  const [width, channels] = sized("inc.double_conv.0.weight");
  const [classes] = sized("outc.conv.weight");
  const config: UnetConfig = {
    model: shapes.has("down3.maxpool_conv.1.double_conv.0.weight") ? "unet" : "unet-small",
    width,
    upsample: shapes.has("up4.up.weight") ? "transposed" : "bilinear",
    channels,
    classes,
  };
  const expected = new Map(unetTensors(config).map((tensor) => [tensor.name, tensor]));
  for (const [name, tensor] of expected) {
    const shape = shapes.get(name);
    if (!shape && tensor.optional) continue;
    if (shape && shape.join() === tensor.shape.join()) continue;
    throw refuse(
      shape ? `${name} has shape [${shape}]` : `${name} is missing`,
      `[${tensor.shape}] was expected for ${describe(config)}`,
    );
  }
  for (const name of shapes.keys()) {
    if (!expected.has(name)) {
      throw refuse(`it has a tensor ${name}`, `which ${describe(config)} does not have`);
    }
  }
  return config;
}
