import { assert, assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { backpropagate } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { fuseBatchNormReluGrad } from "../../src/graph/rewrite_batch_norm.ts";
import { batchNorm2d } from "../../src/ops/batch_norm2d.ts";
import { relu, scale } from "../../src/ops/elementwise.ts";
import { type Array64, map, random, relativeError } from "../reference/array.ts";
import * as reference from "../reference/batch_norm2d.ts";
import { relu as referenceRelu, reluBackward } from "../reference/relu.ts";
import { checkOp, type OpCase, testGpu, testOps } from "./harness.ts";

// The last two take several chunks of rows, and several images of many chunks.
const shapes = [
  [3, 1, 1, 1],
  [1, 3, 1, 4],
  [2, 5, 3, 17],
  [3, 4, 16, 14],
  [2, 7, 150, 270],
  [1, 2, 600, 31],
];

interface Sample {
  x: Array64;
  weight: Array64;
  bias: Array64;
  running: reference.RunningStatistics;
  dy: Array64;
}

function sample(shape: readonly number[], offset = 0.5): Sample {
  const channels = [shape[1] ?? 1];
  return {
    x: map(random(1, shape, 2), (v) => Math.fround(v + offset)),
    weight: random(2, channels),
    bias: random(3, channels),
    running: {
      mean: random(4, channels),
      variance: map(random(5, channels), (v) => Math.fround(v / 2 + 1)),
    },
    dy: random(6, shape),
  };
}

function inputsOf({ x, weight, bias, running }: Sample): OpCase["inputs"] {
  return {
    x: { value: x },
    weight: { value: weight },
    bias: { value: bias },
    runningMean: { value: running.mean },
    runningVar: { value: running.variance },
  };
}

function record(tensors: Record<string, Tensor>, training: boolean): Tensor {
  const { x, weight, bias, runningMean, runningVar } = tensors;
  assert(x && weight && bias && runningMean && runningVar);
  return batchNorm2d(x, { weight, bias, runningMean, runningVar }, { training });
}

/** Behind another op the gradient is written over that of the output, which nobody else reads. */
function* inPlace(cases: Iterable<OpCase>): Generator<OpCase> {
  for (const opCase of cases) {
    yield opCase;
    const { name, record, output, outputGradient: dy } = opCase;
    if (!dy || dy.data.length > 2000) continue;
    yield {
      ...opCase,
      name: `${name}, gradient in place`,
      record: (t) => scale(record(t), 2),
      output: map(output, (v) => 2 * v),
      outputGradient: map(dy, (v) => v / 2),
    };
  }
}

function* cases(): Generator<OpCase> {
  for (const shape of shapes) {
    const s = sample(shape);
    const { x, weight, bias, running, dy } = s;
    const inference = reference.batchNorm2dInference(x, weight, bias, running);
    const masked = (y: Array64) => reluBackward(dy, y);
    yield {
      name: `batchNorm2d inference [${shape}]`,
      inputs: inputsOf(s),
      record: (t) => record(t, false),
      output: inference,
      outputGradient: dy,
      gradients: { ...reference.batchNorm2dInferenceBackward(dy, x, weight, running) },
    };
    yield {
      name: `relu(batchNorm2d) inference [${shape}]`,
      inputs: inputsOf(s),
      record: (t) => relu(record(t, false)),
      output: referenceRelu(inference),
      outputGradient: dy,
      gradients: {
        ...reference.batchNorm2dInferenceBackward(masked(inference), x, weight, running),
      },
    };
    const training = reference.batchNorm2dTraining(x, weight, bias, running).y;
    yield {
      name: `batchNorm2d training [${shape}]`,
      inputs: inputsOf(s),
      record: (t) => record(t, true),
      output: training,
      outputGradient: dy,
      gradients: { ...reference.batchNorm2dTrainingBackward(dy, x, weight) },
    };
    yield {
      name: `relu(batchNorm2d) training [${shape}]`,
      inputs: inputsOf(s),
      record: (t) => relu(record(t, true)),
      output: referenceRelu(training),
      outputGradient: dy,
      gradients: { ...reference.batchNorm2dTrainingBackward(masked(training), x, weight) },
    };
  }
  // Of two values the gradient is zero but for eps: nothing of float32 is left to compare.
  const two = sample([2, 1, 1, 1]);
  yield {
    name: "batchNorm2d training, two values a channel",
    inputs: inputsOf(two),
    record: (t) => record(t, true),
    output: reference.batchNorm2dTraining(two.x, two.weight, two.bias, two.running).y,
  };
  const far = sample([2, 3, 40, 50], 100);
  yield {
    name: "batchNorm2d training, mean 100 times the deviation",
    inputs: inputsOf(far),
    record: (t) => record(t, true),
    output: reference.batchNorm2dTraining(far.x, far.weight, far.bias, far.running).y,
  };
}

testOps(inPlace(cases()));

// The adapter at hand chooses one way to cut sums into invocations; both must be right.
for (const kernels of ["cpu", "gpu"] as const) {
  Deno.test({
    name: `batchNorm2d with the kernels for a ${kernels}`,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      using gpu = await requestGpu({ kernels });
      for (const opCase of cases()) await checkOp(gpu, opCase);
    },
  });
}

for (const training of [true, false]) {
  const name = `batchNorm2d ${training ? "training" : "inference"}, gradient of the ReLU fused`;
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn: () => checkFused(training) });
}

async function checkFused(training: boolean): Promise<void> {
  const s = sample([2, 6, 33, 45]);
  const graph = new Graph();
  const tensors: Record<string, Tensor> = {};
  const inputs = { ...inputsOf(s), dy: { value: s.dy } };
  for (const [name, { value }] of Object.entries(inputs)) {
    const layout = value.shape.length === 4 ? "c4" : "flat";
    tensors[name] = graph.input(name, { shape: value.shape, layout });
  }
  const { x, weight, bias, dy } = tensors;
  assert(x && weight && bias && dy);
  const y = relu(record(tensors, training));
  const gradients = backpropagate(y, dy, [x, weight, bias]);
  const outputs: Record<string, Tensor> = { y };
  for (const [tensor, gradient] of gradients) outputs[tensor.label] = gradient;
  const fused = fuseBatchNormReluGrad(graph.nodes, Object.values(outputs));
  assertEquals(fused.length, graph.nodes.length - 1);
  assert(fused.every((node) => node.op !== "relu_grad"));
  // Compiling takes a graph, so it gets the rewritten nodes in place of the recorded ones.
  graph.nodes.splice(0, graph.nodes.length, ...fused);

  const normalized = training
    ? reference.batchNorm2dTraining(s.x, s.weight, s.bias, s.running).y
    : reference.batchNorm2dInference(s.x, s.weight, s.bias, s.running);
  const gated = reluBackward(s.dy, normalized);
  const expected = training
    ? reference.batchNorm2dTrainingBackward(gated, s.x, s.weight)
    : reference.batchNorm2dInferenceBackward(gated, s.x, s.weight, s.running);
  const program = await compile(await testGpu(), graph, { outputs });
  try {
    program.fill(NaN);
    for (const [name, { value }] of Object.entries(inputs)) {
      program.write(name, Float32Array.from(value.data));
    }
    program.run();
    for (const [name, value] of Object.entries(expected)) {
      const error = relativeError({ shape: value.shape, data: await program.read(name) }, value);
      assert(error <= 1e-4, `gradient of ${name} is off by ${error}`);
    }
  } finally {
    program.destroy();
  }
}

Deno.test({
  name: "batchNorm2d in training updates the running statistics, used or not",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const s = sample([2, 5, 9, 21]);
    const graph = new Graph();
    const tensors: Record<string, Tensor> = {};
    const inputs = inputsOf(s);
    for (const [name, { value }] of Object.entries(inputs)) {
      const layout = value.shape.length === 4 ? "c4" : "flat";
      tensors[name] = graph.input(name, { shape: value.shape, layout });
    }
    record(tensors, true);
    const { runningMean, runningVar } = tensors;
    assert(runningMean && runningVar);
    const program = await compile(await testGpu(), graph, { outputs: { runningMean, runningVar } });
    try {
      program.fill(NaN);
      for (const [name, { value }] of Object.entries(inputs)) {
        program.write(name, Float32Array.from(value.data));
      }
      program.run();
      program.run();
      const once = reference.batchNorm2dTraining(s.x, s.weight, s.bias, s.running).running;
      const twice = reference.batchNorm2dTraining(s.x, s.weight, s.bias, once).running;
      const mean = await program.read("runningMean");
      const variance = await program.read("runningVar");
      assert(relativeError({ shape: [5], data: mean }, twice.mean) <= 1e-5);
      assert(relativeError({ shape: [5], data: variance }, twice.variance) <= 1e-5);
      const padding = new Float32Array(await program.readRaw("runningVar")).slice(5);
      assertEquals([...padding], [0, 0, 0]);
    } finally {
      program.destroy();
    }
  },
});

Deno.test("a relu_grad that feeds something else too stays", () => {
  const graph = new Graph();
  const image = (label: string) => graph.input(label, { shape: [1, 4, 4, 4], layout: "c4" });
  const vector = (label: string) => graph.input(label, { shape: [4] });
  const tensors = {
    x: image("x"),
    weight: vector("weight"),
    bias: vector("bias"),
    runningMean: vector("mean"),
    runningVar: vector("variance"),
  };
  const normalized = record(tensors, true);
  const y = relu(normalized);
  const gradients = backpropagate(y, image("dy"), [tensors.x, normalized]);
  const gated = gradients.get(normalized);
  assert(gated);
  assertEquals(fuseBatchNormReluGrad(graph.nodes, [gated]), graph.nodes);
});

Deno.test("batchNorm2d names what does not fit", () => {
  const graph = new Graph();
  const vector = (label: string, size: number) => graph.input(label, { shape: [size] });
  const state = {
    weight: vector("gamma", 3),
    bias: vector("beta", 4),
    runningMean: vector("mean", 4),
    runningVar: vector("variance", 4),
  };
  const image = graph.input("image", { shape: [1, 4, 1, 1], layout: "c4" });
  assertThrows(() => batchNorm2d(image, state, { training: false }), ShapeError, "gamma");
  state.weight = vector("weight", 4);
  assertThrows(() => batchNorm2d(image, state, { training: true }), ShapeError, "one value");
  assertThrows(() => batchNorm2d(image, state, { training: false, eps: 0 }), ShapeError, "eps");
  assertThrows(() => batchNorm2d(state.bias, state, { training: false }), ShapeError, "beta");
});
