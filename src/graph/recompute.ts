/**
 * Trades time for memory: what is cheap to compute is computed again where it is needed much later,
 * instead of being kept, as long as that lowers the most memory ever needed at once.
 *
 * In a U-Net's train step those are above all the activations, which follow from the convolutions'
 * outputs that the gradient of batch norm needs anyway (Chen et al., "Training deep nets with
 * sublinear memory cost", 2016, restricted to what no kept tensor has to be added for).
 * @module
 */
import { type Node, Tensor } from "./graph.ts";
import { LowerContext, type LowerTarget } from "./lower.ts";
import { memoryBytes } from "./memory.ts";
import { lifetimes } from "./plan.ts";
import { lastUsesOf } from "./readers.ts";

/** A plan must get smaller by this share of it to be worth computing anything again. */
const LEAST_GAIN = 0.01;

/** Changes in a row that need not lower the peak: several moments may need equally much. */
const MOST_TRIES = 8;

/** Inputs that are kept longer for a recomputation must be smaller than its result by this factor. */
const SMALL_INPUT_FACTOR = 64;

/** `nodes` with some of them computed again later; none is changed in place. */
export function recompute(
  nodes: readonly Node[],
  outputs: readonly Tensor[],
  target: LowerTarget,
): readonly Node[] {
  let best = nodes;
  let bestBytes = Infinity;
  let tries = 0;
  for (let current: readonly Node[] | undefined = nodes; current && tries < MOST_TRIES; tries++) {
    const peak = peakOf(current, outputs, target);
    if (peak.sizeBytes < bestBytes * (1 - LEAST_GAIN)) {
      best = current;
      bestBytes = peak.sizeBytes;
      tries = 0;
    }
    current = withoutIdle(current, outputs, peak);
  }
  return best;
}

/** The moment when most memory of buffers is needed. */
interface Peak {
  sizeBytes: number;
  /** Index of the node that runs then. */
  node: number;
}

function peakOf(nodes: readonly Node[], outputs: readonly Tensor[], target: LowerTarget): Peak {
  const context = new LowerContext(target, lastUsesOf(nodes, outputs));
  const ends = nodes.map((node) => {
    context.lower(node);
    return context.steps.length;
  });
  const kept = new Set(outputs.map((t) => context.memory(t)));
  const changes = new Array<number>(context.steps.length + 2).fill(0);
  for (const [memory, { first, last }] of lifetimes(context.steps, kept)) {
    // Textures have memory of their own, whose peak is at other moments.
    if (memory.kind === "texture") continue;
    changes[first] = (changes[first] ?? 0) + memoryBytes(memory);
    changes[last + 1] = (changes[last + 1] ?? 0) - memoryBytes(memory);
  }
  let [bytes, sizeBytes, step] = [0, 0, 0];
  changes.forEach((change, i) => {
    bytes += change;
    if (bytes > sizeBytes) [sizeBytes, step] = [bytes, i];
  });
  return { sizeBytes, node: ends.findIndex((end) => step < end) };
}

/** Frees the largest tensor that is only waiting at the peak and can be computed again. */
function withoutIdle(
  nodes: readonly Node[],
  outputs: readonly Tensor[],
  peak: Peak,
): readonly Node[] | undefined {
  const producers = new Map(nodes.flatMap((node, i) => node.outputs.map((t) => [t, i] as const)));
  const users = new Map<Tensor, number[]>();
  nodes.forEach((node, i) => {
    for (const t of new Set(node.inputs)) users.set(t, [...users.get(t) ?? [], i]);
  });
  const lastUse = (t: Tensor) => outputs.includes(t) ? Infinity : users.get(t)?.at(-1) ?? -1;
  /** Indices of the nodes that have to run again, in order, for `tensor` to be there at `next`. */
  const chainOf = (tensor: Tensor, next: number): number[] | undefined => {
    const index = producers.get(tensor);
    const node = index === undefined ? undefined : nodes[index];
    if (index === undefined || !node?.spec.isCheap || node.outputs.length !== 1) return undefined;
    if (changesInputs(nodes.slice(index + 1, next), node)) return undefined;
    const chain: number[] = [];
    for (const input of node.inputs) {
      const isSmall = input.sizeBytes * SMALL_INPUT_FACTOR <= tensor.sizeBytes;
      if (input.home || isSmall || lastUse(input) >= next) continue;
      const inner = chainOf(input, next);
      if (!inner) return undefined;
      chain.push(...inner);
    }
    return [...new Set([...chain, index])];
  };
  const idle = [...users].flatMap(([tensor, uses]) => {
    const made = producers.get(tensor) ?? Infinity;
    const next = uses.find((i) => i >= peak.node);
    const isIdle = made < peak.node && next !== undefined && next > peak.node;
    return isIdle && !tensor.home && !outputs.includes(tensor) ? [{ tensor, next }] : [];
  });
  for (const { tensor, next } of idle.sort((a, b) => b.tensor.sizeBytes - a.tensor.sizeBytes)) {
    const chain = chainOf(tensor, next);
    if (chain) return computedAgain(nodes, chain, next);
  }
  return undefined;
}

/** Whether an effect of `between` may change what `node` reads. */
export function changesInputs(between: readonly Node[], node: Node): boolean {
  const buffers = new Set(node.inputs.flatMap((t) => t.home?.buffer ?? []));
  return between.some((other) => {
    if (!other.spec.effect) return false;
    // What an effect without outputs changes is not among its inputs: optimizers update arenas.
    return other.outputs.length === 0 ||
      other.inputs.some((t) => t.home && buffers.has(t.home.buffer));
  });
}

/** `nodes` with those of `chain` run once more in front of node `next`, for all uses from there. */
function computedAgain(
  nodes: readonly Node[],
  chain: readonly number[],
  next: number,
): readonly Node[] {
  const copies = new Map<Tensor, Tensor>();
  const renew = (node: Node) => ({ inputs: node.inputs.map((t) => copies.get(t) ?? t) });
  const again = chain.map((index) => {
    const node = nodes[index];
    if (!node) throw new RangeError(`no node ${index}`);
    const { graph, id, label } = node.output;
    const copy = new Tensor(graph, id, `${label} (again)`, node.output);
    const changes = { ...renew(node), label: `${node.label} (again)`, outputs: [copy] };
    copies.set(node.output, copy);
    return variant(node, changes);
  });
  const later = nodes.slice(next).map((node) =>
    node.inputs.some((t) => copies.has(t)) ? variant(node, renew(node)) : node
  );
  const before = nodes.slice(0, next);
  const used = new Set(before.flatMap((node) => node.inputs));
  const isNeeded = (node: Node) => !copies.has(node.output) || used.has(node.output);
  return [...before.filter((n) => n.outputs.length !== 1 || isNeeded(n)), ...again, ...later];
}

function variant(
  node: Node,
  changes: Partial<Pick<Node, "inputs" | "outputs" | "label">>,
): Node {
  const { id, label, spec, inputs, outputs, attributes } = node;
  return Object.assign(Object.create(Object.getPrototypeOf(node)) as Node, {
    id,
    label,
    spec,
    inputs,
    outputs,
    attributes,
    ...changes,
  });
}
