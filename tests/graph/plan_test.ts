import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Step } from "../../src/graph/lower.ts";
import { type BufferMemory, type Memory, PersistentBuffer } from "../../src/graph/memory.ts";
import { type MemoryPlan, planMemory } from "../../src/graph/plan.ts";
import { Stream } from "../../src/nn/random.ts";
import { checkPlan } from "./plan_checks.ts";

function buffer(label: string, sizeBytes: number): BufferMemory {
  return { kind: "buffer", label, sizeBytes };
}

function dispatch(...operands: Memory[]): Step {
  const kernel = { name: "fake", source: "", constants: {} };
  return {
    kind: "dispatch",
    label: "fake",
    spec: { kernel, params: [], grid: [1, 1, 1] },
    operands,
  };
}

function copy(source: BufferMemory, target: Memory): Step {
  if (target.kind !== "texture") throw new Error("A copy's target is a texture");
  const rectangle = { x: 0, y: 0, width: target.width, height: target.height };
  return {
    kind: "copy-to-texture",
    label: "fake",
    source,
    offsetBytes: 0,
    bytesPerRow: 256,
    target,
    ...rectangle,
  };
}

/** A program with buffers and textures of very different sizes, some read again much later. */
function randomProgram(seed: number): { steps: Step[]; kept: Set<Memory> } {
  const stream = new Stream(seed);
  const below = (n: number) => Math.floor(stream.next() * n);
  const input: BufferMemory = {
    ...buffer("input", 4096),
    home: { buffer: new PersistentBuffer("input", 4096), offsetBytes: 0 },
  };
  const made: Memory[] = [input];
  const steps: Step[] = [];
  const sizeBytes = () => 16 * 2 ** below(12) + 16 * below(50);
  const pick = (): Memory => made[Math.max(0, made.length - 1 - below(below(4) ? 4 : 40))] ?? input;
  const length = 1 + below(60);
  for (let i = 0; i < length; i++) {
    const source = pick();
    if (below(4) === 0 && source.kind === "buffer") {
      const [width, height] = [16 * (1 + below(8)), 1 + below(300)];
      const texture: Memory = {
        kind: "texture",
        label: `texture ${i}`,
        width,
        height,
        type: "f32",
      };
      steps.push(copy(source, texture));
      made.push(texture);
    } else {
      const operands: Memory[] = Array.from({ length: 1 + below(3) }, pick);
      if (below(4) === 0) operands.push(buffer(`scratch ${i}`, sizeBytes()));
      const outputs = Array.from(
        { length: 1 + below(2) },
        (_, k) => buffer(`out ${i}.${k}`, sizeBytes()),
      );
      steps.push(dispatch(...new Set([...operands, ...outputs])));
      made.push(...outputs);
    }
  }
  return { steps, kept: new Set(made.filter(() => below(12) === 0)) };
}

/** Runs the program on slots whose units of 16 bytes remember who wrote them last. */
function simulate(steps: readonly Step[], kept: ReadonlySet<Memory>, plan: MemoryPlan): void {
  const holds = new Map<unknown, Map<number, Memory>>();
  const written = new Set<Memory>();
  const unitsOf = (memory: Memory): [Map<number, Memory>, number[]] | undefined => {
    const slot = plan.slotOf.get(memory);
    if (!slot) return undefined;
    const units = holds.get(slot) ?? new Map<number, Memory>();
    holds.set(slot, units);
    const start = (plan.offsetOf.get(memory) ?? NaN) / 16;
    const length = memory.kind === "buffer" ? Math.ceil(memory.sizeBytes / 16) : 1;
    return [units, Array.from({ length }, (_, i) => start + i)];
  };
  for (const step of steps) {
    for (const memory of step.kind === "dispatch" ? step.operands : [step.source, step.target]) {
      const [units, places] = unitsOf(memory) ?? [];
      for (const place of places ?? []) {
        if (written.has(memory)) {
          assert(units?.get(place) === memory, `${memory.label} was overwritten`);
        }
        units?.set(place, memory);
      }
      written.add(memory);
    }
  }
  for (const memory of kept) {
    const [units, places] = unitsOf(memory) ?? [];
    for (const place of places ?? []) {
      assert(units?.get(place) === memory, `kept ${memory.label} was overwritten`);
    }
  }
}

Deno.test("plan: random programs never put two live memories in one place", () => {
  const ratios: number[] = [];
  let shared = 0;
  for (let seed = 0; seed < 500; seed++) {
    const { steps, kept } = randomProgram(seed);
    const plan = planMemory(steps, kept);
    const { slotBoundBytes, unsharedBytes } = checkPlan(`seed ${seed}`, steps, kept, plan);
    simulate(steps, kept, plan);
    if (plan.slotBytes < unsharedBytes) shared++;
    ratios.push(plan.slotBytes / slotBoundBytes);
  }
  const mean = ratios.reduce((a, b) => a + b, 0) / ratios.length;
  assert(shared > 400, `only ${shared} of 500 plans share anything`);
  assert(mean < 1.25, `plans take ${mean.toFixed(3)} times the bound`);
});

Deno.test("plan: a chain of equal buffers needs two slots, and three while one is kept", () => {
  const chain = Array.from({ length: 6 }, (_, i) => buffer(`b${i}`, 1024));
  const steps = chain.slice(1).map((b, i) => dispatch(chain[i]!, b));
  assertEquals(planMemory(steps, new Set()).slotBytes, 2 * 1024);
  const kept = new Set<Memory>([chain[1]!]);
  const plan = planMemory(steps, kept);
  checkPlan("chain", steps, kept, plan);
  assertEquals(plan.slotBytes, 3 * 1024);
});

Deno.test("plan: memories of a single step do not share, though all of them end there", () => {
  const all = [buffer("a", 64), buffer("b", 64), buffer("scratch", 64)];
  const plan = planMemory([dispatch(...all)], new Set());
  assertEquals(new Set(all.map((m) => plan.slotOf.get(m))).size, 3);
});

Deno.test("plan: what no step touches together lies side by side, what one does never", () => {
  const [big, a, b, c] = [
    buffer("big", 2048),
    buffer("a", 1024),
    buffer("b", 1024),
    buffer("c", 64),
  ];
  const plan = planMemory(
    [dispatch(big, c), dispatch(a), dispatch(b), dispatch(c, a)],
    new Set([b]),
  );
  assertEquals(plan.slots.map((slot) => slot.kind === "buffer" && slot.sizeBytes), [2048, 64]);
  assertEquals([a, b].map((m) => plan.offsetOf.get(m)), [0, 1024]);
});

Deno.test("plan: a buffer becomes longer where that takes less than another, up to a limit", () => {
  const [big, a, b] = [buffer("big", 2048), buffer("a", 1100), buffer("b", 1100)];
  const steps = [dispatch(big), dispatch(a), dispatch(b), dispatch(a)];
  const sizes = (most?: number) => {
    const plan = planMemory(steps, new Set(), most);
    checkPlan("longer", steps, new Set(), plan);
    return plan.slots.map((slot) => slot.kind === "buffer" && slot.sizeBytes);
  };
  // b starts at a multiple of 256 behind a.
  assertEquals(sizes(), [1280 + 1100]);
  assertEquals(sizes(2380), [2380]);
  assertEquals(sizes(2379), [2048, 1100]);
});

Deno.test("plan: persistent memory gets no slot and textures never share with buffers", () => {
  const home = { buffer: new PersistentBuffer("input", 256), offsetBytes: 0 };
  const input: BufferMemory = { ...buffer("input", 256), home };
  const texture: Memory = { kind: "texture", label: "t", width: 16, height: 1, type: "f32" };
  const y = buffer("y", 256);
  const plan = planMemory([copy(input, texture), dispatch(texture, y), dispatch(y)], new Set());
  assertEquals(plan.slotOf.has(input), false);
  assertEquals(plan.slots.map((slot) => slot.kind), ["texture", "buffer"]);
  assertEquals(plan.slotBytes, 512);
});

Deno.test("plan: the checks of these tests find a plan that shares too much", () => {
  const [a, b, c] = [buffer("a", 64), buffer("b", 64), buffer("c", 64)];
  const steps = [dispatch(a, b), dispatch(b, c), dispatch(a, c)];
  const one = { kind: "buffer" as const, sizeBytes: 64 };
  const two = { ...one };
  // c takes the place of a, which is read again.
  const plan = {
    slots: [one, two],
    slotOf: new Map([[a, one], [b, two], [c, one]]),
    offsetOf: new Map([[a, 0], [b, 0], [c, 0]]),
    slotBytes: 128,
  };
  assertThrows(() => checkPlan("bad", steps, new Set(), plan), Error, "in one place");
  assertThrows(() => simulate(steps, new Set(), plan), Error, "overwritten");
  const three = { ...one, sizeBytes: 16 };
  const small = {
    slots: [one, two, three],
    slotOf: new Map([[a, one], [b, two], [c, three]]),
    offsetOf: new Map([[a, 0], [b, 0], [c, 0]]),
    slotBytes: 144,
  };
  assertThrows(() => checkPlan("small", steps, new Set(), small), Error, "does not fit");
});
