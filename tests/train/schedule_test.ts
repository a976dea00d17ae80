import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { OneCycle, ReduceOnPlateau } from "../../src/train/schedule.ts";

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

const ratesOf = (schedule: OneCycle, batches: number) =>
  Array.from({ length: batches }, () => {
    const rate = Number(schedule.learningRate.toPrecision(6));
    schedule.stepBatch();
    return rate;
  });

Deno.test("one cycle: the rates of torch.optim.lr_scheduler.OneCycleLR", () => {
  assertEquals(ratesOf(new OneCycle(0.01, 10), 10), [
    0.0004,
    0.0052,
    0.01,
    0.00950485,
    0.00811746,
    0.00611262,
    0.00388742,
    0.00188258,
    0.000495194,
    4e-8,
  ]);
  const steep = new OneCycle(1, 5, { rising: 0.5, divFactor: 4, finalDivFactor: 10 });
  assertEquals(ratesOf(steep, 5), [0.25, 0.8125, 0.906896, 0.361854, 0.025]);
});

Deno.test("one cycle: stays at the last rate; one made shorter ends with it too", () => {
  const schedule = new OneCycle(0.01, 1000);
  assertEquals(ratesOf(schedule, 5).at(-1)! < 0.001, true);
  schedule.resize(10);
  assertEquals(ratesOf(schedule, 7), [
    0.00611262,
    0.00388742,
    0.00188258,
    0.000495194,
    4e-8,
    4e-8,
    4e-8,
  ]);
});

Deno.test("one cycle: one batch gets the highest rate, none is refused", () => {
  assertEquals(new OneCycle(0.01, 1).learningRate, 0.01);
  assertThrows(() => new OneCycle(0.01, 0), InputError, "0 batches");
});
