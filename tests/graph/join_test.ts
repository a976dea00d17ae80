/** Lots of nodes that are computed together keep the order of what they read and make. */
import { assertEquals } from "@std/assert";
import { backpropagate } from "../../src/graph/autograd.ts";
import { Graph, type Joint, type Node, type Tensor } from "../../src/graph/graph.ts";
import { join } from "../../src/graph/join.ts";
import type { LowerTarget } from "../../src/graph/lower.ts";
import { recompute } from "../../src/graph/recompute.ts";
import { rewrite } from "../../src/graph/rewrite.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { scale } from "../../src/ops/elementwise.ts";

const target: LowerTarget = {
  kernelFamily: "cpu",
  maxTextureDimension: 16384,
  maxBindingBytes: 2 ** 27,
};

/** Names of what nodes read before it is made. */
function readTooEarly(nodes: readonly Node[]): string[] {
  const made = new Set<Tensor>();
  return nodes.flatMap(({ inputs, outputs }) => {
    const early = inputs.filter((t) => !t.home && !made.has(t)).map((t) => t.label);
    for (const t of outputs) made.add(t);
    return early;
  });
}

Deno.test("join: a node stays alone where what it reads is made behind the first of its lot", () => {
  const graph = new Graph();
  const x = graph.input("x", { shape: [4] });
  const joint: Joint = { lots: (nodes) => [[...nodes]], lower() {} };
  const record = (op: string, input: Tensor, joint?: Joint) =>
    graph.record({
      op,
      inputs: [input],
      outputs: [{ shape: [4] }],
      ...(joint ? { joint } : {}),
      lower() {},
    }).output;
  record("a", x, joint);
  const late = record("late", x);
  record("b", late, joint);
  assertEquals(join(graph.nodes, target), graph.nodes, "nobody is left to join");
  record("c", x, joint);
  const joined = join(graph.nodes, target);
  assertEquals(joined.map(({ op }) => op), ["a+c", "late", "b"]);
  assertEquals(readTooEarly(joined), []);
});

Deno.test("join: a weight that is computed anew for the gradient of an input is there by then", () => {
  const graph = new Graph();
  const image = (label: string, channels: number) =>
    graph.input(label, { shape: [1, channels, 40, 40], layout: "c4" });
  const [x, w] = [image("x", 512), graph.input("w", { shape: [512, 512, 3, 3] })];
  let y = x;
  for (let i = 0; i < 3; i++) y = conv2d(y, scale(w, 2 + i), undefined, { padding: 1 });
  const gradients = backpropagate(y, image("dy", 512), [x, w]);
  const outputs = [...gradients.values()];
  const kept = recompute(rewrite(graph, outputs), outputs, target);
  const again = kept.filter(({ label }) => label.endsWith("(again)")).map(({ op }) => op);
  assertEquals([...new Set(again)], ["scale"], "weights are what memory is needed for here");
  assertEquals(readTooEarly(kept), []);
  assertEquals(readTooEarly(join(kept, target)), []);
});
