import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { adapterKey, forgetTuning, readTuning, saveTuning } from "../../cli/tuning_file.ts";
import { recordStep } from "../../src/bench/step.ts";
import { stepOwners } from "../../src/bench/step_owners.ts";
import { bestOf, recordTunedStep, tuneStep } from "../../src/bench/tune.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { type Candidate, choose, isTuning, type Tuning } from "../../src/gpu/tuning.ts";
import { backpropagate } from "../../src/graph/autograd.ts";
import { Graph, type Tensor } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { lowerTarget, planProgram } from "../../src/graph/program_plan.ts";
import { Stream } from "../../src/nn/random.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { inFolder, noProcesses, runCommand } from "../cli/run_command.ts";
import { canRead, canWrite } from "../support.ts";

Deno.test("tuning: the named candidate is used, else the first", () => {
  const candidates: [Candidate, Candidate] = [{ name: "a" }, { name: "b" }];
  const choices = new Map<string, readonly string[]>();
  const pick = (tuning?: Tuning) =>
    choose({ ...(tuning ? { tuning } : {}), choices }, "key", candidates).name;
  assertEquals([pick(), pick({ key: "b" }), pick({ key: "gone" })], ["a", "b", "a"]);
  assertEquals([pick({ other: "b" }), pick(JSON.parse('{"__proto__":{"key":"b"}}'))], ["a", "a"]);
  assertEquals([...choices], [["key", ["a", "b"]]]);
  assertEquals([{}, { a: "b" }, { a: 1 }, [], null, "a"].map(isTuning), [
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("tuning: a candidate has to be clearly faster than the favourite", () => {
  const times = (...list: number[]) => list.map((timeMs, i) => ({ name: `${i}`, timeMs }));
  assertEquals(bestOf(times(10, 9, 8)), "2");
  assertEquals(bestOf(times(10, 9.9)), "0");
  assertEquals(bestOf(times(10, Infinity, 11)), "0");
});

/** A convolution of two inputs with all its gradients. */
function convolution(): { graph: Graph; outputs: Record<string, Tensor> } {
  const graph = new Graph();
  const image = (label: string, channels: number) =>
    graph.input(label, { shape: [2, channels, 11, 18], layout: "c4" });
  const x = image("x", 9);
  const weight = graph.input("weight", { shape: [13, 9, 3, 3] });
  const y = conv2d(x, weight, undefined, { padding: 1 });
  const gradients = backpropagate(y, image("dy", 13), [x, weight]);
  const outputs: Record<string, Tensor> = { y };
  for (const [name, tensor] of [["dx", x], ["dweight", weight]] as const) {
    const gradient = gradients.get(tensor);
    if (gradient) outputs[name] = gradient;
  }
  return { graph, outputs };
}

Deno.test("tuning: every candidate computes the same", async () => {
  using gpu = await requestGpu({ kernels: "cpu" });
  const choices = new Map<string, readonly string[]>();
  const first = convolution();
  const target = { ...lowerTarget(gpu), choices };
  const favourite = planProgram(first.graph, first.outputs, target);
  assertEquals(choices.size, 3);
  const most = Math.max(...[...choices.values()].map((names) => names.length));
  assert(most > 8, `${most} candidates`);
  const expected = new Map<string, Float32Array>();
  const paramsSeen = new Set([favourite.params.join()]);
  for (let k = 0; k < most; k++) {
    const { graph, outputs } = convolution();
    const tuning = Object.fromEntries(
      [...choices].map(([key, names]) => [key, names[k % names.length] ?? ""]),
    );
    using program = await compile(gpu, graph, { outputs, target: { tuning } });
    paramsSeen.add(program.plan.params.join());
    program.fill(NaN);
    const stream = new Stream(3);
    for (const [label, tensor] of graph.inputs) {
      program.write(label, stream.uniform(tensor.shape.reduce((a, b) => a * b, 1), 1));
    }
    program.run();
    for (const name of Object.keys(outputs)) {
      const values = await program.read(name);
      const reference = expected.get(name) ?? values;
      expected.set(name, reference);
      const largest = Math.max(...reference.map(Math.abs));
      values.forEach((value, i) => {
        const error = Math.abs(value - (reference[i] ?? NaN)) / largest;
        // Both may be off by the bound on a forward convolution.
        assert(error <= 2e-5, `${name}[${i}] with ${JSON.stringify(tuning)}: error ${error}`);
      });
    }
  }
  assertEquals(paramsSeen.size, most, "the candidates are different plans");
});

const TARGET = { maxTextureDimension: 8192, maxBindingBytes: 2 ** 27 };
const STEP = { mode: "train", batch: 1, height: 8, width: 12, candidates: 2, rounds: 1 } as const;

Deno.test("tuning: a step's shapes are measured, and what is chosen is among the candidates", async () => {
  using gpu = await requestGpu({ kernels: "cpu" });
  const messages: string[] = [];
  const { shapes, tuning, favouriteMs, tunedMs } = await tuneStep(gpu, {
    ...STEP,
    network: { classes: 3, width: 4 },
    onProgress: (message) => messages.push(message),
  });
  assertMatch(messages[0] ?? "", /^Compiling 2 candidates for \d+ shapes/);
  assert(shapes.length > 10 && favouriteMs > 0 && tunedMs > 0);
  for (const { key, candidates, best } of shapes) {
    assertMatch(key, /^conv2d_texture_(forward|weight_grad) 1x[\d+]+x\d+x\d+>\d+ \dx\d$/);
    assertEquals(candidates.length, 2, key);
    for (const { name, timeMs } of candidates) assert(timeMs > 0 && timeMs < 1e4, `${key} ${name}`);
    assert(candidates.some(({ name }) => name === best));
    assertEquals(tuning[key], best === candidates[0]?.name ? undefined : best);
  }
});

for (const kernelFamily of ["cpu", "gpu"] as const) {
  Deno.test(`tuning: every step has the node that made it, whatever is chosen (${kernelFamily})`, () => {
    const device = { ...TARGET, kernelFamily };
    const { graph, outputs } = recordStep({
      ...STEP,
      height: 32,
      firstLevel: 4,
      width: 48,
      model: "unet",
    });
    const favourite = planProgram(graph, outputs, device);
    const owners = stepOwners(favourite, graph, device);
    assert(
      favourite.nodes.some(({ label }) => label.endsWith("(again)")),
      "something is recomputed",
    );
    const last = owners.flatMap(({ choices }) => [...choices]).map(([key, names]) => [
      key,
      names.at(-1) ?? "",
    ]);
    const target = { ...device, tuning: Object.fromEntries(last) };
    const plan = planProgram(graph, outputs, target);
    assert(plan.params.join() !== favourite.params.join(), "the choices differ");
    for (const [i, { node, choices }] of stepOwners(plan, graph, target).entries()) {
      const step = plan.steps[i];
      assertEquals(step?.label, node.label);
      const isConvolution = node.op.startsWith("conv");
      assertEquals(choices.size > 0, isConvolution, node.label);
    }
    const [first, second] = plan.steps;
    assert(first && second);
    for (const steps of [[second, first, ...plan.steps.slice(2)], plan.steps.slice(0, -1)]) {
      assertThrows(
        () => stepOwners({ ...plan, steps }, graph, target),
        Error,
        "put down to the wrong nodes",
      );
    }
    assertThrows(() => stepOwners(favourite, graph, target), Error, "put down to the wrong nodes");
  });
}

Deno.test("tuning: nodes that are joined, or normalise what they read, have their steps, too", () => {
  for (const textureReadBytes of [Infinity, 2 ** 16]) {
    const device: LowerTarget = { ...TARGET, kernelFamily: "cpu", textureReadBytes };
    const size = { height: 128, width: 192, firstLevel: 64 };
    const { graph, outputs } = recordStep({ ...STEP, ...size, model: "unet-small" });
    const plan = planProgram(graph, outputs, device);
    const nodes = stepOwners(plan, graph, device).map(({ node }) => node);
    assert(nodes.some(({ spec }) => spec.members?.length === 2), "something is joined");
    assert(nodes.some(({ attributes }) => attributes.prologue === "normalize_relu"));
  }
});

Deno.test("tuning: candidates take turns where memory does not hold all of them", async () => {
  const size = { height: 32, width: 48 };
  const network = { classes: 3, width: 8 };
  const { graph, outputs } = recordTunedStep({ ...STEP, ...size, network });
  const choices = new Map<string, readonly string[]>();
  const device: LowerTarget = { ...TARGET, kernelFamily: "cpu" };
  const plans = [planProgram(graph, outputs, { ...device, choices })];
  for (const k of [1, 2]) {
    const names = [...choices].map(([key, list]) => [key, list[k] ?? list[0] ?? ""]);
    plans.push(planProgram(graph, outputs, { ...device, tuning: Object.fromEntries(names) }));
  }
  const memoryBudgetBytes = Math.max(...plans.map(({ plannedBytes }) => plannedBytes));
  const asPlanned = { kernels: "cpu", textureReadBytes: Infinity } as const;
  using gpu = await requestGpu({ ...asPlanned, memoryBudgetBytes });
  const { shapes } = await tuneStep(gpu, { ...STEP, ...size, network, candidates: 3 });
  for (const { key, candidates } of shapes) {
    for (const { timeMs } of candidates) assert(timeMs < Infinity, key);
  }
});

const INFO = {
  vendor: "v",
  architecture: "a",
  device: "d",
  description: "GPU",
} as GPUAdapterInfo;

Deno.test("tuning file: remembers by adapter, adds up, and is worth nothing when damaged or old", {
  ignore: !canRead || !canWrite,
}, () =>
  inFolder(async (folder) => {
    const file = `${folder}/deep/tuning.json`;
    assertEquals(await readTuning(INFO, file), undefined);
    assert(await saveTuning(INFO, { a: "1", b: "2" }, ["a", "b", "c"], file));
    assertEquals(await readTuning(INFO, file), { a: "1", b: "2" });
    await saveTuning(INFO, { d: "4" }, ["b", "d"], file);
    assertEquals(await readTuning(INFO, file), { a: "1", d: "4" });

    const other = { ...INFO, description: "GPU with a newer driver" };
    assertEquals(await readTuning(other, file), undefined);
    await saveTuning(other, { a: "9" }, ["a"], file);
    assertEquals(await readTuning(INFO, file), { a: "1", d: "4" });

    const saved = JSON.parse(await Deno.readTextFile(file));
    saved[adapterKey(INFO)].kernels = "those of another version";
    await Deno.writeTextFile(file, JSON.stringify(saved));
    assertEquals(await readTuning(INFO, file), undefined);
    assertEquals(await readTuning(other, file), { a: "9" });
    for (const text of ["{", "[]", "null", JSON.stringify({ [adapterKey(INFO)]: 1 })]) {
      await Deno.writeTextFile(file, text);
      assertEquals(await readTuning(INFO, file), undefined, text);
    }
    await saveTuning(INFO, { a: "1" }, ["a"], file);
    assertEquals(await readTuning(INFO, file), { a: "1" });
    assertEquals([await forgetTuning(file), await forgetTuning(file)], [true, false]);
  }));

Deno.test("bench tune: what it remembers, other commands use", {
  ignore: noProcesses || Deno.build.os !== "linux",
}, () =>
  inFolder(async (folder) => {
    // Caches that would be filled anew stay where they are.
    const home = Deno.env.get("HOME") ?? "";
    const caches = Deno.env.get("XDG_CACHE_HOME") ?? `${home}/.cache`;
    const env = {
      XDG_CACHE_HOME: folder,
      DENO_DIR: Deno.env.get("DENO_DIR") ?? `${caches}/deno`,
      MESA_SHADER_CACHE_DIR: `${caches}/webgpu-unet`,
    };
    const size = ["--mode", "infer", "--height", "8", "--width", "12", "--first-level", "4"];
    const kernels = ["--kernels", "cpu"];
    const tune = ["bench", "tune", ...size, "--rounds", "1", "--candidates", "2", ...kernels];
    const { code, out, err } = await runCommand(folder, tune, env);
    assertEquals(code, 0, err);
    assertMatch(out, /conv2d_texture_forward 1x3x8x12>4 3x3 +\d/);
    assertMatch(out, /Step: [\d.]+ ms with the tables' own choice/);
    const file = `${folder}/webgpu-unet/tuning.json`;
    const saved = JSON.parse(await Deno.readTextFile(file));
    const [adapter = ""] = Object.keys(saved);
    saved[adapter].tuning = { "conv2d_texture_forward 1x3x8x12>4 3x3": "4x4 lanes 1" };
    await Deno.writeTextFile(file, JSON.stringify(saved));

    const scale = ["bench", "scale", "--seconds", "0", "--first-level", "4", "--json", ...kernels];
    const used = await runCommand(folder, [...scale, "--mode", "infer", "--steps", "1"], env);
    assertEquals(used.code, 0, used.err);
    assertEquals(JSON.parse(used.out).kernels, { family: "cpu", tuning: saved[adapter].tuning });

    // Those of the other family are remembered, too, but of no use here.
    Object.assign(saved[adapter].tuning, {
      "conv2d_gemm_forward 1x3x8x12>4 3x3": "8x8",
      "f16 conv2d_gemm_weight_grad 1x3x8x12>4 3x3": "8x8",
    });
    await Deno.writeTextFile(file, JSON.stringify(saved));
    const { out: told } = await runCommand(folder, ["doctor", ...kernels], env);
    assertMatch(told, /kernels +those for processors \(cpu\), 1 shape tuned\n/);

    const forgotten = await runCommand(folder, ["bench", "tune", "--forget"], env);
    assertStringIncludes(forgotten.err, "Removed webgpu-unet/tuning.json");
  }));
