import { assert, assertEquals, assertThrows } from "@std/assert";
import type { DispatchSpec } from "../src/gpu/kernel_spec.ts";
import { kernelCode } from "../src/gpu/pipeline.ts";
import {
  type ConvDims,
  fitsTextureFamily,
  forwardOf,
  inputGradDims,
  inputGradOf,
  packedWeightGeometry,
  textureConvolution,
  textureWeightGrad,
} from "../src/ops/conv_texture.ts";
import { imageParts } from "../src/ops/conv_texture_parts.ts";
import {
  forwardPlans,
  stripCounts,
  tileCounts,
  type TileTarget,
  weightGradPlans,
} from "../src/ops/conv_texture_tiles.ts";

const dims = (
  inputChannels: number[],
  outputChannels: number,
  height: number,
  width: number,
  batch = 1,
  kernel: 1 | 3 = 3,
): ConvDims => ({ batch, height, width, inputChannels, outputChannels, kernel });

/** One for each table of tiles. */
const PROCESSORS: readonly TileTarget[] = [{}, { vectorBits: 512 }, { textureReadBytes: 0 }];

Deno.test("conv texture: what does not fit is refused, and refused by fitsTextureFamily", () => {
  assertThrows(() => packedWeightGeometry(dims([64], 64, 4, 4), 2, 8), RangeError, "64");
  assert(fitsTextureFamily(dims([64, 64], 64, 400, 600, 1), { maxTextureDimension: 8192 }));
  assert(
    fitsTextureFamily(dims([64], 64, 20000, 600, 64), { maxTextureDimension: 8192 }),
    "large images of any number are staged in parts",
  );
  assert(
    !fitsTextureFamily(dims([4], 4, 10, 9000), { maxTextureDimension: 8192 }),
    "too wide an image",
  );
  assert(
    !fitsTextureFamily(dims([1, 1, 1, 1, 1], 4, 4, 4), { maxTextureDimension: 8192 }),
    "too many inputs",
  );
});

Deno.test("conv texture: the plans cover every pixel, block and image, without empty workgroups", () => {
  for (
    const [batch, height, width] of [[1, 1, 1], [2, 11, 15], [3, 7, 130], [5, 200, 3]] as const
  ) {
    for (const channels of [1, 4, 23, 64]) {
      for (const target of PROCESSORS) {
        const plans = forwardPlans(batch, height, width, channels, target);
        assertEquals(new Set(plans.map(({ name }) => name)).size, plans.length);
        for (const plan of plans) {
          const { tile } = plan;
          const blocks = Math.ceil(channels / 4 / tile.outPlanes);
          const counts = tileCounts(plan, batch, height, width);
          assert(counts.tilesX * tile.width >= width);
          assert(counts.tilesPerImage / counts.tilesX * tile.height >= height);
          assertEquals(counts.tiles, batch * counts.tilesPerImage);
          assertEquals(counts.tileGroups, Math.ceil(counts.tiles / plan.lanePixels));
          assertEquals(plan.blockGroups, Math.ceil(blocks / (16 / plan.lanePixels)));
        }
      }
    }
    for (const blocks of [1, 3, 8, 32]) {
      for (const planes of [1, 4, 17]) {
        const plans = weightGradPlans(batch, height, width, planes, blocks, 1000);
        assertEquals(new Set(plans.map(({ name }) => name)).size, plans.length);
        for (const plan of plans) {
          const counts = stripCounts(plan, batch, height);
          assert(counts.strips <= 1000);
          assert(plan.rowsPerStrip * counts.stripsPerImage >= height);
          assert(plan.rowsPerStrip * (counts.stripsPerImage - 1) < height);
          const imageGroups = counts.strips / counts.stripsPerImage;
          assert(imageGroups * plan.imagesPerStrip >= batch);
          assert((imageGroups - 1) * plan.imagesPerStrip < batch);
          assertEquals(plan.rowsPerStrip % 2, 0);
          assert(plan.inputGroups * plan.lanesIn >= planes);
          assert(plan.outputGroups * plan.lanesOut >= blocks);
          const laneStrips = 16 / (plan.lanesIn * plan.lanesOut);
          assertEquals(counts.stripGroups, Math.ceil(counts.strips / laneStrips));
        }
      }
    }
  }
});

Deno.test("conv texture: tiles go by vectors and registers", () => {
  const tileOf = (target: TileTarget) => {
    const [{ tile }] = forwardPlans(1, 128, 192, 16, target);
    return `${tile.outPlanes * 4} channels of ${tile.height}x${tile.width}`;
  };
  assertEquals(tileOf({}), "4 channels of 4x4");
  assertEquals(tileOf({ textureReadBytes: 2 ** 18 }), "4 channels of 8x2");
  for (const textureReadBytes of [0, Infinity]) {
    assertEquals(tileOf({ vectorBits: 512, textureReadBytes }), "8 channels of 5x4");
  }
});

Deno.test("conv texture: parts cover every row of every image once, in little memory", () => {
  const small = { maxTextureDimension: 2048 };
  for (
    const [batch, height, width, planes, unitRows, target, most] of [
      [1, 1, 1, 1, 4, small, Infinity],
      [7, 40, 600, 16, 4, small, Infinity],
      [2, 400, 600, 16, 5, { maxTextureDimension: 16384 }, Infinity],
      [2, 400, 600, 16, 5, { maxTextureDimension: 16384, images: "f16" as const }, Infinity],
      [2, 401, 601, 38, 2, { maxTextureDimension: 16384 }, 3],
      [3, 3001, 2000, 6, 4, small, Infinity],
    ] as const
  ) {
    const label = `${batch} x ${planes} x ${height} x ${width}`;
    const parts = imageParts({ batch, height, width }, [planes], unitRows, target, most);
    assert(parts.length <= most, label);
    const covered = new Set<number>();
    for (const { images, rows } of parts) {
      assert(rows.first % unitRows === 0, label);
      assert(rows.count % unitRows === 0 || rows.first + rows.count === height, label);
      assert(images.count === 1 || rows.count === height, label);
      for (let n = images.first; n < images.first + images.count; n++) {
        for (let y = rows.first; y < rows.first + rows.count; y++) covered.add(n * height + y);
      }
      const pitchUnit = "images" in target ? 32 : 16;
      const pitch = Math.ceil((width + 2) / pitchUnit) * pitchUnit;
      const texels = images.count * planes * (rows.count + 2) * pitch;
      assert(most < Infinity || rows.count <= unitRows || texels <= 2 ** 19, label);
      const columns = Math.floor(target.maxTextureDimension / pitch);
      const perColumn = Math.ceil(images.count * planes / columns);
      assert(perColumn * (rows.count + 2) <= target.maxTextureDimension, label);
    }
    assertEquals(covered.size, batch * height, label);
    const rowsInAll = parts.reduce((sum, { images, rows }) => sum + images.count * rows.count, 0);
    assertEquals(rowsInAll, batch * height, label);
  }
  // Each texture has to hold its own planes only.
  const [all] = imageParts({ batch: 1, height: 1, width: 250 }, [50, 50], 2, {
    maxTextureDimension: 256,
  });
  assertEquals(all?.rows.count, 1);
  assertThrows(
    () => imageParts({ batch: 1, height: 9, width: 3000 }, [1], 4, small),
    RangeError,
    "do not fit",
  );
});

Deno.test("conv texture: shaders expand fully, and grids stay within WebGPU's limit", () => {
  for (const kernel of [1, 3] as const) {
    for (const d of [dims([3, 5], 23, 13, 14, 2, kernel), dims([64], 1, 1024, 1024, 4, kernel)]) {
      const specs = PROCESSORS.flatMap((processor): DispatchSpec[] => {
        const target = { maxTextureDimension: 16384, ...processor };
        const grad = textureWeightGrad(d, target);
        const forward = textureConvolution(forwardOf(d), target, "bias");
        const inputGrad = textureConvolution(inputGradOf(d, 0), target, "none");
        return [
          forward.pack,
          ...forward.convolve.map(({ dispatch }) => dispatch),
          inputGrad.pack,
          ...inputGrad.convolve.map(({ dispatch }) => dispatch),
          ...grad.accumulate.map(({ dispatch }) => dispatch),
          grad.reduce,
        ];
      });
      for (const spec of specs) {
        const code = kernelCode(spec.kernel);
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
