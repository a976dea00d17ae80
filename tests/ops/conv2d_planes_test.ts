/**
 * Convolutions by Winograd's algorithms of images that cannot be bound whole: output and inputs are
 * then taken plane by plane or row by row, and the results are the same to the bit.
 */
import { assert, assertEquals } from "@std/assert";
import { backpropagate } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { compile } from "../../src/graph/program.ts";
import { lowerTarget, planProgram } from "../../src/graph/program_plan.ts";
import { concat } from "../../src/ops/concat.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { random } from "../reference/array.ts";
import { testGpu } from "./harness.ts";

const OUT = 36;

interface Case {
  channels: number[];
  size: readonly [number, number];
  /** A group of 128 transformed blocks of all planes can be bound, an image of 8 planes cannot. */
  maxBindingBytes: number;
}

const CASES: Case[] = [
  { channels: [32], size: [90, 96], maxBindingBytes: 1_200_000 },
  { channels: [32, 29], size: [120, 150], maxBindingBytes: 2_200_000 },
];

function record({ channels, size }: Case, batch: number) {
  const graph = new Graph();
  const data: Record<string, Float32Array> = {};
  const input = (name: string, shape: readonly number[], layout: "c4" | "flat") => {
    data[name] = Float32Array.from(random(5 + Object.keys(data).length, [...shape]).data);
    return graph.input(name, { shape: [...shape], layout });
  };
  const inputs = channels.map((c, i) => input(`x${i}`, [batch, c, ...size], "c4"));
  const all = channels.reduce((sum, c) => sum + c, 0);
  const weight = input("weight", [OUT, all, 3, 3], "flat");
  const bias = input("bias", [OUT], "flat");
  const [first] = inputs;
  assert(first);
  const y = conv2d(inputs.length > 1 ? concat(inputs) : first, weight, bias, { padding: 1 });
  const dy = input("dy", y.shape, "c4");
  const outputs: Record<string, Tensor> = { y };
  for (const [tensor, gradient] of backpropagate(y, dy, [...inputs, weight])) {
    outputs[`d${tensor.label}`] = gradient;
  }
  return { graph, outputs, data };
}

for (const sizes of CASES) {
  const { channels, size, maxBindingBytes } = sizes;
  for (const textureReadBytes of [Infinity, 1]) {
    Deno.test({
      name: `conv2d [2,${channels.join("+")},${size}] -> ${OUT}, images larger than a binding, ` +
        `read through ${textureReadBytes === 1 ? "textures" : "buffers"}`,
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => {
        const gpu = await testGpu("cpu");
        const { graph, outputs, data } = record(sizes, 2);
        const run = async (target: Partial<LowerTarget>) => {
          using program = await compile(gpu, graph, { outputs, target });
          program.fill(NaN);
          for (const [name, values] of Object.entries(data)) program.write(name, values);
          program.run();
          const results: Record<string, Float32Array> = {};
          for (const name of Object.keys(outputs)) results[name] = await program.read(name);
          return results;
        };
        const cut = { textureReadBytes, maxBindingBytes };
        const { steps } = planProgram(graph, outputs, { ...lowerTarget(gpu), ...cut });
        const kernels = new Set(
          steps.map((step) => step.kind === "dispatch" ? step.spec.kernel.name : "copy"),
        );
        for (const other of ["conv2d_texture_forward_3x3", "conv2d_texture_weight_grad_3x3"]) {
          assert(!kernels.has(other), `${other} where Winograd's algorithms serve`);
        }
        const cutOutputs = steps.filter((step) =>
          step.kind === "dispatch" && step.spec.kernel.name === "conv2d_winograd_output" &&
          (step.spec.params.at(-1) ?? 0) > 0
        );
        assert(cutOutputs.length > 0, "no output was cut");

        const expected = await run({ textureReadBytes });
        const actual = await run(cut);
        for (const [name, values] of Object.entries(expected)) {
          const results = actual[name] ?? new Float32Array();
          assertEquals(results.length, values.length);
          // Sums over pixels come in other parts, and errors of F(6x6,3x3) are as large.
          const bound = name === "dweight" ? 1e-5 : 0;
          const largest = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
          const worst = values.reduce(
            (most, v, i) => Math.max(most, Math.abs(v - (results[i] ?? NaN))),
            0,
          );
          assert(worst <= bound * largest, `${name}: ${worst} of ${largest}`);
        }
      },
    });
  }
}

Deno.test("conv2d: gradients fit textures of any size, or go another way", () => {
  const kernelsOf = (
    channels: number[],
    [batch, height, width]: readonly [number, number, number],
    kernel: number,
    limits: Partial<LowerTarget>,
  ) => {
    const graph = new Graph();
    const inputs = channels.map((c, i) =>
      graph.input(`x${i}`, { shape: [batch, c, height, width], layout: "c4" })
    );
    const all = channels.reduce((sum, c) => sum + c, 0);
    const weight = graph.input("w", { shape: [200, all, kernel, kernel] });
    const y = conv2d(concat(inputs), weight, undefined, { padding: (kernel - 1) / 2 });
    const dy = graph.input("dy", { shape: y.shape, layout: "c4" });
    const outputs = Object.fromEntries(
      [...backpropagate(y, dy, [...inputs, weight])].map(([t, g]) => [t.label, g]),
    );
    const target: LowerTarget = {
      kernelFamily: "cpu",
      maxTextureDimension: 256,
      maxBindingBytes: 2 ** 27,
      ...limits,
    };
    const { steps } = planProgram(graph, outputs, target);
    return new Set(
      steps.flatMap((step) => step.kind === "dispatch" ? step.spec.kernel.name : []),
    );
  };
  // Input and gradient are wide, but lie in a texture each.
  const wide = kernelsOf([100, 100], [1, 1, 250], 1, {});
  assert(wide.has("conv2d_texture_weight_grad_1x1"));
  // Partial sums of as many parts as these textures call for could not be bound.
  const many = kernelsOf([200, 27], [1, 124, 99], 3, { maxBindingBytes: 2 ** 24 });
  assert(!many.has("conv2d_texture_weight_grad_3x3"));
  assert([...many].some((name) => name.startsWith("conv2d_direct_weight_grad")));
});
