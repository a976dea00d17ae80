/**
 * Which parts of a parameter arena a set of gradients covers.
 * @module
 */
import type { ParameterGradient } from "../graph/autograd.ts";
import { elementCount } from "../graph/layout.ts";
import { ALIGNMENT_BYTES } from "../graph/memory.ts";

/** A contiguous part of an arena, both at multiples of 256 bytes. */
export interface ArenaWindow {
  offsetBytes: number;
  sizeBytes: number;
}

/**
 * The windows that hold the parameters of `gradients` and nothing of other parameters, each no
 * larger than `maxBindingBytes`; neighbours are joined.
 */
export function arenaWindows(
  gradients: readonly ParameterGradient[],
  maxBindingBytes: number,
): ArenaWindow[] {
  const arrays = gradients.map(({ stored }) => ({
    offsetBytes: stored.home.offsetBytes,
    sizeBytes: alignUp(elementCount(stored.shape) * 4),
  })).sort((a, b) => a.offsetBytes - b.offsetBytes);
  const ranges: ArenaWindow[] = [];
  for (const array of arrays) {
    const last = ranges.at(-1);
    if (last && last.offsetBytes + last.sizeBytes === array.offsetBytes) {
      last.sizeBytes += array.sizeBytes;
    } else ranges.push(array);
  }
  const limit = Math.floor(maxBindingBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  return ranges.flatMap(({ offsetBytes, sizeBytes }) =>
    Array.from({ length: Math.ceil(sizeBytes / limit) }, (_, i) => ({
      offsetBytes: offsetBytes + i * limit,
      sizeBytes: Math.min(limit, sizeBytes - i * limit),
    }))
  );
}

function alignUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}
