/**
 * The memory plan: memories that are never needed at the same time share a slot. One slot is one
 * GPUBuffer or GPUTexture, because WebGPU forbids reading and writing one buffer in a dispatch.
 * @module
 */
import { type Memory, memoryBytes, wholeOf } from "./memory.ts";
import type { Step } from "./lower.ts";

/** A buffer of a plan. */
export interface BufferSlot {
  /** Tells it from a {@linkcode TextureSlot}. */
  kind: "buffer";
  /** Size of the largest memory it holds. */
  sizeBytes: number;
}

/** A texture of a plan. */
export interface TextureSlot {
  /** Tells it from a {@linkcode BufferSlot}. */
  kind: "texture";
  /** Texels of 16 bytes, rgba32float. */
  width: number;
  /** Rows of texels. */
  height: number;
}

/** One allocation of a plan. */
export type Slot = BufferSlot | TextureSlot;

/** Which slot holds which memory. */
export interface MemoryPlan {
  /** Every allocation, each a buffer or texture of its own. */
  slots: Slot[];
  /** The slot of each memory without a home; several memories may share one. */
  slotOf: Map<Memory, Slot>;
  /** Bytes of all slots. */
  slotBytes: number;
}

/** First and last step that touches a memory. */
export interface Lifetime {
  first: number;
  last: number;
}

/** Lifetimes of all memories that need a slot; `kept` ones live to the end. */
export function lifetimes(
  steps: readonly Step[],
  kept: ReadonlySet<Memory>,
): Map<Memory, Lifetime> {
  const found = new Map<Memory, Lifetime>();
  steps.forEach((step, index) => {
    for (const memory of touched(step)) {
      if (memory.kind === "buffer" && memory.home) continue;
      const life = found.get(memory);
      if (life) life.last = index;
      else found.set(memory, { first: index, last: index });
    }
  });
  for (const [memory, life] of found) if (kept.has(memory)) life.last = steps.length;
  return found;
}

/** The memories of a step, whole where it touches a window. */
export function touched(step: Step): readonly Memory[] {
  return (step.kind === "dispatch" ? step.operands : [step.source, step.target]).map(wholeOf);
}

/**
 * Assigns slots greedily in order of first use: the free slot that wastes or grows least, a new one
 * when none is free. Slots may grow after they were first used, since nothing is allocated yet.
 */
export function planMemory(steps: readonly Step[], kept: ReadonlySet<Memory>): MemoryPlan {
  const lives = lifetimes(steps, kept);
  const expiring = new Map<number, Memory[]>();
  const starting = new Map<number, Memory[]>();
  for (const [memory, { first, last }] of lives) {
    push(starting, first, memory);
    push(expiring, last, memory);
  }
  const slots: Slot[] = [];
  const slotOf = new Map<Memory, Slot>();
  const free = new Set<Slot>();
  for (let index = 0; index < steps.length; index++) {
    // Big ones choose first, so that small ones do not occupy the slots that fit them.
    const wanted = (starting.get(index) ?? []).sort((a, b) => memoryBytes(b) - memoryBytes(a));
    for (const memory of wanted) {
      const slot = bestSlot(free, memory) ?? newSlot(slots, memory);
      free.delete(slot);
      grow(slot, memory);
      slotOf.set(memory, slot);
    }
    for (const memory of expiring.get(index) ?? []) {
      const slot = slotOf.get(memory);
      if (slot) free.add(slot);
    }
  }
  const slotBytes = slots.reduce((sum, slot) => sum + bytesOf(slot), 0);
  return { slots, slotOf, slotBytes };
}

function bytesOf(slot: Slot): number {
  return slot.kind === "buffer" ? slot.sizeBytes : slot.width * slot.height * 16;
}

function bestSlot(free: Iterable<Slot>, memory: Memory): Slot | undefined {
  let best: Slot | undefined;
  let bestCost = Infinity;
  for (const slot of free) {
    if (slot.kind !== memory.kind) continue;
    const need = memoryBytes(memory);
    const growth = grownBytes(slot, memory) - bytesOf(slot);
    // Growing by as much as a new slot would take gains nothing and spoils the old one.
    if (growth >= need) continue;
    const waste = Math.max(0, bytesOf(slot) - need);
    const cost = growth * 4 + waste;
    if (cost < bestCost) {
      best = slot;
      bestCost = cost;
    }
  }
  return best;
}

function grownBytes(slot: Slot, memory: Memory): number {
  if (slot.kind === "buffer" || memory.kind === "buffer") {
    return Math.max(bytesOf(slot), memoryBytes(memory));
  }
  return Math.max(slot.width, memory.width) * Math.max(slot.height, memory.height) * 16;
}

function grow(slot: Slot, memory: Memory): void {
  if (slot.kind === "buffer" && memory.kind === "buffer") {
    slot.sizeBytes = Math.max(slot.sizeBytes, memory.sizeBytes);
  } else if (slot.kind === "texture" && memory.kind === "texture") {
    slot.width = Math.max(slot.width, memory.width);
    slot.height = Math.max(slot.height, memory.height);
  }
}

function newSlot(slots: Slot[], memory: Memory): Slot {
  const slot: Slot = memory.kind === "buffer"
    ? { kind: "buffer", sizeBytes: memory.sizeBytes }
    : { kind: "texture", width: memory.width, height: memory.height };
  slots.push(slot);
  return slot;
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
