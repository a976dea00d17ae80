import { assert, assertEquals } from "@std/assert";
import { requestGpu } from "../../src/gpu/device.ts";
import { parameterGradients } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { compile } from "../../src/graph/program.ts";
import { planProgram } from "../../src/graph/program_plan.ts";
import { ParameterStore } from "../../src/graph/store.ts";
import { Stream } from "../../src/nn/random.ts";
import { UNet } from "../../src/nn/unet.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { crossEntropy } from "../../src/ops/cross_entropy.ts";
import { relu, scale } from "../../src/ops/elementwise.ts";
import { checkPlan } from "./plan_checks.ts";

const target: LowerTarget = {
  kernelFamily: "cpu",
  maxTextureDimension: 16384,
  maxBindingBytes: 2 ** 27,
};

const SHAPE = [2, 3, 33, 47];

/** The loss of a small network and all its gradients. */
function step(): { net: UNet; graph: Graph; outputs: Record<string, Tensor> } {
  const net = new UNet({ classes: 5, width: 8 }, 1);
  const graph = new Graph();
  const image = graph.input("image", { shape: SHAPE, layout: "c4" });
  const labels = graph.input("labels", { shape: [2, 33, 47], dtype: "u32" });
  const loss = crossEntropy(net.forward(image, { training: true }), labels);
  const gradients = parameterGradients(loss, net.store);
  return {
    net,
    graph,
    outputs: {
      loss,
      ...Object.fromEntries(gradients.map(({ stored, gradient }) => [stored.name, gradient])),
    },
  };
}

/** Labels of the steps that compute something again. */
function againOf(plan: ReturnType<typeof planProgram>): string[] {
  return plan.steps.map((s) => s.label).filter((label) => label.endsWith("(again)"));
}

Deno.test("recompute: a train step keeps no activation that its gradients can do without", () => {
  const { graph, outputs } = step();
  const [kept, again] = [false, true].map((recompute) =>
    planProgram(graph, outputs, { ...target, recompute })
  );
  assert(kept && again);
  assertEquals(againOf(kept), []);
  assert(againOf(again).some((label) => label.includes("batch_norm2d_normalize+relu")));
  const ratio = again.memory.slotBytes / kept.memory.slotBytes;
  assert(ratio < 0.75, `${ratio.toFixed(3)} of the memory is left`);
  const memories = new Set([...again.outputs.values()].map((output) => output.memory));
  checkPlan("step", again.steps, memories, again.memory);
});

Deno.test("recompute: changes not a bit of loss and gradients", async () => {
  using gpu = await requestGpu();
  const results: Record<string, number[]>[] = [];
  for (const recompute of [false, true]) {
    const { net, graph, outputs } = step();
    using program = await compile(gpu, graph, {
      outputs,
      stores: [net.store],
      target: { recompute },
    });
    program.fill(NaN);
    const noise = new Stream(3);
    const size = SHAPE.reduce((a, b) => a * b, 1);
    program.write("image", Float32Array.from({ length: size }, () => noise.next()));
    program.write("labels", Uint32Array.from({ length: 2 * 33 * 47 }, (_, i) => (i * 7) % 5));
    program.run();
    const values: Record<string, number[]> = {};
    for (const name of Object.keys(outputs)) values[name] = [...await program.read(name)];
    results.push(values);
    net.store.destroy();
  }
  assertEquals(results[0], results[1]);
});

/** x -> relu -> four convolutions that never read it, then one that does. */
function detour(extra: (graph: Graph, y: Tensor) => void, keepInput: boolean) {
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 8, 20, 20], layout: "c4" });
  const w = graph.input("w", { shape: [8, 8, 1, 1] });
  const source = scale(x, 2);
  const y = relu(source);
  extra(graph, y);
  const big = graph.input("big", { shape: [64, 8, 1, 1] });
  const small = graph.input("small", { shape: [8, 64, 1, 1] });
  const z = conv2d(conv2d(conv2d(y, w), big), small);
  const parts = conv2d(y, w);
  const outputs = { z, parts, ...(keepInput ? { source } : {}) };
  return againOf(planProgram(graph, outputs, { ...target, kernelFamily: "gpu" }));
}

Deno.test("recompute: what follows from an input, or from what is kept anyway", () => {
  assertEquals(detour(() => {}, true), ["relu (again)"]);
  assertEquals(detour(() => {}, false), ["scale (again)", "relu (again)"]);
});

Deno.test("recompute: not across an effect that may have changed what it follows from", () => {
  const store = new ParameterStore();
  const effect = (graph: Graph, y: Tensor) => {
    graph.record({
      op: "update",
      inputs: [y, graph.parameter(store.get("p"))],
      outputs: [],
      effect: true,
      lower(context, node) {
        const kernel = { name: "update", source: "", constants: {} };
        context.dispatch({ kernel, params: [], grid: [1, 1, 1] }, node.inputs);
      },
    });
  };
  store.add("p", [4], new Float32Array(4));
  assertEquals(detour(effect, true), []);
});
