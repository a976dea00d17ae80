import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { rmsprop } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import { largestBatch, suggestFit } from "../../src/train/fit.ts";
import { planStep, type StepShape } from "../../src/train/step.ts";

const net = new UNet({ classes: 3, width: 16 });
const target = {
  kernelFamily: "cpu",
  maxTextureDimension: 16384,
  maxBindingBytes: 2 ** 27,
} as const;
const shape = { batch: 4, height: 100, width: 150 };
const ask = (
  shape: StepShape,
  limits: LowerTarget,
  budgetBytes: number,
  asked: { scale: number; crop?: boolean },
) => suggestFit({ net, optimizer: rmsprop(), shape, target: limits, budgetBytes }, asked);
const planned = (batch: number) =>
  planStep(net, rmsprop(), { ...shape, batch }, target).plannedBytes;

Deno.test("what fits is not remarked on", () => {
  assertEquals(ask(shape, target, planned(4), { scale: 0.5 }), undefined);
});

Deno.test("the largest batch that fits is suggested, with scale and width", () => {
  const budget = planned(3);
  assert(budget < planned(4));
  const says = ask(shape, target, budget, { scale: 0.5 }) ?? "";
  assertStringIncludes(says, "batch 4 of 150 x 100 pixels");
  assertMatch(
    says,
    /-b 3 \(\d+ MiB\) or -s 0\.4\d? \(\d+ MiB\) or --crop 80x1\d+ \(\d+ MiB\) or --width 8/,
  );
});

Deno.test("a tensor over the binding limit fits, a plane over it counts as too large", () => {
  const limits = { ...target, maxBindingBytes: 2 ** 20 };
  assertEquals(ask(shape, limits, 2 ** 40, { scale: 0.5 }), undefined);
  const small = { ...target, maxBindingBytes: 240_000 };
  const says = ask(shape, small, 2 ** 40, { scale: 0.5 }) ?? "";
  assertStringIncludes(says, "indivisible part of tensor");
  assertMatch(says, /what would fit: -s 0\.4\d? /);
});

Deno.test("an image too small for the network is told so, not advised to shrink", () => {
  const tiny = { batch: 1, height: 2, width: 3 };
  const error = assertThrows(
    () => ask(tiny, target, 2 ** 40, { scale: 0.01 }),
    InputError,
  );
  assertStringIncludes(error.message, "at least 4 x 4 pixels");
  // Smaller scales are tried here, and all of them are too small.
  const small = { batch: 100, height: 6, width: 6 };
  const says = ask(small, target, 2 ** 20, { scale: 0.1 }) ?? "";
  assertStringIncludes(says, "plans");
});

Deno.test("the original configuration trains within 1.5 GiB", () => {
  const original = new UNet({ classes: 23 });
  const step = { batch: 2, height: 400, width: 600 };
  const { plannedBytes } = planStep(original, rmsprop({ momentum: 0.9 }), step, target);
  assert(plannedBytes < 1.5 * 2 ** 30, `${plannedBytes} bytes`);
});

Deno.test("16 bits halve the activations, and are suggested where the device has them", () => {
  const original = new UNet({ classes: 23 });
  const step = { batch: 2, height: 400, width: 600 };
  const plan = (images: "f32" | "f16") => planStep(original, rmsprop(), step, target, { images });
  const [wide, narrow] = [plan("f32"), plan("f16")];
  const share = narrow.memory.slotBytes / wide.memory.slotBytes;
  assert(share > 0.45 && share < 0.6, `${share} of the activations`);
  const question = {
    ...{ net: original, optimizer: rmsprop(), shape: step, target },
    budgetBytes: Math.ceil((wide.plannedBytes + narrow.plannedBytes) / 2),
  };
  const says = suggestFit({ ...question, supportsF16: true }, { scale: 0.1 }) ?? "";
  assertMatch(says, /-b 1 \(\d+ MiB\) or --precision f16 \(\d+ MiB\) or -s /);
  assert(!suggestFit(question, { scale: 0.1 })?.includes("--precision"));
});

Deno.test("a crop that does not fit is advised to shrink, not its scale; auto takes what fits", () => {
  const crop = { ...shape, slotPixels: 40_000 };
  const says = ask(crop, target, planned(2), { scale: 0.5, crop: true }) ?? "";
  assertMatch(says, /what would fit: -b \d \(\d+ MiB\) or --crop \d+x\d+ \(/);
  const question = { net, optimizer: rmsprop(), shape, target, budgetBytes: planned(5) };
  assertEquals(largestBatch(question, 32)?.size, 5);
  assertEquals(largestBatch({ ...question, budgetBytes: 1 }, 32), undefined);
  const step = { average: net, kind: "update" as const };
  assert((largestBatch({ ...question, step }, 32)?.size ?? 0) < 5, "all that it keeps counts");
});
