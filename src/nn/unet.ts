/**
 * The U-Nets: parameters in a store, and the forward pass recorded from the same description that
 * names them.
 * @module
 */
import { InputError, ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { ParameterStore } from "../graph/store.ts";
import { batchNorm2d } from "../ops/batch_norm2d.ts";
import { concat } from "../ops/concat.ts";
import { conv2d } from "../ops/conv2d.ts";
import { convTranspose2d } from "../ops/conv_transpose2d.ts";
import { relu } from "../ops/elementwise.ts";
import { maxPool2d } from "../ops/max_pool2d.ts";
import { pad2d } from "../ops/pad2d.ts";
import { upsampleBilinear2d } from "../ops/upsample_bilinear2d.ts";
import { initialTensors } from "./init.ts";
import {
  describe,
  type DoubleConvSpec,
  smallestSize,
  type UnetBlocks,
  unetBlocks,
  type UnetConfig,
  unetTensors,
  type UpSpec,
} from "./unet_spec.ts";

/** A configuration with only what has no sensible default left required. */
export type UnetOptions = Partial<UnetConfig> & Pick<UnetConfig, "classes">;

/** Fills in the defaults: `unet-small`, width 64, bilinear, RGB. */
export function unetConfig(options: UnetOptions): UnetConfig {
  return { model: "unet-small", width: 64, upsample: "bilinear", channels: 3, ...options };
}

/** How batch norm behaves in {@linkcode UNet.forward}. */
export interface ForwardOptions {
  /** Normalise by the batch and update the running statistics; else normalise by those. */
  training: boolean;
  /** Share of the batch in the updated running statistics; default 0.1. */
  momentum?: number;
  /**
   * Replaces the bilinear doubling of a map that lies `level` max-pools below the image, for
   * windows of larger images.
   */
  upsample?: (map: Tensor, level: number) => Tensor;
}

/** A U-Net for semantic segmentation (Ronneberger et al., 2015) with its parameters. */
export class UNet {
  /** What decides its shapes. */
  readonly config: UnetConfig;
  /** Parameters and running statistics under PyTorch's state_dict names. */
  readonly store: ParameterStore = new ParameterStore();
  /** Training batches seen; PyTorch's `num_batches_tracked`, one number for all layers. */
  batchesTracked = 0;
  readonly #blocks: UnetBlocks;

  /** Makes a network with PyTorch's default initialisation drawn from `seed`. */
  constructor(options: UnetOptions, seed = 0) {
    this.config = unetConfig(options);
    this.#blocks = unetBlocks(this.config);
    const initial = initialTensors(this.config, seed);
    for (const { name, shape, kind, role } of unetTensors(this.config)) {
      const values = initial.get(name);
      if (role === "num-batches-tracked" || !values) continue;
      this.store.add(name, shape, values, kind === "parameter");
    }
  }

  /**
   * Replaces parameters and running statistics by name. Tensors that checkpoints may lack (biases
   * in front of batch norm) become zero.
   * @throws {InputError} when a tensor is missing or has another size.
   */
  load(tensors: ReadonlyMap<string, Float32Array>, file = "the given tensors"): void {
    for (const { name, role, shape, optional } of unetTensors(this.config)) {
      const values = tensors.get(name);
      if (role === "num-batches-tracked") {
        this.batchesTracked = Math.max(this.batchesTracked, values?.[0] ?? 0);
        continue;
      }
      const size = shape.reduce((a, b) => a * b, 1);
      if (!values && !optional) {
        throw new InputError(
          `Loading ${describe(this.config)} from ${file}: tensor ${name} is missing; use a ` +
            "checkpoint of this architecture.",
        );
      }
      if (values && values.length !== size) {
        throw new InputError(
          `Loading ${describe(this.config)} from ${file}: tensor ${name} has ${values.length} ` +
            `values, expected ${size}; use a checkpoint of this architecture.`,
        );
      }
      this.store.set(name, values ?? new Float32Array(size));
    }
  }

  /**
   * Records the network.
   *
   * @param x image [N, channels, H, W], RGB divided by 255.
   * @returns logits [N, classes, H, W].
   * @throws {ShapeError} when the image has other channels or is too small for the deepest level.
   */
  forward(x: Tensor, options: ForwardOptions): Tensor {
    const [, channels = 0, height = 0, width = 0] = x.shape;
    const smallest = smallestSize(this.config.model);
    if (channels !== this.config.channels || height < smallest || width < smallest) {
      throw new ShapeError(
        `${describe(this.config)} got an image ${x.describe()}; it needs ${this.config.channels} ` +
          `channels and at least ${smallest} x ${smallest} pixels.`,
      );
    }
    const skips: Tensor[] = [];
    let y = x;
    for (const block of this.#blocks.encoder) {
      if (skips.length > 0) y = x.graph.scope(block.name, () => maxPool2d(y, 2));
      y = this.#doubleConv(y, block, options);
      skips.push(y);
    }
    for (const level of this.#blocks.decoder) y = this.#up(y, level, skips, options);
    const { name } = this.#blocks.head;
    return x.graph.scope(name, () => this.#conv(y, name));
  }

  #up(below: Tensor, level: UpSpec, skips: readonly Tensor[], options: ForwardOptions): Tensor {
    const { graph } = below;
    const skip = skips[level.skip];
    if (!skip) throw new Error(`${level.name} has no skip connection`);
    const merged = graph.scope(level.name, () => {
      const up = level.up
        ? convTranspose2d(
          below,
          graph.parameter(this.store.get(`${level.up.name}.weight`)),
          graph.parameter(this.store.get(`${level.up.name}.bias`)),
          { stride: [2, 2] },
        )
        : options.upsample?.(below, level.skip + 1) ??
          upsampleBilinear2d(below, { scaleFactor: 2, alignCorners: true });
      return concat([skip, padTo(up, skip)]);
    });
    return this.#doubleConv(merged, level.conv, options);
  }

  #doubleConv(x: Tensor, block: DoubleConvSpec, options: ForwardOptions): Tensor {
    let y = x;
    for (const layer of [0, 3]) {
      const conv = `${block.name}.double_conv.${layer}`;
      y = x.graph.scope(conv, () => this.#conv(y, conv));
      const norm = `${block.name}.double_conv.${layer + 1}`;
      y = x.graph.scope(norm, () => relu(this.#batchNorm(y, norm, options)));
    }
    return y;
  }

  #conv(x: Tensor, name: string): Tensor {
    const weight = this.store.get(`${name}.weight`);
    const [, , kernel = 1] = weight.shape;
    const padding = (kernel - 1) / 2;
    return conv2d(
      x,
      x.graph.parameter(weight),
      x.graph.parameter(this.store.get(`${name}.bias`)),
      { padding: [padding, padding] },
    );
  }

  #batchNorm(x: Tensor, name: string, options: ForwardOptions): Tensor {
    const parameter = (leaf: string) => x.graph.parameter(this.store.get(`${name}.${leaf}`));
    return batchNorm2d(x, {
      weight: parameter("weight"),
      bias: parameter("bias"),
      runningMean: parameter("running_mean"),
      runningVar: parameter("running_var"),
    }, options);
  }
}

/** Pads the upsampled map to the skip's size, floor(difference / 2) left and top. */
function padTo(x: Tensor, skip: Tensor): Tensor {
  const [, , h = 0, w = 0] = x.shape;
  const [, , skipH = 0, skipW = 0] = skip.shape;
  const [dy, dx] = [skipH - h, skipW - w];
  if (dy === 0 && dx === 0) return x;
  const [top, left] = [Math.floor(dy / 2), Math.floor(dx / 2)];
  return pad2d(x, { left, right: dx - left, top, bottom: dy - top });
}
