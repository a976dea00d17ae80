import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { Random } from "../../src/data/random.ts";
import { type Split, splitImages } from "../../src/data/split.ts";

Deno.test("random: mulberry32 in counter form", () => {
  // Drawn with numpy in 64-bit integers.
  const random = new Random(1234);
  assertEquals(
    [random.bits(), random.bits(), random.bits(), random.bits()],
    [314799534, 3021131492, 3877737075, 4168477787],
  );
  assertEquals(new Random(1234, 2).bits(), 3877737075, "a stream goes on from its position");
});

Deno.test("random: a shuffle is a permutation that depends on the seed", () => {
  const items = Array.from({ length: 50 }, (_, i) => i);
  const shuffled = new Random(1).shuffle(items);
  assertNotEquals(shuffled, items);
  assertNotEquals(shuffled, new Random(2).shuffle(items));
  assertEquals(shuffled, new Random(1).shuffle(items));
  assertEquals([...shuffled].sort((a, b) => a - b), items);
});

/** Random images: `count` of them, with some of `classes` classes. */
function images(random: Random, count: number, classes: number, share: number): number[][] {
  return Array.from(
    { length: count },
    () => Array.from({ length: classes }, (_, id) => id).filter(() => random.next() < share),
  );
}

/** How many classes have an image in both parts. */
function covered(classesOf: readonly number[][], valid: (at: number) => boolean): number {
  const seen = new Map<number, number>();
  classesOf.forEach((ids, at) => {
    for (const id of ids) seen.set(id, (seen.get(id) ?? 0) | (valid(at) ? 2 : 1));
  });
  return [...seen.values()].filter((parts) => parts === 3).length;
}

/** The most classes that any split of that size has in both parts, by trying all of them. */
function mostCovered(classesOf: readonly number[][], validCount: number): number {
  let most = 0;
  for (let choice = 0; choice < 1 << classesOf.length; choice++) {
    const chosen = (at: number) => (choice >> at & 1) === 1;
    if (classesOf.filter((_, at) => chosen(at)).length !== validCount) continue;
    most = Math.max(most, covered(classesOf, chosen));
  }
  return most;
}

Deno.test("split: as many classes in both parts as any split has, on 600 small random sets", () => {
  for (let trial = 0; trial < 600; trial++) {
    const random = new Random(trial);
    const set = images(random, 2 + random.below(8), 1 + random.below(7), 0.1 + 0.6 * random.next());
    const { valid } = splitImages(set, 0.1 + 0.8 * random.next(), trial);
    const found = covered(set, (at) => valid.includes(at));
    assertEquals(found, mostCovered(set, valid.length), `trial ${trial}: ${JSON.stringify(set)}`);
  }
});

Deno.test("split: proportions, sizes, and a rare class in both parts of a large set", () => {
  const set = images(new Random(7), 400, 6, 0.4);
  for (const ids of set) ids.push(6);
  set[3]?.push(7);
  set[311]?.push(7);
  set[200]?.push(8);
  const { train, valid } = splitImages(set, 0.75, 42);
  assertEquals([train.length, valid.length], [300, 100]);
  assertEquals([...train, ...valid].sort((a, b) => a - b), set.map((_, at) => at));
  assert(train.includes(3) !== train.includes(311));
  assert(train.includes(200), "the only image of a class belongs to training");
  for (let id = 0; id < 6; id++) {
    const total = set.filter((ids) => ids.includes(id)).length;
    const held = train.filter((at) => set[at]?.includes(id)).length;
    assert(Math.abs(held - 0.75 * total) <= 3, `class ${id}: ${held} of ${total}`);
  }
});

Deno.test("split: seeded, shuffled, and never an empty part", () => {
  const set = Array.from({ length: 40 }, () => [0, 1]);
  const first: Split = splitImages(set, 0.75, 1);
  assertEquals(first, splitImages(set, 0.75, 1));
  assertNotEquals(first, splitImages(set, 0.75, 2));
  assertNotEquals(first.train, [...first.train].sort((a, b) => a - b));
  for (const ratio of [0.01, 0.99]) {
    const { train, valid } = splitImages([[0], [0], []], ratio, 3);
    assert(train.length > 0 && valid.length > 0);
  }
  assertEquals(splitImages(set.slice(0, 10), 0.7, 1).train.length, 7);
});
