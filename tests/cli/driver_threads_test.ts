import { assertEquals } from "@std/assert";
import { chooseDriverThreads } from "../../cli/driver_threads.ts";
import { settable } from "../../cli/environment.ts";

const NAME = "LP_NUM_THREADS";

Deno.test("driver threads: twice the processors, unless the user has said how many", {
  ignore: !settable(NAME),
}, () => {
  const before = Deno.env.get(NAME);
  const chosen = (own: string | undefined, processors: number) => {
    if (own === undefined) Deno.env.delete(NAME);
    else Deno.env.set(NAME, own);
    chooseDriverThreads(processors);
    return Deno.env.get(NAME);
  };
  try {
    assertEquals(chosen(undefined, 2), "4");
    assertEquals(chosen(undefined, 8), "16");
    assertEquals(chosen("3", 8), "3");
    assertEquals(chosen(undefined, 1), undefined);
  } finally {
    if (before === undefined) Deno.env.delete(NAME);
    else Deno.env.set(NAME, before);
  }
});
