import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { Graph } from "../../src/graph/graph.ts";
import { crc32c } from "../../src/io/crc32.ts";
import { record, sessionStart, summaryEvent } from "../../src/io/tfevents.ts";
import { graphDef } from "../../src/io/tfevents_graph.ts";
import { graphEvent } from "../../src/io/tfevents.ts";
import { histogramOf } from "../../src/io/tfevents_histogram.ts";
import { UNet } from "../../src/nn/unet.ts";
import { imageInput } from "../../src/ops/image_input.ts";
import { readEvents } from "./read_tfevents.ts";

const TIME_MS = 1_795_683_480_930;

Deno.test("crc32c: the check value of its definition, and those of RFC 3720", () => {
  assertEquals(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assertEquals(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
});

Deno.test("an event's record is read back; a changed byte is noticed", () => {
  const image = { width: 3, height: 2, bytes: Uint8Array.of(1, 2, 3) };
  const told = summaryEvent(TIME_MS, 300, {
    scalars: [["Loss/train", 0.1], ["learning_rate", -1e-30]],
    images: [["masks/pred", image]],
    histograms: [["weights/a", Float32Array.of(1, 3, 1)]],
  });
  const bytes = record(told);
  const [event, ...more] = readEvents(bytes);
  assertEquals(more, []);
  assertEquals([event?.wallTime, event?.step], [TIME_MS / 1000, 300]);
  assertEquals(event?.values.map(({ tag }) => tag), [
    ...["Loss/train", "learning_rate", "masks/pred", "weights/a"],
  ]);
  assertEquals(event?.values.slice(0, 2).map((v) => v.scalar), [0.1, -1e-30].map(Math.fround));
  assertEquals(event?.values[2]?.image, image);
  assertEquals(event?.values[3]?.histogram?.count, 3);
  for (let at = 0; at < bytes.length; at += 7) {
    const damaged = bytes.slice();
    damaged[at] = (damaged[at] ?? 0) ^ 4;
    assertThrows(() => readEvents(damaged));
  }
  const [start] = readEvents(record(sessionStart(TIME_MS, 77)));
  assertEquals([start?.session, start?.step], [1, 77]);
});

Deno.test("histograms count every finite value once, between its limits", () => {
  const values = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i) ** 3 - 0.2);
  values[17] = NaN;
  values[18] = Infinity;
  const finite = [...values].filter(Number.isFinite);
  const { min, max, count, sum, squares, limits, counts } = histogramOf(values);
  assertEquals([min, max, count], [Math.min(...finite), Math.max(...finite), 998]);
  assertAlmostEquals(sum, finite.reduce((a, b) => a + b, 0), 1e-9);
  assertAlmostEquals(squares, finite.reduce((a, b) => a + b * b, 0), 1e-9);
  assertEquals(counts.reduce((a, b) => a + b, 0), 998);
  assertEquals(limits.at(-1), max);
  let below = 0;
  for (const [at, limit] of limits.entries()) {
    below += counts[at] ?? 0;
    // A value at a limit may be rounded to either side of it.
    const strictly = finite.filter((v) => v < limit - 1e-6).length;
    const loosely = finite.filter((v) => v <= limit + 1e-6).length;
    assert(strictly <= below && below <= loosely, `${strictly} <= ${below} <= ${loosely}`);
  }
  assertEquals(histogramOf(Float32Array.of(2, 2)).counts, [2]);
  assertEquals(histogramOf(Float32Array.of(NaN)).count, 0);
});

Deno.test("the graph: every node by a name of its own, its inputs among the nodes", () => {
  const net = new UNet({ classes: 5, width: 4 });
  const graph = new Graph();
  const pixels = graph.input("pixels", { shape: [1, 32, 48], dtype: "u32" });
  const logits = net.forward(imageInput(pixels, 3), { training: false });
  const [event] = readEvents(record(graphEvent(TIME_MS, graphDef(graph))));
  const nodes = event?.graph ?? [];
  const names = nodes.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  for (const { name, inputs } of nodes) {
    const unknown = inputs.filter((input) => !names.includes(input.replace(/:\d+$/, "")));
    assertEquals(unknown, [], name);
  }
  for (const { name } of net.store.tensors) assert(names.includes(name.replaceAll(".", "/")), name);
  const last = nodes.at(-1);
  assertEquals(last?.shapes, [[...logits.shape]]);
  assertEquals(logits.shape, [1, 5, 32, 48]);
});
