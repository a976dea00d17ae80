import { assertEquals } from "@std/assert";
import { MOST_QUEUED, timeSteps } from "../../src/bench/queued.ts";

/** What a clock says that only steps and waits move on. */
async function timed(
  count: number,
  stepMs: (index: number) => number,
  fenceMs = 0,
): Promise<{ times: number[]; groups: number[]; steps: number }> {
  const clock = performance.now;
  let nowMs = 0;
  let steps = 0;
  const groups: number[] = [];
  performance.now = () => nowMs;
  try {
    const idle = () => Promise.resolve(void (nowMs += 12));
    const run = (index: number) => {
      assertEquals(index, steps++);
      nowMs += stepMs(index);
    };
    const times = await timeSteps({ fenceMs, idle }, count, run, (n) => void groups.push(n));
    return { times, groups, steps };
  } finally {
    performance.now = clock;
  }
}

Deno.test("timeSteps: every time is measured, and the wait for the device hardly counts", async () => {
  // Some steps take longer, as on a shared machine.
  const { times, groups } = await timed(4, (index) => index > 700 && index < 800 ? 6 : 3);
  assertEquals(times.length, 4);
  const [least, most] = [Math.min(...times), Math.max(...times)];
  assertEquals([least >= 3, least < 3.05, most > least], [true, true, true], `${times}`);
  // The first ones only tell how many steps take long enough.
  assertEquals(groups.slice(0, 2), [1, 66]);
});

Deno.test("timeSteps: long steps are timed one by one, the first one too", async () => {
  assertEquals(await timed(3, () => 988), {
    times: [1000, 1000, 1000],
    groups: [1, 1, 1],
    steps: 3,
  });
  const short = await timed(2, () => 488, 2000);
  assertEquals([short.times.length, short.groups], [2, [1, 4, 4]]);
});

Deno.test("timeSteps: ends where even the most steps that may be queued take no time", async () => {
  const { times, groups } = await timed(2, () => 0);
  assertEquals([times.length, groups.at(-1)], [2, MOST_QUEUED]);
});
