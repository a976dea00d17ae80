/**
 * Batch norm and ReLU in front of a convolution, applied to what its kernels read: to the bit what
 * they compute from the normalised image, which is there whenever somebody asks for it.
 */
import { assert, assertEquals } from "@std/assert";
import { backpropagate } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { compile } from "../../src/graph/program.ts";
import { lowerTarget, planProgram } from "../../src/graph/program_plan.ts";
import { batchNorm2d } from "../../src/ops/batch_norm2d.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { relu } from "../../src/ops/elementwise.ts";
import { random } from "../reference/array.ts";
import { smallestBinding, testGpu } from "./harness.ts";

interface Sizes {
  batch: number;
  channels: number;
  size: [number, number];
  out: number;
  relu: boolean;
  images?: "f16";
}

const CASES: Sizes[] = [
  { batch: 1, channels: 64, size: [61, 90], out: 64, relu: true },
  { batch: 3, channels: 61, size: [37, 50], out: 66, relu: false },
  { batch: 2, channels: 136, size: [40, 56], out: 62, relu: true },
  { batch: 1, channels: 64, size: [61, 90], out: 64, relu: true, images: "f16" },
];

interface Recorded {
  graph: Graph;
  /** The normalised image. */
  normalized: Tensor;
  outputs: Record<string, Tensor>;
  inputs: Record<string, Float32Array>;
}

function record({ batch, channels, size, out, images, ...sizes }: Sizes): Recorded {
  const graph = new Graph({ images: images ?? "f32" });
  const inputs: Record<string, Float32Array> = {};
  const input = (name: string, shape: number[], layout: "c4" | "flat") => {
    const seed = 7 + Object.keys(inputs).length;
    inputs[name] = Float32Array.from(random(seed, shape).data, (v) =>
      // A variance is no less than 0, and gradients of 16 bits must be no less than they can hold.
      name === "variance" ? v / 2 + 1 : v);
    return graph.input(name, { shape, layout });
  };
  const x = input("x", [batch, channels, ...size], "c4");
  const state = {
    weight: input("gamma", [channels], "flat"),
    bias: input("beta", [channels], "flat"),
    runningMean: input("mean", [channels], "flat"),
    runningVar: input("variance", [channels], "flat"),
  };
  const weight = input("weight", [out, channels, 3, 3], "flat");
  const normed = batchNorm2d(x, state, { training: true });
  const normalized = sizes.relu ? relu(normed) : normed;
  const y = conv2d(normalized, weight, undefined, { padding: 1 });
  const dy = input("dy", y.shape.slice(), "c4");
  const wanted = [x, state.weight, state.bias, weight];
  const gradients = backpropagate(y, dy, wanted);
  const outputs: Record<string, Tensor> = { y };
  for (const t of wanted) outputs[`d${t.label}`] = gradients.get(t) ?? t;
  return { graph, normalized, outputs, inputs };
}

/** Whether a node makes the normalised image; what cannot normalise otherwise has steps for it. */
function makesIt({ graph }: Recorded, outputs: Record<string, Tensor>, target: LowerTarget) {
  const { nodes } = planProgram(graph, outputs, target);
  return nodes.some(({ label }) => /batch_norm2d_normalize(\+relu)?( \(again\))?$/.test(label));
}

for (const sizes of CASES) {
  const { batch, channels, size, out } = sizes;
  Deno.test({
    name: `conv2d(${sizes.relu ? "relu(batchNorm2d)" : "batchNorm2d"}) [${batch},${channels},` +
      `${size}] -> ${out} ${sizes.images ?? ""} normalises what it reads, with its gradients`,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      const gpu = await testGpu("cpu");
      if (sizes.images === "f16" && !gpu.supportsF16) return;
      const recorded = record(sizes);
      const { graph, normalized, outputs, inputs } = recorded;
      const target = lowerTarget(gpu);
      const results = async (
        asked: Record<string, Tensor>,
        changes: Partial<LowerTarget>,
      ): Promise<Record<string, Uint8Array>> => {
        using program = await compile(gpu, graph, { outputs: asked, target: changes });
        program.fill(NaN);
        for (const [name, values] of Object.entries(inputs)) program.write(name, values);
        program.run();
        const found: Record<string, Uint8Array> = {};
        for (const name of Object.keys(outputs)) {
          found[name] = new Uint8Array(await program.readRaw(name));
        }
        return found;
      };
      assert(!makesIt(recorded, outputs, target), "it must be moved");
      const all = { ...outputs, normalized };
      assert(makesIt(recorded, all, target), "who asks for it gets it");
      for (const textureReadBytes of [Infinity, 1]) {
        const [moved, made] = [
          await results(outputs, { textureReadBytes }),
          await results(all, { textureReadBytes }),
        ];
        if (sizes.images === "f16") assertClose(recorded, moved, made);
        else assertEquals(moved, made);
      }
      const maxBindingBytes = smallestBinding(target, graph, outputs);
      assert(maxBindingBytes !== undefined);
      const [cut, made] = [
        await results(outputs, { maxBindingBytes }),
        await results(all, { maxBindingBytes }),
      ];
      if (sizes.images === "f16") assertClose(recorded, cut, made);
      else assertEquals(cut, made);
    },
  });
}

/** Images of 16 bits are rounded once less where the normalised one is never stored: 2^-11. */
const F16_BOUND = 2 * 2 ** -11;

function assertClose(
  { outputs }: Recorded,
  found: Record<string, Uint8Array>,
  expected: Record<string, Uint8Array>,
) {
  for (const [name, { dtype }] of Object.entries(outputs)) {
    const [a, b] = [found, expected].map((results) => {
      const { buffer } = results[name] ?? new Uint8Array();
      return dtype === "f16" ? new Float16Array(buffer) : new Float32Array(buffer);
    });
    assert(a && b && a.length === b.length && a.length > 0);
    let [worst, largest] = [0, 0];
    for (let i = 0; i < a.length; i++) {
      worst = Math.max(worst, Math.abs((a[i] ?? NaN) - (b[i] ?? NaN)));
      largest = Math.max(largest, Math.abs(b[i] ?? NaN));
    }
    assert(worst <= F16_BOUND * largest, `${name}: ${worst} of ${largest}`);
  }
}

Deno.test("batchNorm2d is not moved where a reader cannot normalise", () => {
  const target: LowerTarget = {
    kernelFamily: "cpu",
    maxTextureDimension: 16384,
    maxBindingBytes: 2 ** 27,
  };
  const [large] = CASES;
  assert(large);
  const movable = record(large);
  assert(!makesIt(movable, movable.outputs, target));
  assert(makesIt(movable, movable.outputs, { ...target, kernelFamily: "gpu" }));
  const few = record({ ...large, channels: 28 });
  assert(makesIt(few, few.outputs, target));
  const small = record({ ...large, size: [5, 7] });
  assert(makesIt(small, small.outputs, target));
  const two = record(large);
  const doubled = { ...two.outputs, other: relu(two.normalized) };
  assert(makesIt(two, doubled, target), "a ReLU reads it, too");
});
