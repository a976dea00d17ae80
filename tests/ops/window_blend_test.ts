import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError, ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import { areaArgmax, type AreaArgmaxOptions } from "../../src/ops/area_argmax.ts";
import { BlendArea } from "../../src/ops/blend_area.ts";
import { unpackIds } from "../../src/ops/resize_argmax.ts";
import { placementWords, windowBlend } from "../../src/ops/window_blend.ts";
import { type Array64, random } from "../reference/array.ts";
import { argmax, softmax } from "../reference/softmax.ts";
import { upsampleBilinear2d } from "../reference/upsample_bilinear2d.ts";
import { flip, type Window64, windowBlend as reference } from "../reference/window_blend.ts";
import { testGpu } from "./harness.ts";

/** Fully covered from top to bottom, each window meeting others on two sides. */
const [HEIGHT, WIDTH] = [9, 13];
const LEFTS = [0, 4, 8];
const TOPS = [0, 4];
const SIDE = 5;
const FLIPS = [[false, false], [true, false], [false, true], [true, true]] as const;

function windows(channels: number): (Window64 & { turned: readonly [boolean, boolean] })[] {
  return TOPS.flatMap((top, i) =>
    LEFTS.map((left, j) => {
      const seed = 10 * i + j;
      return {
        left,
        top,
        values: random(seed, [1, channels, SIDE, SIDE], 3),
        columns: random(100 + seed, [SIDE]).data.map(Math.abs),
        rows: random(200 + seed, [SIDE]).data.map(Math.abs),
        turned: FLIPS[(i + j) % 4]!,
      };
    })
  );
}

interface Made {
  ids: number[];
  probabilities: number[];
}

/** Blends the windows row by row and makes the class map in bands of `rows`. */
async function blend(
  channels: number,
  all: ReturnType<typeof windows>,
  options: AreaArgmaxOptions & { maxBindingBytes?: number; textureReadBytes?: number },
): Promise<Made> {
  const gpu = await testGpu();
  const { size: [height, width], rows, maxBindingBytes = 2 ** 27 } = options;
  const target = { textureReadBytes: options.textureReadBytes ?? Infinity };
  const area = new BlendArea({
    channels,
    height: HEIGHT,
    width: WIDTH,
    rows: SIDE + 2,
    maxBindingBytes,
  });
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, channels, SIDE, SIDE], layout: "c4" });
  const weights = graph.input("weights", { shape: [SIDE * 2] });
  const placement = graph.input("placement", { shape: [5], dtype: "u32" });
  windowBlend(x, weights, placement, area);
  using add = await compile(gpu, graph, { outputs: {}, target });
  const bands = new Graph();
  const first = bands.input("first", { shape: [1], dtype: "u32" });
  const { ids, probabilities } = areaArgmax(area, first, options);
  const outputs = { ids, ...(probabilities ? { probabilities } : {}) };
  using band = await compile(gpu, bands, { outputs, target });
  band.fill(NaN);
  for (const { memory } of area.chunks) {
    const poison = new Float32Array(memory.sizeBytes / 4).fill(NaN);
    gpu.device.queue.writeBuffer(memory.home!.buffer.on(gpu), 0, poison);
  }
  const made: Made = { ids: [], probabilities: new Array(channels * height * width).fill(NaN) };
  let y = 0;
  for (const [i, top] of TOPS.entries()) {
    for (
      const { left, values, columns, rows: rowWeights, turned } of all.filter((w) => w.top === top)
    ) {
      add.write("x", Float32Array.from(flip(values, turned).data));
      add.write(
        "weights",
        Float32Array.of(...columns as Float64Array, ...rowWeights as Float64Array),
      );
      const keepX = left > 0 ? left - 4 + SIDE : 0;
      const keepY = top > 0 ? top - 4 + SIDE : 0;
      add.write("placement", placementWords({ left, top, keepX, keepY, flip: turned }));
      add.run();
    }
    // All rows whose sources lie above the next windows: those overwrite the ring.
    const until = i + 1 < TOPS.length
      ? Math.ceil((TOPS[i + 1]! - 1 + 0.5) * height / HEIGHT - 0.5)
      : height;
    for (let count = 0; y < until; y += count) {
      count = Math.min(rows, until - y);
      band.write("first", Uint32Array.of(y));
      band.run();
      const words = await band.readInts("ids");
      made.ids.push(...unpackIds(words, 1, width).subarray(0, count * width));
      if (!probabilities) continue;
      const halves = new Float16Array(await band.readRaw("probabilities"));
      const pitch = Math.ceil(width / 4) * 4;
      for (let k = 0; k < channels; k++) {
        for (let r = 0; r < count; r++) {
          for (let c = 0; c < width; c++) {
            made.probabilities[(k * height + y + r) * width + c] = halves[
              (k * rows + r) * pitch + c
            ]!;
          }
        }
      }
    }
  }
  area.destroy();
  return made;
}

/** Pixels whose two best classes are closer than float32 can tell are no test of the choice. */
function decided(map: Array64, pixel: number): boolean {
  const [, channels = 0, h = 0, w = 0] = map.shape;
  const values = Array.from({ length: channels }, (_, k) => map.data[k * h * w + pixel]!)
    .sort((a, b) => b - a);
  return values[0]! - values[1]! > 1e-5;
}

for (const size of [[HEIGHT, WIDTH], [22, 31], [6, 7]] as const) {
  for (
    // One chunk; a chunk for every four channels.
    const maxBindingBytes of [2 ** 27, (SIDE + 2) * WIDTH * 16]
  ) {
    Deno.test({
      name: `window_blend and area_argmax to ${size}, bindings of ${maxBindingBytes} bytes`,
      sanitizeOps: false,
      sanitizeResources: false,
      async fn() {
        const channels = 11;
        const all = windows(channels);
        const map = upsampleBilinear2d(reference([1, channels, HEIGHT, WIDTH], all), {
          size,
          alignCorners: false,
        });
        const options = { size, rows: 3, values: "logits", maxBindingBytes } as const;
        const both = { ...options, probabilities: true };
        const made = await blend(channels, all, both);
        const keep = (_: number, i: number) => decided(map, i);
        assertEquals(made.ids.filter(keep), [...Array.from(argmax(map).data)].filter(keep));
        const expected = softmax(map).data;
        // float16 has 11 bits.
        made.probabilities.forEach((p, i) =>
          assert(Math.abs(p - expected[i]!) < 2 ** -11, `${p} at ${i}, expected ${expected[i]}`)
        );
        assertEquals((await blend(channels, all, options)).ids, made.ids);
        assertEquals(await blend(channels, all, { ...both, textureReadBytes: 1 }), made);
      },
    });
  }
}

Deno.test({
  name: "area_argmax: probabilities stay what they are; thresholds",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const all = windows(2);
    const map = reference([1, 2, HEIGHT, WIDTH], all);
    const pixels = HEIGHT * WIDTH;
    const size = [HEIGHT, WIDTH] as const;
    const blended = await blend(2, all, {
      ...{ size, rows: 4, values: "probabilities" },
      ...{ probabilities: true, threshold: 0.3 },
    });
    blended.probabilities.forEach((p, i) =>
      assert(Math.abs(p - map.data[i]!) < 2 ** -9, `${p} at ${i}, expected ${map.data[i]}`)
    );
    assertEquals(blended.ids, Array.from(map.data.subarray(pixels), (p) => p > 0.3 ? 1 : 0));
    const logits = await blend(2, all, { size, rows: 4, values: "logits", threshold: 0.8 });
    const p1 = softmax(map).data.subarray(pixels);
    assertEquals(logits.ids, Array.from(p1, (p) => p > 0.8 ? 1 : 0));
    assert(logits.ids.includes(1));
  },
});

Deno.test("window_blend: sizes that do not fit are refused", () => {
  const area = { channels: 3, height: 50, width: 40, rows: 30, maxBindingBytes: 2 ** 20 };
  assertThrows(() => new BlendArea({ ...area, maxBindingBytes: 100 }), InputError, "smaller tile");
  const graph = new Graph();
  const x = graph.input("x", { shape: [1, 3, 31, 8], layout: "c4" });
  const weights = graph.input("weights", { shape: [39] });
  const placement = graph.input("placement", { shape: [5], dtype: "u32" });
  assertThrows(
    () => windowBlend(x, weights, placement, new BlendArea(area)),
    ShapeError,
    "at most 30 x 40 pixels",
  );
  assertThrows(
    () =>
      areaArgmax(new BlendArea(area), weights, {
        size: [5, 5],
        rows: 1,
        values: "logits",
        threshold: 0.4,
      }),
    ShapeError,
    "two for a threshold",
  );
});
