/** A whole train step with images of 16 bits. @module */
import { assert, assertRejects } from "@std/assert";
import { benchBatch, recordStep } from "../../src/bench/step.ts";
import { InputError } from "../../src/errors.ts";
import { type Gpu, requestGpu } from "../../src/gpu/device.ts";
import { Graph, type ImageType } from "../../src/mod.ts";
import { compile } from "../../src/graph/program.ts";
import { lowerTarget, planProgram } from "../../src/graph/program_plan.ts";
import { relu } from "../../src/ops/elementwise.ts";
import { testGpu } from "../ops/harness.ts";

const shape = { batch: 2, height: 37, width: 61 };
const LEARNING_RATE = 1e-3;

async function losses(gpu: Gpu, images: ImageType, steps: number): Promise<Float32Array> {
  const step = recordStep({ ...shape, mode: "train", firstLevel: 8, images });
  using program = await compile(gpu, step.graph, {
    outputs: step.outputs,
    stores: [step.net.store],
    historyOf: "loss",
  });
  const { image, labels } = benchBatch(shape);
  program.write("image", image);
  program.write("labels", labels);
  step.lossScale?.upload(gpu);
  for (let i = 1; i <= steps; i++) {
    program.write("optimizer", step.optimizer.stepState(LEARNING_RATE, i));
    program.run();
  }
  const values = await program.history(steps);
  step.net.store.destroy();
  step.lossScale?.destroy();
  return values;
}

for (const kernels of ["cpu", "gpu"] as const) {
  Deno.test({
    name: `images of 16 bits: UNetSmall learns as with 32, kernels for a ${kernels}`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const gpu = await testGpu(kernels);
      if (!gpu.supportsF16) return;
      const exact = await losses(gpu, "f32", 8);
      const half = await losses(gpu, "f16", 8);
      const [first = NaN, last = NaN] = [exact[0], exact.at(-1)];
      assert(last < 0.9 * first, `the loss falls from ${first} to ${last} only`);
      // The first loss has seen 20 roundings of 2^-11 one after the other, later ones differ by what
      // RMSprop makes of gradients near zero, too.
      assert(Math.abs((half[0] ?? NaN) - first) < 2e-3 * first, `${half[0]}, expected ${first}`);
      exact.forEach((loss, i) => {
        const other = half[i] ?? NaN;
        assert(Math.abs(other - loss) < 0.03 * first, `loss ${i} is ${other}, expected ${loss}`);
      });
    },
  });
}

Deno.test({
  name: "images of 16 bits take half the memory",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const target = lowerTarget(await testGpu());
    const planned = (["f32", "f16"] as const).map((images) => {
      const size = { batch: 1, height: 512, width: 766 };
      const step = recordStep({ ...size, mode: "train", firstLevel: 16, images });
      return planProgram(step.graph, step.outputs, target).memory.slotBytes;
    });
    const [whole = NaN, half = NaN] = planned;
    // Packed weights, sums and parts of transformed images, 8 MiB at most each, stay as they are.
    assert(half > 0.5 * whole && half < 0.62 * whole, `${half} of ${whole} bytes`);
  },
});

Deno.test({
  name: "images of 16 bits are refused where the adapter has none",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    using gpu = await requestGpu();
    Object.defineProperty(gpu, "supportsF16", { value: false });
    const graph = new Graph({ images: "f16" });
    const y = relu(graph.input("x", { shape: [1, 4, 3, 3], layout: "c4" }));
    await assertRejects(() => compile(gpu, graph, { outputs: { y } }), InputError, "shader-f16");
  },
});
