import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import type { DispatchSpec } from "../src/gpu/kernel_spec.ts";
import { expandTemplate } from "../src/gpu/template.ts";
import {
  type ConvDims,
  fitsTextureFamily,
  inputGradDims,
  packedWeightGeometry,
  packInputGradWeights,
  packWeights,
  stageCopies,
  stageGeometry,
  textureForward,
  textureInputGrad,
  textureWeightGrad,
} from "../src/ops/conv_texture.ts";
import { planForward, planWeightGrad } from "../src/ops/conv_texture_tiles.ts";

const dims = (
  inputChannels: number[],
  outputChannels: number,
  height: number,
  width: number,
  batch = 1,
  kernel: 1 | 3 = 3,
): ConvDims => ({ batch, height, width, inputChannels, outputChannels, kernel });

Deno.test("conv texture: copies stage every plane once, image by image, at its place", () => {
  for (const [planes, batch, limit] of [[[2, 3], 3, 100], [[5], 4, 100], [[1], 1, 8192]] as const) {
    const perImage = planes.reduce((a: number, b) => a + b, 0);
    const geometry = stageGeometry(perImage * batch, 13, 14, limit);
    const planeBytes = geometry.planeRows * geometry.pitch * 16;
    const placed = new Map<string, string>();
    for (const copy of stageCopies(planes, batch, geometry)) {
      assertEquals([copy.bufferOffsetBytes % 256, copy.bytesPerRow % 256], [0, 0]);
      for (let row = 0; row < copy.height; row += geometry.planeRows) {
        const place = `${copy.x},${copy.y + row}`;
        assert(!placed.has(place), `two planes at ${place}`);
        const source = copy.bufferOffsetBytes / planeBytes + row / geometry.planeRows;
        placed.set(place, `${copy.input}:${source}`);
      }
      assert(copy.x + copy.width <= geometry.width && copy.y + copy.height <= geometry.height);
    }
    assertEquals(placed.size, perImage * batch);
    let plane = 0;
    for (let image = 0; image < batch; image++) {
      planes.forEach((count, input) => {
        for (let p = 0; p < count; p++, plane++) {
          const x = Math.floor(plane / geometry.planesPerColumn) * geometry.pitch;
          const y = (plane % geometry.planesPerColumn) * geometry.planeRows;
          assertEquals(placed.get(`${x},${y}`), `${input}:${image * count + p}`);
        }
      });
    }
  }
});

Deno.test("conv texture: the pitch holds the border and rows are multiples of 256 bytes", () => {
  assertEquals(stageGeometry(1, 1, 14, 8192).pitch, 16);
  assertEquals(stageGeometry(1, 1, 15, 8192).pitch, 32);
  assertEquals(stageGeometry(3, 14, 1, 32).columns, 2, "planes beyond the height start a column");
});

Deno.test("conv texture: what does not fit is refused, and refused by fitsTextureFamily", () => {
  assertThrows(() => stageGeometry(1, 9000, 10, 8192), InputError, "9000x10");
  assertThrows(() => stageGeometry(1000, 1000, 1000, 8192), InputError, "1000 planes");
  assertThrows(() => packedWeightGeometry(dims([64], 64, 4, 4), 8), InputError, "64");
  assert(fitsTextureFamily(dims([64, 64], 64, 400, 600, 1), 8192));
  assert(!fitsTextureFamily(dims([64], 64, 400, 600, 64), 8192), "too large a batch");
  assert(!fitsTextureFamily(dims([1, 1, 1, 1, 1], 4, 4, 4), 8192), "too many inputs");
});

Deno.test("conv texture: the plans cover every pixel, block and image, without empty workgroups", () => {
  for (
    const [batch, height, width] of [[1, 1, 1], [2, 11, 15], [3, 7, 130], [5, 200, 3]] as const
  ) {
    for (const blocks of [1, 3, 8, 32]) {
      const forward = planForward(batch, height, width, blocks, 2);
      assert(forward.tilesX * forward.tile.width >= width);
      assert(forward.tilesPerImage / forward.tilesX * forward.tile.height >= height);
      assertEquals(forward.tileGroups, Math.ceil(forward.tiles / forward.lanePixels));
      assertEquals(forward.blockGroups, Math.ceil(blocks / (16 / forward.lanePixels)));
      for (const planes of [1, 4, 17]) {
        const plan = planWeightGrad(batch, height, width, planes, blocks, 4608);
        assert(plan.rowsPerStrip * plan.stripsPerImage >= height);
        assert(plan.rowsPerStrip * (plan.stripsPerImage - 1) < height);
        const imageGroups = plan.strips / plan.stripsPerImage;
        assert(imageGroups * plan.imagesPerStrip >= batch);
        assert((imageGroups - 1) * plan.imagesPerStrip < batch);
        assertEquals(plan.rowsPerStrip % 2, 0);
        assert(
          plan.inputGroups * plan.lanesIn >= planes && plan.outputGroups * plan.lanesOut >= blocks,
        );
        const laneStrips = 16 / (plan.lanesIn * plan.lanesOut);
        assertEquals(plan.stripGroups, Math.ceil(plan.strips / laneStrips));
      }
    }
  }
});

Deno.test("conv texture: shaders expand fully, and grids stay within WebGPU's limit", () => {
  const limit = 16384;
  for (const kernel of [1, 3] as const) {
    for (const d of [dims([3, 5], 23, 13, 14, 2, kernel), dims([64], 1, 1024, 1024, 4, kernel)]) {
      const grad = textureWeightGrad(d, limit);
      const specs: DispatchSpec[] = [
        packWeights(d, limit),
        packInputGradWeights(d, 0, limit),
        textureForward(d, limit, true),
        textureInputGrad(d, 0, limit),
        grad.accumulate,
        grad.reduce,
      ];
      for (const spec of specs) {
        const code = expandTemplate(spec.kernel.source, spec.kernel.constants);
        assert(!/\$|\/\/@/.test(code), spec.kernel.name);
        assert(spec.grid.every((n) => n >= 1 && n <= 65535), `${spec.kernel.name} ${spec.grid}`);
        assert(spec.params.every((word) => Number.isInteger(word) && word >= 0), spec.kernel.name);
      }
    }
  }
});

Deno.test("conv texture: an input's gradient has that input's channels", () => {
  const d = inputGradDims(dims([3, 5], 23, 4, 4), 1);
  assertEquals([d.inputChannels, d.outputChannels], [[23], 5]);
  assertThrows(() => inputGradDims(dims([3], 4, 4, 4), 1), RangeError);
});
