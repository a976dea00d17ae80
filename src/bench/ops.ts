/**
 * Every op and shape of a U-Net's train step: its time, what that is of the device's peaks, and
 * whether its numbers are right, all from one program whose intermediate results are kept.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { parameterGradients } from "../graph/autograd.ts";
import { Graph, type Node, type Tensor } from "../graph/graph.ts";
import { LowerContext } from "../graph/lower.ts";
import { compile, type Program } from "../graph/program.ts";
import { lowerTarget } from "../graph/program_plan.ts";
import { PAUSE } from "../graph/profile.ts";
import { rewrite } from "../graph/rewrite.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import { rmsprop } from "../nn/optimizers.ts";
import { Stream } from "../nn/random.ts";
import { UNet } from "../nn/unet.ts";
import type { UnetConfig } from "../nn/unet_spec.ts";
import { crossEntropy } from "../ops/cross_entropy.ts";
import type { Peaks } from "./peaks.ts";
import { exactOutputs, termsOf, type Values } from "./spot_values.ts";
import { benchBatch } from "./step.ts";

/** What to measure. */
export interface OpsOptions extends BatchShape {
  network: Pick<UnetConfig, "model" | "width" | "upsample">;
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

const [SEED, CLASSES, LEARNING_RATE] = [1234, 23, 0.01];
const [ALPHA, EPS, WEIGHT_DECAY] = [0.99, 1e-8, 1e-8];

/** Elements of each output that are compared. */
const SAMPLES = 24;

/** Bounds on the relative error, the tests' own: sums of a gradient are longer. */
const [FORWARD_ERROR, GRADIENT_ERROR] = [1e-5, 1e-4];

/** Records the step. */
export function recordOps({ network, batch, height, width }: OpsOptions) {
  const net = new UNet({ classes: CLASSES, ...network }, SEED);
  const graph = new Graph();
  const image = graph.input("image", { shape: [batch, 3, height, width], layout: "c4" });
  const labels = graph.input("labels", { shape: [batch, height, width], dtype: "u32" });
  const loss = crossEntropy(net.forward(image, { training: true }), labels);
  const optimizer = rmsprop({ alpha: ALPHA, eps: EPS, weightDecay: WEIGHT_DECAY });
  optimizer.record(graph, net.store, parameterGradients(loss, net.store));
  return { net, graph, loss, optimizer };
}

/** Measures and checks every op of a train step. */
export async function benchOps(gpu: Gpu, options: OpsOptions): Promise<OpResult[]> {
  const { net, graph, loss, optimizer } = recordOps(options);
  const groups = groupNodes(rewrite(graph, [loss]));
  const kept = new Map<string, Tensor>([["loss", loss]]);
  for (const [node] of groups.values()) {
    for (const tensor of [...node.inputs, ...node.outputs]) kept.set(nameOf(tensor), tensor);
  }
  const outputs = Object.fromEntries(kept);
  using program = await compile(gpu, graph, { outputs, stores: [net.store] });
  const { image, labels } = benchBatch(options);
  program.write("image", image);
  program.write("labels", labels);
  program.write("optimizer", optimizer.stepState(LEARNING_RATE, 1));

  // Parameters change in place: what the ops saw of them is what is there before the run.
  const values = new Map<Tensor, Values>();
  for (const tensor of kept.values()) {
    if (!tensor.producer) values.set(tensor, await read(program, tensor));
  }
  const before = await net.store.read(gpu);
  program.run();
  for (const tensor of kept.values()) {
    if (tensor.producer) values.set(tensor, await read(program, tensor));
  }
  const after = await net.store.read(gpu);
  const gradients = await net.store.readCompanion(gpu, "gradients");

  const times = await timeNodes(gpu, graph, program, Object.values(outputs), options.steps);
  return [...groups.values()].map((nodes) => {
    const [node] = nodes;
    const timeMs = nodes.reduce((sum, n) => sum + (times.get(n.id) ?? 0), 0) / nodes.length;
    const flops = node.spec.flops ?? 0;
    const bytes = [...node.inputs, ...node.outputs].reduce((sum, t) => sum + t.sizeBytes, 0);
    const computeMs = flops / options.peaks.gflops / 1e6;
    const memoryMs = bytes / options.peaks.gigabytesPerSecond / 1e6;
    const isUpdate = node.op.startsWith("optimizer");
    return {
      op: node.label.slice(node.label.lastIndexOf(".") + 1),
      shape: isUpdate ? `${net.store.parameterCount} values` : shapeOf(node),
      count: nodes.length,
      timeMs,
      flops,
      bytes,
      peakShare: timeMs > 0 ? Math.max(computeMs, memoryMs) / timeMs : 0,
      bound: computeMs > memoryMs ? "compute" : "memory",
      error: isUpdate ? updateError(before, after, gradients) : spotError(node, values),
      allowed: /grad|optimizer/.test(node.op) ? GRADIENT_ERROR : FORWARD_ERROR,
    };
  });
}

const nameOf = (tensor: Tensor): string => `t${tensor.id}`;

/** Nodes of one op, shape and settings. */
function groupNodes(nodes: readonly Node[]): Map<string, [Node, ...Node[]]> {
  const groups = new Map<string, [Node, ...Node[]]>();
  for (const node of nodes) {
    const key = `${node.op} ${shapeOf(node)} ${JSON.stringify(node.attributes)}`;
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
  const { kernel, segment } = node.attributes;
  return `${join(node.inputs) || node.inputs[0]?.shape.join("x")} > ${join(node.outputs) || flat}` +
    (kernel === undefined ? "" : `, ${kernel}`) +
    (segment === undefined || segment === 0 ? "" : `, input ${Number(segment) + 1}`);
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
  outputs: readonly Tensor[],
  steps: number,
): Promise<Map<number, number>> {
  // Labels do not tell nodes apart; so the steps are counted as the plan made them.
  const context = new LowerContext(lowerTarget(gpu));
  const owners: number[] = [];
  for (const node of rewrite(graph, outputs)) {
    context.lower(node);
    while (owners.length < context.steps.length) owners.push(node.id);
  }
  const fastest = new Map<number, number>();
  for (let run = 0; run < steps; run++) {
    for (const { kernel, step, timeMs } of await program.profile()) {
      if (kernel !== PAUSE) fastest.set(step, Math.min(timeMs, fastest.get(step) ?? Infinity));
    }
  }
  const times = new Map<number, number>();
  for (const [step, timeMs] of fastest) {
    const owner = owners[step];
    if (owner === undefined || context.steps[step]?.label !== program.plan.steps[step]?.label) {
      throw new Error(`Step ${step} of the program is not the one that was lowered`);
    }
    times.set(owner, (times.get(owner) ?? 0) + timeMs);
  }
  return times;
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
function updateError(before: Arrays, after: Arrays, gradients: Arrays): number {
  let [worst, largest] = [0, 0];
  for (const [name, gradient] of gradients) {
    const [old, updated] = [before.get(name), after.get(name)];
    gradient.forEach((slope, i) => {
      const p = old?.[i] ?? NaN;
      const g = slope + WEIGHT_DECAY * p;
      const exact = p - LEARNING_RATE * g / (Math.sqrt((1 - ALPHA) * g * g) + EPS);
      worst = Math.max(worst, Math.abs((updated?.[i] ?? NaN) - exact));
      largest = Math.max(largest, Math.abs(exact));
    });
  }
  return worst / largest;
}
