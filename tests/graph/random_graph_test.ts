import { assert, assertEquals } from "@std/assert";
import { type Gpu, requestGpu } from "../../src/gpu/device.ts";
import { backpropagate } from "../../src/graph/autograd.ts";
import type { Tensor } from "../../src/graph/graph.ts";
import { MemoryPool } from "../../src/graph/pool.ts";
import { compile } from "../../src/graph/program.ts";
import { lowerTarget, planProgram } from "../../src/graph/program_plan.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { Stream } from "../../src/nn/random.ts";
import { type Array64, random } from "../reference/mod.ts";
import { smallestBinding } from "../ops/harness.ts";
import { checkPlan } from "./plan_checks.ts";
import { randomGraph, type Value } from "./random_graph.ts";

const PLANNED = 400;
const EXECUTED = 40;
const LENGTH = 14;

/** A program with some of its values, the gradients and the statistics as outputs. */
function differentiated(seed: number): {
  program: ReturnType<typeof randomGraph>;
  dy: Value;
  outputs: Record<string, Tensor>;
  expected: Record<string, Array64>;
} {
  const program = randomGraph(seed, LENGTH);
  const { graph, values, variables, statistics } = program;
  const result = values.at(-1);
  assert(result);
  const { shape, layout } = result.tensor;
  const array = random(seed, [...shape]);
  const dy = { tensor: graph.input("dy", { shape, layout }), array };
  const gradients = backpropagate(result.tensor, dy.tensor, variables.map((v) => v.tensor));
  const reference = program.gradients(array);
  const chosen = new Stream(seed);
  const outputs: Record<string, Tensor> = {};
  const expected: Record<string, Array64> = {};
  const want = (name: string, tensor: Tensor, value: Array64) => {
    outputs[name] = tensor;
    expected[name] = value;
  };
  for (const value of values) {
    if (value === result || chosen.next() < 0.2) {
      want(`%${value.tensor.id}`, value.tensor, value.array);
    }
  }
  for (const { tensor } of variables) {
    const [gradient, value] = [gradients.get(tensor), reference.get(tensor)];
    assertEquals(gradient !== undefined, value !== undefined, `gradient of ${tensor.label}`);
    if (gradient && value) want(`d${tensor.label}`, gradient, value);
  }
  for (const { tensor, array } of statistics) want(tensor.label, tensor, array);
  return { program, dy, outputs, expected };
}

for (const kernelFamily of ["cpu", "gpu"] as const) {
  Deno.test(`random graphs, ${kernelFamily} kernels: no two live tensors share memory`, () => {
    const target: LowerTarget = {
      kernelFamily,
      // Small, so that staged planes need several columns.
      maxTextureDimension: 64,
      maxBindingBytes: 2 ** 27,
    };
    let ratio = 0;
    let split = 0;
    const fused = { "+relu": 0, "+relu_grad": 0 };
    for (let seed = 0; seed < PLANNED; seed++) {
      const { program, outputs } = differentiated(seed);
      // Every other one with copies of all that is read.
      const copies = seed % 2 > 0 ? { textureReadBytes: 1, maxTextureDimension: 2048 } : {};
      const plan = planProgram(program.graph, outputs, { ...target, ...copies });
      for (const kind of ["+relu", "+relu_grad"] as const) {
        fused[kind] += plan.steps.filter((step) => step.label.endsWith(kind)).length;
      }
      const kept = new Set([...plan.outputs.values()].map((output) => output.memory));
      const bounds = checkPlan(`seed ${seed}`, plan.steps, kept, plan.memory);
      ratio += plan.memory.slotBytes / Math.max(1, bounds.slotBoundBytes) / PLANNED;
      if (seed % 4 > 0) continue;
      const maxBindingBytes = smallestBinding(target, program.graph, outputs);
      if (maxBindingBytes === undefined) continue;
      const parts = planProgram(program.graph, outputs, { ...target, maxBindingBytes });
      const keptParts = new Set([...parts.outputs.values()].map((output) => output.memory));
      checkPlan(`seed ${seed}, in windows`, parts.steps, keptParts, parts.memory);
      split++;
    }
    assert(split > PLANNED / 8, `only ${split} graphs were bound in windows`);
    assert(fused["+relu"] > 0 && fused["+relu_grad"] > 0, "no graph had a ReLU to be fused");
    assert(ratio < 1.1, `plans take ${ratio.toFixed(3)} times the bound`);
  });

  Deno.test({
    name: `random graphs, ${kernelFamily} kernels: values and gradients are the reference's`,
    fn: async () => {
      using gpu = await requestGpu({ kernels: kernelFamily });
      assertEquals(lowerTarget(gpu).kernelFamily, kernelFamily);
      // Memory of earlier programs: larger than wanted, so reads past the end find NaN, not zeros.
      const pool = new MemoryPool(gpu);
      for (let seed = 0; seed < EXECUTED; seed++) {
        await execute(gpu, pool, seed);
        const { program, outputs } = differentiated(seed);
        const maxBindingBytes = smallestBinding(lowerTarget(gpu), program.graph, outputs);
        if (maxBindingBytes !== undefined) await execute(gpu, pool, seed, { maxBindingBytes });
      }
      pool.destroy();
    },
  });
}

async function execute(
  gpu: Gpu,
  pool: MemoryPool,
  seed: number,
  limits: Partial<LowerTarget> = {},
): Promise<void> {
  const { program: { graph, inputs }, dy, outputs, expected } = differentiated(seed);
  using program = await compile(gpu, graph, { outputs, pool, target: limits });
  program.fill(NaN);
  for (const { tensor, array } of [...inputs, dy]) {
    program.write(tensor.label, Float32Array.from(array.data));
  }
  program.run();
  for (const [name, reference] of Object.entries(expected)) {
    const found = await program.read(name);
    // Values are of the order of 1; gradients grow along the program.
    const scale = reference.data.reduce((max, v) => Math.max(max, Math.abs(v)), 1);
    reference.data.forEach((value, i) => {
      const error = Math.abs((found[i] ?? NaN) - value) / scale;
      assert(
        error < 1e-4,
        `seed ${seed}: ${name}[${i}] is ${found[i]}, expected ${value}\n${graph}`,
      );
    });
  }
}
