/**
 * Who reads a tensor, for rewrites and lowering.
 * @module
 */
import type { Node, Tensor } from "./graph.ts";

/** How often each tensor is read; being one of the program's outputs counts as once. */
export function countReaders(
  nodes: readonly Node[],
  outputs: readonly Tensor[],
): Map<Tensor, number> {
  const readers = new Map<Tensor, number>();
  for (const t of outputs) readers.set(t, 1);
  for (const node of nodes) {
    for (const t of node.inputs) readers.set(t, (readers.get(t) ?? 0) + 1);
  }
  return readers;
}

/** The last node to read each tensor, for all but the `outputs` of the program. */
export function lastUsesOf(
  nodes: readonly Node[],
  outputs: readonly Tensor[],
): Map<Tensor, Node> {
  const last = new Map<Tensor, Node>();
  for (const node of nodes) {
    for (const input of node.inputs) if (!outputs.includes(input)) last.set(input, node);
  }
  return last;
}
