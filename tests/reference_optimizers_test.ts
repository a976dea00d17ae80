/** The reference's optimizers against steps worked out by hand. @module */
import { assertAlmostEquals } from "@std/assert";
import * as ref from "./reference/mod.ts";

/** The parameter after every step of `step` from 1 with gradients 0.5 and then -0.25. */
function twoSteps(step: (param: Float64Array, grad: Float64Array) => void): [number, number] {
  const param = Float64Array.of(1);
  step(param, Float64Array.of(0.5));
  const first = param[0]!;
  step(param, Float64Array.of(-0.25));
  return [first, param[0]!];
}

function assertSteps(actual: [number, number], expected: [number, number]): void {
  assertAlmostEquals(actual[0], expected[0], 1e-12);
  assertAlmostEquals(actual[1], expected[1], 1e-12);
}

Deno.test("reference sgd: plain, momentum, Nesterov, weight decay", () => {
  const run = (options: ref.SgdOptions) => {
    const state = ref.sgdState(1);
    return twoSteps((param, grad) => ref.sgdStep(param, grad, state, options));
  };
  assertSteps(run({ lr: 0.1 }), [0.95, 0.975]);
  // v = 0.5, then 0.9 * 0.5 - 0.25 = 0.2.
  assertSteps(run({ lr: 0.1, momentum: 0.9 }), [0.95, 0.93]);
  // g + 0.9 v: 0.95, then -0.25 + 0.18 = -0.07.
  assertSteps(run({ lr: 0.1, momentum: 0.9, nesterov: true }), [0.905, 0.912]);
  // g + 0.2 p: 0.7, then -0.25 + 0.186 = -0.064.
  assertSteps(run({ lr: 0.1, weightDecay: 0.2 }), [0.93, 0.9364]);
});

Deno.test("reference rmsprop: plain, momentum, weight decay", () => {
  const run = (options: ref.RmspropOptions) => {
    const state = ref.rmspropState(1);
    return twoSteps((param, grad) => ref.rmspropStep(param, grad, state, options));
  };
  // eps 1 makes its place visible: outside the root, 0.5 / (0.25 + 1) and not 0.5 / sqrt(1.0625).
  const first = 0.5 / (0.25 + 1);
  const second = -0.25 / (Math.sqrt(0.75 * 0.0625 + 0.25 * 0.0625) + 1);
  const options = { lr: 0.1, alpha: 0.75, eps: 1 };
  // (1 - 0.75) * 0.5^2 = 0.0625, whose root is 0.25; then 0.75 * 0.0625 + 0.25 * 0.25^2.
  assertSteps(run(options), [1 - 0.1 * first, 1 - 0.1 * (first + second)]);
  assertSteps(run({ ...options, momentum: 0.9 }), [
    1 - 0.1 * first,
    1 - 0.1 * (first + 0.9 * first + second),
  ]);
  // With alpha 0 and no eps every step is lr * sign(g + 0.4 p): 0.9, then -0.25 + 0.36 > 0.
  assertSteps(run({ lr: 0.1, alpha: 0, eps: 0, weightDecay: 0.4 }), [0.9, 0.8]);
});

Deno.test("reference adam and adamw: bias correction and both decays", () => {
  const run = (step: typeof ref.adamStep, options: ref.AdamOptions) => {
    const state = ref.adamState(1);
    return twoSteps((param, grad) => step(param, grad, state, options));
  };
  const betas = [0.5, 0.75] as const;
  // Averages 0.25, 0 and squares 0.0625, 0.0625; corrections 0.5, 0.75 and 0.25, 0.4375.
  const first = 0.5 / (Math.sqrt(0.0625 / 0.25) + 0.1);
  const options = { lr: 0.1, betas, eps: 0.1 };
  assertSteps(run(ref.adamStep, options), [1 - 0.1 * first, 1 - 0.1 * first]);
  // Each step first multiplies by 1 - 0.1 * 0.5.
  const decayed = 0.95 - 0.1 * first;
  assertSteps(run(ref.adamwStep, { ...options, weightDecay: 0.5 }), [decayed, 0.95 * decayed]);
  // The first corrected step of Adam is lr * sign(g), whatever L2 adds to g.
  const [l2] = run(ref.adamStep, { lr: 0.1, eps: 0, weightDecay: 0.5 });
  assertAlmostEquals(l2, 0.9, 1e-12);
});
