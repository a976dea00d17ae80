/**
 * The golden files as PyTorch wrote them (see README.md), with the input and labels they were made
 * from. Imported as bytes, so reading them needs no permission.
 * @module
 */
import { parseSafetensors, toFloat32 } from "../../src/io/safetensors.ts";
import { Stream } from "../../src/nn/random.ts";
import type { UnetConfig } from "../../src/nn/unet_spec.ts";
import unetBilinear from "./unet_bilinear.safetensors" with { type: "bytes" };
import unetSmallBilinear from "./unet_small_bilinear.safetensors" with { type: "bytes" };
import unetSmallTransposed from "./unet_small_transposed.safetensors" with { type: "bytes" };
import unetTransposed from "./unet_transposed.safetensors" with { type: "bytes" };

/** A result of PyTorch in float64, rounded to float32 and, if large, thinned out. */
export interface GoldenTensor {
  shape: number[];
  /** `values[i]` is element `i * stride` in row-major order. */
  stride: number;
  values: Float32Array<ArrayBuffer>;
  /** Sum, L2 norm and largest magnitude of all elements. */
  sum: number;
  norm: number;
  max: number;
  /** The largest difference that PyTorch itself shows in float32. */
  noise: number;
}

/** Sum and L2 norm of a parameter. */
export type Checksum = [sum: number, norm: number];

/** What a golden file says besides its tensors. */
interface GoldenFacts {
  config: UnetConfig;
  batch: number;
  height: number;
  width: number;
  /** The label that counts nowhere. */
  ignoreIndex: number;
  seedWeights: number;
  seedInput: number;
  /** Over the convolutions' weights and biases in module order, little-endian float32. */
  weightsSha256: string;
  inputSha256: string;
  /** Over the labels as little-endian uint32. */
  labelsSha256: string;
  /** Of RMSprop. */
  optimizer: { learningRate: number; momentum: number; weightDecay: number };
  /** Mean cross-entropy before each of the ten train steps, computed in float64 and in float32. */
  losses64: number[];
  losses32: number[];
  /** Parameters after the ten steps, by state_dict name, computed in float64 and in float32. */
  after64: Record<string, Checksum>;
  after32: Record<string, Checksum>;
  /** PyTorch's count of the same network at width 64 with 23 classes. */
  parameterCount64: number;
}

/** One golden network. */
export interface Golden extends GoldenFacts {
  name: string;
  /** [batch, channels, height, width]. */
  input: Float32Array<ArrayBuffer>;
  /** [batch, height, width]. */
  labels: Uint32Array<ArrayBuffer>;
  /**
   * `logits.train`; `grad.` and a parameter's name; `stat.` and a buffer's name: all of the first
   * train step, before its update; and `logits.eval`, with the weights before and the running
   * statistics after that step.
   */
  tensors: Map<string, GoldenTensor>;
}

/** All golden networks: UNetSmall and UNet, bilinear and transposed. */
export const goldens: readonly Golden[] = [
  read("unet-small bilinear", unetSmallBilinear),
  read("unet-small transposed", unetSmallTransposed),
  read("unet bilinear", unetBilinear),
  read("unet transposed", unetTransposed),
];

/**
 * The largest difference from PyTorch's float64 result, relative to the tensor's largest magnitude.
 * The bias in front of a batch normalisation has a gradient of exactly zero, so what rounding leaves
 * there is measured against the gradient of the weight beside it. NaN if an element is: compare with
 * `error <= bound`, never with `error > bound`.
 * @param found All elements in row-major order, not thinned out.
 */
export function goldenError(golden: Golden, name: string, found: ArrayLike<number>): number {
  const tensor = golden.tensors.get(name);
  if (!tensor) throw new RangeError(`${golden.name} has no golden tensor ${name}`);
  const length = tensor.shape.reduce((a, b) => a * b, 1);
  if (found.length !== length) {
    throw new RangeError(`${name} has ${found.length} elements, PyTorch has ${length}`);
  }
  const weight = golden.tensors.get(name.replace(/(double_conv\.[03])\.bias$/, "$1.weight"));
  const scale = Math.max(tensor.max, weight?.max ?? 0);
  // Math.max hands a NaN on.
  let worst = 0;
  tensor.values.forEach((value, i) => {
    worst = Math.max(worst, Math.abs(found[i * tensor.stride]! - value));
  });
  if (tensor.stride === 1) return worst / scale;
  // What lies between the samples shows in the sums.
  let sum = 0, squares = 0;
  for (let i = 0; i < length; i++) {
    sum += found[i]!;
    squares += found[i]! ** 2;
  }
  const sumError = Math.abs(sum - tensor.sum) / Math.sqrt(length);
  const normError = Math.abs(Math.sqrt(squares) - tensor.norm) / Math.sqrt(length);
  return Math.max(worst, sumError, normError) / scale;
}

function read(name: string, bytes: Uint8Array<ArrayBuffer>): Golden {
  const { tensors, metadata } = parseSafetensors(bytes, `golden file of ${name}`);
  const facts = Object.fromEntries(
    Object.entries(metadata).map(([key, text]) => [key, JSON.parse(text)]),
  ) as GoldenFacts & { tensors: Record<string, Omit<GoldenTensor, "values">> };
  return {
    ...facts,
    name,
    ...batchOf(facts),
    tensors: new Map(
      Object.entries(facts.tensors).map((
        [key, about],
      ) => [key, { ...about, values: toFloat32(tensors.get(key)!) }]),
    ),
  };
}

/** The formulas of `batch()` in make.py. */
function batchOf(
  facts: GoldenFacts,
): { input: Float32Array<ArrayBuffer>; labels: Uint32Array<ArrayBuffer> } {
  const { batch, height, width, ignoreIndex, seedInput, config } = facts;
  const input = new Float32Array(batch * config.channels * height * width);
  const labels = new Uint32Array(batch * height * width);
  const stream = new Stream(seedInput);
  let at = 0;
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < config.channels; c++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const label = ((y >> 3) * 7 + (x >> 3) * 3 + n) % config.classes;
          const noise = 0.1 * (stream.next() - 0.5);
          input[at++] = ((label * 37 + c * 91) % 101) / 101 + noise;
          const ignored = (y * width + x + n) % 11 === 0;
          labels[(n * height + y) * width + x] = ignored ? ignoreIndex : label;
        }
      }
    }
  }
  return { input, labels };
}
