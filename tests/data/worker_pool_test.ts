import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type JobKind, runJobs } from "../../src/data/worker_pool.ts";
import { InputError } from "../../src/errors.ts";
import { canRead } from "../support.ts";
import { fail } from "./fail.ts";

const ignore = !canRead;

const JOBS: JobKind<string, string> = {
  run: fail,
  start: () => new Worker(new URL("./failing_worker.ts", import.meta.url), { type: "module" }),
  subject: (job) => `job ${job}`,
};

/** Does the jobs. @returns those that ended well, in the order of their names */
async function results(jobs: readonly string[], workers: number): Promise<string[]> {
  const left = [...jobs];
  const ended: string[] = [];
  const done = async (job: string, result: string) => {
    assertEquals(result, job);
    // As long as a file takes to be written.
    await new Promise((resolve) => setTimeout(resolve, 20));
    ended.push(job);
  };
  await runJobs(JOBS, () => Promise.resolve(left.shift()), done, workers);
  return ended.sort();
}

for (const workers of [0, 1, 3]) {
  Deno.test(`jobs: each is done once, ${workers} workers`, { ignore }, async () => {
    assertEquals(await results([], workers), []);
    const jobs = Array.from({ length: 11 }, (_, i) => String.fromCharCode(97 + i));
    assertEquals(await results(jobs, workers), jobs);
  });

  Deno.test(`jobs: errors arrive as they were thrown, ${workers} workers`, { ignore }, async () => {
    const input = await assertRejects(() => results(["a", "input", "b"], workers), InputError);
    assertEquals(input.message, "cannot read a.png: it is no PNG");
    const bug = await assertRejects(() => results(["a", "bug", "b"], workers), Error);
    assert(!(bug instanceof InputError));
    assertEquals([bug.name, bug.message], ["RangeError", "Invalid array length"]);
    assertStringIncludes(bug.stack ?? "", "fail.ts");
  });
}

Deno.test("jobs: what was begun is finished before a failure is told", { ignore }, async () => {
  const left = ["a", ...Array.from({ length: 50 }, (_, i) => String(i))];
  const begun: string[] = [];
  const ended: string[] = [];
  const next = () => {
    const job = left.shift();
    if (job !== undefined) begun.push(job);
    return Promise.resolve(job);
  };
  const done = async (job: string) => {
    if (job === "a") throw new InputError("cannot write a");
    await new Promise((resolve) => setTimeout(resolve, 100));
    ended.push(job);
  };
  await assertRejects(() => runJobs(JOBS, next, done, 2), InputError, "cannot write a");
  assertEquals(begun.filter((job) => job !== "a" && !ended.includes(job)), []);
  assert(left.length > 0);
});
