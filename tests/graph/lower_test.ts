import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError, ShapeError } from "../../src/errors.ts";
import { Graph, type NodeSpec, type Tensor } from "../../src/graph/graph.ts";
import { LowerContext, type LowerTarget } from "../../src/graph/lower.ts";
import { planProgram } from "../../src/graph/program_plan.ts";
import { add, scale } from "../../src/ops/elementwise.ts";
import { pad2d } from "../../src/ops/pad2d.ts";

const target: LowerTarget = {
  kernelFamily: "cpu",
  maxTextureDimension: 64,
  maxBindingBytes: 4096,
};

Deno.test("lowering splits what is above the limit, and refuses what cannot be split by name", () => {
  const graph = new Graph();
  const small = graph.input("small", { shape: [1024] });
  assertEquals(planProgram(graph, { y: scale(small, 2) }, target).dispatches, 1);
  const photo = graph.input("photo", { shape: [1, 3, 16, 30], layout: "c4" });
  const plan = planProgram(graph, { y: scale(photo, 2) }, target);
  assertEquals(plan.dispatches, 3);
  const [inputs, outputs] = [0, 1].map((i) =>
    plan.steps.map((s) => s.kind === "dispatch" ? s.operands[i] : undefined)
  );
  assertEquals(inputs?.map((m) => m?.kind === "buffer" && m.home?.offsetBytes), [0, 3072, 6144]);
  assertEquals(
    outputs?.map((m) => m?.kind === "buffer" && [m.within?.offsetBytes, m.sizeBytes]),
    [[0, 3072], [3072, 3072], [6144, 3072]],
  );
  assertEquals(plan.memory.slotBytes, photo.sizeBytes);
  const y = graph.scope("head", () => pad2d(photo, { left: 1, right: 0, top: 0, bottom: 0 }));
  const error = assertThrows(() => planProgram(graph, { y }, target), InputError);
  for (const part of ["head.pad2d", "indivisible part", "smaller batch"]) {
    assert(error.message.includes(part), `${error.message} lacks ${part}`);
  }
});

Deno.test("lowering refuses a grid that no device runs", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [4] });
  for (const grid of [[65536, 1, 1], [1, 0, 1], [1, 1, NaN]] as const) {
    const node = graph.record({
      op: "huge",
      inputs: [x],
      outputs: [{ shape: [4] }],
      lower(context, node) {
        const kernel = { name: "huge kernel", source: "", constants: {} };
        context.dispatch({ kernel, params: [], grid }, [...node.inputs, node.output]);
      },
    });
    const plan = () => planProgram(graph, { y: node.output }, target);
    assertThrows(plan, InputError, `a grid of ${grid.join(" x ")}`);
  }
});

Deno.test("plans count params, slots and persistent memory once each", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [64] });
  graph.input("unused", { shape: [1000] });
  const y = add(scale(x, 2), scale(x, 3));
  const plan = planProgram(graph, { y }, target);
  assertEquals(plan.paramsOffsets, [0, 256, 512]);
  assertEquals(plan.params.byteLength, 3 * 256);
  assertEquals(plan.params[64], 16, "vec4s, the first word of every elementwise dispatch");
  assertEquals(plan.memory.slotBytes, 3 * 256);
  assertEquals(plan.plannedBytes, 3 * 256 + 3 * 256 + 256);
});

Deno.test("staging copies planes column by column and is shared while it is fresh", () => {
  const graph = new Graph();
  const a = graph.input("a", { shape: [2, 5, 8, 14], layout: "c4" });
  const b = graph.input("b", { shape: [2, 3, 8, 14], layout: "c4" });
  const context = new LowerContext(target);
  const all = { images: { first: 0, count: 2 }, rows: { first: 0, count: 8 } };
  const texture = context.stage([a, b], all);
  // Six planes (two and one of each image) of 10 x 16 texels; no side is a power of two.
  assertEquals([texture.width, texture.height], [17, 60]);
  const copies = context.steps.map((step) =>
    step.kind === "copy-to-texture"
      ? [step.source.label, step.offsetBytes, step.x, step.y, step.height]
      : []
  );
  const planeBytes = 10 * 16 * 16;
  assertEquals(copies, [
    ["a", 0, 0, 0, 20],
    ["b", 0, 0, 20, 10],
    ["a", 2 * planeBytes, 0, 30, 20],
    ["b", planeBytes, 0, 50, 10],
  ]);
  assertEquals(context.stage([a, b], { ...all }), texture);
  assert(context.stage([b, a], all) !== texture);
  const c = graph.input("c", { shape: [1, 28, 8, 14], layout: "c4" });
  const one = { ...all, images: { first: 0, count: 1 } };
  const stacked = context.stage([c], one);
  // Seven planes, at most six of which fit on top of each other: columns of four and three.
  assertEquals([stacked.width, stacked.height], [33, 40]);
  const last = context.steps.at(-1);
  assert(last?.kind === "copy-to-texture");
  assertEquals([last.x, last.y, last.height, last.offsetBytes], [16, 0, 30, 4 * planeBytes]);
  // Rows 2 to 4 of the second image, with those around them: plane by plane.
  const rows = { images: { first: 1, count: 1 }, rows: { first: 2, count: 3 } };
  const before = context.steps.length;
  const some = context.stage([a, b], rows);
  assertEquals([some.width, some.height], [17, 15]);
  const rowBytes = 16 * 16;
  assertEquals(
    context.steps.slice(before).map((step) =>
      step.kind === "copy-to-texture"
        ? [step.source.label, step.offsetBytes, step.x, step.y, step.height]
        : []
    ),
    [
      ["a", 2 * planeBytes + 2 * rowBytes, 0, 0, 5],
      ["a", 3 * planeBytes + 2 * rowBytes, 0, 5, 5],
      ["b", planeBytes + 2 * rowBytes, 0, 10, 5],
    ],
  );
  assert(context.stage([a, b], { ...rows, rows: { first: 3, count: 3 } }) !== some);
  const scalar = graph.input("scalar", { shape: [1] });
  for (let i = 0; i < 20; i++) {
    const { producer } = scale(scalar, 2);
    assert(producer);
    context.lower(producer);
  }
  assert(context.stage([a, b], all) !== texture, "an old texture would be kept for the whole step");
});

Deno.test("graphs refuse shapes, labels and tensors that do not fit", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [2] });
  assertThrows(() => graph.input("x", { shape: [2] }), ShapeError, '"x" twice');
  assertThrows(() => graph.input("y", { shape: [2, 0] }), ShapeError, "[2,0]");
  assertThrows(() => graph.input("y", { shape: [1.5] }), ShapeError, "[1.5]");
  const values = Float32Array.of(1, 2, 3);
  assertThrows(() => graph.constant("c", [2], values), ShapeError, "got 3 values");
  const other = new Graph().input("other", { shape: [2] });
  assertThrows(() => add(x, other), ShapeError, '"other" of another graph');
  graph.scope("outer", () => {
    assertThrows(() => graph.scope("inner", () => add(x, other)), ShapeError);
    assertEquals(scale(x, 2).label, "outer.scale");
  });
  assertEquals(scale(x, 2).label, "scale");
  assert(graph.toString().includes("= scale(x) alpha=2"));
});

Deno.test("staging copies anew what was computed over a staged image", () => {
  const graph = new Graph();
  const photo = graph.input("photo", { shape: [1, 4, 6, 6], layout: "c4" });
  const image = scale(photo, 2);
  const node = (op: string, x: Tensor, lower: NodeSpec["lower"]) =>
    graph.record({ op, inputs: [x], outputs: [{ shape: photo.shape, layout: "c4" }], lower });
  const kernel = { name: "kernel", source: "", constants: {} };
  const everything = { images: { first: 0, count: 1 }, rows: { first: 0, count: 6 } };
  const read: NodeSpec["lower"] = (context, { inputs, output }) =>
    context.dispatch({ kernel, params: [], grid: [1, 1, 1] }, [
      context.stage(inputs, everything),
      output,
    ]);
  const before = node("before", image, read).output;
  const changed = node("change", image, (context, node) => {
    assert(context.overwrite(node, image));
    context.dispatch({ kernel, params: [], grid: [1, 1, 1] }, [node.output]);
  }).output;
  const after = node("after", changed, read).output;
  const { steps } = planProgram(graph, { before, after }, target);
  const copies = steps.filter((step) => step.kind === "copy-to-texture");
  assertEquals(copies.map(({ label }) => label), ["before", "after"]);
});
