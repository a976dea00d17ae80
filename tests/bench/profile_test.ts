import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { profileTable } from "../../cli/bench_step.ts";
import { medianRun, profileRows, totalMs } from "../../src/bench/profile_table.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { Graph } from "../../src/graph/graph.ts";
import { COPY, PAUSE, type ProfileEntry } from "../../src/graph/profile.ts";
import { compile } from "../../src/graph/program.ts";
import { parameterGradients } from "../../src/graph/autograd.ts";
import { ParameterStore } from "../../src/graph/store.ts";
import { sgd } from "../../src/nn/optimizers.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { mul, relu, scale } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reduce.ts";

const entry = (label: string, kernel: string, timeMs: number): ProfileEntry => ({
  label,
  kernel,
  timeMs,
  step: 0,
});

const ENTRIES = [
  entry("inc.0.conv2d", "gather", 3),
  entry("", PAUSE, 0.5),
  entry("inc.3.conv2d", "gather", 4),
  entry("inc.3.conv2d", COPY, 1.5),
  entry("norm+relu", "normalize", 1),
];

Deno.test("profile: rows by op and kernel, the most first, add up to the whole", () => {
  assertEquals(profileRows(ENTRIES), [
    { op: "conv2d", kernel: "gather", count: 2, timeMs: 7, share: 0.7 },
    { op: "conv2d", kernel: COPY, count: 1, timeMs: 1.5, share: 0.15 },
    { op: "norm+relu", kernel: "normalize", count: 1, timeMs: 1, share: 0.1 },
    { op: "", kernel: PAUSE, count: 1, timeMs: 0.5, share: 0.05 },
  ]);
  assertEquals(totalMs(ENTRIES), 10);
  assertEquals(profileRows([]), []);
});

Deno.test("profile: the run of median time is kept whole", () => {
  const runs = [5, 1, 9].map((ms) => [entry("a", "k", ms), entry("b", "k", ms)]);
  assertEquals(medianRun(runs), runs[0]);
});

Deno.test("profile: the table says what an ordinary step takes", () => {
  const lines = profileTable(ENTRIES, 8).split("\n");
  assertEquals(lines[1]?.split(/ {2,}/), ["conv2d", "gather", "2", "7.00", "70.0 %"]);
  assertEquals(lines.at(-3)?.trim().split(/ {2,}/), ["sum", "5", "10.00", "100.0 %"]);
  assert(lines.at(-1)?.endsWith("10.0 ms on the device: 25 % more."), lines.at(-1));
});

for (const timestamps of [undefined, false]) {
  Deno.test(`profile: every dispatch has its time (timestamps ${timestamps ?? "if there"})`, async () => {
    using gpu = await requestGpu();
    const graph = new Graph();
    const x = graph.input("x", { shape: [1, 8, 12, 13], layout: "c4" });
    const weight = graph.input("weight", { shape: [8, 8, 3, 3] });
    const y = scale(relu(conv2d(x, weight, undefined, { padding: 1 })), 2);
    using program = await compile(gpu, graph, { outputs: { y } });
    program.write("x", new Float32Array(8 * 12 * 13).fill(1));
    program.write("weight", new Float32Array(8 * 8 * 9).fill(1));
    const entries = await program.profile(timestamps);
    const dispatched = entries.filter(({ kernel }) => kernel !== COPY && kernel !== PAUSE);
    assertEquals(dispatched.length, program.dispatches);
    for (const { step, label, kernel, timeMs } of entries) {
      assert(timeMs >= 0, `${label} ${kernel} took ${timeMs} ms`);
      if (kernel !== PAUSE) assertEquals(label, program.plan.steps[step]?.label);
    }
    const sum = profileRows(entries).reduce((ms, row) => ms + row.timeMs, 0);
    assertAlmostEquals(sum, totalMs(entries), 1e-9);
    assert(sum > 0);
    // It was a run like any other.
    assertEquals((await program.read("y"))[14], 2 * 8 * 9);
  });
}

for (const timestamps of [undefined, false]) {
  Deno.test(`profile: a step is made once (timestamps ${timestamps ?? "if there"})`, async () => {
    using gpu = await requestGpu();
    const store = new ParameterStore();
    const graph = new Graph();
    const w = graph.parameter(store.add("w", [2], Float32Array.of(5, 7)));
    const loss = sum(mul(w, graph.input("x", { shape: [2] })));
    const optimizer = sgd({ momentum: 0.5 });
    optimizer.record(graph, store, parameterGradients(loss, store));
    using program = await compile(gpu, graph, { outputs: { loss }, stores: [store] });
    program.write("x", Float32Array.of(1, 2));
    program.write("optimizer", optimizer.stepState(1, 1));
    program.run();
    await program.profile(timestamps);
    // Two steps of momentum: g, then 1.5 g.
    assertEquals((await store.read(gpu)).get("w"), Float32Array.of(2.5, 2));
    assertEquals([...await program.read("loss")], [4 * 1 + 5 * 2]);
    store.destroy();
  });
}
