import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { encodePng } from "../../src/data/png_write.ts";
import type { PairJob, PairResult } from "../../src/data/pair_job.ts";
import { PAIR_JOBS, workersFor } from "../../src/data/pair_pool.ts";
import { runJobs } from "../../src/data/worker_pool.ts";
import { canRead, canWrite } from "../support.ts";

const ignore = !canRead || !canWrite;

async function results(
  jobs: readonly PairJob[],
  workers: number,
): Promise<Map<string, PairResult>> {
  const left = [...jobs];
  const found = new Map<string, PairResult>();
  await runJobs(
    PAIR_JOBS,
    () => Promise.resolve(left.shift()),
    (job, result) => void found.set(job.photo, result),
    workers,
  );
  return found;
}

Deno.test("workers find what the main thread finds, bad files too", { ignore }, async () => {
  const folder = await Deno.makeTempDir({ prefix: "unet-check-" });
  try {
    const [width, height] = [5, 4];
    const jobs: PairJob[] = [];
    for (let i = 0; i < 7; i++) {
      const photo = `${folder}/p${i}.png`;
      const mask = `${folder}/m${i}.png`;
      const data = Uint8Array.from({ length: width * height * 3 }, (_, at) => (at * i) % 251);
      await Deno.writeFile(photo, encodePng({ width, height, channels: 3, data }));
      const ids = Uint8Array.from({ length: width * height }, (_, at) => at % (i + 1));
      await Deno.writeFile(mask, encodePng({ width, height, channels: 1, data: ids }));
      jobs.push(i === 3 ? { photo } : { photo, mask });
    }
    await Deno.truncate(`${folder}/p2.png`, 50);
    await Deno.truncate(`${folder}/m4.png`, 50);
    const alone = await results(jobs, 0);
    const together = await results(jobs, 2);
    assertEquals(together.size, 7);
    for (const { photo } of jobs) assertEquals(together.get(photo), alone.get(photo));
    const facts = alone.get(`${folder}/p6.png`);
    assert(facts && "sums" in facts.photo && facts.mask && "counts" in facts.mask);
    const bytes = Array.from({ length: 60 }, (_, at) => (at * 6) % 251);
    const red = bytes.filter((_, at) => at % 3 === 0);
    assertEquals(facts.photo.sums[0], red.reduce((a, b) => a + b, 0));
    assertEquals(facts.photo.squares[0], red.reduce((a, b) => a + b * b, 0));
    assertEquals(facts.mask.counts, [[0, 3], [1, 3], [2, 3], [3, 3], [4, 3], [5, 3], [6, 2]]);
    const photo = alone.get(`${folder}/p2.png`)?.photo;
    assert(photo && "problem" in photo);
    assertStringIncludes(photo.problem, "p2.png");
    const mask = alone.get(`${folder}/p4.png`)?.mask;
    assert(mask && "problem" in mask);
    assertStringIncludes(mask.problem, "m4.png");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a failing producer of jobs stops the workers", { ignore }, async () => {
  const next = () => Promise.reject(new Error("no more"));
  await assertRejects(() => runJobs(PAIR_JOBS, next, () => {}, 2), Error, "no more");
});

Deno.test("small sets do without workers, large ones have no more than photos", () => {
  assertEquals(workersFor(1e6, 100), 0);
  assertEquals(workersFor(1e9, 1), 1);
  const many = workersFor(1e9, 1000);
  assert(many >= 1 && many <= 8, String(many));
});
