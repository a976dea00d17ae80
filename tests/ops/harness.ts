/**
 * Holds GPU ops to the float64 reference: records an op, runs it forward and backward on memory
 * poisoned with NaN, and compares values, gradients and the zero padding of `c4` tensors.
 * @module
 */
import { assert } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { type Gpu, type KernelFamily, requestGpu } from "../../src/gpu/device.ts";
import { backpropagate } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import {
  c4Memory,
  elementCount,
  type ImageType,
  type Layout,
  packC4,
  unpackC4,
} from "../../src/graph/layout.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { compile } from "../../src/graph/program.ts";
import { lowerTarget, planProgram } from "../../src/graph/program_plan.ts";
import type { Array64 } from "../reference/array.ts";

/** An input of a case; float images are `c4` unless said otherwise. */
export interface CaseInput {
  value: Array64;
  /** Default: `c4` for rank 4, `flat` otherwise. */
  layout?: Layout;
  /** Default `f32`; whole numbers such as labels are `u32` and get no gradient. */
  dtype?: "f32" | "u32";
}

/** One op with concrete inputs and what the reference says about it. */
export interface OpCase {
  name: string;
  inputs: Record<string, CaseInput>;
  /** Records the op on the inputs of the same names. */
  record(tensors: Record<string, Tensor>): Tensor;
  /** The expected output. */
  output: Array64;
  /** Gradient of the output that flows back; without it only the forward pass is tested. */
  outputGradient?: Array64;
  /** Expected gradients by input name. */
  gradients?: Record<string, Array64>;
  /** Bounds on max|d| / max|ref|; defaults 1e-5 and 1e-4. Say why when a case loosens them. */
  tolerance?: { forward?: number; backward?: number };
  /** Bound in windows, the op adds up its parts in another order than without. */
  partsReorderSums?: boolean;
}

const shared = new Map<KernelFamily, Promise<Gpu>>();

/**
 * One device a kernel family for all tests of a file: opening one takes longer than most tests. It
 * is closed with the file, since a driver whose threads still run while the process ends may crash.
 */
export function testGpu(kernels: KernelFamily = "auto"): Promise<Gpu> {
  let gpu = shared.get(kernels);
  if (!gpu) {
    gpu = openForFile(kernels);
    shared.set(kernels, gpu);
  }
  return gpu;
}

async function openForFile(kernels: KernelFamily): Promise<Gpu> {
  const gpu = await requestGpu({ kernels });
  globalThis.addEventListener("unload", () => gpu.destroy());
  return gpu;
}

/**
 * Registers a test for each case. The device is shared, so leak checks cannot apply.
 * @param readsVectors whether the op reads arrays of vec4s
 */
export function testOps(cases: Iterable<OpCase>, readsVectors = true): void {
  for (const opCase of cases) {
    Deno.test({
      name: opCase.name,
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => await checkOp(await testGpu(), opCase),
    });
  }
  testWindows();
  if (readsVectors) testTextures();
}

/** A case recorded in a graph of its own. */
interface Recorded {
  graph: Graph;
  outputs: Record<string, Tensor>;
  /** What the reference says of the outputs of the same names. */
  expected: Record<string, Array64>;
}

function recordCase(opCase: OpCase, images: ImageType): Recorded {
  const graph = new Graph({ images });
  const tensors: Record<string, Tensor> = {};
  for (const [name, input] of Object.entries(opCase.inputs)) {
    const { value, dtype } = input;
    tensors[name] = graph.input(name, {
      shape: value.shape.length ? value.shape : [1],
      ...(dtype ? { dtype } : {}),
      layout: layoutOf(input),
    });
  }
  const y = opCase.record(tensors);
  const outputs: Record<string, Tensor> = { y };
  const expected: Record<string, Array64> = { y: opCase.output };
  if (opCase.outputGradient) {
    const dy = graph.input("dy", { shape: y.shape, layout: y.layout });
    const names = Object.keys(opCase.gradients ?? {});
    const gradients = backpropagate(y, dy, names.map((n) => tensor(tensors, n)));
    for (const name of names) {
      const gradient = gradients.get(tensor(tensors, name));
      assert(gradient, `${opCase.name}: no gradient reaches input ${name}`);
      outputs[`d${name}`] = gradient;
      const reference = opCase.gradients?.[name];
      assert(reference);
      expected[`d${name}`] = reference;
    }
  }
  return { graph, outputs, expected };
}

function layoutOf({ value, layout, dtype }: CaseInput): Layout {
  return layout ?? (value.shape.length === 4 && dtype !== "u32" ? "c4" : "flat");
}

/** Kernels read all their inputs where they lie. */
const BUFFERS = { textureReadBytes: Infinity };
/** Kernels read copies in textures, whatever their size. */
const TEXTURES = { textureReadBytes: 1 };
/** Images are copied to textures in the smallest parts. */
const SMALL_PARTS = { stagedPartTexels: 1 };

/** Runs a recorded case on poisoned memory; the memory of its outputs by name. */
async function compute(
  gpu: Gpu,
  opCase: OpCase,
  { graph, outputs, expected }: Recorded,
  target: Partial<LowerTarget>,
  written: (value: Array64, isImage: boolean) => Float32Array,
): Promise<Map<string, ArrayBuffer>> {
  const program = await compile(gpu, graph, { outputs, target: { ...BUFFERS, ...target } });
  try {
    program.fill(NaN);
    for (const [name, input] of Object.entries(opCase.inputs)) {
      const { value, dtype } = input;
      program.write(
        name,
        dtype === "u32" ? Uint32Array.from(value.data) : written(value, layoutOf(input) === "c4"),
      );
    }
    if (opCase.outputGradient) {
      const isImage = outputs.y?.layout === "c4";
      program.write("dy", written(opCase.outputGradient, isImage));
    }
    program.run();
    const results = new Map<string, ArrayBuffer>();
    for (const name of Object.keys(expected)) results.set(name, await program.readRaw(name));
    return results;
  } finally {
    program.destroy();
  }
}

/**
 * Runs one case and throws on the first difference beyond its tolerance; runs it again with the
 * smallest bindings possible, and throws where that changes anything; again with the smallest parts of
 * images; all of these once more with images of 16 bits; and with inputs read through textures, which
 * must change nothing.
 */
export async function checkOp(gpu: Gpu, opCase: OpCase): Promise<void> {
  const recorded = recordCase(opCase, "f32");
  const { graph, outputs, expected } = recorded;
  const check = (how: string, results: Map<string, ArrayBuffer>) => {
    for (const [name, raw] of results) {
      const reference = expected[name];
      assert(reference);
      const { forward = 1e-5, backward = 1e-4 } = opCase.tolerance ?? {};
      const bound = name === "y" ? forward : backward;
      const what = `${opCase.name}${how}: ${name}`;
      compare(what, tensor(outputs, name), raw, reference.data, bound);
    }
  };
  const whole = await compute(gpu, opCase, recorded, {}, f32);
  check("", whole);
  await checkF16(gpu, opCase, recorded);

  checkedCases++;
  if (await checkTextures(gpu, opCase, recorded, {}, f32, whole)) copiedCases++;
  if (hasParts(lowerTarget(gpu), graph, outputs)) {
    stagedCases++;
    const staged = await compute(gpu, opCase, recorded, SMALL_PARTS, f32);
    check(", staged in parts", staged);
  }
  const maxBindingBytes = smallestBinding(lowerTarget(gpu), graph, outputs);
  if (maxBindingBytes === undefined) return;
  splitCases++;
  const parts = await compute(gpu, opCase, recorded, { maxBindingBytes }, f32);
  check(`, bound in windows of ${maxBindingBytes} bytes`, parts);
  await checkTextures(gpu, opCase, recorded, { maxBindingBytes }, f32, parts);
  if (opCase.partsReorderSums) return;
  assertSame(`${opCase.name}, bound in windows`, recorded, parts, whole);
}

/** Throws where results differ in a bit; what follows a `flat` tensor in memory may be anything. */
function assertSame(
  what: string,
  { outputs }: Recorded,
  actual: Map<string, ArrayBuffer>,
  expected: Map<string, ArrayBuffer>,
): void {
  for (const [name, raw] of actual) {
    const { layout, shape } = tensor(outputs, name);
    const count = layout === "flat" ? elementCount(shape) : raw.byteLength / 4;
    const words = new Uint32Array(raw, 0, count);
    const others = new Uint32Array(expected.get(name) ?? new ArrayBuffer());
    const at = words.findIndex((word, i) => word !== others[i]);
    assert(at === -1, `${what}: ${name} differs in word ${at}`);
  }
}

/** Runs a case with inputs read through textures; `false` where its kernels read none that way. */
async function checkTextures(
  gpu: Gpu,
  opCase: OpCase,
  recorded: Recorded,
  limit: Partial<LowerTarget>,
  written: (value: Array64, isImage: boolean) => Float32Array,
  expected: Map<string, ArrayBuffer>,
): Promise<boolean> {
  const { graph, outputs } = recorded;
  const copies = (target: Partial<LowerTarget>) =>
    planProgram(graph, outputs, { ...lowerTarget(gpu), ...limit, ...target }).steps
      .filter((step) => step.kind === "copy-to-texture").length;
  if (copies(TEXTURES) === copies(BUFFERS)) return false;
  const results = await compute(gpu, opCase, recorded, { ...limit, ...TEXTURES }, written);
  const what = `${opCase.name}, read through textures, ${JSON.stringify(limit)}`;
  assertSame(what, recorded, results, expected);
  return true;
}

/**
 * Rounding of images of 16 bits: 2^-11 of a value, and half the distance of the smallest numbers,
 * 2^-25, for each image between input and output, of which no op has more than three.
 */
const F16_BOUND = 3 * 2 ** -11;
const F16_SLACK = 3 * 2 ** -25;

/**
 * The same inputs, rounded to 16 bits, must give with images of 16 bits what they give with images
 * of 32 bits, which the reference has been asked about.
 */
async function checkF16(gpu: Gpu, opCase: OpCase, f32Case: Recorded): Promise<void> {
  const hasImages = [...f32Case.graph.nodes.flatMap((n) => [...n.inputs, ...n.outputs])]
    .some((t) => t.layout === "c4");
  if (!gpu.supportsF16 || !hasImages) return;
  const rounded = (value: Array64, isImage: boolean) =>
    isImage ? Float32Array.from(Float16Array.from(value.data)) : f32(value);
  const exact = await compute(gpu, opCase, f32Case, {}, rounded);
  const recorded = recordCase(opCase, "f16");
  const { graph, outputs } = recorded;
  const target = lowerTarget(gpu);
  const maxBindingBytes = smallestBinding(target, graph, outputs);
  const limits = [
    {},
    ...maxBindingBytes === undefined ? [] : [{ maxBindingBytes }],
    ...hasParts(target, graph, outputs) ? [SMALL_PARTS] : [],
  ];
  for (const limit of limits) {
    const results = await compute(gpu, opCase, recorded, limit, rounded);
    for (const [name, raw] of results) {
      const reference = valuesOf(tensor(f32Case.outputs, name), exact.get(name));
      const what = `${opCase.name}, images of 16 bits, ${JSON.stringify(limit)}: ${name}`;
      compare(what, tensor(outputs, name), raw, reference, F16_BOUND, F16_SLACK);
    }
    await checkTextures(gpu, opCase, recorded, limit, rounded, results);
  }
}

let checkedCases = 0;
let splitCases = 0;
let copiedCases = 0;
let stagedCases = 0;

/** Registers a test that at least one of a file's cases had tensors bound in several windows. */
export function testWindows(): void {
  Deno.test("windows: some of these cases were computed in parts", () => {
    assert(splitCases > 0 || checkedCases === 0, `none of ${checkedCases} cases`);
  });
}

/** Registers a test that at least one of a file's cases read something through textures. */
export function testTextures(): void {
  Deno.test("textures: some of these cases read copies of their inputs", () => {
    assert(copiedCases > 0 || checkedCases === 0, `none of ${checkedCases} cases`);
  });
}

/** Registers a test that at least one of a file's cases staged images in several parts. */
function testStaging(): void {
  Deno.test("staging: some of these cases copied images to textures in parts", () => {
    assert(stagedCases > 0 || checkedCases === 0, `none of ${checkedCases} cases`);
  });
}

/** Registers the tests that some of a file's convolutions went each of these ways. */
export function testEveryWay(): void {
  testWindows();
  testTextures();
  testStaging();
}

/** Whether images are staged in several parts where those are small. */
function hasParts(target: LowerTarget, graph: Graph, outputs: Record<string, Tensor>): boolean {
  const dispatches = (limit: Partial<LowerTarget>) =>
    planProgram(graph, outputs, { ...target, ...limit }).dispatches;
  return dispatches(SMALL_PARTS) > dispatches({});
}

/** The smallest limit on bindings that the outputs can be computed with, where it splits any. */
export function smallestBinding(
  target: LowerTarget,
  graph: Graph,
  outputs: Record<string, Tensor>,
): number | undefined {
  const { dispatches } = planProgram(graph, outputs, target);
  for (let limit = 512;; limit = Math.ceil(limit * 1.25 / 16) * 16) {
    try {
      const plan = planProgram(graph, outputs, { ...target, maxBindingBytes: limit });
      return plan.dispatches > dispatches ? limit : undefined;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
    }
  }
}

/** Values in row-major order of a tensor whose memory is `raw`. */
function valuesOf(tensor: Tensor, raw: ArrayBuffer = new ArrayBuffer()): ArrayLike<number> {
  const { layout, shape, dtype } = tensor;
  if (dtype === "u32") return new Uint32Array(raw);
  return layout === "c4" ? unpackC4(c4Memory(raw, dtype), shape, dtype) : new Float32Array(raw);
}

function compare(
  what: string,
  tensor: Tensor,
  raw: ArrayBuffer,
  reference: ArrayLike<number>,
  bound: number,
  slack = 0,
): void {
  const values = valuesOf(tensor, raw);
  if (tensor.layout === "c4") {
    const packed = c4Memory(raw, tensor.dtype);
    const clean = packC4(values, tensor.shape, tensor.dtype);
    const dirty = packed.findIndex((v, i) => v !== clean[i] && clean[i] === 0);
    assert(dirty < 0, `${what}: padding at float ${dirty} is ${packed[dirty]}, expected 0`);
  }
  let worst = 0;
  let largest = 0;
  const count = elementCount(tensor.shape);
  for (let i = 0; i < count; i++) {
    const r = reference[i] ?? NaN;
    const v = values[i] ?? NaN;
    assert(Number.isFinite(v), `${what}: element ${i} is ${v}, expected ${r}`);
    worst = Math.max(worst, Math.abs(v - r));
    largest = Math.max(largest, Math.abs(r));
  }
  const relative = Math.max(0, worst - slack) / Math.max(largest, 1e-30);
  assert(
    worst === 0 || relative <= bound,
    `${what}: max|d| / max|ref| is ${relative.toExponential(2)}, allowed ${bound}`,
  );
}

function tensor(tensors: Record<string, Tensor>, name: string): Tensor {
  const found = tensors[name];
  assert(found, `no tensor ${name}`);
  return found;
}

function f32(value: Array64): Float32Array {
  return Float32Array.from(value.data);
}
