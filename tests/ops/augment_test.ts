import { assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { Stream } from "../../src/nn/random.ts";
import { augment } from "../../src/ops/augment.ts";
import { type AugmentStrength, drawView } from "../../src/train/augmentation.ts";
import { fromValues } from "../reference/array.ts";
import * as reference from "../reference/augment.ts";
import { type OpCase, testOps } from "./harness.ts";

interface Size {
  width: number;
  height: number;
}

/** Bytes that change smoothly, so that rounding of coordinates stays below the tolerance. */
function sourceOf({ width, height }: Size, n: number): reference.AugmentSource {
  const pixels = new Uint8Array(width * height * 4);
  const labels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 4; c++) {
        const wave = Math.sin((x * (c + 1) + n) / 9) + Math.cos((y * (4 - c)) / 11);
        pixels[(y * width + x) * 4 + c] = Math.round(127 + 60 * wave);
      }
      labels[y * width + x] = (x * 3 + y * 5 + n) % 7;
    }
  }
  return { width, height, pixels, labels, affine: [], colour: [] };
}

function withTransform(source: reference.AugmentSource, transform: ArrayLike<number>) {
  const row = (first: number, count: number) =>
    Array.from({ length: count }, (_, i) => transform[first + i]!);
  const three = (first: number) => row(first, 3) as [number, number, number];
  const four = (first: number) => row(first, 4) as [number, number, number, number];
  return {
    ...source,
    affine: [three(0), three(4)],
    colour: [four(8), four(12), four(16)],
  };
}

/** The image and the ids of one augmentation, as two cases. */
function* cases(
  name: string,
  sources: reference.AugmentSource[],
  transforms: Float32Array,
  { width, height, channels = 3 }: Size & { channels?: number },
): Generator<OpCase> {
  const slot = Math.ceil(Math.max(...sources.map((s) => s.width * s.height)) / 4) * 4 + 8;
  const batch = sources.length;
  const words = new Uint32Array(batch * slot);
  const bytes = new Uint8Array(batch * slot);
  const given = sources.map((source, n) => {
    new Uint8Array(words.buffer).set(source.pixels as Uint8Array, n * slot * 4);
    bytes.set(source.labels as Uint8Array, n * slot);
    return withTransform(source, transforms.subarray(n * 20));
  });
  const options = { width, height, channels, ignoreIndex: 255 };
  const expected = reference.augment(given, options);
  const inputs: OpCase["inputs"] = {
    pixels: { value: fromValues([batch, slot], words), dtype: "u32" },
    labels: {
      value: fromValues([batch, slot / 4], new Uint32Array(bytes.buffer)),
      dtype: "u32",
    },
    transforms: { value: fromValues([batch, 20], transforms) },
  };
  for (const output of ["image", "ids"] as const) {
    yield {
      name: `augment ${name}: ${output}`,
      inputs,
      record: (t) => augment(t.pixels!, t.labels!, t.transforms!, options)[output],
      output: expected[output],
      // Coordinates of up to 70 are exact to 4e-6 pixels, and neighbours differ by up to 0.2.
      ...(output === "image" ? { tolerance: { forward: 3e-5 } } : {}),
    };
  }
}

const GREY = [0.3, 0.6, 0.1, 0];

function* all(): Generator<OpCase> {
  const plain = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];
  const sizes = [{ width: 17, height: 23 }, { width: 40, height: 9 }];
  const sources = sizes.map(sourceOf);
  // Mirrored and cut at whole pixels; a result larger than the source.
  const moves = Float32Array.of(
    ...[-1, 0, 14, 17, 0, 1, 5, 23, ...plain],
    ...[1, 0, -3, 40, 0, -1, 8, 9, ...plain],
  );
  for (const channels of [1, 3, 4]) {
    yield* cases(`moves by whole pixels, ${channels} channels`, sources, moves, {
      width: 19,
      height: 12,
      channels,
    });
  }
  // Offsets that keep every coordinate away from half a pixel, where rounding would decide.
  const turns = Float32Array.of(
    ...[0.81, -0.37, 4.1337, 17, 0.37, 0.81, -2.7137, 23, ...GREY, ...GREY, ...GREY],
    ...[1.31, 0.21, -9.7737, 40, -0.11, -0.77, 8.4137, 9],
    ...[1.4, -0.2, 0.1, -0.3, 0, 0.7, 0.1, 0.2, 2.5, 0, 0, -0.9],
  );
  yield* cases("turns, enlarges and recolours", sources, turns, { width: 33, height: 70 });
  yield* cases("one pixel", [sourceOf({ width: 1, height: 1 }, 5)], turns.slice(20), {
    width: 3,
    height: 2,
  });
}

testOps(all(), false);

// What drawView draws, through the whole photo and through the window that is uploaded.
for (const strength of ["none", "light", "strong"] as AugmentStrength[]) {
  for (const crop of [{ width: 12, height: 15 }, { width: 60, height: 31 }]) {
    Deno.test(`views of ${strength} augmentation need nothing outside their window, ${crop.width}`, () => {
      const size = { width: 41, height: 29 };
      const whole = sourceOf(size, 1);
      for (let seed = 0; seed < 40; seed++) {
        const { window, transform } = drawView(strength, size, crop, new Stream(seed));
        const part = { ...whole, width: window.width, height: window.height };
        const take = (bytes: ArrayLike<number>, each: number) =>
          Uint8Array.from({ length: window.width * window.height * each }, (_, i) => {
            const pixel = Math.floor(i / each);
            const x = window.x + pixel % window.width;
            const y = window.y + Math.floor(pixel / window.width);
            return bytes[(y * size.width + x) * each + i % each]!;
          });
        part.pixels = take(whole.pixels, 4);
        part.labels = take(whole.labels, 1);
        const moved = transform.slice();
        moved.set([transform[2]! + window.x, size.width], 2);
        moved.set([transform[6]! + window.y, size.height], 6);
        const options = { ...crop, channels: 3, ignoreIndex: 255 };
        const a = reference.augment([withTransform(part, transform)], options);
        const b = reference.augment([withTransform(whole, moved)], options);
        assertEquals(a.ids, b.ids);
        a.image.data.forEach((value, i) => {
          // The two offsets are rounded apart by up to 4e-6 pixels.
          const difference = Math.abs(value - b.image.data[i]!);
          if (difference > 1e-5) throw new Error(`seed ${seed}, element ${i}: ${difference}`);
        });
      }
    });
  }
}

Deno.test("augment refuses tensors that do not fit together", () => {
  const graph = new Graph();
  const u32 = (label: string, shape: number[]) => graph.input(label, { shape, dtype: "u32" });
  const transforms = graph.input("t", { shape: [2, 20] });
  const options = { width: 4, height: 4, ignoreIndex: 255 };
  const refuses = (...args: Parameters<typeof augment>) =>
    assertThrows(() => augment(...args), ShapeError, "multiple of 4");
  refuses(u32("a", [2, 18]), u32("b", [2, 4]), transforms, options);
  refuses(u32("c", [2, 16]), u32("d", [2, 16]), transforms, options);
  refuses(u32("e", [3, 16]), u32("f", [3, 4]), transforms, options);
});
