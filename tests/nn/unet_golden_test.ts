/**
 * Whole networks against PyTorch's golden files, with both kernel families. Pipelines belong to a
 * device, so the four networks of a family share one.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { smallestBinding, testGpu } from "../ops/harness.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { parameterGradients } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import { compile, type Program } from "../../src/graph/program.ts";
import { lowerTarget } from "../../src/graph/program_plan.ts";
import { rmsprop } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import { crossEntropy } from "../../src/ops/cross_entropy.ts";
import { type Golden, goldenError, goldens } from "../golden/load.ts";

/** Of a tensor's largest element; PyTorch's own float32 is off by up to 9e-6. */
const GRADIENT_BOUND = 1e-4;
const VALUE_BOUND = 1e-5;
/** Relative; see "How close ten losses can come" in tests/golden/README.md. */
const LOSSES_BOUND = 1e-3;

for (const kernels of ["cpu", "gpu"] as const) {
  for (const golden of goldens) {
    // The device outlives its first test on purpose.
    Deno.test({
      name: `${golden.name}, ${kernels} kernels: logits, gradients, statistics and ten RMSprop ` +
        "steps are PyTorch's",
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => {
        await checkNetwork(await testGpu(kernels), golden);
      },
    });
  }
}

for (const golden of goldens) {
  Deno.test({
    name: `${golden.name}, with tensors bound in windows: the same`,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      await checkNetwork(await testGpu("cpu"), golden, { isSplit: true });
    },
  });
}

async function checkNetwork(gpu: Gpu, golden: Golden, { isSplit } = { isSplit: false }) {
  const { optimizer: settings, losses64 } = golden;
  const net = new UNet(golden.config, golden.seedWeights);
  const optimizer = rmsprop({
    momentum: settings.momentum,
    weightDecay: settings.weightDecay,
  });
  const graph = new Graph();
  const { image, labels } = inputs(graph, golden);
  const logits = net.forward(image, { training: true });
  const loss = crossEntropy(logits, labels, { ignoreIndex: golden.ignoreIndex });
  optimizer.record(graph, net.store, parameterGradients(loss, net.store));
  const outputs = { logits, loss };
  const maxBindingBytes = isSplit ? smallestBinding(lowerTarget(gpu), graph, outputs) : undefined;
  assertEquals(maxBindingBytes !== undefined, isSplit);
  const program = await compile(gpu, graph, {
    outputs,
    stores: [net.store],
    historyOf: "loss",
    target: maxBindingBytes === undefined ? {} : { maxBindingBytes },
  });
  try {
    program.fill(NaN);
    program.write("image", golden.input);
    program.write("labels", golden.labels);
    step(1);
    expectGolden(golden, "logits.train", await program.read("logits"), VALUE_BOUND);
    expectClose(golden, "the first loss", await program.read("loss"), losses64.slice(0, 1), 1e-6);
    const gradients = await net.store.readCompanion(gpu, "gradients");
    for (const { name } of net.store.trainable) {
      expectGolden(golden, `grad.${name}`, gradients.get(name), GRADIENT_BOUND);
    }
    const stored = await net.store.read(gpu);
    const statistics = new Map([...stored].filter(([name]) => /running_(mean|var)$/.test(name)));
    for (const [name, values] of statistics) {
      expectGolden(golden, `stat.${name}`, values, VALUE_BOUND);
    }
    await checkEvaluation(gpu, golden, statistics);

    for (let i = 2; i <= losses64.length; i++) step(i);
    const losses = await program.history(losses64.length);
    expectClose(golden, "the losses of ten steps", losses, losses64, LOSSES_BOUND);
  } finally {
    program.destroy();
    net.store.destroy();
  }

  function step(number: number): void {
    program.write("optimizer", optimizer.stepState(settings.learningRate, number));
    program.run();
  }
}

/** Logits with the initial weights and the running statistics of one train step. */
async function checkEvaluation(
  gpu: Gpu,
  golden: Golden,
  statistics: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  const net = new UNet(golden.config, golden.seedWeights);
  for (const [name, values] of statistics) net.store.set(name, values);
  const graph = new Graph();
  const { image } = inputs(graph, golden);
  const logits = net.forward(image, { training: false });
  let program: Program | undefined;
  try {
    program = await compile(gpu, graph, { outputs: { logits }, stores: [net.store] });
    program.fill(NaN);
    program.write("image", golden.input);
    program.run();
    expectGolden(golden, "logits.eval", await program.read("logits"), VALUE_BOUND);
  } finally {
    program?.destroy();
    net.store.destroy();
  }
}

function inputs(graph: Graph, golden: Golden): { image: Tensor; labels: Tensor } {
  const { batch, height, width, config } = golden;
  return {
    image: graph.input("image", {
      shape: [batch, config.channels, height, width],
      layout: "c4",
    }),
    labels: graph.input("labels", { shape: [batch, height, width], dtype: "u32" }),
  };
}

function expectGolden(
  golden: Golden,
  name: string,
  found: Float32Array | undefined,
  bound: number,
): void {
  assert(found, `${golden.name}: ${name} is missing`);
  const error = goldenError(golden, name, found);
  assert(
    error <= bound,
    `${golden.name}: ${name} is off by ${error.toExponential(2)} of its largest element, allowed ` +
      `${bound}`,
  );
}

function expectClose(
  golden: Golden,
  what: string,
  found: Float32Array,
  expected: readonly number[],
  bound: number,
): void {
  const errors = expected.map((value, i) => Math.abs((found[i] ?? NaN) - value) / value);
  assert(
    errors.every((error) => error <= bound),
    `${golden.name}: ${what} are ${found.join(", ")}, expected ${
      expected.join(", ")
    } within ${bound}`,
  );
}
