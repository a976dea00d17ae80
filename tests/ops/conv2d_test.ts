import { assert, assertEquals, assertThrows } from "@std/assert";

import { ShapeError } from "../../src/errors.ts";
import type { DispatchSpec } from "../../src/gpu/kernel_spec.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import { planProgram } from "../../src/graph/program_plan.ts";
import { add } from "../../src/ops/elementwise.ts";
import { concat } from "../../src/ops/concat.ts";
import { chooseConvFamily, conv2d } from "../../src/ops/conv2d.ts";
import type { ConvDims } from "../../src/ops/conv_texture.ts";
import { suitsWinograd } from "../../src/ops/conv_winograd.ts";
import {
  suitsWinogradWeightGrad,
  winogradWeightGrad,
} from "../../src/ops/conv_winograd_weight_grad.ts";
import { PIECE_BYTES, type PiecedTexture } from "../../src/ops/pieced_texture.ts";
import { type Array64, type Pair, random } from "../reference/array.ts";
import * as concatReference from "../reference/concat.ts";
import * as reference from "../reference/conv2d.ts";
import { checkOp, type OpCase, testEveryWay, testGpu } from "./harness.ts";

interface Sizes {
  batch: number;
  channels: number[];
  size: Pair;
  out: number;
  kernel: Pair;
  options?: reference.Conv2dOptions;
  bias?: boolean;
}

/** A case of conv2d over the concatenation of inputs a, b, c, d. */
function convCase(s: Sizes, seed = 1): OpCase {
  const [h, w] = s.size;
  const names = s.channels.map((_, i) => "abcd"[i] ?? "?");
  const parts = s.channels.map((c, i) => random(seed + i, [s.batch, c, h, w]));
  const total = s.channels.reduce((sum, c) => sum + c, 0);
  const weight = random(seed + 10, [s.out, total, ...s.kernel]);
  const bias = s.bias ?? true ? random(seed + 11, [s.out]) : undefined;
  const output = reference.conv2d(parts, weight, bias, s.options);
  const dy = random(seed + 12, output.shape);
  const expected = reference.conv2dBackward(dy, parts, weight, s.options);
  const images = Object.fromEntries(
    names.map((name, i) => [name, { value: parts[i] ?? weight }]),
  );
  const gradients: Record<string, Array64> = { weight: expected.weight };
  names.forEach((name, i) => gradients[name] = expected.inputs[i] ?? weight);
  if (bias) gradients.bias = expected.bias;
  const { stride = [1, 1], padding = [0, 0], dilation = [1, 1] } = s.options ?? {};
  return {
    name:
      `conv2d [${s.batch},${s.channels.join("+")},${s.size}] -> ${s.out}, kernel ${s.kernel}, ` +
      `stride ${stride}, padding ${padding}, dilation ${dilation}${bias ? ", bias" : ""}`,
    inputs: {
      ...images,
      weight: { value: weight, layout: "flat" },
      ...(bias ? { bias: { value: bias } } : {}),
    },
    record: (t) => {
      const x = concat(names.map((name) => t[name]!));
      return conv2d(x, t.weight!, t.bias, s.options);
    },
    output,
    outputGradient: dy,
    gradients,
    partsReorderSums: true,
  };
}

const same3: reference.Conv2dOptions = { padding: [1, 1] };

/** Sizes that both families take. */
const common: Sizes[] = [
  { batch: 2, channels: [5], size: [7, 11], out: 6, kernel: [3, 3], options: same3 },
  { batch: 1, channels: [3, 5], size: [9, 6], out: 9, kernel: [3, 3], options: same3 },
  { batch: 3, channels: [16, 16], size: [5, 5], out: 16, kernel: [3, 3], options: same3 },
  { batch: 2, channels: [1], size: [1, 1], out: 1, kernel: [3, 3], options: same3 },
  { batch: 1, channels: [3], size: [37, 31], out: 8, kernel: [3, 3], options: same3, bias: false },
  { batch: 2, channels: [7], size: [6, 19], out: 2, kernel: [1, 1] },
  { batch: 1, channels: [64], size: [1, 1], out: 33, kernel: [1, 1], bias: false },
  { batch: 2, channels: [1, 6, 4, 3], size: [4, 14], out: 5, kernel: [3, 3], options: same3 },
];

/** More planes than one column of a texture of 16384 texels holds: activations, then weights. */
const columns: Sizes[] = [
  { batch: 5, channels: [40, 24], size: [256, 2], out: 4, kernel: [3, 3], options: same3 },
  { batch: 5, channels: [4], size: [256, 1], out: 64, kernel: [1, 1] },
  { batch: 1, channels: [1024], size: [1, 1], out: 1032, kernel: [1, 1] },
];

/**
 * Sizes that go through Winograd's algorithms on software adapters: one group of blocks, several
 * images in two groups, then larger groups, two parts and two columns of weights; then blocks of 6 x 6
 * pixels, the last time with as many channels as these may have; then so few channels that lanes share
 * blocks of weight gradients, four and two at a time.
 */
const winograd: Sizes[] = [
  {
    batch: 1,
    channels: [64],
    size: [37, 38],
    out: 61,
    kernel: [3, 3],
    options: same3,
    bias: false,
  },
  { batch: 3, channels: [34, 31], size: [29, 30], out: 67, kernel: [3, 3], options: same3 },
  { batch: 2, channels: [132, 121], size: [41, 62], out: 114, kernel: [3, 3], options: same3 },
  { batch: 1, channels: [62], size: [45, 70], out: 64, kernel: [3, 3], options: same3 },
  { batch: 1, channels: [61, 64], size: [71, 93], out: 64, kernel: [3, 3], options: same3 },
  { batch: 1, channels: [30], size: [45, 70], out: 33, kernel: [3, 3], options: same3 },
  { batch: 2, channels: [29, 8], size: [37, 38], out: 72, kernel: [3, 3], options: same3 },
];

/** Sizes that the texture family does not take: direct kernels on software adapters. */
const general: Sizes[] = [
  { batch: 2, channels: [3], size: [8, 9], out: 5, kernel: [3, 3] },
  {
    batch: 1,
    channels: [5],
    size: [11, 13],
    out: 9,
    kernel: [3, 3],
    options: { stride: [2, 2], padding: [1, 1] },
  },
  {
    batch: 2,
    channels: [2, 6],
    size: [40, 21],
    out: 3,
    kernel: [2, 4],
    options: { stride: [3, 1], padding: [0, 2], dilation: [2, 1] },
  },
  {
    batch: 1,
    channels: [4],
    size: [9, 12],
    out: 4,
    kernel: [5, 3],
    options: { padding: [4, 3], dilation: [2, 3] },
  },
  { batch: 1, channels: [3], size: [15, 14], out: 8, kernel: [7, 7], options: { padding: [3, 3] } },
  { batch: 3, channels: [4], size: [7, 7], out: 6, kernel: [1, 1], options: { stride: [2, 3] } },
  { batch: 2, channels: [3], size: [1, 1], out: 2, kernel: [3, 3], options: { padding: [2, 1] } },
];

function testFamily(family: "cpu" | "gpu", cases: Iterable<OpCase>): void {
  for (const opCase of cases) {
    Deno.test({
      name: `${opCase.name} (${family} kernels)`,
      // The device is shared, so leak checks cannot apply.
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => await checkOp(await testGpu(family), opCase),
    });
  }
}

/** Small sizes drawn at random, the same every time. */
function* randomSizes(count: number): Generator<Sizes> {
  let state = 12345;
  const next = (from: number, to: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return from + Math.floor(state / 2 ** 32 * (to - from + 1));
  };
  for (let i = 0; i < count; i++) {
    const kernel = next(0, 1) ? 3 : 1;
    yield {
      batch: next(1, 5),
      channels: Array.from({ length: next(1, 3) }, () => next(1, 20)),
      size: [next(1, 24), next(1, 24)],
      out: next(1, 20),
      kernel: [kernel, kernel],
      options: { padding: [(kernel - 1) / 2, (kernel - 1) / 2] },
      bias: next(0, 1) === 1,
    };
  }
}

const shared = [...common, ...randomSizes(8)].map((s, i) => convCase(s, i * 20 + 1));
testFamily("cpu", shared);
testFamily("cpu", columns.map((s, i) => convCase(s, i * 20 + 301)));
testFamily("gpu", shared);
testFamily("cpu", winograd.map((s, i) => convCase(s, i * 20 + 401)));
const unusual = general.map((s, i) => convCase(s, i * 20 + 501));
testFamily("cpu", unusual);
testFamily("gpu", unusual);

function concatCase(channels: number[]): OpCase {
  const parts = channels.map((c, i) => random(i + 1, [2, c, 3, 15]));
  const output = concatReference.concat(parts);
  const dy = random(9, output.shape);
  const expected = concatReference.concatBackward(dy, channels);
  const entries = parts.map((value, i) => [`x${i}`, value] as const);
  return {
    name: `concat ${channels.join("+")}, built`,
    inputs: Object.fromEntries(entries.map(([name, value]) => [name, { value }])),
    record: (t) => concat(channels.map((_, i) => t[`x${i}`]!)),
    output,
    outputGradient: dy,
    gradients: Object.fromEntries(
      entries.map(([name, value], i) => [name, expected[i] ?? value]),
    ),
  };
}

testFamily("cpu", [[3, 5], [1, 1, 1, 6], [4, 8], [2, 3, 1, 4, 5]].map(concatCase));
testEveryWay();

const target = { maxTextureDimension: 8192, maxBindingBytes: 2 ** 27 };

function images(graph: Graph, label: string, shape: number[]): Tensor {
  return graph.input(label, { shape, layout: "c4" });
}

Deno.test("conv2d reads the parts of a concatenation, which is then never built", () => {
  for (const kernelFamily of ["cpu", "gpu"] as const) {
    const graph = new Graph();
    const joined = concat([images(graph, "a", [1, 5, 4, 4]), images(graph, "b", [1, 3, 4, 4])]);
    const weight = graph.input("w", { shape: [4, 8, 3, 3] });
    const y = conv2d(joined, weight, undefined, { padding: 1 });
    const plan = (output: Tensor) =>
      planProgram(graph, { y: output }, { ...target, kernelFamily }).steps.map((s) => s.label);
    assertEquals(plan(y).includes("concat"), false);
    assertEquals(plan(add(joined, joined)).includes("concat"), true);
  }
});

Deno.test("chooseConvFamily takes textures only where they are fast and fit, gemm on real GPUs", () => {
  const base = {
    batch: 1,
    inputChannels: [64],
    inputSize: [100, 100] as const,
    outputChannels: 64,
    outputSize: [100, 100] as const,
    kernel: [3, 3] as const,
    stride: [1, 1] as const,
    padding: [1, 1] as const,
    dilation: [1, 1] as const,
  };
  const cpu = { ...target, kernelFamily: "cpu" as const };
  assertEquals(chooseConvFamily(cpu, base), "texture");
  assertEquals(chooseConvFamily({ ...cpu, kernelFamily: "gpu" }, base), "gemm");
  assertEquals(chooseConvFamily(cpu, { ...base, stride: [2, 2] }), "direct");
  assertEquals(chooseConvFamily(cpu, { ...base, padding: [0, 0] }), "direct");
  assertEquals(chooseConvFamily({ ...cpu, maxTextureDimension: 96 }, base), "direct");
});

Deno.test("suitsWinograd takes what pays for its transforms and fits", () => {
  const limits = { maxTextureDimension: 16384, maxBindingBytes: 2 ** 27 };
  const base = { batch: 1, inputChannels: [64], height: 40, width: 40, outputChannels: 64 };
  const suits = (changes: Partial<ConvDims> = {}, target = limits) =>
    suitsWinograd({ ...base, kernel: 3, ...changes }, target);
  for (const { batch, channels, size: [height, width], out } of winograd) {
    const dims = { batch, height, width, inputChannels: channels, outputChannels: out };
    assert(suits(dims));
    assert(suitsWinogradWeightGrad({ ...dims, kernel: 3 }, limits));
  }
  assert(suits());
  assert(!suits({ kernel: 1 }));
  assert(suits({ inputChannels: [29], outputChannels: 29 }));
  assert(!suits({ inputChannels: [28] }));
  assert(!suits({ outputChannels: 28 }));
  assert(!suits({ height: 32 }), "80 blocks of 128");
  assert(!suits({ batch: 2, height: 32 }), "160 blocks of 256");
  assert(!suits({ inputChannels: [1024], outputChannels: 1024 }), "weights of 144 MiB");
  assert(!suits({}, { ...limits, maxBindingBytes: 2 ** 20 }));
  assert(!suits({}, { ...limits, maxTextureDimension: 512 }));
});

/** That pieces cover all blocks of a range, one after the other, where the texture has them. */
function checkPieces(
  { width, height, pieces }: PiecedTexture<readonly DispatchSpec[]>,
  rows: number,
  first: number,
  count: number,
): void {
  assertEquals(height, Math.ceil(count / width) * rows);
  let done = 0;
  for (const { dispatches, copy } of pieces()) {
    assertEquals([copy.x, copy.y], [done % width, Math.floor(done / width) * rows]);
    assertEquals([copy.bytesPerRow, copy.height], [copy.width * 16, rows]);
    assertEquals(copy.bytesPerRow % 256, 0);
    assert(copy.x + copy.width <= width);
    const size = Math.min(copy.width, count - done);
    for (const { params, grid } of dispatches) {
      assertEquals(params.slice(-3), [first + done, size, copy.width]);
      assertEquals(grid[0], Math.ceil(size / 16));
    }
    const isSmall = copy.bytesPerRow * rows <= PIECE_BYTES;
    assert(isSmall || copy.width === 16, "large only where it cannot be small");
    done += size;
  }
  assertEquals(done, count);
}

Deno.test("winogradWeightGrad: parts and strips cover every block once, lanes every channel", () => {
  const limits = { maxTextureDimension: 16384, maxBindingBytes: 2 ** 27 };
  for (
    const [batch, height, width, inputs, outputs, isSix] of [
      [1, 37, 38, [64], 61, false],
      [1, 45, 70, [62], 64, true],
      [2, 41, 62, [132, 121], 114, false],
      [1, 400, 600, [128, 64], 64, true],
      [3, 100, 150, [300], 500, false],
      [1, 64, 96, [32], 32, true],
      [1, 150, 200, [41], 70, true],
    ] as const
  ) {
    const dims: ConvDims = {
      batch,
      height,
      width,
      inputChannels: inputs,
      outputChannels: outputs,
      kernel: 3,
    };
    const { parts, sumBytes, finish } = winogradWeightGrad(dims, limits);
    const side = isSix ? 6 : 4;
    const blocks = batch * Math.ceil(height / side) * Math.ceil(width / side);
    const inputPlanes = inputs.reduce((sum, channels) => sum + Math.ceil(channels / 4), 0);
    const outputPlanes = Math.ceil(outputs / 4);
    let first = 0;
    let strips = 0;
    parts.forEach(({ transformed, blocks: inputBlocks, accumulate }, part) => {
      const [planes, inPlanes, lanesIn = 0, lanesOut = 0, ...others] = accumulate(false).params;
      const [inputGroups = 0, count = 0, perStrip = 0, isAdded] = others;
      assertEquals([planes, inPlanes], [outputPlanes, inputPlanes]);
      assertEquals(isAdded, part > 0 ? 1 : 0);
      const numbers = (side + 2) ** 2;
      checkPieces(transformed, numbers * outputPlanes, first, count);
      const ofInputs = inputBlocks.pieces().map(({ dispatches, copy }) => {
        assertEquals(dispatches.length, inputs.length);
        return { dispatches: dispatches.flat(), copy };
      });
      checkPieces(
        { ...inputBlocks, pieces: () => ofInputs },
        numbers * inputPlanes,
        first,
        count,
      );
      const group = inputBlocks.width;
      const [workgroups, partStrips, positions] = accumulate(false).grid;
      assertEquals(positions, isSix ? 64 : 36);
      assertEquals(partStrips, Math.ceil(Math.ceil(count / group) / perStrip));
      const shares = 16 / (lanesIn * lanesOut);
      assert([1, 2, 4].includes(shares), `${shares} shares of passes of 4 among 16 blocks`);
      strips = Math.max(strips, partStrips * shares);
      if (part > 0) assert(partStrips * shares <= strips, "the first part fills all strips");
      assert(inputGroups * lanesIn * 4 >= inputPlanes);
      assert(workgroups / inputGroups * lanesOut * 4 >= outputPlanes);
      if (inputPlanes === 8 && outputPlanes === 8) assertEquals([workgroups, shares], [1, 4]);
      first += count;
    });
    assertEquals(first, blocks);
    assertEquals(sumBytes, strips * (side + 2) ** 2 * 4 * inputPlanes * outputPlanes * 16);
    assertEquals(finish.params[0], strips);
  }
});

Deno.test("conv2d refuses shapes that do not fit, naming both", () => {
  const graph = new Graph();
  const x = images(graph, "photo", [1, 3, 4, 4]);
  const w = (label: string, shape: number[]) => graph.input(label, { shape });
  assertThrows(() => conv2d(x, w("w1", [8, 4, 3, 3])), ShapeError, "photo");
  assertThrows(() => conv2d(x, w("w2", [8, 3, 5, 5])), ShapeError, "smaller than the kernel");
  assertThrows(
    () => conv2d(x, w("w3", [8, 3, 3, 3]), w("b", [3])),
    ShapeError,
    "expected shape [8]",
  );
  assertThrows(() => conv2d(x, w("w4", [8, 3, 3, 3]), undefined, { stride: 0 }), ShapeError);
  assertThrows(() => concat([x, images(graph, "other", [1, 3, 4, 5])]), ShapeError, "other");
});
