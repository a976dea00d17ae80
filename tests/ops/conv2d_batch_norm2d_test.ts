/** Convolutions that store what batch norm by running statistics makes of their results. */
import { assert, assertEquals } from "@std/assert";
import { backpropagate } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { planProgram, type ProgramPlan } from "../../src/graph/program_plan.ts";
import { rewrite } from "../../src/graph/rewrite.ts";
import { batchNorm2d } from "../../src/ops/batch_norm2d.ts";
import { concat } from "../../src/ops/concat.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { suitsWinograd } from "../../src/ops/conv_winograd.ts";
import { relu, scale } from "../../src/ops/elementwise.ts";
import { map, type Pair, random } from "../reference/array.ts";
import * as normReference from "../reference/batch_norm2d.ts";
import * as convReference from "../reference/conv2d.ts";
import { relu as reluReference } from "../reference/relu.ts";
import { checkOp, type OpCase, testEveryWay, testGpu } from "./harness.ts";

interface Sizes {
  batch: number;
  channels: number[];
  size: Pair;
  out: number;
  kernel: Pair;
  options?: convReference.Conv2dOptions;
  bias: boolean;
  relu: boolean;
}

/** Large enough that one which is left out is noticed. */
const EPS = 0.1;

/** Inputs a, b, c, d are concatenated, convolved and normalised. */
function caseOf(s: Sizes, seed: number): OpCase {
  const names = s.channels.map((_, i) => "abcd"[i] ?? "?");
  const parts = s.channels.map((c, i) => random(seed + i, [s.batch, c, ...s.size]));
  const total = s.channels.reduce((sum, c) => sum + c, 0);
  const weight = random(seed + 10, [s.out, total, ...s.kernel]);
  const bias = s.bias ? random(seed + 11, [s.out]) : undefined;
  const gamma = random(seed + 12, [s.out]);
  const beta = random(seed + 13, [s.out]);
  const mean = random(seed + 14, [s.out]);
  const variance = map(random(seed + 15, [s.out]), (v) => Math.fround(v / 2 + 1));
  const sums = convReference.conv2d(parts, weight, bias, s.options);
  const y = normReference.batchNorm2dInference(sums, gamma, beta, { mean, variance }, {
    eps: EPS,
  });
  return {
    name: `${s.relu ? "relu(" : ""}batchNorm2d(conv2d) [${s.batch},${s.channels.join("+")},` +
      `${s.size}] -> ${s.out}, kernel ${s.kernel}${s.options ? JSON.stringify(s.options) : ""}` +
      `${s.bias ? ", bias" : ""}`,
    inputs: {
      ...Object.fromEntries(names.map((name, i) => [name, { value: parts[i] ?? weight }])),
      weight: { value: weight, layout: "flat" },
      ...(bias ? { bias: { value: bias } } : {}),
      gamma: { value: gamma },
      beta: { value: beta },
      mean: { value: mean },
      variance: { value: variance },
    },
    record: (t) => {
      const x = conv2d(concat(names.map((name) => t[name]!)), t.weight!, t.bias, s.options);
      const state = {
        weight: t.gamma!,
        bias: t.beta!,
        runningMean: t.mean!,
        runningVar: t.variance!,
      };
      const normalized = batchNorm2d(x, state, { training: false, eps: EPS });
      const output = s.relu ? relu(normalized) : normalized;
      const nodes = rewrite(x.graph, [output]);
      assertEquals(nodes.map(({ op }) => op), ["conv2d"], "one node must be left");
      return output;
    },
    output: s.relu ? reluReference(y) : y,
    partsReorderSums: true,
  };
}

const same3: convReference.Conv2dOptions = { padding: [1, 1] };
const small = { batch: 2, channels: [5], size: [7, 11], out: 6, kernel: [3, 3] } as const;

const cases: Sizes[] = [
  ...[[true, true], [true, false], [false, true], [false, false]].map((
    [bias = true, relu = true],
  ): Sizes => ({ ...small, channels: [5], options: same3, bias, relu })),
  {
    batch: 1,
    channels: [3, 5],
    size: [9, 6],
    out: 19,
    kernel: [3, 3],
    options: same3,
    bias: true,
    relu: true,
  },
  // A single plane of channels: cut by images only.
  {
    batch: 3,
    channels: [4],
    size: [7, 7],
    out: 4,
    kernel: [3, 3],
    options: same3,
    bias: true,
    relu: true,
  },
  { batch: 2, channels: [7], size: [6, 19], out: 2, kernel: [1, 1], bias: true, relu: false },
  { batch: 1, channels: [20], size: [3, 1], out: 9, kernel: [1, 1], bias: false, relu: true },
  // Not for textures: direct kernels on software adapters.
  {
    batch: 1,
    channels: [5],
    size: [11, 13],
    out: 9,
    kernel: [3, 3],
    options: { stride: [2, 2], padding: [1, 1] },
    bias: false,
    relu: true,
  },
  {
    batch: 2,
    channels: [2, 6],
    size: [40, 21],
    out: 3,
    kernel: [2, 4],
    options: { stride: [3, 1], padding: [0, 2], dilation: [2, 1] },
    bias: true,
    relu: true,
  },
  {
    batch: 1,
    channels: [1, 6, 4, 3],
    size: [9, 12],
    out: 9,
    kernel: [5, 3],
    options: { padding: [4, 3], dilation: [2, 3] },
    bias: true,
    relu: false,
  },
];

/** Through Winograd's algorithms on software adapters, the last with blocks of 6 x 6 pixels. */
const winograd: Sizes[] = [
  {
    batch: 1,
    channels: [64],
    size: [37, 38],
    out: 61,
    kernel: [3, 3],
    options: same3,
    bias: false,
    relu: true,
  },
  {
    batch: 3,
    channels: [34, 31],
    size: [29, 30],
    out: 67,
    kernel: [3, 3],
    options: same3,
    bias: true,
    relu: false,
  },
  {
    batch: 1,
    channels: [62],
    size: [45, 70],
    out: 64,
    kernel: [3, 3],
    options: same3,
    bias: true,
    relu: true,
  },
];

for (const family of ["cpu", "gpu"] as const) {
  const sizes = family === "cpu" ? [...cases, ...winograd] : cases;
  sizes.forEach((s, i) => {
    const opCase = caseOf(s, 1 + i * 20);
    Deno.test({
      name: `${opCase.name} (${family} kernels)`,
      // The device is shared, so leak checks cannot apply.
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => await checkOp(await testGpu(family), opCase),
    });
  });
}
testEveryWay();

Deno.test("the sizes for Winograd's kernels get them", () => {
  for (const { batch, channels, size: [height, width], out } of winograd) {
    const dims = { batch, height, width, inputChannels: channels, outputChannels: out };
    const limits = { maxTextureDimension: 8192, maxBindingBytes: 2 ** 27 };
    assert(suitsWinograd({ ...dims, kernel: 3 }, limits));
  }
});

interface Recorded {
  graph: Graph;
  image: Tensor;
  weight: Tensor;
  sums: Tensor;
  normalized: Tensor;
  output: Tensor;
}

/** Images [batch, 8, 14, 14], convolved to as many channels, normalised, rectified. */
function recorded(training = false, batch = 2): Recorded {
  const graph = new Graph();
  const image = graph.input("image", { shape: [batch, 8, 14, 14], layout: "c4" });
  const weight = graph.input("weight", { shape: [8, 8, 3, 3] });
  const vector = (label: string) => graph.input(label, { shape: [8] });
  const state = {
    weight: vector("gamma"),
    bias: vector("beta"),
    runningMean: vector("mean"),
    runningVar: vector("variance"),
  };
  const sums = graph.scope(
    "layer.0",
    () => conv2d(image, weight, vector("bias"), { padding: 1 }),
  );
  const normalized = graph.scope("layer.1", () => batchNorm2d(sums, state, { training }));
  return { graph, image, weight, sums, normalized, output: relu(normalized) };
}

const ops = (graph: Graph, ...outputs: Tensor[]) => rewrite(graph, outputs).map(({ op }) => op);

Deno.test("rewrite: a convolution stores the normalisation of its result, and the ReLU's", () => {
  const { graph, sums, normalized, output } = recorded();
  const flopsBefore = [sums, normalized].map((t) => t.producer?.spec.flops ?? NaN);
  const [node, ...others] = rewrite(graph, [output]);
  assert(node);
  assertEquals(others, []);
  assertEquals(node.label, "layer.0.conv2d+batch_norm2d_normalize+relu");
  assertEquals(node.output, output);
  assertEquals(
    node.inputs.map((t) => t.label),
    ["image", "weight", "bias", "gamma", "beta", "mean", "variance"],
  );
  assertEquals(node.attributes.kernel, "3x3");
  assertEquals(node.attributes.normalize, true);
  assertEquals(node.attributes.eps, 1e-5);
  assertEquals(node.attributes.relu, true);
  assertEquals(node.spec.flops, flopsBefore.reduce((a, b) => a + b));
  assertEquals(sums.producer?.attributes.normalize, undefined, "the recorded graph stays");

  const [alone] = rewrite(graph, [normalized]);
  assertEquals(alone?.label, "layer.0.conv2d+batch_norm2d_normalize");
  assertEquals(alone?.attributes.relu, false);
});

Deno.test("rewrite: a convolution whose result somebody else wants is normalised apart", () => {
  const apart = ["conv2d", "batch_norm2d_normalize"];
  const { graph, sums, output } = recorded();
  assertEquals(ops(graph, output, sums), apart, "an output");
  const other = scale(sums, 2);
  assertEquals(ops(graph, output, other), [...apart, "scale"], "another node");
  assertEquals(ops(graph, output), ["conv2d"], "a reader that is dead does not count");
});

Deno.test("rewrite: normalisation by the batch, and what a gradient needs, stays apart", () => {
  const training = recorded(true);
  assertEquals(
    ops(training.graph, training.output),
    ["conv2d", "batch_norm2d_stats", "batch_norm2d_normalize"],
  );
  const { graph, weight, output } = recorded();
  const dy = graph.input("dy", { shape: output.shape, layout: "c4" });
  const gradient = backpropagate(output, dy, [weight]).get(weight);
  assert(gradient);
  const nodes = rewrite(graph, [output, gradient]);
  assert(nodes.some(({ op }) => op === "batch_norm2d_normalize"));
  assert(nodes.every(({ attributes }) => attributes.normalize === undefined));
});

Deno.test("rewrite: a convolution does not move past an effect", () => {
  const graph = new Graph();
  const image = graph.input("image", { shape: [1, 4, 3, 3], layout: "c4" });
  const weight = graph.input("weight", { shape: [4, 4, 1, 1] });
  const vector = (label: string) => graph.input(label, { shape: [4] });
  const sums = conv2d(image, weight);
  graph.record({ op: "update", inputs: [weight], outputs: [], effect: true, lower() {} });
  const y = batchNorm2d(sums, {
    weight: vector("gamma"),
    bias: vector("beta"),
    runningMean: vector("mean"),
    runningVar: vector("variance"),
  }, { training: false });
  assertEquals(ops(graph, y), ["conv2d", "update", "batch_norm2d_normalize"]);
});

function kernelsOf({ steps }: ProgramPlan): string[] {
  return steps.flatMap((step) => step.kind === "dispatch" ? [step.spec.kernel.name] : []);
}

Deno.test("a normalising convolution: one fold a run; apart only where channels are cut", () => {
  for (const kernelFamily of ["cpu", "gpu"] as const) {
    const { graph, output } = recorded(false, 3);
    const plan = (maxBindingBytes: number) => {
      const target: LowerTarget = { maxTextureDimension: 8192, maxBindingBytes, kernelFamily };
      return kernelsOf(planProgram(graph, { output }, target));
    };
    const count = (kernels: string[], name: string) =>
      kernels.filter((kernel) => kernel === name).length;
    const imageBytes = output.sizeBytes / 3;
    for (const [limit, clears] of [[2 ** 27, 1], [imageBytes, 3]] as const) {
      const kernels = plan(limit);
      assertEquals(count(kernels, "batch_norm2d_fold"), 1);
      assertEquals(count(kernels, "batch_norm2d_normalize"), 0);
      assertEquals(count(kernels, "clear_border"), clears, "parts of the batch");
    }
    const kernels = plan(imageBytes / 2);
    assertEquals(count(kernels, "batch_norm2d_fold"), 0);
    assertEquals(count(kernels, "batch_norm2d_normalize"), 6, "a plane of an image each");
  }
});
