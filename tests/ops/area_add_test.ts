import { assert, assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { areaAdd } from "../../src/ops/area_add.ts";
import { BlendArea, type BlendAreaOptions } from "../../src/ops/blend_area.ts";
import { type Array64, random } from "../reference/array.ts";
import { upsampleBilinear2d } from "../reference/upsample_bilinear2d.ts";
import { testGpu } from "./harness.ts";

const CHANNELS = 11;

/** Where channel c of pixel (x, y) lies in an area: which chunk, and which float of it. */
function place({ chunks, rows, width }: BlendArea, c: number, y: number, x: number) {
  const block = Math.floor(c / 4);
  const chunk = chunks.find((one) => block < one.firstBlock + one.blocks)!;
  const row = (block - chunk.firstBlock) * rows + y % rows;
  return { chunk, at: (row * width + x) * 4 + c % 4 };
}

/** Puts the rows [first, end) of `map` into the ring; everything else there is NaN. */
async function fill(area: BlendArea, map: Array64, first: number, end: number): Promise<void> {
  const gpu = await testGpu();
  const values = new Map(
    area.chunks.map((chunk) => [chunk, new Float32Array(chunk.memory.sizeBytes / 4).fill(NaN)]),
  );
  each(area, first, end, (c, y, x) => {
    const { chunk, at } = place(area, c, y, x);
    values.get(chunk)![at] = map.data[(c * area.height + y) * area.width + x]!;
  });
  for (const [{ memory }, data] of values) {
    gpu.device.queue.writeBuffer(memory.home!.buffer.on(gpu), 0, data);
  }
}

function each(
  { width }: BlendArea,
  first: number,
  end: number,
  body: (c: number, y: number, x: number) => void,
) {
  for (let c = 0; c < CHANNELS; c++) {
    for (let y = first; y < end; y++) {
      for (let x = 0; x < width; x++) body(c, y, x);
    }
  }
}

const CASES: { name: string; area: Partial<BlendAreaOptions>; from: Partial<BlendAreaOptions> }[] =
  [
    { name: "from a smaller map", area: {}, from: {} },
    { name: "from a larger map", area: {}, from: { height: 23, width: 33, rows: 23 } },
    { name: "from a map of one pixel", area: {}, from: { height: 1, width: 1 } },
    // Chunks of one block of channels here, of two or three there.
    { name: "between chunks", area: { maxBindingBytes: 9 * 67 * 16 }, from: {} },
    { name: "to one chunk", area: {}, from: { maxBindingBytes: 2 * 7 * 9 * 16 } },
  ];

for (const { name, ...changed } of CASES) {
  Deno.test({
    name: `area_add: ${name}`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const gpu = await testGpu();
      const common = { channels: CHANNELS, maxBindingBytes: 2 ** 27 };
      // More columns than a workgroup, a ring of nine rows.
      const area = new BlendArea({ ...common, height: 19, width: 67, rows: 9, ...changed.area });
      const from = new BlendArea({ ...common, height: 11, width: 9, rows: 7, ...changed.from });
      const graph = new Graph();
      areaAdd(area, from, graph.input("span", { shape: [2], dtype: "u32" }));
      const own = random(1, [1, CHANNELS, area.height, area.width]);
      const added = random(2, [1, CHANNELS, from.height, from.width]);
      const resized = upsampleBilinear2d(added, {
        size: [area.height, area.width],
        alignCorners: false,
      });
      // Both rings wrap around within the rows that are held.
      const [first, end] = [6, 13];
      const ratio = from.height / area.height;
      const low = Math.max(0, Math.floor((first + 0.5) * ratio - 0.5));
      const high = Math.min(from.height, Math.floor((end - 0.5) * ratio - 0.5) + 2);
      assert(high - low <= from.rows);
      for (const textureReadBytes of [Infinity, 1]) {
        using program = await compile(gpu, graph, { outputs: {}, target: { textureReadBytes } });
        await fill(area, own, 5, 14);
        await fill(from, added, low, high);
        program.write("span", Uint32Array.of(first, end));
        program.run();
        const made = new Map(
          await Promise.all(area.chunks.map(async (chunk) => {
            const { home, sizeBytes } = chunk.memory;
            const bytes = await gpu.readBuffer(home!.buffer.on(gpu), 0, sizeBytes);
            return [chunk, new Float32Array(bytes)] as const;
          })),
        );
        each(area, 5, 14, (c, y, x) => {
          const { chunk, at } = place(area, c, y, x);
          const i = (c * area.height + y) * area.width + x;
          const expected = own.data[i]! + (y >= first && y < end ? resized.data[i]! : 0);
          const found = made.get(chunk)![at]!;
          assert(
            Math.abs(found - expected) < 1e-5,
            `${found} at ${[c, y, x]}, expected ${expected}`,
          );
        });
      }
      area.destroy();
      from.destroy();
    },
  });
}

Deno.test("area_add: other channels and other spans are refused", () => {
  const common = { height: 5, width: 5, rows: 5, maxBindingBytes: 2 ** 20 };
  const area = new BlendArea({ ...common, channels: 3 });
  const span = new Graph().input("span", { shape: [2], dtype: "u32" });
  assertThrows(
    () => areaAdd(area, new BlendArea({ ...common, channels: 4 }), span),
    ShapeError,
    "4 channels to add to 3",
  );
  const short = new Graph().input("span", { shape: [1], dtype: "u32" });
  assertThrows(() => areaAdd(area, new BlendArea({ ...common, channels: 3 }), short), ShapeError);
  assertEquals(span.graph.nodes.length, 0);
});
