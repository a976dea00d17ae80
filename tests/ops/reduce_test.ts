import { assert, assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { Graph } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { channelSum, mean, sum } from "../../src/ops/reduce.ts";
import { fromValues, random } from "../reference/array.ts";
import * as reference from "../reference/reduce.ts";
import { checkOp, type OpCase, testGpu, testOps } from "./harness.ts";

// The last one takes several chunks on each level.
const images = [[1, 1, 1, 1], [2, 5, 3, 17], [3, 4, 16, 14], [2, 6, 150, 270]];
const shapes = [...images, [1], [7], [3, 5], [70001]];

function* cases(): Generator<OpCase> {
  for (const shape of shapes) {
    const x = random(1, shape);
    const dy = fromValues([1], [-1.5]);
    // Without an offset the terms cancel, and the bound would be relative to a sum near zero.
    x.data.forEach((value, i) => x.data[i] = Math.fround(value + 0.25));
    yield {
      name: `sum [${shape}]`,
      inputs: { x: { value: x } },
      record: ({ x }) => sum(x!),
      output: fromValues([1], [reference.sum(x)]),
      outputGradient: dy,
      gradients: { x: reference.sumBackward(-1.5, shape) },
      partsReorderSums: true,
    };
    yield {
      name: `mean [${shape}]`,
      inputs: { x: { value: x } },
      record: ({ x }) => mean(x!),
      output: fromValues([1], [reference.mean(x)]),
      outputGradient: dy,
      gradients: { x: reference.meanBackward(-1.5, shape) },
      partsReorderSums: true,
    };
  }
  for (const shape of images) {
    const x = random(2, shape);
    const dy = random(3, [shape[1] ?? 1]);
    yield {
      name: `channelSum [${shape}]`,
      inputs: { x: { value: x } },
      record: ({ x }) => channelSum(x!),
      output: reference.sumPerChannel(x),
      outputGradient: dy,
      gradients: { x: reference.sumPerChannelBackward(dy, shape) },
    };
  }
}

testOps(cases());

// The adapter at hand chooses one way to cut sums into invocations; both must be right.
for (const kernels of ["cpu", "gpu"] as const) {
  Deno.test({
    name: `sums with the kernels for a ${kernels}`,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      using gpu = await requestGpu({ kernels });
      for (const opCase of cases()) await checkOp(gpu, opCase);
    },
  });
}

Deno.test({
  name: "sum leaves out what lies past the end of a flat tensor",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const gpu = await testGpu();
    const graph = new Graph();
    const x = graph.input("x", { shape: [5] });
    const program = await compile(gpu, graph, { outputs: { y: sum(x) } });
    try {
      const values = new Float32Array([1, 2, 3, 4, 5, NaN, NaN, NaN]);
      assert(x.home);
      gpu.device.queue.writeBuffer(x.home.buffer.on(gpu), x.home.offsetBytes, values);
      program.run();
      assertEquals([...await program.read("y")], [15]);
    } finally {
      program.destroy();
    }
  },
});

Deno.test("channelSum refuses a flat tensor by name", () => {
  const x = new Graph().input("logits", { shape: [2, 3] });
  assertThrows(() => channelSum(x), ShapeError, "logits");
});
