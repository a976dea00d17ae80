import { assert, assertEquals } from "@std/assert";
import type { DispatchSpec } from "../src/gpu/kernel_spec.ts";
import { kernelCode } from "../src/gpu/pipeline.ts";
import type { TuningTarget } from "../src/gpu/tuning.ts";
import { Graph } from "../src/graph/graph.ts";
import { compile } from "../src/graph/program.ts";
import { clearBorder } from "../src/ops/clear_border.ts";
import { gemmForward, gemmInputGrad } from "../src/ops/conv_gemm.ts";
import { adjointTaps, forwardTaps } from "../src/ops/conv_gemm_taps.ts";
import {
  forwardBytes,
  type ForwardProblem,
  type ForwardTile,
  forwardTiles,
  PIXELS,
  weightGradBytes,
  weightGradStrips,
  weightGradTiles,
} from "../src/ops/conv_gemm_tiles.ts";
import { gemmWeightGrad } from "../src/ops/conv_gemm_weight_grad.ts";
import type { ConvShape, Pair } from "../src/ops/conv_shape.ts";
import { type Array64, random } from "./reference/array.ts";
import * as reference from "./reference/conv2d.ts";
import { testGpu } from "./ops/harness.ts";
import { workgroupBytes } from "./workgroup_bytes.ts";

const MAX_BINDING_BYTES = 2 ** 27;

function same(
  inputChannels: number[],
  outputChannels: number,
  size: Pair,
  batch = 1,
  kernel: 1 | 3 = 3,
): ConvShape {
  const padding = (kernel - 1) / 2;
  return {
    batch,
    inputChannels,
    inputSize: size,
    outputChannels,
    outputSize: size,
    kernel: [kernel, kernel],
    stride: [1, 1],
    padding: [padding, padding],
    dilation: [1, 1],
  };
}

const strided: ConvShape = {
  ...same([5], 7, [9, 12]),
  kernel: [3, 4],
  outputSize: [4, 7],
  stride: [2, 2],
  padding: [0, 2],
};

function dispatchesOf(shape: ConvShape): DispatchSpec[] {
  const forward = gemmForward(shape, "bias");
  const inputGrad = gemmInputGrad(shape, 0, "none");
  const grad = gemmWeightGrad(shape, MAX_BINDING_BYTES);
  return [
    forward.pack,
    forward.gemm,
    inputGrad.pack,
    inputGrad.gemm,
    ...grad.accumulate,
    grad.reduce,
  ];
}

Deno.test("conv gemm: taps of a phase that see neighbours go together, all taps exactly once", () => {
  const whole = forwardTaps(same([4], 4, [5, 5]), 9).phases.flat();
  assertEquals(whole.map((g) => g.taps), [[0, 1, 2, 3, 4, 5, 6, 7, 8]]);
  // The adjoint sees the pixels in the opposite order.
  const adjoint = adjointTaps(same([4], 4, [5, 5]), 9).phases.flat();
  assertEquals(adjoint.map((g) => g.taps), [[8, 7, 6, 5, 4, 3, 2, 1, 0]]);
  for (const groups of [forwardTaps(strided, 9), adjointTaps(strided, 9)]) {
    const taps = groups.phases.flat().flatMap((g) => g.taps);
    assertEquals(taps.toSorted((a, b) => a - b), Array.from({ length: 12 }, (_, i) => i));
    assert(groups.phases.flat().every((g) => g.taps.length === groups.tapsY * groups.tapsX));
  }
  assertEquals(adjointTaps(strided, 9).phases.length, 4);
  assertEquals(adjointTaps(strided, 9).tapsX, 2);
});

Deno.test("conv gemm: partial sums fit a binding where one of them does", () => {
  const shape = same([5, 64], 64, [40, 60], 2);
  const { partialBytes: most } = gemmWeightGrad(shape, MAX_BINDING_BYTES);
  const oneSum = gemmWeightGrad(shape, 1).partialBytes;
  assert(oneSum < most);
  for (let limit = oneSum; limit < most; limit = Math.ceil(limit * 1.5)) {
    const { partialBytes } = gemmWeightGrad(shape, limit);
    assert(partialBytes <= limit && partialBytes >= oneSum, `${partialBytes} of ${limit}`);
  }
});

Deno.test("conv gemm: every tile fits WebGPU's default limits", () => {
  for (const tapsY of [1, 3]) {
    for (const tapsX of [1, 2, 3]) {
      for (const planes of [1, 3, 16, 64]) {
        const problem = {
          batch: 2,
          height: 50,
          width: 75,
          phases: 1,
          inputPlanes: planes,
          outputPlanes: planes,
          tapsY,
          tapsX,
          maxSums: 1000,
        };
        for (const tiles of [forwardTiles(problem), weightGradTiles(problem)]) {
          assertEquals(new Set(tiles.map(({ name }) => name)).size, tiles.length);
        }
      }
    }
  }
  const shapes = [
    same([64, 64], 64, [400, 600], 2),
    same([64], 23, [9, 9], 1, 1),
    same([3], 4, [4000, 6000], 2),
    strided,
  ];
  for (const shape of shapes) {
    for (const { kernel, grid, params } of dispatchesOf(shape)) {
      const code = kernelCode(kernel);
      assert(!/\$|\/\/@/.test(code), kernel.name);
      const bytes = workgroupBytes(code);
      assert(bytes <= 16384, `${kernel.name} takes ${bytes} bytes of workgroup memory`);
      const [, x, y = "1"] = /@workgroup_size\((\d+)(?:, (\d+))?\)/.exec(code) ?? [];
      assert(Number(x) * Number(y) <= 256, kernel.name);
      assert(grid.every((n) => n >= 1 && n <= 65535), `${kernel.name} ${grid}`);
      assert(params.every((word) => Number.isInteger(word) && word >= 0), kernel.name);
    }
  }
});

Deno.test("conv gemm: the memory that tiles are judged by is what their shaders declare", () => {
  const shape = same([40], 64, [50, 75], 2);
  const problem = {
    batch: 2,
    height: 50,
    width: 75,
    phases: 1,
    inputPlanes: 10,
    outputPlanes: 16,
    tapsY: 3,
    tapsX: 3,
    maxSums: 100,
  };
  const declared = ({ kernel }: DispatchSpec) => workgroupBytes(kernelCode(kernel));
  for (const tile of forwardTiles(problem)) {
    const run = (target: TuningTarget) => gemmForward(shape, "none", target).gemm;
    assertEquals(declared(run(named(tile.name, run))), forwardBytes(tile, problem), tile.name);
  }
  for (const tile of weightGradTiles(problem)) {
    const run = (target: TuningTarget) => gemmWeightGrad(shape, 2 ** 27, target).accumulate[0];
    const accumulate = run(named(tile.name, run));
    assert(accumulate);
    assertEquals(declared(accumulate), weightGradBytes(tile, problem), tile.name);
  }
});

Deno.test("conv gemm: wide layers get big tiles, narrow ones no idle threads, strips some pixel tiles each", () => {
  const problem: ForwardProblem = {
    batch: 2,
    height: 400,
    width: 600,
    phases: 1,
    inputPlanes: 16,
    outputPlanes: 16,
    tapsY: 3,
    tapsX: 3,
  };
  const sums = (t: ForwardTile) => t.channelGroups * t.outPlanes * 4 * t.rows * PIXELS;
  const [big] = forwardTiles(problem);
  assert(big && sums(big) >= 32 * 128, JSON.stringify(big));
  const [narrow] = forwardTiles({ ...problem, outputPlanes: 2 });
  assertEquals((narrow?.channelGroups ?? 0) * (narrow?.outPlanes ?? 0), 2, JSON.stringify(narrow));
  assertEquals(weightGradStrips(4, 2 ** 30, 100, 1000), 1, "no room for partial sums");
  assertEquals(weightGradStrips(1, 16, 3, 1000), 1, "fewer tiles than a strip takes");
  assertEquals(weightGradStrips(1, 16, 100, 1000), 13);
  assertEquals(weightGradStrips(1, 16, 10000, 7), 7, "the most that fit a binding");
  const [few = 0, many = 0] = [8, 2].map((groups) =>
    weightGradStrips(groups, 16, 10 ** 6, 10 ** 6)
  );
  assertEquals(many, 4 * few, "as many workgroups whatever a strip has");
});

/** What `run` may choose among, in the order of its choices: keys and names, the favourite first. */
function choicesOf(run: (target: TuningTarget) => unknown): [string, readonly string[]][] {
  const choices = new Map<string, readonly string[]>();
  run({ choices });
  return [...choices];
}

/** Chooses the tile of that name wherever `run` has a choice. */
function named(name: string, run: (target: TuningTarget) => unknown): TuningTarget {
  return { tuning: Object.fromEntries(choicesOf(run).map(([key]) => [key, name])) };
}

/** Chooses for `shape` the tiles that are the favourites of `large`. */
function sameTiles(
  shape: ConvShape,
  large: ConvShape,
  run: (shape: ConvShape, target: TuningTarget) => unknown,
): TuningTarget {
  const favourites = choicesOf((target) => run(large, target)).map(([, [name]]) => name);
  const tuning = choicesOf((target) => run(shape, target)).map(([key, names], i) => {
    const name = favourites[i];
    assert(name !== undefined && names.includes(name), `${key} has no tile ${name}`);
    return [key, name];
  });
  return { tuning: Object.fromEntries(tuning) };
}

/**
 * Results of a convolution's three directions with the tiles that images of `size` get: computing
 * such images would take a software adapter minutes.
 */
async function checkTiles(shape: ConvShape, size: Pair): Promise<void> {
  const gpu = await testGpu("gpu");
  const graph = new Graph();
  const { batch, inputChannels, outputChannels } = shape;
  const channels = inputChannels.reduce((sum, c) => sum + c, 0);
  const parts = inputChannels.map((c, i) => random(i + 1, [batch, c, ...shape.inputSize]));
  const weight = random(7, [outputChannels, channels, ...shape.kernel]);
  const dy = random(8, [batch, outputChannels, ...shape.outputSize]);
  const inputs = parts.map((p, i) => graph.input(`x${i}`, { shape: p.shape, layout: "c4" }));
  const w = graph.input("w", { shape: weight.shape });
  const g = graph.input("dy", { shape: dy.shape, layout: "c4" });
  const large = { ...shape, batch: 2, inputSize: size, outputSize: size };
  const outputs = {
    y: graph.record({
      op: "forward",
      inputs: [...inputs, w],
      outputs: [{ shape: dy.shape, layout: "c4" }],
      lower(context, node) {
        const spec = gemmForward(
          shape,
          "none",
          sameTiles(shape, large, (s, t) => gemmForward(s, "none", t)),
        );
        const packed = context.scratch("packed", spec.packedBytes);
        context.dispatch(spec.pack, [w, packed]);
        context.dispatch(spec.gemm, [...inputs, packed, node.output]);
        clearBorder(context, context.view(node.output));
      },
    }).output,
    dx: graph.record({
      op: "input_grad",
      inputs: [g, w],
      outputs: [{ shape: inputs[0]!.shape, layout: "c4" }],
      lower(context, node) {
        const spec = gemmInputGrad(
          shape,
          0,
          "none",
          sameTiles(shape, large, (s, t) => gemmInputGrad(s, 0, "none", t)),
        );
        const packed = context.scratch("packed", spec.packedBytes);
        context.dispatch(spec.pack, [w, packed]);
        context.dispatch(spec.gemm, [g, packed, node.output]);
        clearBorder(context, context.view(node.output));
      },
    }).output,
    dw: graph.record({
      op: "weight_grad",
      inputs: [...inputs, g],
      outputs: [{ shape: weight.shape }],
      lower(context, node) {
        const spec = gemmWeightGrad(
          shape,
          MAX_BINDING_BYTES,
          sameTiles(shape, large, (s, t) => gemmWeightGrad(s, MAX_BINDING_BYTES, t)),
        );
        const partials = context.scratch("partials", spec.partialBytes);
        spec.accumulate.forEach((dispatch, i) =>
          context.dispatch(dispatch, [inputs[i]!, g, partials])
        );
        context.dispatch(spec.reduce, [partials, node.output]);
      },
    }).output,
  };
  const program = await compile(gpu, graph, { outputs });
  try {
    program.fill(NaN);
    parts.forEach((part, i) => program.write(`x${i}`, Float32Array.from(part.data)));
    program.write("w", Float32Array.from(weight.data));
    program.write("dy", Float32Array.from(dy.data));
    program.run();
    const options = { padding: shape.padding };
    const expected = reference.conv2dBackward(dy, parts, weight, options);
    const y = reference.conv2d(parts, weight, undefined, options);
    expectClose("y", await program.read("y"), y, 1e-5);
    expectClose("dx", await program.read("dx"), expected.inputs[0]!, 1e-4);
    expectClose("dw", await program.read("dw"), expected.weight, 1e-4);
  } finally {
    program.destroy();
  }
}

function expectClose(what: string, found: Float32Array, expected: Array64, bound: number): void {
  assertEquals(found.length, expected.data.length);
  let largest = 0;
  let worst = 0;
  expected.data.forEach((value, i) => {
    largest = Math.max(largest, Math.abs(value));
    const off = Math.abs((found[i] ?? NaN) - value);
    worst = off <= worst ? worst : off;
  });
  assert(worst <= bound * largest, `${what} is off by ${worst} of ${largest}`);
}

for (
  const [shape, size] of [
    [same([68], 72, [19, 35]), [400, 600]],
    [same([68], 72, [9, 20], 2), [200, 300]],
    [same([9, 64], 23, [18, 33], 2, 1), [400, 600]],
    [same([3], 64, [35, 9]), [400, 600]],
  ] as const
) {
  const { inputChannels, outputChannels, kernel } = shape;
  Deno.test({
    name: `conv gemm: tiles of ${size.join("x")} images, ${inputChannels.join("+")} -> ` +
      `${outputChannels} channels, kernel ${kernel.join("x")}`,
    // The device is shared, so leak checks cannot apply.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => await checkTiles(shape, size),
  });
}
