/**
 * Windows: tensors larger than one binding may be are bound in parts, and the kernel runs once for
 * each part.
 * @module
 */
import { InputError } from "../errors.ts";
import { ALIGNMENT_BYTES, type BufferMemory, mib, windowOf } from "./memory.ts";

/** Units (planes, images, rows of memory) from `first` on. */
export interface UnitRange {
  /** Counted from 0. */
  readonly first: number;
  /** At least 1. */
  readonly count: number;
}

/** `count` units in the fewest ranges of at most `most`, all about equally long. */
export function rangesOf(count: number, most: number): UnitRange[] {
  const parts = Math.ceil(count / Math.max(1, most));
  const length = Math.ceil(count / parts);
  const ranges: UnitRange[] = [];
  for (let first = 0; first < count; first += length) {
    ranges.push({ first, count: Math.min(length, count - first) });
  }
  return ranges;
}

/** A memory that consists of equal units, and what one of them takes. */
export interface Divisible {
  readonly memory: BufferMemory;
  /** Of the values themselves; the last unit may be followed by padding. */
  readonly unitBytes: number;
}

/** How many units of each memory can be bound at once; 0 where not even one can. */
export function mostUnits(memories: readonly Divisible[], limitBytes: number): number {
  return Math.min(
    ...memories.map(({ memory, unitBytes }) => {
      if (memory.sizeBytes <= limitBytes) return Infinity;
      // A window starts at an aligned byte before its first unit.
      const slack = unitBytes % ALIGNMENT_BYTES === 0 ? 0 : ALIGNMENT_BYTES + 16;
      return Math.max(0, Math.floor((limitBytes - slack) / unitBytes));
    }),
  );
}

/** The window of a range of units, and how many 32-bit words lie before its first value. */
export function windowOfUnits(
  { memory, unitBytes }: Divisible,
  { first, count }: UnitRange,
): { memory: BufferMemory; skip: number } {
  const start = first * unitBytes;
  const offsetBytes = Math.floor(start / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  const end = Math.min(memory.sizeBytes, Math.ceil((start + count * unitBytes) / 16) * 16);
  return {
    memory: windowOf(memory, offsetBytes, end - offsetBytes),
    skip: (start - offsetBytes) / 4,
  };
}

/** Says that a unit is too large to be bound. */
export function unitTooLarge(
  label: string,
  memories: readonly Divisible[],
  limitBytes: number,
): InputError {
  const [largest] = [...memories].sort((a, b) => b.unitBytes - a.unitBytes);
  return new InputError(
    `Planning ${label}: an indivisible part of tensor "${largest?.memory.label}" takes ` +
      `${mib(largest?.unitBytes ?? 0)}, but this adapter binds at most ${mib(limitBytes)} at ` +
      "once; use a smaller batch, scale or width.",
  );
}
