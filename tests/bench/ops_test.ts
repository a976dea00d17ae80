import { assert, assertEquals } from "@std/assert";
import { type OpProgram, recordExtras, recordTrainStep } from "../../src/bench/op_programs.ts";
import { benchOps, spotError } from "../../src/bench/ops.ts";
import { measurePeaks } from "../../src/bench/peaks.ts";
import type { Values } from "../../src/bench/spot_arrays.ts";
import { exactOutputs } from "../../src/bench/spot_values.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { backpropagate } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import { lowerTarget, nodesToLower } from "../../src/graph/program_plan.ts";
import { Stream } from "../../src/nn/random.ts";
import { batchNorm2d } from "../../src/ops/batch_norm2d.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { relu } from "../../src/ops/elementwise.ts";

const SIZE = { batch: 2, height: 17, width: 22 };
const PEAKS = { gflops: 100, gigabytesPerSecond: 10 };

for (const kernels of ["cpu", "gpu"] as const) {
  Deno.test(`bench ops: every result of a step is right (${kernels} kernels)`, async () => {
    using gpu = await requestGpu({ kernels });
    const programs = [
      recordTrainStep({ model: "unet-small", width: 4, upsample: "bilinear" }, SIZE),
      recordTrainStep({ model: "unet", width: 2, upsample: "transposed" }, SIZE),
      recordExtras(SIZE),
      recordNormalizing(),
    ];
    for (const program of programs) {
      const rows = await benchOps(gpu, program, { steps: 1, peaks: PEAKS });
      const target = { ...lowerTarget(gpu), recompute: false };
      const nodes = nodesToLower(program.graph, program.outputs, target);
      assertEquals(rows.reduce((sum, { count }) => sum + count, 0), nodes.length);
      for (const { op, shape, error, allowed, timeMs, bytes, peakShare } of rows) {
        const what = `${op} ${shape}`;
        assert(error !== null, `${what} is not checked`);
        assert(error <= allowed, `${what}: error ${error}, allowed ${allowed}`);
        assert(timeMs > 0 && bytes > 0 && peakShare > 0, what);
      }
    }
  });
}

/** A convolution that stores its results normalised, as inference has them. */
function recordNormalizing(): OpProgram {
  const graph = new Graph();
  const x = graph.input("x", { shape: [2, 5, 9, 12], layout: "c4" });
  const weight = graph.input("weight", { shape: [6, 5, 3, 3] });
  const vector = (label: string) => graph.input(label, { shape: [6] });
  const y = conv2d(x, weight, vector("bias"), { padding: 1 });
  const state = {
    weight: vector("gamma"),
    bias: vector("beta"),
    runningMean: vector("mean"),
    runningVar: vector("variance"),
  };
  const outputs = [relu(batchNorm2d(y, state, { training: false }))];
  const stream = new Stream(1);
  const inputs: Record<string, Float32Array> = {};
  for (const [label, { shape }] of graph.inputs) {
    const values = stream.uniform(shape.reduce((a, b) => a * b, 1), 1);
    inputs[label] = label === "variance" ? values.map((v) => 1 + v / 2) : values;
  }
  return { graph, outputs, inputs };
}

/** Two convolutions of as many channels as Winograd's algorithms want, and what lies between. */
function recordWide(): OpProgram {
  const graph = new Graph();
  const image = (label: string) => graph.input(label, { shape: [1, 64, 48, 64], layout: "c4" });
  const weight = (label: string) => graph.input(label, { shape: [64, 64, 3, 3] });
  const vector = (label: string) => graph.input(label, { shape: [64] });
  const [x, first, second] = [image("x"), weight("first"), weight("second")];
  const state = {
    weight: vector("gamma"),
    bias: vector("beta"),
    runningMean: vector("mean"),
    runningVar: vector("variance"),
  };
  const y = conv2d(x, first, undefined, { padding: 1 });
  const between = relu(batchNorm2d(y, state, { training: true }));
  const z = conv2d(between, second, undefined, { padding: 1 });
  const gradients = backpropagate(z, image("dz"), [x, first, second]);
  const stream = new Stream(1);
  const inputs: Record<string, Float32Array> = {};
  for (const [label, { shape }] of graph.inputs) {
    inputs[label] = stream.uniform(shape.reduce((a, b) => a * b, 1), 1);
  }
  return { graph, outputs: [z, ...gradients.values()], inputs };
}

Deno.test("bench ops: what is computed together, and normalised as it is read, is one op", async () => {
  using gpu = await requestGpu({ kernels: "cpu" });
  const rows = await benchOps(gpu, recordWide(), { steps: 1, peaks: PEAKS });
  for (const { op, shape, error, allowed, timeMs, flops } of rows) {
    const what = `${op} ${shape}`;
    assert(error !== null && error <= allowed, `${what}: error ${error}, allowed ${allowed}`);
    assert(timeMs > 0 && flops > 0, what);
  }
  const joined = rows.filter(({ op }) => op === "conv2d_weight_grad+conv2d_input_grad");
  const alone = rows.find(({ op }) => op === "conv2d");
  assertEquals(joined.map(({ flops }) => flops), [2, 2].map((k) => k * (alone?.flops ?? NaN)));
  const normalised = rows.filter(({ shape }) => shape.endsWith(", normalised as it is read"));
  assertEquals(normalised.map(({ op }) => op), ["conv2d", "conv2d_weight_grad+conv2d_input_grad"]);
});

/** A convolution with inputs of ones, as a node and the values around it. */
function ones(): { output: Tensor; values: Map<Tensor, Values> } {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 4, 5, 6], layout: "c4" });
  const weight = graph.input("weight", { shape: [8, 4, 3, 3] });
  const output = conv2d(x, weight, undefined, { padding: 1 });
  const fill = (t: Tensor) => ({ shape: t.shape, data: new Float32Array(t.sizeBytes / 4).fill(1) });
  return { output, values: new Map([[x, fill(x)], [weight, fill(weight)]]) };
}

Deno.test("bench ops: wrong numbers are found", () => {
  const { output, values } = ones();
  const node = output.producer;
  assert(node);
  const [exact] = exactOutputs(node, [...values.values()]) ?? [];
  assert(exact);
  assertEquals([exact([0, 0, 0, 0]), exact([0, 0, 2, 2]), exact([0, 7, 4, 3])], [16, 36, 24]);
  const data = new Float32Array(8 * 5 * 6);
  data.forEach((_, i) => data[i] = exact([0, 0, Math.floor(i / 6) % 5, i % 6]));
  values.set(output, { shape: output.shape, data });
  assertEquals(spotError(node, values), 0);
  data.forEach((value, i) => data[i] = value * (1 + 1e-4 * (i % 2)));
  assert((spotError(node, values) ?? 0) > 2e-5);
});

Deno.test("bench ops: one number that is none is an error, wherever it is", () => {
  const { output, values } = ones();
  const node = output.producer;
  assert(node);
  for (const wrong of [NaN, Infinity]) {
    const [exact] = exactOutputs(node, [...values.values()]) ?? [];
    const data = new Float32Array(8 * 5 * 6);
    data.forEach((_, i) => data[i] = exact?.([0, 0, Math.floor(i / 6) % 5, i % 6]) ?? NaN);
    for (let at = 0; at < data.length; at++) {
      values.set(output, { shape: output.shape, data: data.with(at, wrong) });
      assertEquals(spotError(node, values), Infinity, `${wrong} at ${at}`);
    }
  }
});

Deno.test("bench ops: the peaks are those of a computer", async () => {
  using gpu = await requestGpu();
  const { gflops, gigabytesPerSecond } = await measurePeaks(gpu);
  assert(gflops > 1 && gflops < 1e6, `${gflops} GFLOP/s`);
  assert(gigabytesPerSecond > 0.1 && gigabytesPerSecond < 1e5, `${gigabytesPerSecond} GB/s`);
});
