import { assertEquals, assertRejects } from "@std/assert";
import { isDevicePart, RunClock } from "../../src/train/run_clock.ts";

Deno.test("clock: parts add up, failures count, taking begins anew", async () => {
  let now = 100;
  const clock = new RunClock(() => now);
  const spend = (ms: number) => () => now += ms;
  clock.do("counting pixels", spend(3));
  clock.do("counting pixels", spend(4));
  now += 5;
  const work = Promise.resolve().then(spend(20));
  await clock.wait("GPU, training", work);
  const failing = Promise.resolve().then(() => {
    now += 2;
    throw new Error("no");
  });
  await assertRejects(() => clock.wait("checkpoints", failing), Error, "no");
  assertEquals(clock.take(), {
    parts: [["GPU, training", 20], ["counting pixels", 7], ["checkpoints", 2]],
    totalMs: 34,
  });
  assertEquals(clock.take(), { parts: [], totalMs: 0 });
  assertEquals([isDevicePart("GPU, validation"), isDevicePart("checkpoints")], [true, false]);
});
