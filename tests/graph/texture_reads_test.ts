import { assert, assertEquals } from "@std/assert";
import { benchBatch, recordStep } from "../../src/bench/step.ts";
import { kernelCode } from "../../src/gpu/pipeline.ts";
import { INPUT_WIDTH } from "../../src/gpu/template.ts";
import { parameterGradients } from "../../src/graph/autograd.ts";
import type { DispatchSpec } from "../../src/gpu/kernel_spec.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import type { LowerTarget, Step } from "../../src/graph/lower.ts";
import { type BufferMemory, type Memory, memoryBytes, wholeOf } from "../../src/graph/memory.ts";
import { compile } from "../../src/graph/program.ts";
import { planProgram } from "../../src/graph/program_plan.ts";
import {
  areCopied,
  copiesInto,
  READ_PART_BYTES,
  textureFor,
} from "../../src/graph/texture_reads.ts";
import { rmsprop } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import { arenaBlend } from "../../src/ops/arena_blend.ts";
import { batchNorm2d } from "../../src/ops/batch_norm2d.ts";
import { crossEntropy } from "../../src/ops/cross_entropy.ts";
import { scale } from "../../src/ops/elementwise.ts";
import { testGpu } from "../ops/harness.ts";

/** What a device gets where its reads of buffers are slow. */
const TEXTURE_READ_BYTES = 2 ** 18;

const target: LowerTarget = {
  kernelFamily: "cpu",
  maxTextureDimension: 8192,
  maxBindingBytes: 2 ** 27,
};

/** The steps that normalise a batch, by the running statistics, for some target. */
function normalize(shape: readonly number[], options: Partial<LowerTarget>): Step[] {
  const graph = new Graph();
  const [, channels = 1] = shape;
  const vector = (name: string) => graph.input(name, { shape: [channels] });
  const y = batchNorm2d(graph.input("x", { shape, layout: "c4" }), {
    weight: vector("weight"),
    bias: vector("bias"),
    runningMean: vector("mean"),
    runningVar: vector("variance"),
  }, { training: false });
  return planProgram(graph, { y }, { ...target, ...options }).steps;
}

function buffer(sizeBytes: number): BufferMemory {
  return { kind: "buffer", label: "x", sizeBytes };
}

Deno.test("texture reads: large maps are cut and copied where that is asked for, and only there", () => {
  const shape = [4, 16, 300, 500];
  const [whole, ...others] = normalize(shape, {});
  assert(whole?.kind === "dispatch" && others.length === 0, "one dispatch of buffers");
  assert(whole.operands.every(({ kind }) => kind === "buffer"));
  assertEquals(whole.spec.kernel.constants.TEXTURES, undefined);

  const steps = normalize(shape, { textureReadBytes: TEXTURE_READ_BYTES });
  const dispatches = steps.filter((step) => step.kind === "dispatch");
  const [x] = whole.operands;
  assert(x && dispatches.length >= memoryBytes(x) / READ_PART_BYTES, `${dispatches.length} parts`);
  assert(dispatches.length > 1);
  let [copied, written] = [0, 0];
  steps.forEach((step, i) => {
    if (step.kind === "copy-to-texture") {
      const readers = steps.filter((s) =>
        s.kind === "dispatch" && s.operands.includes(step.target)
      );
      assertEquals(readers.map((reader) => steps.indexOf(reader) > i), [true]);
      if (step.target.label === "x") copied += step.width * step.height * 16;
      return;
    }
    assertEquals(step.spec.kernel.constants.TEXTURES, "x weight bias mean spread");
    const y = step.operands.at(-1);
    assert(y?.kind === "buffer" && y.sizeBytes <= READ_PART_BYTES);
    written += y.sizeBytes;
    assert(step.operands.slice(0, -1).every(({ kind }) => kind === "texture"));
  });
  assertEquals(copied, memoryBytes(x), "every vec4 once");
  assertEquals(written, memoryBytes(x));
});

Deno.test("texture reads: small maps and kernels with too many inputs read buffers", () => {
  const dispatches = (shape: readonly number[], options: Partial<LowerTarget>) =>
    normalize(shape, { textureReadBytes: TEXTURE_READ_BYTES, ...options })
      .map((step) => step.kind === "dispatch" && step.operands[0]?.kind);
  assertEquals(dispatches([1, 4, 60, 60], {}), ["buffer"]);
  assertEquals(dispatches([1, 4, 300, 500], { maxStorageTextures: 4 }), ["buffer"]);
  assertEquals(dispatches([1, 4, 300, 500], { maxTextureDimension: 64 }), ["buffer"]);
  assertEquals(dispatches([1, 4, 300, 500], {}).at(-1), "texture");
  assert(!areCopied([], { ...target, textureReadBytes: 1 }), "there is nothing to copy");
});

Deno.test("texture reads: kernels bind no more textures than a device allows, copies and others", () => {
  const shape = { batch: 1, height: 96, width: 96 };
  const { graph, outputs } = recordStep({ ...shape, mode: "train", firstLevel: 64 });
  for (const maxStorageTextures of [4, 5]) {
    const limits = { ...target, textureReadBytes: 1, maxStorageTextures };
    const dispatches = planProgram(graph, outputs, limits).steps
      .filter((step) => step.kind === "dispatch");
    const counts = dispatches.map(({ operands }) =>
      operands.filter(({ kind }) => kind === "texture").length
    );
    assertEquals(Math.max(...counts), maxStorageTextures);
  }
});

Deno.test("texture reads: copies hold whole rows and the rest", () => {
  const copies = (vectors: number, type: "f32" | "f16") => {
    const memory = buffer(vectors * (type === "f32" ? 16 : 8));
    const reading = { kind: "reading", name: "x", memory, type } as const;
    const texture = textureFor(reading, 8192);
    return {
      size: [texture.width, texture.height],
      parts: copiesInto(texture, reading).map((c) => [c.offsetBytes, c.y, c.width, c.height]),
    };
  };
  assertEquals(copies(3, "f32"), { size: [INPUT_WIDTH + 1, 3], parts: [[0, 0, 3, 1]] });
  assertEquals(copies(2 * INPUT_WIDTH, "f16"), {
    size: [INPUT_WIDTH + 1, 3],
    parts: [[0, 0, INPUT_WIDTH, 2]],
  });
  assertEquals(copies(2 * INPUT_WIDTH + 5, "f16"), {
    size: [INPUT_WIDTH + 1, 3],
    parts: [[0, 0, INPUT_WIDTH, 2], [2 * INPUT_WIDTH * 8, 2, 5, 1]],
  });
});

Deno.test({
  name: "texture reads: a train step, optimizer and all, gives the same to the bit",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const gpu = await testGpu("cpu");
    const images = gpu.supportsF16 ? "f16" : "f32";
    const shape = { batch: 2, height: 37, width: 61 };
    const run = async (textureReadBytes: number) => {
      // With a loss scale, which takes the norm of the gradients.
      const step = recordStep({ ...shape, mode: "train", firstLevel: 8, images });
      const { graph, net: { store }, outputs, optimizer, lossScale } = step;
      const k = graph.input("k", { shape: [2] });
      arenaBlend("average", store.companion("average"), store.parameters, k);
      const options = { outputs, stores: [store], historyOf: "loss" };
      using program = await compile(gpu, graph, { ...options, target: { textureReadBytes } });
      const { image, labels } = benchBatch(shape);
      program.write("image", image);
      program.write("labels", labels);
      program.write("k", Float32Array.of(0.5, 0.25));
      lossScale?.upload(gpu);
      for (const number of [1, 2]) {
        program.write("optimizer", optimizer.stepState(1e-3, number));
        program.run();
      }
      const averages = await store.readCompanion(gpu, "average");
      const made = { losses: await program.history(2), averages };
      store.destroy();
      lossScale?.destroy();
      return made;
    };
    assertEquals(await run(1), await run(Infinity));
  },
});

/** Bytes of a buffer. */
interface Bytes {
  readonly object: unknown;
  readonly start: number;
  readonly end: number;
}

function bytesOf(memory: BufferMemory, offsetBytes = 0, sizeBytes = memory.sizeBytes): Bytes {
  const object = memory.home?.buffer ?? wholeOf(memory);
  const start = (memory.home?.offsetBytes ?? memory.within?.offsetBytes ?? 0) + offsetBytes;
  return { object, start, end: start + sizeBytes };
}

/** Copies that kernels read, how many nodes read another's, and which were out of date. */
function readCopies(steps: readonly Step[]): { shared: number; stale: string[] } {
  const copies = new Map<Memory, { bytes: Bytes; step: number; label: string }[]>();
  const writes: { bytes: Bytes; step: number }[] = [];
  const stale: string[] = [];
  let shared = 0;
  steps.forEach((step, i) => {
    if (step.kind === "copy-to-texture") {
      const { source, offsetBytes, height, bytesPerRow, label } = step;
      const bytes = bytesOf(source, offsetBytes, height * bytesPerRow);
      const known = copies.get(step.target) ?? [];
      copies.set(step.target, [...known, { bytes, step: i, label }]);
      return;
    }
    const inputs = String(step.spec.kernel.constants.TEXTURES ?? "").split(" ");
    const code = kernelCode(step.spec.kernel);
    for (const [, number, access, name = ""] of code.matchAll(BINDINGS)) {
      const operand = step.operands[Number(number) - 1];
      if (access === "storage, read_write" && operand?.kind === "buffer") {
        writes.push({ bytes: bytesOf(operand), step: i });
      }
      if (operand?.kind !== "texture" || !inputs.includes(name)) continue;
      for (const { bytes, step: copiedAt, label } of copies.get(operand) ?? []) {
        if (label !== step.label) shared++;
        const isStale = writes.some(({ bytes: written, step: writtenAt }) =>
          writtenAt > copiedAt && writtenAt < i && written.object === bytes.object &&
          written.start < bytes.end && bytes.start < written.end
        );
        if (isStale) stale.push(`${name} of ${step.label}, step ${i}, copied at ${copiedAt}`);
      }
    }
  });
  return { shared, stale };
}

const BINDINGS = /@binding\((\d+)\) var(?:<([^>]*)>)? (\w+):/g;

const READ = `
@group(0) @binding(0) var<storage, read> params: array<u32>;
//@input(1) x: 'vec4f'
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(1) fn main() { y[0] = x_at(params[0]); }`;
const WRITE = `
@group(0) @binding(0) var<storage, read> params: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(1) fn main() { y[0] += f32(params[0]); }`;

/** A node of one dispatch, which reads a copy of `x`, writes over `x`, or both. */
function node(op: string, x: Tensor, source: string, takes = source === WRITE): Tensor {
  const spec: DispatchSpec = {
    kernel: { name: op, source, constants: {} },
    params: [0],
    grid: [1, 1, 1],
  };
  return x.graph.record({
    op,
    inputs: [x],
    outputs: [{ shape: x.shape }],
    lower(context, self) {
      if (takes) assert(context.overwrite(self, x));
      const read = source === READ ? [context.reading("x", x)] : [];
      context.dispatch(spec, [...read, self.output]);
    },
  }).output;
}

Deno.test("texture reads: a tensor that takes another's memory is copied anew, and not while it does", () => {
  const graph = new Graph();
  const t = scale(graph.input("x", { shape: [64] }), 2);
  const [first, second] = [node("first", t, READ), node("second", t, READ)];
  const written = node("written", t, WRITE);
  const third = node("third", written, READ);
  const both = node("both", written, READ, true);
  const fourth = node("fourth", both, READ);
  const outputs = { first, second, third, fourth };
  const { steps } = planProgram(graph, outputs, { ...target, textureReadBytes: 1 });
  const copies = steps.filter((step) => step.kind === "copy-to-texture");
  assertEquals(copies.map(({ label }) => label).filter((label) => label !== "scale"), [
    "first",
    "third",
    "fourth",
  ]);
  // "second" reads the first copy, "both" the third, before it writes.
  assertEquals(readCopies(steps), { shared: 2, stale: [] });
});

Deno.test("texture reads: nodes share copies of a tensor until it is written over", () => {
  for (const [model, upsample] of [["unet", "bilinear"], ["unet-small", "transposed"]] as const) {
    const net = new UNet({ classes: 5, width: 8, model, upsample });
    const graph = new Graph();
    const image = graph.input("image", { shape: [2, 3, 130, 135], layout: "c4" });
    const labels = graph.input("labels", { shape: [2, 130, 135], dtype: "u32" });
    const loss = crossEntropy(net.forward(image, { training: true }), labels);
    rmsprop().record(graph, net.store, parameterGradients(loss, net.store), { clipNorm: 1 });
    const variants = [{ recompute: true }, { recompute: false }, { maxBindingBytes: 2 ** 20 }];
    for (const variant of variants) {
      const options = { ...target, textureReadBytes: 1, ...variant };
      const { shared, stale } = readCopies(planProgram(graph, { loss }, options).steps);
      assertEquals(stale, []);
      assert(shared > 0, `${model}: no node reads another's copy`);
    }
  }
});
