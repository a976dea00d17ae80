/** How the gradients of a convolution are computed together, and which need no computing. */
import { assert, assertEquals } from "@std/assert";
import { backpropagate } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { planProgram } from "../../src/graph/program_plan.ts";
import { batchNorm2d } from "../../src/ops/batch_norm2d.ts";
import { concat } from "../../src/ops/concat.ts";
import { conv2d } from "../../src/ops/conv2d.ts";

const target: LowerTarget = {
  kernelFamily: "cpu",
  maxTextureDimension: 16384,
  maxBindingBytes: 2 ** 27,
};

/** The steps of all gradients of a 3x3 convolution of `size` x `size` pixels to 64 channels. */
function stepsOf(channels: number[], size: number, limits: Partial<LowerTarget> = {}) {
  const graph = new Graph();
  const inputs = channels.map((c, i) =>
    graph.input(`x${i}`, { shape: [2, c, size, size], layout: "c4" })
  );
  const all = channels.reduce((sum, c) => sum + c, 0);
  const weight = graph.input("w", { shape: [64, all, 3, 3] });
  const x = inputs.length > 1 ? concat(inputs) : inputs[0];
  assert(x);
  const y = conv2d(x, weight, undefined, { padding: 1 });
  const dy = graph.input("dy", { shape: y.shape, layout: "c4" });
  const gradients = backpropagate(y, dy, [...inputs, weight]);
  const outputs = Object.fromEntries([...gradients].map(([t, g]) => [t.label, g]));
  assertEquals(Object.keys(outputs).length, channels.length + 1);
  return planProgram(graph, outputs, { ...target, ...limits }).steps;
}

function summary(steps: ReturnType<typeof stepsOf>) {
  const labels = [...new Set(steps.map(({ label }) => label.replace("grad.", "")))];
  // How often the first block is made.
  const transforms =
    steps.filter((step) =>
      step.kind === "dispatch" && step.spec.kernel.name === "conv2d_winograd_input" &&
      step.spec.kernel.constants?.ROWS !== "inner" && step.spec.params.at(-3) === 0
    ).length;
  return { labels, transforms };
}

Deno.test("conv2d: gradients that need the same transformed windows are computed together", () => {
  assertEquals(summary(stepsOf([64], 40)), {
    labels: ["conv2d_weight_grad+conv2d_input_grad"],
    transforms: 1,
  });
  const two = summary(stepsOf([64, 64], 40));
  assertEquals(two.labels, ["conv2d_weight_grad", "conv2d_input_grad+conv2d_input_grad"]);
  assertEquals(two.transforms, 2, "one for the weight's gradient, one for those of both inputs");
});

Deno.test("conv2d: gradients stay apart where they share nothing", () => {
  const apart = ["conv2d_weight_grad", "conv2d_input_grad"];
  assertEquals(summary(stepsOf([64], 40, { kernelFamily: "gpu" })).labels, apart);
  assertEquals(summary(stepsOf([8], 40)).labels, apart);
  assertEquals(summary(stepsOf([64], 12)).labels, apart);
});

Deno.test("conv2d: gradients of images that cannot be bound are computed together, image by image", () => {
  // An image of 64 channels takes 10 MiB, a group of transformed blocks 3.
  const { labels, transforms } = summary(stepsOf([64], 200, { maxBindingBytes: 2 ** 22 }));
  assertEquals(labels, ["conv2d_weight_grad+conv2d_input_grad"]);
  assertEquals(transforms, 2);
});

Deno.test("conv2d: a bias before a normalisation by batch statistics has no gradient to compute", () => {
  const opsOf = (normalise: boolean, training = true) => {
    const graph = new Graph();
    const flat = (label: string, count: number) => graph.input(label, { shape: [count] });
    const x = graph.input("x", { shape: [2, 3, 8, 8], layout: "c4" });
    const bias = flat("b", 4);
    let y: Tensor = conv2d(x, graph.input("w", { shape: [4, 3, 3, 3] }), bias, { padding: 1 });
    if (normalise) {
      const state = {
        weight: flat("weight", 4),
        bias: flat("bias", 4),
        runningMean: flat("mean", 4),
        runningVar: flat("var", 4),
      };
      y = batchNorm2d(y, state, { training });
    }
    const dy = graph.input("dy", { shape: y.shape, layout: "c4" });
    assert(backpropagate(y, dy, [bias]).get(bias));
    return graph.nodes.map(({ op }) => op);
  };
  assert(opsOf(false).includes("channel_sum"));
  assert(opsOf(true, false).includes("channel_sum"));
  assert(!opsOf(true).includes("channel_sum"));
});

Deno.test("conv2d: what the first images of gradients leave has room for the sums of the others", () => {
  // Two images at once, then one: blocks of 6 x 6 pixels for two, but of 4 x 4 for one.
  const graph = new Graph();
  const x = graph.input("x", { shape: [3, 69, 49, 98], layout: "c4" });
  const weight = graph.input("w", { shape: [87, 69, 3, 3] });
  const y = conv2d(x, weight, undefined, { padding: 1 });
  const dy = graph.input("dy", { shape: y.shape, layout: "c4" });
  const gradients = backpropagate(y, dy, [x, weight]);
  const outputs = Object.fromEntries([...gradients].map(([t, g]) => [t.label, g]));
  const limits = { ...target, maxBindingBytes: 4385984 };
  const { steps } = planProgram(graph, outputs, limits);
  const positions = new Map<unknown, Set<number | undefined>>();
  for (const step of steps) {
    if (step.kind !== "dispatch" || step.spec.kernel.name !== "conv2d_winograd_weight_grad") {
      continue;
    }
    const { params: [gradientPlanes = 0, inputPlanes = 0], grid } = step.spec;
    const [, strips, count] = grid;
    const sums = step.operands[2];
    assert(sums?.kind === "buffer");
    assert(strips * count * 4 * inputPlanes * gradientPlanes * 16 <= sums.sizeBytes);
    positions.set(sums, (positions.get(sums) ?? new Set()).add(count));
  }
  assertEquals([...positions.values()].map((counts) => [...counts]), [[64], [36]]);
});
