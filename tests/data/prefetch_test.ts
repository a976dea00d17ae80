import { assertEquals, assertRejects } from "@std/assert";
import { prefetch } from "../../src/data/prefetch.ts";

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("prefetch: in order, one ahead of the caller and no more", async () => {
  const events: string[] = [];
  const load = async (n: number) => {
    events.push(`load ${n}`);
    await turn();
    return n * 10;
  };
  for await (const loaded of prefetch([1, 2, 3], load)) {
    await turn();
    await turn();
    events.push(`use ${loaded}`);
  }
  assertEquals(events, ["load 1", "load 2", "use 10", "load 3", "use 20", "use 30"]);
});

Deno.test("prefetch: nothing to load gives nothing", async () => {
  assertEquals(await Array.fromAsync(prefetch<number, number>([], (n) => Promise.resolve(n))), []);
});

Deno.test("prefetch: an item that fails does so in its turn", async () => {
  const used: number[] = [];
  const load = (n: number) => n === 2 ? Promise.reject(new Error("two")) : Promise.resolve(n);
  const use = async () => {
    for await (const loaded of prefetch([1, 2, 3], load)) {
      await turn();
      used.push(loaded);
    }
  };
  await assertRejects(use, Error, "two");
  assertEquals(used, [1]);
});

Deno.test("prefetch: a caller that stops early is not hit by the next item's failure", async () => {
  const load = (n: number) => n === 2 ? Promise.reject(new Error("two")) : Promise.resolve(n);
  const used: number[] = [];
  for await (const loaded of prefetch([1, 2], load)) {
    used.push(loaded);
    break;
  }
  // An unhandled rejection would fail this test here.
  await turn();
  assertEquals(used, [1]);
});
