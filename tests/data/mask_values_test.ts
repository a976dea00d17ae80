import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ColourTable, packRgb } from "../../src/data/colours.ts";
import { decodeMask, maskValues } from "../../src/data/mask.ts";
import { colourTable, type NamedMask, valueCounts } from "../../src/data/mask_values.ts";
import type { MaskFacts } from "../../src/data/pair_job.ts";
import type { Rgb } from "../../src/data/png.ts";
import { InputError } from "../../src/errors.ts";
import { makePng } from "./make_png.ts";

const COLOURS: readonly Rgb[] = [[0, 0, 0], [128, 64, 128], [255, 255, 255]];
const NAMES = { file: "class_dict.csv", names: ["void", "road", "sky"], colours: COLOURS };

function mask(
  kind: MaskFacts["kind"],
  counts: [number, number][],
  palette?: readonly Rgb[],
): NamedMask {
  return {
    name: "m.png",
    facts: {
      width: 10,
      height: 10,
      kind,
      hash: "",
      counts,
      ...(palette === undefined ? {} : { palette }),
    },
  };
}

const byColour = (...masks: NamedMask[]): boolean => colourTable(NAMES, masks) !== undefined;

Deno.test("masks are read by colour where they are drawn in the table's, else by value", () => {
  const road = packRgb(128, 64, 128);
  assertEquals(byColour(mask("colour", [[0, 50], [road, 50]])), true);
  assertEquals(byColour(mask("gray", [[0, 50], [1, 50]])), false, "ids");
  assertEquals(byColour(mask("gray", [[0, 50], [255, 50]])), true, "black and white");
  assertEquals(byColour(mask("rgb", [[0, 50], [255, 50]])), true, "black and white in RGB");
  assertEquals(byColour(mask("gray", [[0, 50], [7, 50]])), false, "7 is no gray of the table");
  assertEquals(byColour(mask("gray", [[0, 100]])), false, "0 is an id, too");
  const sorted = [COLOURS[1]!, COLOURS[0]!];
  assertEquals(byColour(mask("palette", [[0, 1], [1, 1]], sorted)), true, "a palette of colours");
  const other: Rgb[] = [[1, 2, 3], [4, 5, 6]];
  assertEquals(byColour(mask("palette", [[0, 1], [1, 1]], other)), false, "a palette of its own");
  assertEquals(
    byColour(mask("palette", [[0, 1]], sorted), mask("palette", [[1, 1]], other)),
    false,
    "the whole set decides",
  );
  const bare = { file: "labels.txt", names: NAMES.names };
  assertEquals(colourTable(bare, [mask("palette", [[0, 1]], sorted)]), undefined);
});

Deno.test("colour masks without a table, and a table that cannot tell classes apart", () => {
  const masks = [mask("colour", [[0, 50], [packRgb(128, 64, 128), 50]])];
  const bare = { file: "labels.txt", names: NAMES.names };
  const missing = assertThrows(() => colourTable(bare, masks), InputError);
  for (const part of ["1 of 1 masks hold colours", "(128, 64, 128) in m.png", "class_dict.csv"]) {
    assertStringIncludes(missing.message, part);
  }
  const stray = assertThrows(() => valueCounts(masks[0]!, undefined, bare), InputError);
  assertStringIncludes(stray.message, "m.png holds colours");
  const same = { ...NAMES, colours: [COLOURS[0]!, COLOURS[1]!, COLOURS[1]!] };
  const twice = assertThrows(() => colourTable(same, masks), InputError);
  assertStringIncludes(twice.message, "gives road and sky the same colour");
});

Deno.test("colours that are in no table are told with their pixels and the nearest class", () => {
  const table = new ColourTable(COLOURS);
  const counts = (...values: [number, number][]) =>
    valueCounts(mask("colour", values), table, NAMES);
  assertEquals([...counts([0, 60], [packRgb(128, 64, 128), 40])], [[0, 60], [1, 40]]);
  const error = assertThrows(
    () => counts([0, 60], [packRgb(127, 64, 128), 3], [packRgb(250, 250, 250), 37]),
    InputError,
  );
  for (
    const part of [
      "m.png holds 2 colours that class_dict.csv does not list, 40.00 % of its pixels",
      "(250, 250, 250) in 37 pixels (nearest: sky (255, 255, 255))",
      "(127, 64, 128) in 3 pixels (nearest: road (128, 64, 128))",
    ]
  ) assertStringIncludes(error.message, part);
});

Deno.test("colour masks become rows of the table: RGB, RGBA, 16 bits, palette, gray", () => {
  const table = new ColourTable(COLOURS);
  const rows = [1, 0, 2, 1];
  const size = { width: 4, height: 1 };
  const colour = (x: number, c: number) => COLOURS[rows[x]!]![c]!;
  const read = (bytes: Uint8Array) => [...maskValues(decodeMask(bytes, "x"), table, "x").data];
  for (const bitDepth of [8, 16]) {
    const factor = bitDepth === 16 ? 257 : 1;
    for (const colorType of [2, 6]) {
      const sample = (x: number, _y: number, c: number) => (c === 3 ? x : colour(x, c)) * factor;
      assertEquals(read(makePng({ ...size, bitDepth, colorType, sample })), rows);
    }
  }
  const palette = [COLOURS[2]!, COLOURS[0]!, COLOURS[1]!].flat();
  const indices = [2, 1, 0, 2];
  const sample = (x: number) => indices[x]!;
  assertEquals(read(makePng({ ...size, bitDepth: 2, colorType: 3, sample, palette })), rows);
  const gray = makePng({
    ...size,
    bitDepth: 8,
    colorType: 0,
    sample: (x) => [255, 0, 255, 0][x]!,
  });
  assertEquals(read(gray), [2, 0, 2, 0]);
  const odd = makePng({ ...size, bitDepth: 8, colorType: 2, sample: (x, _y, c) => x * c });
  const error = assertThrows(() => read(odd), InputError);
  assertStringIncludes(error.message, "x holds the colour (0, 1, 2), which is no class");
  const fine = makePng({ ...size, bitDepth: 16, colorType: 2, sample: (x, _y, c) => x + c });
  assertThrows(() => read(fine), InputError, "no multiples of 257");
});
