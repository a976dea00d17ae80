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
import { forwardPlans, weightGradPlans } from "../src/ops/conv_texture_tiles.ts";

const dims = (
  inputChannels: number[],
  outputChannels: number,
  height: number,
  width: number,
  batch = 1,
  kernel: 1 | 3 = 3,
): ConvDims => ({ batch, height, width, inputChannels, outputChannels, kernel });

Deno.test("conv texture: what does not fit is refused, and refused by fitsTextureFamily", () => {
  assertThrows(() => packedWeightGeometry(dims([64], 64, 4, 4), 2, 8), RangeError, "64");
  assert(fitsTextureFamily(dims([64, 64], 64, 400, 600, 1), { maxTextureDimension: 8192 }));
  assert(
    !fitsTextureFamily(dims([64], 64, 400, 600, 64), { maxTextureDimension: 8192 }),
    "too large a batch",
  );
  assert(
    !fitsTextureFamily(dims([4], 4, 9000, 10), { maxTextureDimension: 8192 }),
    "too high an image",
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
      for (const bits of [256, 512]) {
        const plans = forwardPlans(batch, height, width, channels, bits);
        assertEquals(new Set(plans.map(({ name }) => name)).size, plans.length);
        for (const { tile, ...forward } of plans) {
          const blocks = Math.ceil(channels / 4 / tile.outPlanes);
          assert(forward.tilesX * tile.width >= width);
          assert(forward.tilesPerImage / forward.tilesX * tile.height >= height);
          assertEquals(forward.tileGroups, Math.ceil(forward.tiles / forward.lanePixels));
          assertEquals(forward.blockGroups, Math.ceil(blocks / (16 / forward.lanePixels)));
        }
      }
    }
    for (const blocks of [1, 3, 8, 32]) {
      for (const planes of [1, 4, 17]) {
        const plans = weightGradPlans(batch, height, width, planes, blocks, 4608);
        assertEquals(new Set(plans.map(({ name }) => name)).size, plans.length);
        for (const plan of plans) {
          assert(plan.rowsPerStrip * plan.stripsPerImage >= height);
          assert(plan.rowsPerStrip * (plan.stripsPerImage - 1) < height);
          const imageGroups = plan.strips / plan.stripsPerImage;
          assert(imageGroups * plan.imagesPerStrip >= batch);
          assert((imageGroups - 1) * plan.imagesPerStrip < batch);
          assertEquals(plan.rowsPerStrip % 2, 0);
          assert(plan.inputGroups * plan.lanesIn >= planes);
          assert(plan.outputGroups * plan.lanesOut >= blocks);
          const laneStrips = 16 / (plan.lanesIn * plan.lanesOut);
          assertEquals(plan.stripGroups, Math.ceil(plan.strips / laneStrips));
        }
      }
    }
  }
});

Deno.test("conv texture: shaders expand fully, and grids stay within WebGPU's limit", () => {
  for (const kernel of [1, 3] as const) {
    for (const d of [dims([3, 5], 23, 13, 14, 2, kernel), dims([64], 1, 1024, 1024, 4, kernel)]) {
      const specs = [256, 512].flatMap((vectorBits): DispatchSpec[] => {
        const target = { maxTextureDimension: 16384, vectorBits };
        const grad = textureWeightGrad(d, target);
        const forward = textureConvolution(forwardOf(d), target, "bias");
        const inputGrad = textureConvolution(inputGradOf(d, 0), target, "none");
        return [
          forward.pack,
          forward.convolve,
          inputGrad.pack,
          inputGrad.convolve,
          grad.accumulate,
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
