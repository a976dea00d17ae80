/**
 * The memory plan: memories that are never needed at the same time share a place. A slot is a
 * GPUBuffer or GPUTexture. There are several, because WebGPU forbids reading and writing one buffer
 * in a dispatch; what no step touches together may lie side by side in one.
 * @module
 */
import type { ImageType } from "./layout.ts";
import { ALIGNMENT_BYTES, type Memory, memoryBytes, textureBytes, wholeOf } from "./memory.ts";
import type { Step } from "./lower.ts";

/** A buffer of a plan. */
export interface BufferSlot {
  /** Tells it from a {@linkcode TextureSlot}. */
  kind: "buffer";
  /** Where the memories that it holds end. */
  sizeBytes: number;
}

/** A texture of a plan. */
export interface TextureSlot {
  /** Tells it from a {@linkcode BufferSlot}. */
  kind: "texture";
  /** Texels. */
  width: number;
  /** Rows of texels. */
  height: number;
  /** Element type of the texels. */
  type: ImageType;
}

/** One allocation of a plan. */
export type Slot = BufferSlot | TextureSlot;

/** Which slot holds which memory. */
export interface MemoryPlan {
  /** Every allocation, each a buffer or texture of its own. */
  slots: Slot[];
  /** The slot of each memory without a home; several memories may share one. */
  slotOf: Map<Memory, Slot>;
  /** Where in its slot each of them starts, a multiple of 256; 0 for textures. */
  offsetOf: Map<Memory, number>;
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
 * Assigns slots, the largest memories first and of equal ones those that are used first: each takes
 * the tightest place that is free as long as it lives, or else a slot of its own. Whether a memory may
 * also make a buffer longer rather than take one of its own pays for some programs and costs others
 * memory: both are tried.
 * @param maxBufferBytes of a slot that several memories make longer; default: any
 */
export function planMemory(
  steps: readonly Step[],
  kept: ReadonlySet<Memory>,
  maxBufferBytes: number = Infinity,
): MemoryPlan {
  const lives = lifetimes(steps, kept);
  const together = touchedTogether(steps);
  const plans = [0, maxBufferBytes].map((limit) => assignSlots(lives, together, limit));
  return plans.reduce((best, plan) => plan.slotBytes < best.slotBytes ? plan : best);
}

/** One plan; `mostGrown` is the size that a buffer may grow to. */
function assignSlots(
  lives: ReadonlyMap<Memory, Lifetime>,
  together: ReadonlyMap<Memory, ReadonlySet<Memory>>,
  mostGrown: number,
): MemoryPlan {
  const order = [...lives].map(([memory, life]): Placed => ({ memory, life, offsetBytes: 0 }))
    .sort((a, b) => memoryBytes(b.memory) - memoryBytes(a.memory) || a.life.first - b.life.first);
  const occupied: { slot: Slot; placed: Placed[] }[] = [];
  for (const item of order) {
    let best: Place | undefined;
    for (const { slot, placed } of occupied) {
      if (slot.kind !== item.memory.kind) continue;
      const present = placed.filter(({ life }) =>
        life.first <= item.life.last && item.life.first <= life.last
      );
      const place = slot.kind === "texture"
        ? textureCost(slot, item.memory, present)
        : bufferPlace(slot, item.memory, present, together.get(item.memory), mostGrown);
      if (place && (!best || place.cost < best.cost)) best = { ...place, placed, slot };
    }
    if (!best) {
      occupied.push({ slot: newSlot(item.memory), placed: [item] });
      continue;
    }
    item.offsetBytes = best.offsetBytes;
    best.placed.push(item);
    grow(best.slot, item);
  }
  const all = occupied.flatMap(({ slot, placed }) => placed.map((item) => ({ ...item, slot })));
  return {
    slots: occupied.map(({ slot }) => slot),
    slotOf: new Map(all.map(({ memory, slot }) => [memory, slot])),
    offsetOf: new Map(all.map(({ memory, offsetBytes }) => [memory, offsetBytes])),
    slotBytes: occupied.reduce((sum, { slot }) => sum + slotBytes(slot), 0),
  };
}

/** A memory in a slot. */
interface Placed {
  memory: Memory;
  life: Lifetime;
  offsetBytes: number;
}

/** Where a memory could go; the lower the cost, the better it fits. */
interface Place {
  offsetBytes: number;
  cost: number;
  slot: Slot;
  placed: Placed[];
}

/** By memory, those that some step touches together with it. */
function touchedTogether(steps: readonly Step[]): Map<Memory, Set<Memory>> {
  const found = new Map<Memory, Set<Memory>>();
  for (const step of steps) {
    const memories = touched(step);
    for (const memory of memories) {
      const others = found.get(memory) ?? new Set();
      found.set(memory, others);
      for (const other of memories) others.add(other);
    }
  }
  return found;
}

/** What growing by a byte costs, in bytes that are left free for nothing. */
const GROWTH_COST = 4;

/**
 * The smallest gap of a slot between the memories that are there at the same time, or its end, if it
 * grows by less than half of what a new one would take; none where a step touches one of those
 * memories, too, since it may not read one and write the other.
 */
function bufferPlace(
  slot: BufferSlot,
  memory: Memory,
  present: readonly Placed[],
  together: ReadonlySet<Memory> | undefined,
  mostGrown: number,
): Pick<Place, "offsetBytes" | "cost"> | undefined {
  if (present.some((other) => together?.has(other.memory))) return undefined;
  const need = boundBytes(memory);
  let best: Pick<Place, "offsetBytes" | "cost"> | undefined;
  let start = 0;
  const consider = (end: number) => {
    const cost = end - start - need;
    if (cost >= 0 && (!best || cost < best.cost)) best = { offsetBytes: start, cost };
  };
  for (const other of [...present].sort((a, b) => a.offsetBytes - b.offsetBytes)) {
    consider(other.offsetBytes);
    start = Math.max(start, alignUp(other.offsetBytes + memoryBytes(other.memory)));
  }
  consider(slot.sizeBytes);
  const growth = start + need - slot.sizeBytes;
  if (!best && growth < need / 2 && start + need <= mostGrown) {
    best = { offsetBytes: start, cost: growth * GROWTH_COST };
  }
  return best;
}

/** Textures hold one memory at a time; a slot may grow by less than a new one would take. */
function textureCost(
  slot: TextureSlot,
  memory: Memory,
  present: readonly Placed[],
): Pick<Place, "offsetBytes" | "cost"> | undefined {
  if (present.length > 0 || memory.kind !== "texture" || memory.type !== slot.type) {
    return undefined;
  }
  const grown = textureBytes({
    type: slot.type,
    width: Math.max(slot.width, memory.width),
    height: Math.max(slot.height, memory.height),
  });
  const growth = grown - slotBytes(slot);
  if (growth >= memoryBytes(memory)) return undefined;
  return { offsetBytes: 0, cost: growth * GROWTH_COST + slotBytes(slot) - memoryBytes(memory) };
}

/** A binding takes no less than 16 bytes. */
function boundBytes(memory: Memory): number {
  return Math.max(16, memoryBytes(memory));
}

/** Bytes of a slot. */
export function slotBytes(slot: Slot): number {
  return slot.kind === "buffer" ? slot.sizeBytes : textureBytes(slot);
}

function grow(slot: Slot, { memory, offsetBytes }: Placed): void {
  if (slot.kind === "buffer") {
    slot.sizeBytes = Math.max(slot.sizeBytes, offsetBytes + boundBytes(memory));
  } else if (memory.kind === "texture") {
    slot.width = Math.max(slot.width, memory.width);
    slot.height = Math.max(slot.height, memory.height);
  }
}

function newSlot(memory: Memory): Slot {
  return memory.kind === "buffer"
    ? { kind: "buffer", sizeBytes: boundBytes(memory) }
    : { kind: "texture", width: memory.width, height: memory.height, type: memory.type };
}

function alignUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}
