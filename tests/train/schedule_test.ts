import { assertEquals } from "@std/assert";
import { ReduceOnPlateau } from "../../src/train/schedule.ts";

Deno.test("the rate falls after more than `patience` scores without improvement", () => {
  // The same sequence through torch.optim.lr_scheduler.ReduceLROnPlateau(mode="max", patience=2).
  const schedule = new ReduceOnPlateau(0.01);
  const scores = [0.1, 0.2, 0.2, 0.19, 0.15, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1];
  const rates = scores.map((score) => {
    schedule.step(score);
    return Number(schedule.learningRate.toPrecision(6));
  });
  assertEquals(rates, [
    0.01,
    0.01,
    0.01,
    0.01,
    0.001,
    0.001,
    0.001,
    0.001,
    0.0001,
    0.0001,
    0.0001,
    0.00001,
  ]);
});

Deno.test("a gain below the relative threshold is none", () => {
  const schedule = new ReduceOnPlateau(1, { patience: 0, threshold: 0.1 });
  schedule.step(1);
  assertEquals(schedule.step(1.05), true);
  assertEquals(schedule.step(1.2), false);
});

Deno.test("the rate never falls below the minimum", () => {
  const schedule = new ReduceOnPlateau(1, { patience: 0, factor: 0.5, minimum: 0.4 });
  for (const score of [1, 0, 0, 0]) schedule.step(score);
  assertEquals(schedule.learningRate, 0.4);
});
