/**
 * U-Nets as ONNX, for onnxruntime and others: opset 17, any batch, height and width.
 *
 * Source of the operators: https://github.com/onnx/onnx/blob/v1.12.0/docs/Operators.md
 * @module
 */
import { InputError } from "../errors.ts";
import {
  describe,
  type DoubleConvSpec,
  smallestSize,
  unetBlocks,
  unetTensors,
  type UpSpec,
} from "../nn/unet_spec.ts";
import { checkCheckpoint, type Checkpoint, describeCheckpoint } from "./checkpoint.ts";
import { DESCRIPTION } from "./checkpoint_info.ts";
import { OnnxGraph } from "./onnx_proto.ts";

/** PyTorch's epsilon of batch norm, and ours. */
const EPSILON = 1e-5;
/** Protobuf messages end at 2 GiB. */
const MOST_BYTES = 2 ** 31 - 1;

/**
 * A network as an ONNX model. Input `image` [batch, channels, height, width], RGB divided by 255;
 * output `logits` [batch, classes, height, width]. Weights keep their state_dict names; batch norm
 * stays a node of its own, which runtimes fold. `metadata_props` holds `classes` (names), `palette`
 * (colours), `normalization`, where known `scale`, and the whole description, all but the
 * normalization as JSON.
 * @throws {InputError} at 2 GiB, where ONNX ends, and where a tensor or the description is no good.
 */
export function encodeOnnx(checkpoint: Checkpoint): Uint8Array<ArrayBuffer> {
  checkCheckpoint(checkpoint);
  const { config, info: { classes, normalization, scale } } = checkpoint;
  const { encoder, decoder, head } = unetBlocks(config);
  const net = new OnnxUnet(checkpoint);
  const { graph } = net;

  const skips: string[] = [];
  let x = graph.input("image", ["batch", config.channels, "height", "width"]);
  for (const block of encoder) {
    if (skips.length > 0) x = net.maxPool(x, block.name);
    x = net.doubleConv(x, block);
    skips.push(x);
  }
  for (const level of decoder) x = net.up(x, skips[level.skip] ?? "", level);
  net.conv(x, head.name, "logits");
  graph.output("logits", ["batch", config.classes, "height", "width"]);

  const smallest = smallestSize(config.model);
  const model = graph.model(
    config.model,
    `${describe(config)}. image: RGB divided by 255, at least ${smallest} x ${smallest} pixels. ` +
      "logits: the class of a pixel is the channel of the largest.",
    {
      classes: JSON.stringify(classes.map(({ name }) => name)),
      palette: JSON.stringify(classes.map(({ color }) => color)),
      normalization,
      ...(scale === undefined ? {} : { scale: JSON.stringify(scale) }),
      [DESCRIPTION]: describeCheckpoint(checkpoint),
    },
  );
  if (model.lengthBytes > MOST_BYTES) {
    throw new InputError(
      `Writing ONNX: ${describe(config)} needs ${model.lengthBytes} bytes, but ONNX files end at ` +
        "2 GiB; use .safetensors.",
    );
  }
  return model.bytes();
}

/** The blocks of a U-Net as nodes; each method returns the name of its output. */
class OnnxUnet {
  readonly graph = new OnnxGraph();
  readonly #tensors: Checkpoint["tensors"];
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  constructor({ config, tensors }: Checkpoint) {
    this.#tensors = tensors;
    this.#shapes = new Map(unetTensors(config).map(({ name, shape }) => [name, shape]));
  }

  maxPool(x: string, name: string): string {
    return this.graph.node("MaxPool", [x], `${name}.maxpool`, {
      kernel_shape: [2, 2],
      strides: [2, 2],
    });
  }

  doubleConv(x: string, { name }: DoubleConvSpec): string {
    for (const layer of [0, 3]) {
      const conv = this.conv(x, `${name}.double_conv.${layer}`);
      const norm = `${name}.double_conv.${layer + 1}`;
      const leaves = ["weight", "bias", "running_mean", "running_var"];
      const parameters = leaves.map((leaf) => this.#parameter(`${norm}.${leaf}`));
      const normed = this.graph.node("BatchNormalization", [conv, ...parameters], norm, {
        epsilon: { float: EPSILON },
      });
      x = this.graph.node("Relu", [normed], `${name}.double_conv.${layer + 2}`);
    }
    return x;
  }

  /** A convolution that keeps the size. */
  conv(x: string, name: string, output: string = name): string {
    const [, , kernel = 1] = this.#shapes.get(`${name}.weight`) ?? [];
    const pad = (kernel - 1) / 2;
    return this.graph.node("Conv", [x, ...this.#weightAndBias(name)], output, {
      kernel_shape: [kernel, kernel],
      pads: [pad, pad, pad, pad],
    });
  }

  up(below: string, skip: string, { name, up, conv }: UpSpec): string {
    const { graph } = this;
    const doubled = up
      ? graph.node("ConvTranspose", [below, ...this.#weightAndBias(up.name)], `${name}.up`, {
        kernel_shape: [2, 2],
        strides: [2, 2],
      })
      : graph.node("Resize", [below, "", this.#doubling()], `${name}.up`, {
        mode: "linear",
        coordinate_transformation_mode: "align_corners",
      });
    const merged = graph.node("Concat", [skip, this.#padTo(doubled, skip, name)], `${name}.cat`, {
      axis: 1,
    });
    return this.doubleConv(merged, conv);
  }

  /**
   * Pads to the skip's size. Pooling dropped at most one row or column, so half the difference,
   * rounded down, is none: all of it goes below and to the right.
   */
  #padTo(x: string, skip: string, name: string): string {
    const { graph } = this;
    const size = (of: string, as: string) =>
      graph.node("Shape", [of], `${name}.${as}`, { start: 2, end: 4 });
    const missing = graph.node(
      "Sub",
      [size(skip, "skip_size"), size(x, "up_size")],
      `${name}.missing`,
    );
    // Starts of the four axes, ends of the first two; then the ends of height and width.
    const zeros = graph.integers("six_zeros", [0, 0, 0, 0, 0, 0]);
    const pads = graph.node("Concat", [zeros, missing], `${name}.pads`, { axis: 0 });
    return graph.node("Pad", [x, pads], `${name}.pad`, { mode: "constant" });
  }

  #doubling(): string {
    return this.graph.floats("doubling", [4], Float32Array.of(1, 1, 2, 2));
  }

  #weightAndBias(name: string): string[] {
    const weight = this.#parameter(`${name}.weight`);
    return this.#tensors.has(`${name}.bias`) ? [weight, this.#parameter(`${name}.bias`)] : [weight];
  }

  #parameter(name: string): string {
    const values = this.#tensors.get(name);
    const shape = this.#shapes.get(name);
    if (!values || !shape) throw new InputError(`Writing ONNX: tensor ${name} is missing.`);
    return this.graph.floats(name, shape, values);
  }
}
