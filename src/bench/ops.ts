/**
 * Every op and shape of a program: its time, what that is of the device's peaks, and whether its
 * numbers are right, all from one run whose intermediate results are kept.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import type { Graph, Node, Tensor } from "../graph/graph.ts";
import { PAUSE } from "../graph/profile.ts";
import { compile, type Program } from "../graph/program.ts";
import { lowerTarget, nodesToLower } from "../graph/program_plan.ts";
import type { ParameterStore } from "../graph/store.ts";
import { Stream } from "../nn/random.ts";
import { PROLOGUE } from "../ops/conv_prologue.ts";
import { type OpProgram, RMSPROP } from "./op_programs.ts";
import type { Peaks } from "./peaks.ts";
import type { Values } from "./spot_arrays.ts";
import { exactOutputs, termsOf } from "./spot_values.ts";
import { stepOwners } from "./step_owners.ts";

/** How to measure. */
export interface OpsOptions {
  /** Profiled steps, of which the fastest counts for each dispatch. */
  steps: number;
  peaks: Peaks;
}

/** One op at one shape. */
export interface OpResult {
  op: string;
  /** For example `1x64x64x96 > 1x64x64x96, 3x3`. */
  shape: string;
  /** How often it is in a step. */
  count: number;
  /** Of one, the mean of all: kernels and copies. */
  timeMs: number;
  /** Of one. */
  flops: number;
  /** Each input read once, each output written once. */
  bytes: number;
  /** The time it would take at the device's peaks over the time it took. */
  peakShare: number;
  /** Which of the peaks that time comes from. */
  bound: "compute" | "memory";
  /**
   * max|d| / max|y| of sampled elements against double precision, on the same inputs; null where
   * there is no formula for the op.
   */
  error: number | null;
  /** What `error` may be; rounding, as in the tests. */
  allowed: number;
}

/** Elements of each output that are compared. */
const SAMPLES = 24;

/** Bounds on the relative error, the tests' own: sums of a gradient are longer. */
const [FORWARD_ERROR, GRADIENT_ERROR] = [1e-5, 1e-4];

/** What is computed again has no time of its own. */
const AS_RECORDED = { recompute: false } as const;

/** Measures and checks every op of a program. */
export async function benchOps(
  gpu: Gpu,
  { graph, outputs, inputs, store }: OpProgram,
  { steps, peaks }: OpsOptions,
): Promise<OpResult[]> {
  const planned = { ...lowerTarget(gpu), ...AS_RECORDED, images: graph.images };
  const groups = groupNodes(nodesToLower(graph, outputs, planned));
  const kept = new Set(outputs);
  for (const [node] of groups.values()) {
    for (const tensor of [...node.inputs, ...node.outputs]) kept.add(tensor);
  }
  using program = await compile(gpu, graph, {
    outputs: Object.fromEntries([...kept].map((tensor) => [nameOf(tensor), tensor])),
    stores: store ? [store] : [],
    target: AS_RECORDED,
  });
  for (const [name, data] of Object.entries(inputs)) program.write(name, data);

  // Parameters change in place: what the ops saw of them is what is there before the run.
  const values = new Map<Tensor, Values>();
  for (const tensor of kept) {
    if (!tensor.producer) values.set(tensor, await read(program, tensor));
  }
  const before = await store?.read(gpu);
  program.run();
  for (const tensor of kept) {
    if (tensor.producer) values.set(tensor, await read(program, tensor));
  }
  const updated = store && before && await updateError(gpu, store, before);

  const times = await timeNodes(gpu, graph, program, steps);
  return [...groups.values()].map((nodes) => {
    const [node] = nodes;
    const timeMs = nodes.reduce((sum, n) => sum + (times.get(n.id) ?? 0), 0) / nodes.length;
    const flops = membersOf(node).reduce((sum, { spec }) => sum + (spec.flops ?? 0), 0);
    const bytes = [...node.inputs, ...node.outputs].reduce((sum, t) => sum + t.sizeBytes, 0);
    const computeMs = flops / peaks.gflops / 1e6;
    const memoryMs = bytes / peaks.gigabytesPerSecond / 1e6;
    const isUpdate = node.op.startsWith("optimizer");
    return {
      op: node.label.slice(node.label.lastIndexOf(".") + 1),
      shape: isUpdate ? `${store?.parameterCount} values` : shapeOf(node),
      count: nodes.length,
      timeMs,
      flops,
      bytes,
      peakShare: timeMs > 0 ? Math.max(computeMs, memoryMs) / timeMs : 0,
      bound: computeMs > memoryMs ? "compute" : "memory",
      error: isUpdate ? updated ?? null : errorOf(node, values),
      allowed: /grad|optimizer/.test(node.op) ? GRADIENT_ERROR : FORWARD_ERROR,
    };
  });
}

/** The nodes whose results it makes. */
const membersOf = (node: Node): readonly Node[] => node.spec.members ?? [node];

const nameOf = (tensor: Tensor): string => `t${tensor.id}`;

/** Nodes of one op, shape and settings. */
function groupNodes(nodes: readonly Node[]): Map<string, [Node, ...Node[]]> {
  const groups = new Map<string, [Node, ...Node[]]>();
  for (const node of nodes) {
    const settings = membersOf(node).map(({ attributes }) => attributes);
    const key = `${node.op} ${shapeOf(node)} ${JSON.stringify(settings)}`;
    const group = groups.get(key);
    if (group) group.push(node);
    else groups.set(key, [node]);
  }
  return groups;
}

/** What tells an op's shape: its images, and the kernel of a convolution. */
function shapeOf(node: Node): string {
  const join = (tensors: readonly Tensor[]) =>
    tensors.filter((t) => t.layout === "c4").map((t) => t.shape.join("x")).join("+");
  const flat = node.outputs.map((t) => t.shape.join("x")).join("+");
  const settings = membersOf(node).map(({ attributes }) => attributes);
  const { kernel, segment } = settings[0] ?? {};
  const isPrepared = settings.some((attributes) => attributes[PROLOGUE] !== undefined);
  return `${join(node.inputs) || node.inputs[0]?.shape.join("x")} > ${join(node.outputs) || flat}` +
    (kernel === undefined ? "" : `, ${kernel}`) +
    (segment === undefined || segment === 0 ? "" : `, input ${Number(segment) + 1}`) +
    (isPrepared ? ", normalised as it is read" : "");
}

async function read(program: Program, tensor: Tensor): Promise<Values> {
  const { shape, dtype } = tensor;
  const name = nameOf(tensor);
  return { shape, data: dtype === "u32" ? await program.readInts(name) : await program.read(name) };
}

/** The fastest time of each node, by its number: the sum of its dispatches and copies. */
async function timeNodes(
  gpu: Gpu,
  graph: Graph,
  program: Program,
  steps: number,
): Promise<Map<number, number>> {
  const owners = stepOwners(program.plan, graph, { ...lowerTarget(gpu), ...AS_RECORDED });
  const fastest = new Map<number, number>();
  for (let run = 0; run < steps; run++) {
    for (const { kernel, step, timeMs } of await program.profile()) {
      if (kernel !== PAUSE) fastest.set(step, Math.min(timeMs, fastest.get(step) ?? Infinity));
    }
  }
  const times = new Map<number, number>();
  for (const [step, timeMs] of fastest) {
    const id = owners[step]?.node.id;
    if (id !== undefined) times.set(id, (times.get(id) ?? 0) + timeMs);
  }
  return times;
}

/** The largest error of all that a node makes; null where there is no formula for some of it. */
function errorOf(node: Node, values: ReadonlyMap<Tensor, Values>): number | null {
  const errors = membersOf(node).map((member) => spotError(member, values));
  return errors.reduce((a, b) => a === null || b === null ? null : Math.max(a, b));
}

/** The largest relative error of a node's outputs at sampled elements; null without a formula. */
export function spotError(node: Node, values: ReadonlyMap<Tensor, Values>): number | null {
  const inputs = node.inputs.map((t) => values.get(t) ?? { shape: t.shape, data: [] });
  const exact = exactOutputs(node, inputs);
  let worst: number | null = null;
  node.outputs.forEach((tensor, k) => {
    const exactly = exact?.[k];
    const found = values.get(tensor);
    if (!exactly || !found) return;
    let largest = termsOf(node, inputs);
    for (let i = 0; i < found.data.length; i++) {
      largest = Math.max(largest, Math.abs(found.data[i] ?? NaN));
    }
    // Beside one infinite number every error would look small.
    if (!(largest < Infinity)) {
      worst = Infinity;
      return;
    }
    const stream = new Stream(tensor.id);
    let error = 0;
    for (let sample = 0; sample < SAMPLES; sample++) {
      const offset = Math.floor(stream.next() * found.data.length);
      const difference = Math.abs((found.data[offset] ?? NaN) - exactly(indexOf(offset, found)));
      error = Math.max(error, difference);
    }
    worst = Math.max(worst ?? 0, error === 0 ? 0 : error / largest);
  });
  return worst;
}

function indexOf(offset: number, { shape }: Values): number[] {
  const index: number[] = [];
  let rest = offset;
  for (const size of [...shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index;
}

type Arrays = ReadonlyMap<string, Float32Array>;

/** The error of RMSprop's first step, whose mean of squares starts at zero. */
async function updateError(gpu: Gpu, store: ParameterStore, before: Arrays): Promise<number> {
  const after = await store.read(gpu);
  const { alpha, eps, weightDecay, learningRate } = RMSPROP;
  let [worst, largest] = [0, 0];
  for (const [name, gradient] of await store.readCompanion(gpu, "gradients")) {
    const [old, updated] = [before.get(name), after.get(name)];
    gradient.forEach((slope, i) => {
      const p = old?.[i] ?? NaN;
      const g = slope + weightDecay * p;
      const exact = p - learningRate * g / (Math.sqrt((1 - alpha) * g * g) + eps);
      worst = Math.max(worst, Math.abs((updated?.[i] ?? NaN) - exact));
      largest = Math.max(largest, Math.abs(exact));
    });
  }
  return worst / largest;
}
