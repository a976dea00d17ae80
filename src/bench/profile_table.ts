/**
 * The profile of a run as a table: time by op and kernel, in rows that add up to the whole.
 * @module
 */
import { PAUSE, type ProfileEntry } from "../graph/profile.ts";

/** A row of the table. */
export interface ProfileRow {
  /** Op of the nodes, fused ones joined by `+`; empty for pauses. */
  op: string;
  /** Kernel, `copy` or `between dispatches`. */
  kernel: string;
  /** Dispatches, copies or pauses. */
  count: number;
  timeMs: number;
  /** Of the whole, 0 to 1. */
  share: number;
}

/** Time by op and kernel, the most first. */
export function profileRows(entries: readonly ProfileEntry[]): ProfileRow[] {
  const rows = new Map<string, ProfileRow>();
  for (const { label, kernel, timeMs } of entries) {
    // The label is scopes and op, joined by dots.
    const op = kernel === PAUSE ? "" : label.slice(label.lastIndexOf(".") + 1);
    const key = `${op} ${kernel}`;
    const row = rows.get(key) ?? { op, kernel, count: 0, timeMs: 0, share: 0 };
    row.count++;
    row.timeMs += timeMs;
    rows.set(key, row);
  }
  const wholeMs = totalMs(entries);
  const sorted = [...rows.values()].sort((a, b) => b.timeMs - a.timeMs);
  for (const row of sorted) row.share = wholeMs > 0 ? row.timeMs / wholeMs : 0;
  return sorted;
}

/** Time of all entries together. */
export function totalMs(entries: readonly ProfileEntry[]): number {
  return entries.reduce((sum, { timeMs }) => sum + timeMs, 0);
}

/** The run of median time: one run whose rows belong together, not medians that add up to nothing. */
export function medianRun(runs: readonly ProfileEntry[][]): ProfileEntry[] {
  const sorted = [...runs].sort((a, b) => totalMs(a) - totalMs(b));
  return sorted[sorted.length >> 1] ?? [];
}
