/**
 * Random programs of real ops, recorded and at the same time computed in float64, forward and
 * backward: what planning, rewriting and differentiation must not change.
 * @module
 */
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import type { Layout } from "../../src/graph/layout.ts";
import { Stream } from "../../src/nn/random.ts";
import { batchNorm2d } from "../../src/ops/batch_norm2d.ts";
import { concat } from "../../src/ops/concat.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { convTranspose2d } from "../../src/ops/conv_transpose2d.ts";
import { add, mul, relu, scale } from "../../src/ops/elementwise.ts";
import { maxPool2d } from "../../src/ops/max_pool2d.ts";
import { pad2d } from "../../src/ops/pad2d.ts";
import { sigmoid } from "../../src/ops/sigmoid.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { upsampleBilinear2d } from "../../src/ops/upsample_bilinear2d.ts";
import * as reference from "../reference/mod.ts";
import type { Array64 } from "../reference/mod.ts";

/** A tensor and the value it must have. */
export interface Value {
  tensor: Tensor;
  array: Array64;
}

/** A recorded program of one result, with inputs to write and everything it computes. */
export interface RandomGraph {
  graph: Graph;
  inputs: Value[];
  /** What may be differentiated for: inputs without the running statistics. */
  variables: Value[];
  /** Every value an op made, in order of recording; the last is the result. */
  values: Value[];
  /** Running statistics after one run. */
  statistics: Value[];
  /** Float64 gradients of sum(result * dy). */
  gradients(dy: Array64): Map<Tensor, Array64>;
}

/** Values this near to a kink of relu or max may fall on its other side in float32. */
const KINK = 1e-4;
const LARGEST = 8;
/** Of an image: the float64 convolutions take their time. */
const MOST_PIXELS = 400;

/** The same program for the same seed; `length` ops at most. */
export function randomGraph(seed: number, length: number): RandomGraph {
  const recorder = new Recorder(seed);
  for (let i = 0; i < length; i++) recorder.step();
  // At least one op, so that there is a result.
  if (recorder.values.length === 0) recorder.elementwise();
  return recorder;
}

class Recorder implements RandomGraph {
  readonly graph = new Graph();
  readonly inputs: Value[] = [];
  readonly variables: Value[] = [];
  readonly values: Value[] = [];
  readonly statistics: Value[] = [];
  readonly #images: Value[] = [];
  readonly #tape: { inputs: Value[]; output: Value; backward(dy: Array64): Array64[] }[] = [];
  readonly #stream: Stream;

  constructor(seed: number) {
    this.#stream = new Stream(seed);
    const shape = [
      this.#from(1, 2),
      this.#from(1, 9),
      this.#from(1, 9),
      this.#from(1, 17),
    ];
    for (let i = this.#from(1, 3); i > 0; i--) this.#image(shape);
  }

  gradients(dy: Array64): Map<Tensor, Array64> {
    const result = this.values.at(-1);
    const gradients = new Map<Tensor, Array64>();
    if (result) gradients.set(result.tensor, dy);
    for (const { inputs, output, backward } of [...this.#tape].reverse()) {
      const outer = gradients.get(output.tensor);
      if (!outer) continue;
      const inner = backward(outer);
      inputs.forEach(({ tensor }, i) => {
        const [sum, more] = [gradients.get(tensor), inner[i]];
        if (more) gradients.set(tensor, sum ? reference.add(sum, more) : more);
      });
    }
    return gradients;
  }

  /** Records one op, or none where the drawn one does not apply. */
  step(): void {
    switch (this.#from(0, 12)) {
      case 0:
        return this.#conv();
      case 1:
        return this.#norm();
      case 2:
        return this.#pool();
      case 3:
        return this.#pad();
      case 4:
        return this.#concat();
      case 5:
        return this.#upsample();
      case 6:
        return this.#convTranspose();
      case 7:
        return this.#squash();
      case 8:
      case 9:
        return this.#relu(this.#pick());
      default:
        return this.elementwise();
    }
  }

  elementwise(): void {
    const a = this.#pick();
    const b = this.#alike(a);
    const alpha = this.#coefficient();
    const beta = this.#coefficient();
    switch (this.#from(0, 2)) {
      case 0: {
        const { add: plus, scale: times } = reference;
        return this.#push(
          add(a.tensor, b.tensor, alpha, beta),
          plus(times(a.array, alpha), times(b.array, beta)),
          [a, b],
          (dy) => [times(dy, alpha), times(dy, beta)],
        );
      }
      case 1: {
        const product = reference.mul(a.array, b.array);
        if (largest(product) > LARGEST) return;
        return this.#push(mul(a.tensor, b.tensor), product, [a, b], (dy) => {
          const gradient = reference.mulBackward(dy, a.array, b.array);
          return [gradient.a, gradient.b];
        });
      }
      default:
        return this.#push(
          scale(a.tensor, alpha),
          reference.scale(a.array, alpha),
          [a],
          (dy) => [reference.scale(dy, alpha)],
        );
    }
  }

  #relu(x: Value): void {
    if (x.array.data.some((v) => v !== 0 && Math.abs(v) < KINK)) return;
    this.#push(
      relu(x.tensor),
      reference.relu(x.array),
      [x],
      (dy) => [reference.reluBackward(dy, x.array)],
    );
  }

  #conv(): void {
    const x = this.#pick();
    const [, channels = 1] = x.array.shape;
    const kernel = this.#from(0, 2) ? 3 : 1;
    const outputs = this.#from(1, 9);
    const bound = 1 / Math.sqrt(channels * kernel * kernel);
    const weight = this.#variable(this.#random([outputs, channels, kernel, kernel], bound));
    const bias = this.#variable(this.#random([outputs], bound));
    const padding = (kernel - 1) / 2;
    const options = { padding: [padding, padding] as const };
    this.#push(
      conv2d(x.tensor, weight.tensor, bias.tensor, options),
      reference.conv2d([x.array], weight.array, bias.array, options),
      [x, weight, bias],
      (dy) => {
        const gradient = reference.conv2dBackward(dy, [x.array], weight.array, options);
        return [...gradient.inputs, gradient.weight, gradient.bias];
      },
    );
  }

  #convTranspose(): void {
    const x = this.#pick();
    const [, channels = 1, h = 1, w = 1] = x.array.shape;
    if (h * w > MOST_PIXELS / 4) return;
    const outputs = this.#from(1, 6);
    const bound = 1 / Math.sqrt(outputs * 4);
    const weight = this.#variable(this.#random([channels, outputs, 2, 2], bound));
    const bias = this.#variable(this.#random([outputs], bound));
    const options = { stride: [2, 2] as const };
    this.#push(
      convTranspose2d(x.tensor, weight.tensor, bias.tensor, options),
      reference.convTranspose2d(x.array, weight.array, bias.array, options),
      [x, weight, bias],
      (dy) => {
        const gradient = reference.convTranspose2dBackward(dy, x.array, weight.array, options);
        return [gradient.x, gradient.weight, gradient.bias];
      },
    );
  }

  #upsample(): void {
    const x = this.#pick();
    const [, , h = 1, w = 1] = x.array.shape;
    if (h * w > MOST_PIXELS / 4) return;
    const alignCorners = this.#from(0, 1) === 1;
    const options = { scaleFactor: [2, 2] as const, alignCorners };
    this.#push(
      upsampleBilinear2d(x.tensor, { scaleFactor: 2, alignCorners }),
      reference.upsampleBilinear2d(x.array, options),
      [x],
      (dy) => [reference.upsampleBilinear2dBackward(dy, x.array, options)],
    );
  }

  #squash(): void {
    const x = this.#pick();
    if (this.#from(0, 1)) {
      const y = reference.sigmoid(x.array);
      this.#push(sigmoid(x.tensor), y, [x], (dy) => [reference.sigmoidBackward(dy, y)]);
    } else {
      const y = reference.softmax(x.array);
      this.#push(softmax(x.tensor), y, [x], (dy) => [reference.softmaxBackward(dy, y)]);
    }
  }

  #norm(): void {
    const x = this.#pick();
    const [n = 1, channels = 1, h = 1, w = 1] = x.array.shape;
    if (n * h * w < 8) return;
    const running = {
      mean: this.#random([channels], 1),
      variance: reference.map(this.#random([channels], 1), Math.abs),
    };
    const weight = this.#random([channels], 1);
    const bias = this.#random([channels], 1);
    const result = reference.batchNorm2dTraining(x.array, weight, bias, running);
    // Dividing by hardly any variance would blow rounding up.
    if (result.variance.data.some((v) => v < 0.01)) return;
    const [scaling, shift] = [this.#variable(weight), this.#variable(bias)];
    const mean = this.#declare("mean", running.mean, "flat");
    const variance = this.#declare("variance", running.variance, "flat");
    this.statistics.push(
      { tensor: mean.tensor, array: result.running.mean },
      { tensor: variance.tensor, array: result.running.variance },
    );
    const state = {
      weight: scaling.tensor,
      bias: shift.tensor,
      runningMean: mean.tensor,
      runningVar: variance.tensor,
    };
    const y = batchNorm2d(x.tensor, state, { training: true });
    this.#push(y, result.y, [x, scaling, shift], (dy) => {
      const gradient = reference.batchNorm2dTrainingBackward(dy, x.array, weight);
      return [gradient.x, gradient.weight, gradient.bias];
    });
    // The pair that is fused, mostly: not when somebody else reads y too.
    const made = this.#images.at(-1);
    if (made && this.#from(0, 2)) this.#relu(made);
  }

  #pool(): void {
    const x = this.#pick();
    const [n = 1, c = 1, h = 1, w = 1] = x.array.shape;
    if (h < 2 || w < 2) return;
    for (let plane = 0; plane < n * c; plane++) {
      for (let i = 0; i + 1 < h; i += 2) {
        for (let j = 0; j + 1 < w; j += 2) {
          const at = (plane * h + i) * w + j;
          const window = [at, at + 1, at + w, at + w + 1].map((k) => x.array.data[k] ?? 0);
          const [first = 0, second = 0] = window.sort((a, b) => b - a);
          if (first - second < KINK && !(first === 0 && second === 0)) return;
        }
      }
    }
    const options = { kernel: [2, 2] as const };
    this.#push(
      maxPool2d(x.tensor, 2),
      reference.maxPool2d(x.array, options).y,
      [x],
      (dy) => [reference.maxPool2dBackward(dy, x.array, options)],
    );
  }

  #pad(): void {
    const x = this.#pick();
    const [, , h = 1, w = 1] = x.array.shape;
    const amounts = {
      left: this.#from(-1, 2),
      right: this.#from(0, 1),
      top: this.#from(-1, 1),
      bottom: this.#from(0, 2),
    };
    if (h + amounts.top + amounts.bottom < 1 || w + amounts.left + amounts.right < 1) return;
    if (Object.values(amounts).every((amount) => amount === 0)) return;
    this.#push(
      pad2d(x.tensor, amounts),
      reference.pad2d(x.array, amounts),
      [x],
      (dy) => [reference.pad2dBackward(dy, amounts)],
    );
  }

  #concat(): void {
    const a = this.#pick();
    const size = (v: Value) => v.array.shape.filter((_, axis) => axis !== 1).join();
    const fitting = this.#images.filter((v) => size(v) === size(a));
    const b = fitting[this.#from(0, fitting.length - 1)] ?? a;
    const channels = [a, b].map((v) => v.array.shape[1] ?? 1);
    if ((channels[0] ?? 0) + (channels[1] ?? 0) > 20) return;
    this.#push(
      concat([a.tensor, b.tensor]),
      reference.concat([a.array, b.array]),
      [a, b],
      (dy) => reference.concatBackward(dy, channels),
    );
  }

  #push(tensor: Tensor, array: Array64, inputs: Value[], backward: (dy: Array64) => Array64[]) {
    const output = { tensor, array };
    this.#tape.push({ inputs, output, backward });
    this.values.push(output);
    this.#images.push(output);
  }

  /** Prefers late values: programs are deep rather than wide. */
  #pick(): Value {
    const back = this.#from(0, 1) ? this.#from(0, 2) : this.#from(0, 20);
    const value = this.#images[Math.max(0, this.#images.length - 1 - back)];
    return value ?? this.#image([1, 1, 1, 1]);
  }

  #alike(a: Value): Value {
    const shape = a.array.shape.join();
    const alike = this.#images.filter((v) => v.array.shape.join() === shape);
    return alike[this.#from(0, alike.length - 1)] ?? a;
  }

  #image(shape: number[]): Value {
    const value = this.#declare("x", this.#random(shape, 1), "c4");
    this.variables.push(value);
    this.#images.push(value);
    return value;
  }

  #variable(array: Array64): Value {
    const value = this.#declare("w", array, "flat");
    this.variables.push(value);
    return value;
  }

  #random(shape: number[], bound: number): Array64 {
    return reference.random(this.#from(0, 1e6), shape, bound);
  }

  #declare(name: string, array: Array64, layout: Layout): Value {
    const tensor = this.graph.input(`${name}${this.inputs.length}`, { shape: array.shape, layout });
    const value = { tensor, array };
    this.inputs.push(value);
    return value;
  }

  #coefficient(): number {
    return [1, 1, -1, 0.5, -0.75, 1.5][this.#from(0, 5)] ?? 1;
  }

  /** A whole number from `least` to `most`. */
  #from(least: number, most: number): number {
    return least + Math.floor(this.#stream.next() * (most - least + 1));
  }
}

function largest(array: Array64): number {
  return array.data.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
}
