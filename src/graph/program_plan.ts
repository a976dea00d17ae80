/**
 * From a recorded graph to everything a program needs, as plain data: steps, slots, params. Nothing
 * here touches a GPU, so that a plan can be judged before anything is allocated.
 * @module
 */
import { InputError, ShapeError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Graph, Node, Tensor } from "./graph.ts";
import { type DType, elementCount, vectorBytesOf } from "./layout.ts";
import { LowerContext, type LowerTarget, type Step } from "./lower.ts";
import { type BufferMemory, mib, type PersistentBuffer } from "./memory.ts";
import { type MemoryPlan, planMemory } from "./plan.ts";
import { recompute } from "./recompute.ts";
import { join } from "./join.ts";
import { rewrite } from "./rewrite.ts";
import { moveNormalizations } from "./rewrite_conv_input.ts";
import { lastUsesOf } from "./readers.ts";

/** A node as it is planned: where its steps end and what it leaves. */
export interface PlannedNode {
  /** Label of the node. */
  label: string;
  /** Number of steps up to and including its last one. */
  end: number;
  /** Its float outputs. */
  outputs: PlannedOutput[];
}

/** Where a node leaves an output. */
export interface PlannedOutput {
  /** Its bytes on the GPU. */
  memory: BufferMemory;
  /** What it holds. */
  dtype: DType;
  /** Floats that mean something: what follows in a `flat` memory may be anything. */
  count: number;
}

/** What a program would do and need, known before anything runs. */
export interface ProgramPlan {
  /** Dispatches and copies in execution order. */
  steps: Step[];
  /** The nodes behind the steps, in execution order. */
  nodes: PlannedNode[];
  /** Allocations for everything that is not persistent. */
  memory: MemoryPlan;
  /** By the name given to the compiler: the tensor and where it lies. */
  outputs: Map<string, { tensor: Tensor; memory: BufferMemory }>;
  /** Params of all dispatches, each at a multiple of 256 bytes. */
  params: Uint32Array;
  /** Byte offset into `params` for each step; copies have one too and do not use it. */
  paramsOffsets: number[];
  /** Slots, inputs, parameters and params together. */
  plannedBytes: number;
  /** Dispatches of one run, copies not counted. */
  dispatches: number;
}

/** What a device allows and prefers, for {@linkcode planProgram}. */
export function lowerTarget(gpu: Gpu): LowerTarget {
  return {
    kernelFamily: gpu.kernelFamily,
    vectorBits: gpu.vectorBits,
    tuning: gpu.tuning,
    textureReadBytes: gpu.textureReadBytes,
    maxTextureDimension: gpu.limits.maxTextureDimension2D,
    maxBindingBytes: Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize),
    maxBufferBytes: gpu.limits.maxBufferSize,
    maxStorageBuffers: gpu.limits.maxStorageBuffersPerShaderStage,
    maxStorageTextures: gpu.limits.maxStorageTexturesPerShaderStage,
  };
}

/** Rewrites, lowers and plans a graph without touching a GPU. */
export function planProgram(
  graph: Graph,
  outputs: Record<string, Tensor>,
  device: LowerTarget,
): ProgramPlan {
  const tensors = Object.values(outputs);
  for (const [name, tensor] of Object.entries(outputs)) {
    if (tensor.graph !== graph) {
      throw new ShapeError(
        `Compiling got output "${name}", tensor "${tensor.label}" of another graph; ask for a ` +
          "tensor of the graph that is compiled.",
      );
    }
  }
  const target = { ...device, images: graph.images };
  const lowered = nodesToLower(graph, tensors, target);
  const context = new LowerContext(target, lastUsesOf(lowered, tensors));
  const nodes = lowered.map((node): PlannedNode => {
    context.lower(node);
    const floats = node.outputs.filter(({ dtype }) => dtype !== "u32");
    const outputs = floats.map((tensor): PlannedOutput => ({
      memory: context.memory(tensor),
      dtype: tensor.dtype,
      count: tensor.layout === "flat"
        ? elementCount(tensor.shape)
        : tensor.sizeBytes * 4 / vectorBytesOf(tensor.dtype),
    }));
    return { label: node.label, end: context.steps.length, outputs };
  });
  const { steps } = context;
  const named = new Map(
    Object.entries(outputs).map(([name, tensor]) => [name, {
      tensor,
      memory: context.memory(tensor),
    }]),
  );
  const kept = new Set([...named.values()].map((o) => o.memory));
  const memory = planMemory(steps, kept, target.maxBufferBytes);
  checkBufferSizes(memory, target);
  const { params, paramsOffsets } = layOutParams(steps);
  const persistentBytes = persistentBuffers(steps).reduce((sum, b) => sum + b.sizeBytes, 0);
  return {
    steps,
    nodes,
    memory,
    outputs: named,
    params,
    paramsOffsets,
    plannedBytes: memory.slotBytes + persistentBytes + params.byteLength,
    dispatches: steps.filter((s) => s.kind === "dispatch").length,
  };
}

/** The nodes that a device runs for the outputs, in order: those recorded, rewritten for it. */
export function nodesToLower(
  graph: Graph,
  outputs: readonly Tensor[],
  target: LowerTarget,
): readonly Node[] {
  const recorded = moveNormalizations(rewrite(graph, outputs), outputs, target);
  const kept = target.recompute === false ? recorded : recompute(recorded, outputs, target);
  return join(kept, target);
}

/** The buffers that outlive a run and that its steps read or write. */
export function persistentBuffers(steps: readonly Step[]): PersistentBuffer[] {
  const found = new Set<PersistentBuffer>();
  for (const step of steps) {
    const operands = step.kind === "dispatch" ? step.operands : [step.source];
    for (const m of operands) if (m.kind === "buffer" && m.home) found.add(m.home.buffer);
  }
  return [...found];
}

/**
 * @throws {InputError} when a memory is larger than any buffer may be.
 */
function checkBufferSizes(
  { slotOf }: MemoryPlan,
  { maxBufferBytes = Infinity }: LowerTarget,
): void {
  for (const memory of slotOf.keys()) {
    if (memory.kind === "texture" || memory.sizeBytes <= maxBufferBytes) continue;
    throw new InputError(
      `Planning a program: tensor "${memory.label}" takes ${
        mib(memory.sizeBytes)
      }, but buffers of ` +
        `this adapter hold at most ${mib(maxBufferBytes)}; use a smaller batch, scale or width.`,
    );
  }
}

function layOutParams(steps: readonly Step[]): { params: Uint32Array; paramsOffsets: number[] } {
  const paramsOffsets: number[] = [];
  let words = 0;
  for (const step of steps) {
    paramsOffsets.push(words * 4);
    if (step.kind === "dispatch") {
      words += Math.max(64, Math.ceil(step.spec.params.length / 64) * 64);
    }
  }
  const params = new Uint32Array(Math.max(64, words));
  steps.forEach((step, i) => {
    if (step.kind === "dispatch") params.set(step.spec.params, (paramsOffsets[i] ?? 0) / 4);
  });
  return { params, paramsOffsets };
}
