/**
 * What browsers refuse and Deno lets pass: WebGPU's rules for the bindings of a dispatch, within
 * the default limits, for every dispatch of whole train steps and predictions.
 */
import { assert, assertEquals } from "@std/assert";
import { kernelCode } from "../../src/gpu/pipeline.ts";
import { parameterGradients } from "../../src/graph/autograd.ts";
import { Graph } from "../../src/graph/graph.ts";
import type { DispatchStep, LowerTarget } from "../../src/graph/lower.ts";
import type { Memory } from "../../src/graph/memory.ts";
import { planProgram, type ProgramPlan } from "../../src/graph/program_plan.ts";
import { adamw, rmsprop } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import { crossEntropy } from "../../src/ops/cross_entropy.ts";
import { imageInput } from "../../src/ops/image_input.ts";
import { resizeArgmax } from "../../src/ops/resize_argmax.ts";
import { workgroupBytes } from "../workgroup_bytes.ts";

const DEFAULT_LIMITS = {
  storageBuffers: 8,
  storageTextures: 4,
  invocations: 256,
  workgroupBytes: 16384,
};

/** A bound range of a GPU object. */
interface Range {
  object: unknown;
  start: number;
  end: number;
  access: string;
}

function rangeOf(memory: Memory, plan: ProgramPlan["memory"], access: string): Range {
  const { home, within } = memory.kind === "buffer" ? memory : {};
  const sizeBytes = memory.kind === "buffer" ? memory.sizeBytes : 1;
  const whole = within?.memory ?? memory;
  const start = home?.offsetBytes ??
    (plan.offsetOf.get(whole) ?? 0) + (within?.offsetBytes ?? 0);
  const object = home?.buffer ?? plan.slotOf.get(whole);
  assert(object, `${memory.label} has no slot`);
  return { object, start, end: start + sizeBytes, access };
}

/** What is wrong with a dispatch. */
function problems({ spec, operands }: DispatchStep, plan: ProgramPlan): string[] {
  const code = kernelCode(spec.kernel);
  const bindings = [...code.matchAll(/@binding\((\d+)\) var(?:<storage, (\w+)>)? \w+: ?(\w+)/g)]
    .sort((a, b) => Number(a[1]) - Number(b[1]));
  const found: string[] = [];
  if (bindings.length !== operands.length + 1) found.push("bindings and operands differ");
  if (bindings.some((b, i) => Number(b[1]) !== i)) found.push("binding numbers have gaps");
  const buffers = bindings.filter((b) => b[2] !== undefined).length;
  if (buffers > DEFAULT_LIMITS.storageBuffers) found.push(`${buffers} storage buffers`);
  if (bindings.length - buffers > DEFAULT_LIMITS.storageTextures) found.push("storage textures");
  const size = /@workgroup_size\(([^)]*)\)/.exec(code)?.[1]?.split(",").map(Number) ?? [];
  if (size.reduce((a, b) => a * b, 1) > DEFAULT_LIMITS.invocations) found.push("invocations");
  const bytes = workgroupBytes(code);
  if (bytes > DEFAULT_LIMITS.workgroupBytes) found.push(`${bytes} bytes of workgroup memory`);
  const ranges = operands.map((m, i) => rangeOf(m, plan.memory, bindings[i + 1]?.[2] ?? "read"));
  ranges.forEach((a, i) => {
    for (const b of ranges.slice(i + 1)) {
      if (a.object !== b.object) continue;
      if (a.access !== b.access) found.push("one buffer is read and written");
      else if (a.access === "read_write" && a.start < b.end && b.start < a.end) {
        found.push("written ranges overlap");
      }
    }
  });
  return found;
}

function assertValid(plan: ProgramPlan): void {
  const dispatches = plan.steps.filter((step) => step.kind === "dispatch");
  assert(dispatches.length > 0);
  const wrong = dispatches.flatMap((step) =>
    problems(step, plan).map((text) => `${step.label}, ${step.spec.kernel.name}: ${text}`)
  );
  assertEquals(wrong, []);
}

const TARGETS = (["cpu", "gpu"] as const).map((kernelFamily): LowerTarget => ({
  kernelFamily,
  maxTextureDimension: 8192,
  maxBindingBytes: 2 ** 27,
}));

const SMALL_BINDING_BYTES = { "unet-small": 60_000, unet: 400_000 };

Deno.test("bindings of train steps are valid in browsers", () => {
  for (const target of TARGETS) {
    for (const [model, upsample] of [["unet", "bilinear"], ["unet-small", "transposed"]] as const) {
      for (const training of [true, false]) {
        const net = new UNet({ classes: 5, width: 8, model, upsample });
        const graph = new Graph();
        const image = graph.input("image", { shape: [2, 3, 33, 47], layout: "c4" });
        const labels = graph.input("labels", { shape: [2, 33, 47], dtype: "u32" });
        const weight = graph.constant("weight", [5], new Float32Array(5).fill(1));
        const loss = crossEntropy(net.forward(image, { training }), labels, { weight });
        const gradients = parameterGradients(loss, net.store);
        const optimizer = training ? adamw() : rmsprop({ momentum: 0.9 });
        optimizer.record(graph, net.store, gradients, { clipNorm: 1 });
        assertValid(planProgram(graph, { loss }, target));
        const copies = { textureReadBytes: 1, maxStorageTextures: DEFAULT_LIMITS.storageTextures };
        assertValid(planProgram(graph, { loss }, { ...target, ...copies }));
        // Little more than the largest weight: most images are bound in windows.
        const windowed = { ...target, maxBindingBytes: SMALL_BINDING_BYTES[model] };
        assertValid(planProgram(graph, { loss }, windowed));
      }
    }
  }
});

Deno.test("bindings of predictions are valid in browsers", () => {
  for (const target of TARGETS) {
    const net = new UNet({ classes: 2, width: 8 });
    const graph = new Graph();
    const pixels = graph.input("pixels", { shape: [1, 21, 30], dtype: "u32" });
    const logits = net.forward(imageInput(pixels), { training: false });
    const ids = resizeArgmax(logits, { size: [50, 61], threshold: 0.3 });
    assertValid(planProgram(graph, { ids }, target));
  }
});
