/**
 * What every memory plan has to keep, judged from the steps alone and not with the planner's own
 * lifetimes.
 * @module
 */
import { assert } from "@std/assert";
import type { Step } from "../../src/graph/lower.ts";
import { type Memory, memoryBytes } from "../../src/graph/memory.ts";
import type { MemoryPlan, Slot } from "../../src/graph/plan.ts";

/** Bytes that a plan would take if nothing or everything possible were shared. */
export interface PlanBounds {
  /** Every memory in a slot of its own. */
  unsharedBytes: number;
  /** The largest sum of memories that are needed at one time: no plan can take less. */
  liveBytes: number;
  /**
   * A sharper bound: buffers and textures cannot share, and a texture slot holds one memory at a
   * time. Where k textures are live, the k largest slots hold them, so slot k is no smaller than the
   * smallest of the k.
   */
  slotBoundBytes: number;
}

/** Asserts that `plan` is right for `steps` and returns what it could have taken. */
export function checkPlan(
  what: string,
  steps: readonly Step[],
  kept: ReadonlySet<Memory>,
  plan: MemoryPlan,
): PlanBounds {
  const uses = usesOf(steps, kept);
  const live: Set<Memory>[] = Array.from({ length: steps.length + 1 }, () => new Set());
  for (const [memory, indices] of uses) {
    const slot = plan.slotOf.get(memory);
    assert(slot, `${what}: ${memory.label} has no slot`);
    assert(fits(memory, slot, plan), `${what}: ${memory.label} does not fit its slot`);
    for (let i = Math.min(...indices); i <= Math.max(...indices); i++) live[i]?.add(memory);
  }
  const users = new Map<Memory, Set<number>>();
  for (const [memory, indices] of uses) users.set(memory, new Set(indices));
  for (const [index, memories] of live.entries()) {
    const owners = new Map<Slot, Memory[]>();
    for (const memory of memories) {
      const slot = plan.slotOf.get(memory);
      if (!slot) continue;
      const others = owners.get(slot) ?? [];
      for (const other of others) {
        const where = `${what}: at step ${index} ${memory.label} and ${other.label}`;
        assert(
          slot.kind === "buffer" && areApart(memory, other, plan),
          `${where} are in one place`,
        );
        const isTouched = [memory, other].every((m) => users.get(m)?.has(index));
        assert(index === steps.length || !isTouched, `${where} are bound from one buffer`);
      }
      owners.set(slot, [...others, memory]);
    }
  }
  const bytesOf = (memories: Iterable<Memory>) =>
    [...memories].reduce((sum, memory) => sum + memoryBytes(memory), 0);
  const bounds = {
    unsharedBytes: bytesOf(uses.keys()),
    liveBytes: Math.max(0, ...live.map(bytesOf)),
    slotBoundBytes: Math.max(0, ...live.map((m) => bytesOf(ofKind(m, "buffer")))) +
      slotBound(live, "texture"),
  };
  const slotBytes = plan.slots.reduce((sum, slot) => sum + slotSize(slot), 0);
  assert(slotBytes === plan.slotBytes, `${what}: slotBytes is not the sum of the slots`);
  assert(
    slotBytes <= bounds.unsharedBytes,
    `${what}: ${slotBytes} bytes planned, ${bounds.unsharedBytes} would do without sharing`,
  );
  assert(
    slotBytes >= Math.max(bounds.liveBytes, bounds.slotBoundBytes),
    `${what}: ${slotBytes} bytes cannot hold ${bounds.liveBytes} at once`,
  );
  return bounds;
}

/** The steps that touch each planned memory; the end of the program counts for kept ones. */
function usesOf(steps: readonly Step[], kept: ReadonlySet<Memory>): Map<Memory, number[]> {
  const uses = new Map<Memory, number[]>();
  steps.forEach((step, index) => {
    const memories = step.kind === "dispatch" ? step.operands : [step.source, step.target];
    for (const touched of memories) {
      const memory = (touched.kind === "buffer" && touched.within?.memory) || touched;
      if (memory.kind === "buffer" && memory.home) continue;
      uses.set(memory, [...uses.get(memory) ?? [], index]);
    }
  });
  for (const memory of kept) uses.get(memory)?.push(steps.length);
  return uses;
}

function slotBound(live: readonly Set<Memory>[], kind: Memory["kind"]): number {
  const largest: number[] = [];
  for (const memories of live) {
    const sizes = ofKind(memories, kind).map(memoryBytes);
    sizes.sort((a, b) => b - a).forEach((size, k) => {
      largest[k] = Math.max(largest[k] ?? 0, size);
    });
  }
  return largest.reduce((sum, size) => sum + size, 0);
}

function ofKind(memories: ReadonlySet<Memory>, kind: Memory["kind"]): Memory[] {
  return [...memories].filter((m) => m.kind === kind);
}

/** Where a memory starts and ends in its slot. */
function rangeOf(memory: Memory, plan: MemoryPlan): [number, number] {
  const start = plan.offsetOf.get(memory) ?? NaN;
  return [start, start + memoryBytes(memory)];
}

function areApart(a: Memory, b: Memory, plan: MemoryPlan): boolean {
  const [[startA, endA], [startB, endB]] = [rangeOf(a, plan), rangeOf(b, plan)];
  return endA <= startB || endB <= startA;
}

function fits(memory: Memory, slot: Slot, plan: MemoryPlan): boolean {
  const [start, end] = rangeOf(memory, plan);
  if (memory.kind === "buffer") {
    return slot.kind === "buffer" && start % 256 === 0 && end <= slot.sizeBytes;
  }
  return slot.kind === "texture" && slot.width >= memory.width && slot.height >= memory.height;
}

function slotSize(slot: Slot): number {
  return slot.kind === "buffer" ? slot.sizeBytes : slot.width * slot.height * 16;
}
