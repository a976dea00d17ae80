/** GPU optimizers against the float64 reference, through whole recorded train steps. @module */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { parameterGradients } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { planProgram } from "../../src/graph/program_plan.ts";
import { ParameterStore } from "../../src/graph/store.ts";
import {
  adam,
  adamw,
  type Clipping,
  type Optimizer,
  rmsprop,
  sgd,
} from "../../src/nn/optimizers.ts";
import { add, mul } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reduce.ts";
import { random } from "../reference/array.ts";
import { clipByNorm, clipByValue } from "../reference/clip.ts";
import * as reference from "../reference/optimizers.ts";
import { testGpu } from "../ops/harness.ts";

const STEPS = 12;

/** Sizes around multiples of 4 (a vec4) and of 64 (the arena's alignment). */
const SHAPES: Record<string, number[]> = {
  scalar: [1],
  matrix: [3, 5],
  frozen: [6],
  whole: [64],
  odd: [65],
  kernel: [7, 3, 3, 3],
  bias: [7],
};

type Step = (param: Float64Array, grad: Float64Array, lr: number) => void;

interface Case {
  name: string;
  optimizer: Optimizer;
  clipping?: Clipping;
  /** A fresh stepper of the reference for a parameter of `length` values. */
  reference(length: number): Step;
}

/** The rate of step 1, 2, ...: it changes, as a schedule would change it. */
function rate(step: number): number {
  return Math.fround(0.05 / (1 + 0.1 * step));
}

function makeStore(shapes = SHAPES): ParameterStore {
  const store = new ParameterStore();
  for (const [i, [name, shape]] of Object.entries(shapes).entries()) {
    store.add(name, shape, Float32Array.from(random(i, shape).data));
  }
  return store;
}

/** loss = sum over the parameters but `frozen` of w * x + w^2 / 2, whose gradient is x + w. */
function recordStep(store: ParameterStore, { optimizer, clipping }: Case) {
  const graph = new Graph();
  let loss: Tensor | undefined;
  for (const stored of store.trainable) {
    if (stored.name === "frozen") continue;
    const w = graph.parameter(stored);
    const x = graph.input(`x.${stored.name}`, { shape: stored.shape });
    const term = sum(add(mul(w, x), mul(w, w), 1, 0.5));
    loss = loss ? add(loss, term) : term;
  }
  assert(loss);
  const norm = optimizer.record(graph, store, parameterGradients(loss, store), clipping);
  return { graph, outputs: { loss, ...(norm ? { norm } : {}) } };
}

/** What clipping leaves of the gradients, and their norm before it. */
function clipped(grads: Float64Array[], { clipValue, clipNorm }: Clipping) {
  if (clipValue !== undefined) return { grads: clipByValue(grads, clipValue), totalNorm: 0 };
  return clipByNorm(grads, clipNorm ?? Infinity);
}

async function check(opCase: Case): Promise<void> {
  const gpu = await testGpu();
  const store = makeStore();
  const { graph, outputs } = recordStep(store, opCase);
  const program = await compile(gpu, graph, { outputs, stores: [store] });
  try {
    program.fill(NaN);
    const names = Object.keys(SHAPES).filter((name) => name !== "frozen");
    const initial = await store.read(gpu);
    const params = names.map((name) => Float64Array.from(initial.get(name)!));
    const steppers = params.map((param) => opCase.reference(param.length));
    for (let step = 1; step <= STEPS; step++) {
      const xs = names.map((name, i) => random(100 * step + i, SHAPES[name]!, 3).data);
      const raw = params.map((param, i) => param.map((p, k) => p + xs[i]![k]!));
      const { grads, totalNorm } = clipped(raw, opCase.clipping ?? {});
      steppers.forEach((advance, i) => advance(params[i]!, grads[i]!, rate(step)));

      names.forEach((name, i) => program.write(`x.${name}`, Float32Array.from(xs[i]!)));
      program.write("optimizer", opCase.optimizer.stepState(rate(step), step));
      program.run();
      if (outputs.norm) {
        const [norm = NaN] = await program.read("norm");
        assert(Math.abs(norm - totalNorm) <= 1e-5 * totalNorm, `norm ${norm}, not ${totalNorm}`);
      }
    }
    const actual = await store.read(gpu);
    names.forEach((name, i) => {
      const values = actual.get(name)!;
      const worst = Math.max(...params[i]!.map((p, k) => Math.abs(p - values[k]!)));
      const largest = Math.max(...params[i]!.map(Math.abs));
      assert(worst <= 1e-5 * largest, `${name} is off by ${worst} of ${largest}`);
    });
    assertEquals(actual.get("frozen"), initial.get("frozen"));

    const arena = new Float32Array(
      await gpu.readBuffer(store.parameters.on(gpu), 0, store.parameters.sizeBytes),
    );
    for (const { home, shape } of store.trainable) {
      const end = home.offsetBytes / 4 + shape.reduce((a, b) => a * b, 1);
      const padding = arena.slice(end, Math.ceil(end / 64) * 64);
      assert(padding.every((v) => v === 0), `padding after ${shape} is ${padding}`);
    }
  } finally {
    program.destroy();
    store.destroy();
  }
}

function sgdCase(options: Omit<reference.SgdOptions, "lr">, clipping?: Clipping): Case {
  return {
    name: `sgd ${JSON.stringify({ ...options, ...clipping })}`,
    optimizer: sgd(options),
    ...(clipping ? { clipping } : {}),
    reference(length) {
      const state = reference.sgdState(length);
      return (param, grad, lr) => reference.sgdStep(param, grad, state, { lr, ...options });
    },
  };
}

function rmspropCase(options: Omit<reference.RmspropOptions, "lr">, clipping?: Clipping): Case {
  return {
    name: `rmsprop ${JSON.stringify({ ...options, ...clipping })}`,
    optimizer: rmsprop(options),
    ...(clipping ? { clipping } : {}),
    reference(length) {
      const state = reference.rmspropState(length);
      return (param, grad, lr) => reference.rmspropStep(param, grad, state, { lr, ...options });
    },
  };
}

function adamCase(
  rule: "adam" | "adamw",
  options: Omit<reference.AdamOptions, "lr">,
  clipping?: Clipping,
): Case {
  const advance = rule === "adam" ? reference.adamStep : reference.adamwStep;
  return {
    name: `${rule} ${JSON.stringify({ ...options, ...clipping })}`,
    optimizer: rule === "adam" ? adam(options) : adamw(options),
    ...(clipping ? { clipping } : {}),
    reference(length) {
      const state = reference.adamState(length);
      return (param, grad, lr) => advance(param, grad, state, { lr, ...options });
    },
  };
}

const cases: Case[] = [
  sgdCase({}),
  sgdCase({ momentum: 0.9 }, { clipNorm: 2.5 }),
  sgdCase({ momentum: 0.9, nesterov: true, weightDecay: 0.1 }),
  sgdCase({ weightDecay: 0.2 }, { clipValue: 0.1 }),
  rmspropCase({}),
  rmspropCase({ alpha: 0.9, eps: 1e-3, weightDecay: 0.1 }, { clipNorm: 1e6 }),
  rmspropCase({ momentum: 0.9, weightDecay: 1e-8 }, { clipValue: 0.1 }),
  adamCase("adam", {}),
  adamCase("adam", { betas: [0.8, 0.99], eps: 1e-4, weightDecay: 0.1 }, { clipNorm: 1 }),
  adamCase("adamw", {}),
  adamCase("adamw", { betas: [0.7, 0.95], weightDecay: 0.5 }, { clipValue: 0.5 }),
];

for (const opCase of cases) {
  Deno.test({
    name: `${STEPS} steps of ${opCase.name}`,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () => check(opCase),
  });
}

Deno.test("an arena larger than a binding is updated in windows, and only where it is covered", () => {
  const store = makeStore({ a: [320], frozen: [64], b: [300], c: [512], d: [10] });
  const setting = { ...sgdCase({ momentum: 0.9 }), clipping: { clipNorm: 1 } };
  const { graph, outputs } = recordStep(store, setting);
  const target = { kernelFamily: "cpu" as const, maxTextureDimension: 8192, maxBindingBytes: 2100 };
  const { steps } = planProgram(graph, outputs, target);
  const windows = (label: string) =>
    steps.flatMap((step) =>
      step.kind === "dispatch" && step.label.endsWith(label)
        ? step.operands.flatMap((m) =>
          m.kind === "buffer" && m.home?.buffer === store.companion("gradients")
            ? [[m.home.offsetBytes, m.sizeBytes]]
            : []
        )
        : []
    );
  // a 0 to 1280, frozen to 1536 | b to 2816, c to 4864, d to 5120, in steps of 2048.
  const expected = [[0, 1280], [1536, 2048], [3584, 1536]];
  assertEquals(windows("optimizer_sgd"), expected);
  assertEquals(windows("gradient_norm"), expected);
});

Deno.test("the stride of RMSprop is that of its definition, Adam's is 1", () => {
  const [momentum, alpha] = [0.9, 0.99];
  const optimizer = rmsprop({ momentum, alpha });
  assertAlmostEquals(rmsprop({ alpha }).stride(1), 10, 1e-9);
  let [moved, square] = [0, 0];
  for (let step = 1; step <= 2000; step++) {
    square = alpha * square + (1 - alpha);
    moved = momentum * moved + 1 / Math.sqrt(square);
    assert(moved < 1.2 * optimizer.stride(step), `${moved} in step ${step}`);
  }
  assertAlmostEquals(moved, optimizer.stride(2000), 1e-6);
  assertEquals([adam().stride(1), adamw().stride(9), sgd({ momentum }).stride(1)], [1, 1, 1]);
});

Deno.test("optimizers refuse settings that would divide by zero or contradict each other", () => {
  assertThrows(() => adam({ eps: 0 }), InputError, "eps 0");
  assertThrows(() => rmsprop({ alpha: 1 }), InputError, "decay");
  assertThrows(() => sgd({ nesterov: true }), InputError, "nesterov");
  const store = makeStore();
  const setting = { ...sgdCase({}), clipping: { clipNorm: 1, clipValue: 1 } };
  assertThrows(() => recordStep(store, setting), InputError, "at most one");
});
