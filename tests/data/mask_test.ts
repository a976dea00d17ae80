import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { readMask } from "../../src/data/mask.ts";
import { testData } from "../support.ts";
import { makePng } from "./make_png.ts";
import { RED_BLUE_JPEG } from "./sample_jpeg.ts";

const SIZE = { width: 3, height: 1 };

function refused(bytes: Uint8Array, ...reasons: string[]): void {
  const error = assertThrows(() => readMask(bytes, "masks/7.png"), InputError);
  for (const reason of ["masks/7.png", ...reasons]) assertStringIncludes(error.message, reason);
}

Deno.test("readMask keeps gray values as stored, whatever their bits", () => {
  for (const bitDepth of [1, 2, 4, 8, 16]) {
    const top = 2 ** bitDepth - 1;
    const sample = (x: number) => [0, 1, top][x]!;
    const mask = readMask(makePng({ ...SIZE, bitDepth, colorType: 0, sample }), "x");
    assertEquals([mask.width, mask.height, mask.kind], [3, 1, "gray"]);
    assertEquals([...mask.data], [0, 1, top]);
    assertEquals(mask.palette, undefined);
  }
});

Deno.test("readMask keeps palette indices and colours", () => {
  const palette = [0, 0, 0, 128, 0, 0, 0, 128, 0];
  const sample = (x: number) => 2 - x;
  const mask = readMask(makePng({ ...SIZE, bitDepth: 2, colorType: 3, sample, palette }), "x");
  assertEquals([...mask.data], [2, 1, 0]);
  assertEquals(mask.palette, [[0, 0, 0], [128, 0, 0], [0, 128, 0]]);
  assertEquals(mask.kind, "palette");
});

Deno.test("readMask takes gray from RGB, RGBA and gray with alpha", () => {
  for (const bitDepth of [8, 16]) {
    for (const colorType of [2, 4, 6]) {
      // Alpha differs from the value, and must not matter.
      const alpha = colorType - 3;
      const sample = (x: number, _y: number, c: number) =>
        c === alpha || (colorType === 4 && c === 1) ? 99 : x * 7;
      const mask = readMask(makePng({ ...SIZE, bitDepth, colorType, sample }), "x");
      assertEquals([...mask.data], [0, 7, 14], `type ${colorType}`);
      assertEquals(mask.kind, colorType === 4 ? "gray" : "rgb");
    }
  }
});

Deno.test("readMask refuses colours, JPEG and other formats with the reason", () => {
  const sample = (x: number, _y: number, c: number) => x === 2 && c === 1 ? 5 : 4;
  const colours = makePng({ ...SIZE, bitDepth: 8, colorType: 2, sample });
  refused(colours, "(4, 5, 4) at x 2, y 0", "put a class_dict.csv (name,r,g,b)");
  const blueOnly = makePng({ ...SIZE, bitDepth: 8, colorType: 2, sample: (_x, _y, c) => c >> 1 });
  refused(blueOnly, "(0, 0, 1) at x 0, y 0");
  refused(RED_BLUE_JPEG, "JPEG", "lossy");
  refused(new Uint8Array(0), "an empty file");
  refused(Uint8Array.from("II*\0....", (letter) => letter.charCodeAt(0)), "a TIFF");
  refused(colours.subarray(0, 60), "ends after 60 bytes");
});

const oddities = testData("oddities");

Deno.test({
  name: "readMask keeps the classes of real palette masks",
  ignore: !oddities,
  fn() {
    const folder = `${oddities}/voc-palette`;
    const classes = Deno.readTextFileSync(`${folder}/class_names.txt`).trim().split("\n").length;
    for (const { name } of Deno.readDirSync(`${folder}/masks`)) {
      const mask = readMask(Deno.readFileSync(`${folder}/masks/${name}`), name);
      assertEquals(mask.kind, "palette");
      assertEquals(mask.palette?.[1], [128, 0, 0], "the VOC colour of aeroplane");
      const values = [...new Set(mask.data)];
      assert(values.length > 1, `${name} holds ${values}`);
      assert(values.every((value) => value < classes || value === 255), `${name} holds ${values}`);
    }
  },
});
