/**
 * The float64 reference on its own: every backward against central differences, forward values
 * against numbers worked out by hand and against identities.
 * @module
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import * as ref from "./reference/mod.ts";
import {
  type Array64,
  dot,
  fromValues,
  type Labels,
  random,
  randomLabels,
} from "./reference/mod.ts";

/** Relative: central differences in float64 are good to about 1e-8 here. */
const GRADIENT_TOLERANCE = 1e-6;
/** Sums in another order differ by a few units in the last place. */
const ROUNDING = 1e-12;

function assertClose(actual: Labels, expected: Labels, tolerance = ROUNDING, what = "value"): void {
  const error = ref.relativeError(actual, expected);
  assert(error <= tolerance, `${what}: relative error ${error}, expected at most ${tolerance}.`);
}

function assertNumber(actual: number, expected: number, tolerance = ROUNDING): void {
  assertClose(fromValues([], [actual]), fromValues([], [expected]), tolerance);
}

/** Holds `backward` to the differences of <forward(), r> for a random r, for every input. */
function checkGradient(
  inputs: Array64[],
  forward: () => Array64,
  backward: (gradOutput: Array64) => Array64[],
): void {
  const gradOutput = random(99, forward().shape);
  const grads = backward(gradOutput);
  assertEquals(grads.length, inputs.length);
  inputs.forEach((input, i) => {
    const expected = ref.numericalGradient(() => dot(forward(), gradOutput), input);
    assert(expected.data.some((value) => Math.abs(value) > 1e-3), `input ${i} has no influence`);
    assertClose(grads[i]!, expected, GRADIENT_TOLERANCE, `gradient of input ${i}`);
  });
}

/** The same for a loss, with a gradient from above that is not 1. */
function checkLossGradient(
  logits: Array64,
  forward: () => number,
  backward: (gradOutput: number) => Array64,
): void {
  checkGradient(
    [logits],
    () => fromValues([], [forward()]),
    (gradOutput) => [backward(gradOutput.data[0]!)],
  );
}

const convCases: ref.Conv2dOptions[] = [
  {},
  { padding: [1, 1] },
  { stride: [2, 1], padding: [0, 2] },
  { stride: [2, 3], padding: [2, 1], dilation: [2, 1] },
];

for (const options of convCases) {
  Deno.test(`reference conv2d ${JSON.stringify(options)}: gradients`, () => {
    const inputs = [random(1, [2, 2, 6, 7]), random(2, [2, 1, 6, 7])];
    const weight = random(3, [4, 3, 3, 2]);
    const bias = random(4, [4]);
    checkGradient(
      [...inputs, weight, bias],
      () => ref.conv2d(inputs, weight, bias, options),
      (g) => {
        const grads = ref.conv2dBackward(g, inputs, weight, options);
        return [...grads.inputs, grads.weight, grads.bias];
      },
    );
  });

  Deno.test(`reference convTranspose2d ${JSON.stringify(options)}: adjoint of conv2d`, () => {
    const x = random(1, [2, 3, 9, 8]);
    const weight = random(2, [4, 3, 3, 2]);
    const y = ref.conv2d([x], weight, undefined, options);
    const z = random(3, y.shape);
    // A strided convolution drops rows at the end; output padding is what restores them.
    const { stride: [sh, sw] = [1, 1] } = options;
    const plain = ref.convTranspose2d(z, weight, undefined, options);
    const outputPadding = [9 - plain.shape[2]!, 8 - plain.shape[3]!] as const;
    assert(outputPadding[0] < sh && outputPadding[1] < sw);
    const adjoint = ref.convTranspose2d(z, weight, undefined, { ...options, outputPadding });
    assertNumber(dot(x, adjoint), dot(y, z));
  });
}

Deno.test("reference conv2d: values by hand", () => {
  const x = fromValues([1, 1, 3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const weight = fromValues([1, 1, 2, 2], [1, 0, 0, -2]);
  const bias = fromValues([1], [100]);
  assertEquals(ref.conv2d([x], weight, bias).data, Float64Array.of(91, 90, 88, 87));
  const padded = ref.conv2d([x], weight, undefined, { padding: [1, 0], stride: [3, 1] });
  assertEquals(padded, fromValues([1, 1, 2, 2], [-4, -6, 7, 8]));
  const dilated = ref.conv2d([x], weight, undefined, { dilation: [2, 2] });
  assertEquals(dilated, fromValues([1, 1, 1, 1], [-17]));
  const ids = fromValues([2, 1, 1, 1], [1, 10]);
  const two = ref.conv2d([fromValues([1, 1, 1, 2], [3, 4])], ids, fromValues([2], [0.5, 0]));
  assertEquals(two, fromValues([1, 2, 1, 2], [3.5, 4.5, 30, 40]));
});

const convTransposeCases: ref.ConvTranspose2dOptions[] = [
  { stride: [2, 2] },
  { stride: [3, 2], padding: [1, 0], outputPadding: [2, 1] },
  { stride: [1, 2], padding: [2, 1], dilation: [2, 3], outputPadding: [1, 0] },
];

for (const options of convTransposeCases) {
  Deno.test(`reference convTranspose2d ${JSON.stringify(options)}: gradients`, () => {
    const x = random(1, [2, 3, 4, 3]);
    const weight = random(2, [3, 2, 2, 3]);
    const bias = random(3, [2]);
    checkGradient(
      [x, weight, bias],
      () => ref.convTranspose2d(x, weight, bias, options),
      (g) => {
        const grads = ref.convTranspose2dBackward(g, x, weight, options);
        return [grads.x, grads.weight, grads.bias];
      },
    );
  });
}

Deno.test("reference convTranspose2d: values by hand", () => {
  const x = fromValues([1, 1, 1, 2], [1, 2]);
  const weight = fromValues([1, 1, 2, 2], [1, 2, 3, 4]);
  const bias = fromValues([1], [10]);
  const doubled = ref.convTranspose2d(x, weight, bias, { stride: [2, 2] });
  assertEquals(doubled, fromValues([1, 1, 2, 4], [11, 12, 12, 14, 13, 14, 16, 18]));
  assertEquals(ref.convTranspose2d(x, weight, bias).data.slice(0, 3), Float64Array.of(11, 14, 14));
  assertThrows(() => ref.convTranspose2d(x, weight, bias, { outputPadding: [1, 0] }), RangeError);
});

Deno.test("reference maxPool2d: values, ties and gradients", () => {
  const x = fromValues([1, 1, 3, 4], [1, 5, 5, 0, 5, 5, 2, 2, -1, -3, 2, 2]);
  const { y, indices } = ref.maxPool2d(x, { kernel: [2, 2] });
  assertEquals(y, fromValues([1, 1, 1, 2], [5, 5]));
  assertEquals(indices, Int32Array.of(1, 2));
  const overlapping = { kernel: [3, 3], stride: [2, 2], padding: [1, 1] } as const;
  const padded = ref.maxPool2d(fromValues([1, 1, 2, 2], [-1, -2, -3, -4]), overlapping);
  assertEquals(padded.y, fromValues([1, 1, 1, 1], [-1]));
  const z = random(5, [2, 3, 7, 6]);
  for (const options of [{ kernel: [2, 2] } as const, overlapping]) {
    checkGradient(
      [z],
      () => ref.maxPool2d(z, options).y,
      (g) => [ref.maxPool2dBackward(g, z, options)],
    );
  }
});

const upsampleCases: ref.UpsampleBilinear2dOptions[] = [
  { scaleFactor: [2, 2], alignCorners: true },
  { scaleFactor: [2, 2], alignCorners: false },
  { size: [7, 3], alignCorners: true },
  { size: [7, 3], alignCorners: false },
  { scaleFactor: [1.7, 0.8], alignCorners: false },
  { size: [1, 1], alignCorners: true },
];

for (const options of upsampleCases) {
  Deno.test(`reference upsampleBilinear2d ${JSON.stringify(options)}: gradients`, () => {
    const x = random(1, [2, 2, 4, 5]);
    checkGradient(
      [x],
      () => ref.upsampleBilinear2d(x, options),
      (g) => [ref.upsampleBilinear2dBackward(g, x, options)],
    );
    const ones = ref.sumBackward(1, x.shape);
    const resized = ref.upsampleBilinear2d(ones, options);
    assertClose(resized, ref.sumBackward(1, resized.shape));
  });
}

Deno.test("reference upsampleBilinear2d: values by hand", () => {
  const x = fromValues([1, 1, 1, 2], [0, 1]);
  const row = (options: ref.UpsampleBilinear2dOptions) => [
    ...ref.upsampleBilinear2d(x, options).data,
  ];
  assertEquals(row({ size: [1, 3], alignCorners: true }), [0, 0.5, 1]);
  assertEquals(row({ size: [1, 4], alignCorners: false }), [0, 0.25, 0.75, 1]);
  assertEquals(row({ size: [1, 1], alignCorners: true }), [0]);
  assertEquals(row({ size: [1, 1], alignCorners: false }), [0.5]);
  // floor(2 * 1.6) = 3 columns, but coordinates step by 1 / 1.6 = 0.625, not 2 / 3.
  assertEquals(row({ scaleFactor: [1, 1.6], alignCorners: false }), [0, 0.4375, 1]);
});

Deno.test("reference batchNorm2d: values and gradients", () => {
  const x = random(1, [3, 2, 3, 4], 2);
  const weight = fromValues([2], [1.5, -0.7]);
  const bias = fromValues([2], [0.3, 0.1]);
  const running = {
    mean: fromValues([2], [0.2, -0.4]),
    variance: fromValues([2], [0.5, 2]),
  };
  checkGradient(
    [x, weight, bias],
    () => ref.batchNorm2dTraining(x, weight, bias, running).y,
    (g) => Object.values(ref.batchNorm2dTrainingBackward(g, x, weight)),
  );
  checkGradient(
    [x, weight, bias],
    () => ref.batchNorm2dInference(x, weight, bias, running),
    (g) => Object.values(ref.batchNorm2dInferenceBackward(g, x, weight, running)),
  );

  const one = fromValues([1], [1]);
  const zero = fromValues([1], [0]);
  const two = fromValues([2, 1, 1, 1], [1, 3]);
  const step = ref.batchNorm2dTraining(two, one, zero, { mean: zero, variance: one });
  // Mean 2, biased variance 1, unbiased variance 2.
  assertClose(step.y, fromValues([2, 1, 1, 1], [-1, 1].map((z) => z / Math.sqrt(1 + 1e-5))));
  assertClose(step.running.mean, fromValues([1], [0.2]));
  assertClose(step.running.variance, fromValues([1], [0.9 + 0.1 * 2]));
  const single = fromValues([1, 1, 1, 1], [1]);
  const statistics = { mean: zero, variance: one };
  assertThrows(() => ref.batchNorm2dTraining(single, one, zero, statistics), RangeError);
});

Deno.test("reference relu and sigmoid: values and gradients", () => {
  const x = random(1, [2, 2, 3, 3], 3);
  checkGradient([x], () => ref.relu(x), (g) => [ref.reluBackward(g, x)]);
  checkGradient([x], () => ref.sigmoid(x), (g) => [ref.sigmoidBackward(g, ref.sigmoid(x))]);
  const hand = fromValues([3], [-2, 0, 2]);
  assertEquals(ref.relu(hand).data, Float64Array.of(0, 0, 2));
  assertEquals(ref.reluBackward(fromValues([3], [7, 7, 7]), hand).data, Float64Array.of(0, 0, 7));
  assertClose(ref.sigmoid(fromValues([2], [0, Math.log(3)])), fromValues([2], [0.5, 0.75]));
});

Deno.test("reference pad2d and concat: values and gradients", () => {
  const x = fromValues([1, 1, 2, 2], [1, 2, 3, 4]);
  const options = { left: 1, right: -1, top: -1, bottom: 2 };
  assertEquals(ref.pad2d(x, options), fromValues([1, 1, 3, 2], [0, 3, 0, 0, 0, 0]));
  const y = random(1, [2, 2, 3, 4]);
  checkGradient([y], () => ref.pad2d(y, options), (g) => [ref.pad2dBackward(g, options)]);
  const a = random(2, [2, 1, 3, 4]);
  checkGradient([a, y], () => ref.concat([a, y]), (g) => ref.concatBackward(g, [1, 2]));
  const pixels = [fromValues([2, 1, 1, 1], [1, 2]), fromValues([2, 2, 1, 1], [3, 4, 5, 6])];
  assertEquals(ref.concat(pixels), fromValues([2, 3, 1, 1], [1, 3, 4, 2, 5, 6]));
});

Deno.test("reference arithmetic and reductions: values and gradients", () => {
  const a = random(1, [2, 3, 2, 2]);
  const b = random(2, [2, 3, 2, 2]);
  checkGradient([a, b], () => ref.add(a, b), (g) => Object.values(ref.addBackward(g)));
  checkGradient([a, b], () => ref.mul(a, b), (g) => Object.values(ref.mulBackward(g, a, b)));
  checkGradient([a], () => ref.scale(a, -2.5), (g) => [ref.scaleBackward(g, -2.5)]);
  checkLossGradient(a, () => ref.sum(a), (g) => ref.sumBackward(g, a.shape));
  checkLossGradient(a, () => ref.mean(a), (g) => ref.meanBackward(g, a.shape));
  checkGradient([a], () => ref.sumPerChannel(a), (g) => [ref.sumPerChannelBackward(g, a.shape)]);
  const x = fromValues([2, 2, 1, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
  assertEquals([ref.sum(x), ref.mean(x)], [36, 4.5]);
  assertEquals(ref.sumPerChannel(x), fromValues([2], [14, 22]));
});

Deno.test("reference softmax and argmax: values and gradients", () => {
  const x = random(1, [2, 4, 2, 3], 3);
  checkGradient([x], () => ref.softmax(x), (g) => [ref.softmaxBackward(g, ref.softmax(x))]);
  const hand = fromValues([1, 3, 1, 2], [0, 1000, Math.log(2), 1000, 0, -1000]);
  assertClose(ref.softmax(hand), fromValues([1, 3, 1, 2], [0.25, 0.5, 0.5, 0.5, 0.25, 0]));
  assertEquals(ref.argmax(hand), { shape: [1, 1, 2], data: Int32Array.of(1, 0) });
});

Deno.test("reference focal crossEntropy: values and gradients", () => {
  const logits = random(1, [2, 5, 3, 4], 3);
  const target = randomLabels(2, [2, 3, 4], 5);
  for (const gamma of [1, 2, 3.5]) {
    const options = { gamma, ignoreIndex: 1, weight: [1, 2, 0.5, 3, 1] };
    checkLossGradient(
      logits,
      () => ref.crossEntropy(logits, target, options),
      (g) => ref.crossEntropyBackward(g, logits, target, options),
    );
  }
  // p = 1/4 and 1/2.
  const two = fromValues([1, 2, 1, 2], [0, 5, Math.log(3), 5]);
  const ids: Labels = { shape: [1, 1, 2], data: [0, 1] };
  const expected = (0.75 ** 2 * Math.log(4) + 0.5 ** 2 * Math.log(2)) / 2;
  assertNumber(ref.crossEntropy(two, ids, { gamma: 2 }), expected);
});

Deno.test("reference crossEntropy: values and gradients", () => {
  const logits = random(1, [2, 3, 3, 4], 2);
  const target = randomLabels(2, [2, 3, 4], 3);
  const weighted = { weight: [0.2, 1.7, 0], ignoreIndex: 0 };
  for (const options of [{}, { ignoreIndex: 1 }, { weight: [0.5, 2, 1] }, weighted]) {
    checkLossGradient(
      logits,
      () => ref.crossEntropy(logits, target, options),
      (g) => ref.crossEntropyBackward(g, logits, target, options),
    );
  }
  // Pixel 0: p = 1/4 of class 0; pixel 1: p = 1/2 of class 1. Weights 1 and 3.
  const two = fromValues([1, 2, 1, 2], [0, 5, Math.log(3), 5]);
  const ids: Labels = { shape: [1, 1, 2], data: [0, 1] };
  assertNumber(ref.crossEntropy(two, ids), (Math.log(4) + Math.log(2)) / 2);
  const loss = ref.crossEntropy(two, ids, { weight: [1, 3] });
  assertNumber(loss, (Math.log(4) + 3 * Math.log(2)) / 4);
  const extreme = fromValues([1, 2, 1, 2], [1000, -1000, 0, 0]);
  assertNumber(ref.crossEntropy(extreme, { shape: [1, 1, 2], data: [1, 0] }), 1000);
  const ignored: Labels = { shape: [1, 1, 2], data: [255, 255] };
  assertEquals(ref.crossEntropy(two, ignored, { ignoreIndex: 255 }), 0);
  const grad = ref.crossEntropyBackward(1, two, ignored, { ignoreIndex: 255 });
  assertEquals(grad.data, new Float64Array(4));
  assertThrows(() => ref.crossEntropy(two, ignored), RangeError);
});

Deno.test("reference bceWithLogits: values and gradients", () => {
  const logits = random(1, [2, 1, 3, 4], 3);
  const target = randomLabels(2, [2, 1, 3, 4], 3);
  const soft: Labels = ref.map(random(3, [2, 1, 3, 4], 0.5), (value) => value + 0.5);
  const cases: [Labels, ref.BceWithLogitsOptions][] = [
    [target, { ignoreIndex: 2 }],
    [target, { ignoreIndex: 2, posWeight: 2.5 }],
    [soft, {}],
  ];
  for (const [t, options] of cases) {
    checkLossGradient(
      logits,
      () => ref.bceWithLogits(logits, t, options),
      (g) => ref.bceWithLogitsBackward(g, logits, t, options),
    );
  }
  const hand = fromValues([3], [0, 800, -800]);
  const t: Labels = { shape: [3], data: [1, 0, 0] };
  assertNumber(ref.bceWithLogits(hand, t), (Math.LN2 + 800) / 3);
  assertNumber(ref.bceWithLogits(hand, t, { posWeight: 4 }), (4 * Math.LN2 + 800) / 3);
  assertNumber(ref.bceWithLogits(hand, t, { ignoreIndex: 0 }), Math.LN2);
  const none: Labels = { shape: [3], data: [9, 9, 9] };
  assertEquals(ref.bceWithLogits(hand, none, { ignoreIndex: 9 }), 0);
  const grad = ref.bceWithLogitsBackward(1, hand, none, { ignoreIndex: 9 });
  assertEquals(grad.data, new Float64Array(3));
});

Deno.test("reference softDice: values and gradients", () => {
  const logits = random(1, [2, 3, 3, 4], 2);
  const target = randomLabels(2, [2, 3, 4], 3);
  for (const options of [{}, { ignoreIndex: 1 }, { eps: 1 }]) {
    checkLossGradient(
      logits,
      () => ref.softDice(logits, target, options),
      (g) => ref.softDiceBackward(g, logits, target, options),
    );
  }
  const binary = random(3, [2, 1, 3, 4], 2);
  const mask: Labels = { ...target, shape: [2, 1, 3, 4] };
  checkLossGradient(
    binary,
    () => ref.binarySoftDice(binary, mask, { ignoreIndex: 2 }),
    (g) => ref.binarySoftDiceBackward(g, binary, mask, { ignoreIndex: 2 }),
  );

  // p = 1/2 everywhere, class 0 on 1 of 4 pixels: 2 * 0.5 / (2 + 1) and 2 * 1.5 / (2 + 3).
  const flat = ref.zeros([1, 2, 2, 2]);
  const ids: Labels = { shape: [1, 2, 2], data: [0, 1, 1, 1] };
  assertNumber(ref.softDice(flat, ids, { eps: 0 }), 1 - (1 / 3 + 3 / 5) / 2);
  // Class 0 is absent once its only pixel is ignored: 2 * 1.5 / (1.5 + 3) is left.
  assertNumber(ref.softDice(flat, ids, { eps: 0, ignoreIndex: 0 }), 1 - 2 / 3);
  const half: Labels = { shape: [1, 1, 2, 2], data: [1, 0, 0, 7] };
  const empty = ref.zeros([1, 1, 2, 2]);
  assertNumber(ref.binarySoftDice(empty, half, { eps: 0, ignoreIndex: 7 }), 1 - 1 / 2.5);
  assertEquals(ref.binarySoftDice(empty, empty), 0);
  assertEquals(ref.binarySoftDiceBackward(1, empty, empty).data, new Float64Array(4));
});

Deno.test("reference clipping: values by hand", () => {
  const grads = [Float64Array.of(3, -0.05), Float64Array.of(-4)];
  assertEquals(ref.clipByValue(grads, 0.1), [Float64Array.of(0.1, -0.05), Float64Array.of(-0.1)]);
  const clipped = ref.clipByNorm([Float64Array.of(3), Float64Array.of(-4)], 1);
  assertEquals(clipped.totalNorm, 5);
  assertClose(fromValues([1], clipped.grads[1]!), fromValues([1], [-4 / (5 + 1e-6)]));
  assertEquals(ref.clipByNorm(grads, 10).grads, grads);
});
