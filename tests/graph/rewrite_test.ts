import { assert, assertEquals } from "@std/assert";
import { Graph, type NodeSpec, type Tensor } from "../../src/graph/graph.ts";
import { rewrite } from "../../src/graph/rewrite.ts";
import { add, relu, scale } from "../../src/ops/elementwise.ts";

const shape = [1, 4, 3, 3];

/** A node that is never lowered. */
function fake(op: string, x: Tensor, options: Partial<NodeSpec> = {}): Tensor {
  const spec = { op, inputs: [x], outputs: [{ shape }], lower() {}, ...options };
  const [y] = x.graph.record(spec).outputs;
  assert(y);
  return y;
}

function image(): Tensor {
  return new Graph().input("x", { shape });
}

function normalized(x: Tensor): Tensor {
  return fake("batch_norm2d_normalize", x);
}

function ops(x: Tensor, ...outputs: Tensor[]): string[] {
  return rewrite(x.graph, outputs).map((node) => node.op);
}

Deno.test("rewrite: nodes that no output needs are dropped, in the middle and at the end", () => {
  const x = image();
  const a = fake("a", x);
  fake("dead", a);
  const b = fake("b", a);
  fake("dead", fake("dead", b));
  assertEquals(ops(x, b), ["a", "b"]);
  assertEquals(ops(x, a), ["a"]);
  assertEquals(ops(x, x), []);
});

Deno.test("rewrite: a node with an effect stays, with what it reads", () => {
  const x = image();
  const y = fake("y", x);
  fake("effect", fake("read by the effect", x), { effect: true });
  fake("dead", x);
  assertEquals(ops(x, y), ["y", "read by the effect", "effect"]);
});

Deno.test("rewrite: one used output keeps a node of several", () => {
  const x = image();
  const node = x.graph.record({
    op: "pair",
    inputs: [x],
    outputs: [{ shape }, { shape }],
    lower() {},
  });
  const [first, second] = node.outputs;
  assert(first && second);
  assertEquals(ops(x, second), ["pair"]);
  assertEquals(ops(x, fake("reader", first)), ["pair", "reader"]);
});

Deno.test("rewrite: a ReLU moves into the only producer of its input", () => {
  const x = image();
  const y = relu(normalized(x));
  const z = scale(y, 2);
  const nodes = rewrite(x.graph, [z]);
  assertEquals(nodes.map((node) => node.op), ["batch_norm2d_normalize", "scale"]);
  const [fused] = nodes;
  assertEquals(fused?.output, y);
  assertEquals(fused?.attributes.relu, true);
  assertEquals(fused?.label, "batch_norm2d_normalize+relu");
  const recorded = x.graph.nodes[0];
  assertEquals(recorded?.attributes, {}, "the recorded graph must stay as it is");
  assertEquals(rewrite(x.graph, [z]).map((node) => node.op), nodes.map((node) => node.op));
});

Deno.test("rewrite: a fused ReLU may be an output or read by many", () => {
  const x = image();
  const y = relu(normalized(x));
  assertEquals(ops(x, y), ["batch_norm2d_normalize"]);
  assertEquals(ops(x, add(y, y), y), ["batch_norm2d_normalize", "add"]);
});

Deno.test("rewrite: a ReLU stays where somebody else wants its input", () => {
  const unfused = ["batch_norm2d_normalize", "relu"];
  const x = image();
  const n = normalized(x);
  const y = relu(n);
  assertEquals(ops(x, y, n), unfused, "an output");
  const z = fake("reader", n);
  assertEquals(ops(x, y, z), [...unfused, "reader"], "another node");
  assertEquals(ops(x, y), ["batch_norm2d_normalize"], "a reader that is dead does not count");
  const twice = image();
  const m = normalized(twice);
  assertEquals(ops(twice, add(relu(m), relu(m))), [...unfused, "relu", "add"], "a second ReLU");
  const effect = image();
  const k = normalized(effect);
  fake("effect", k, { effect: true });
  assertEquals(
    ops(effect, relu(k)),
    ["batch_norm2d_normalize", "effect", "relu"],
    "a node with an effect",
  );
});

Deno.test("rewrite: a ReLU stays behind an op that cannot store it, and behind an input", () => {
  const x = image();
  assertEquals(ops(x, relu(fake("other", x))), ["other", "relu"]);
  const y = image();
  assertEquals(ops(y, relu(y)), ["relu"]);
});

Deno.test("rewrite: two ReLUs in a row become one", () => {
  const x = image();
  assertEquals(ops(x, relu(relu(normalized(x)))), ["batch_norm2d_normalize", "relu"]);
});
