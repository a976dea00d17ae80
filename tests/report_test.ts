import { assert, assertEquals, assertThrows } from "@std/assert";
import { blank, contactSheet, figureLegend, figurePair, fit } from "../src/report/figure.ts";
import { drawText, lineHeight, measureText, wrapText } from "../src/report/font.ts";
import { jet, jetColour } from "../src/report/jet.ts";
import { decodePhoto } from "../src/data/photo.ts";
import { encodeJpeg } from "../src/report/jpeg.ts";
import {
  classesPresent,
  colourMask,
  grayMask,
  overlay,
  type Picture,
} from "../src/report/overlay.ts";
import { canRead } from "./support.ts";

const colours = [[200, 0, 0], [0, 100, 0]] as const;

/** A picture of one colour. */
function plain(width: number, height: number, value: number): Picture {
  return { width, height, data: new Uint8Array(width * height * 3).fill(value) };
}

/** The box around everything that is not white: left, top, right, bottom; null when all is white. */
function inked(picture: Picture): [number, number, number, number] | null {
  let box: [number, number, number, number] | null = null;
  for (let y = 0; y < picture.height; y++) {
    for (let x = 0; x < picture.width; x++) {
      const at = (y * picture.width + x) * 3;
      if (picture.data[at]! + picture.data[at + 1]! + picture.data[at + 2]! === 765) continue;
      box = box === null
        ? [x, y, x, y]
        : [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)];
    }
  }
  return box;
}

/** How many pixels have exactly this colour. */
function count(picture: Picture, colour: readonly [number, number, number]): number {
  let found = 0;
  for (let i = 0; i < picture.data.length; i += 3) {
    if (colour.every((value, c) => picture.data[i + c] === value)) found++;
  }
  return found;
}

Deno.test("overlay: mixes photo and colour, and leaves ids without a colour alone", () => {
  const photo = plain(3, 1, 100);
  const mask = { width: 3, height: 1, data: Uint8Array.of(0, 1, 255) };
  const mixed = overlay(photo, mask, colours, 0.25);
  assertEquals([...mixed.data], [125, 75, 75, 75, 100, 75, 100, 100, 100]);
  assertEquals([...overlay(photo, mask, colours, 0).data], [...photo.data]);
  assertEquals([...overlay(photo, mask, colours, 1).data.slice(0, 6)], [200, 0, 0, 0, 100, 0]);
  assertEquals([...photo.data], Array(9).fill(100));
});

Deno.test("overlay: refuses a mask of another size", () => {
  const mask = { width: 2, height: 1, data: new Uint8Array(2) };
  assertThrows(() => overlay(plain(3, 1, 0), mask, colours, 0.5), RangeError, "2x1 mask on a 3x1");
});

Deno.test("colourMask and classesPresent: by id, 16-bit ids and unknown ones too", () => {
  const mask = { width: 3, height: 1, data: Uint16Array.of(1, 0, 700) };
  assertEquals([...colourMask(mask, colours).data], [0, 100, 0, 200, 0, 0, 0, 0, 0]);
  assertEquals(classesPresent(mask), [0, 1, 700]);
});

Deno.test("jet: dark blue over cyan-green to dark red", () => {
  assertEquals(jetColour(0), [0, 0, 127]);
  assertEquals(jetColour(1), [127, 0, 0]);
  const [red, green, blue] = jetColour(0.5);
  assertEquals(green, 255);
  assert(Math.abs(red - 125) < 5 && Math.abs(blue - 122) < 10, `${red}, ${blue}`);
  const mask = { width: 2, height: 1, data: Uint8Array.of(0, 1) };
  assertEquals([...jet(mask, 2).data], [0, 0, 127, 127, 0, 0]);
  assertEquals([...jet(mask, 1).data], [0, 0, 127, 255, 255, 255]);
});

Deno.test("text: every printable ASCII character but the space leaves ink inside its measure", () => {
  for (const size of [12, 33]) {
    for (let code = 33; code < 127; code++) {
      const character = String.fromCharCode(code);
      const picture = blank(80, 60);
      const width = drawText(picture, character, 10, 10, size);
      const box = inked(picture);
      assert(box !== null, `${character} leaves no ink`);
      assertEquals(width, measureText(character, size));
      assert(box[0] >= 8 && box[2] <= 10 + width + 1, `${character}: ${box}, ${width} wide`);
      assert(box[1] >= 9 && box[3] <= 10 + lineHeight(size), `${character}: ${box} at ${size}`);
    }
  }
});

Deno.test("text: every character has a shape of its own", () => {
  const shapes = new Map<string, string>();
  for (let code = 33; code < 127; code++) {
    const picture = blank(40, 40);
    drawText(picture, String.fromCharCode(code), 4, 4, 24);
    const shape = picture.data.join();
    assertEquals(shapes.get(shape), undefined, `${String.fromCharCode(code)} is drawn twice`);
    shapes.set(shape, String.fromCharCode(code));
  }
});

Deno.test("text: accents fall off, spaces and the outside of the picture take no ink", () => {
  const [accented, bare] = [blank(60, 30), blank(60, 30)];
  drawText(accented, "Bäume", 2, 2, 14);
  drawText(bare, "Baume", 2, 2, 14);
  assertEquals(accented.data, bare.data);
  const empty = blank(20, 20);
  drawText(empty, "   ", 2, 2, 14);
  drawText(empty, "far away", 500, -300, 14);
  assertEquals(inked(empty), null);
  drawText(empty, "cut off", -9, -5, 14);
  assert(inked(empty) !== null);
});

Deno.test("wrapText: lines fit, no word is lost, long words are cut", () => {
  const text = "the quick brown fox jumps over the lazy dog";
  const lines = wrapText(text, 14, 100);
  assert(lines.length > 2);
  for (const line of lines) assert(measureText(line, 14) <= 100, line);
  assertEquals(lines.join(" "), text);
  const cut = wrapText("Donaudampfschifffahrtsgesellschaft", 14, 60);
  for (const line of cut) assert(measureText(line, 14) <= 60, line);
  assertEquals(cut.join(""), "Donaudampfschifffahrtsgesellschaft");
  assertEquals(wrapText("  ", 14, 60), []);
});

Deno.test("fit: averages by area when smaller, repeats when larger", () => {
  const picture = {
    width: 2,
    height: 2,
    data: Uint8Array.of(0, 0, 0, 4, 4, 4, 8, 8, 8, 12, 12, 12),
  };
  assertEquals([...fit(picture, 1, 1).data], [6, 6, 6]);
  assertEquals([...fit(picture, 4, 2).data.slice(0, 12)], [0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4]);
});

Deno.test("figurePair: both pictures whole, side by side, under titles", () => {
  const pair = figurePair(plain(60, 40, 10), plain(60, 40, 20), ["Image", "Mask"]);
  assert(pair.width >= 120 && pair.width < 220, `${pair.width} wide`);
  assert(pair.height >= 40 + lineHeight(14) && pair.height < 140, `${pair.height} high`);
  assertEquals(pair.data.length, pair.width * pair.height * 3);
  assertEquals(count(pair, [10, 10, 10]), 60 * 40);
  assertEquals(count(pair, [20, 20, 20]), 60 * 40);
  const box = inked(pair)!;
  assert(box[0] > 5 && box[1] > 5 && box[2] < pair.width - 6 && box[3] < pair.height - 6, `${box}`);
});

Deno.test("figurePair: large pictures are shown smaller", () => {
  const pair = figurePair(plain(4000, 20, 10), plain(4000, 20, 20), ["Image", "Mask"]);
  assert(pair.width < 3400, `${pair.width} wide`);
});

Deno.test("figureLegend: a swatch for each class present, names wrapped below small pictures", () => {
  const names = [
    "sky",
    "a very long class name that cannot stand on one line of a small figure",
    "z",
  ];
  const swatches = [[1, 2, 3], [60, 70, 80], [90, 20, 10]] as const;
  const figure = figureLegend(plain(50, 30, 128), [0, 1], names, swatches);
  assertEquals(count(figure, [128, 128, 128]), 50 * 30);
  assert(count(figure, [1, 2, 3]) >= 100);
  assert(count(figure, [60, 70, 80]) >= 100);
  assertEquals(count(figure, [90, 20, 10]), 0);
  const box = inked(figure)!;
  assert(box[2] < figure.width - 6 && box[3] < figure.height - 6, `${box} in ${figure.width}`);
});

Deno.test("figureLegend: twenty-three classes fit, larger pictures get larger text", () => {
  const names = Array.from({ length: 23 }, (_, id) => `class name ${id}`);
  const palette = names.map((_, id) => [id, 100, 200] as const);
  const ids = names.map((_, id) => id);
  for (const [width, height] of [[480, 360], [1600, 1200]] as const) {
    const figure = figureLegend(plain(width, height, 128), ids, names, palette);
    const side = Math.sqrt(count(figure, [22, 100, 200]));
    assert(side >= 11, `swatch side ${side}`);
    if (width === 1600) assert(side > 40, `swatch side ${side}`);
  }
});

Deno.test("contactSheet: titles, rows of different pictures, row titles and a legend", () => {
  const rows = [[plain(40, 30, 10), plain(40, 30, 20)], [plain(30, 50, 30)]];
  const bare = contactSheet(rows, []);
  const full = contactSheet(rows, ["photo", "truth"], {
    title: "Summary",
    caption: "What a newcomer reads first, long enough for more than one line.",
    rowTitles: ["first", "second"],
    legend: [{ name: "tree", colour: [1, 90, 3] }],
  });
  assert(full.height > bare.height + 4 * lineHeight(14) && full.width > bare.width);
  for (const sheet of [bare, full]) {
    assertEquals(sheet.data.length, sheet.width * sheet.height * 3);
    assertEquals(count(sheet, [10, 10, 10]), 1200);
    assertEquals(count(sheet, [20, 20, 20]), 1200);
    assertEquals(count(sheet, [30, 30, 30]), 1500);
    assertEquals([...sheet.data.slice(0, 3)], [255, 255, 255]);
  }
  assert(count(full, [1, 90, 3]) >= 100);
});

Deno.test("contactSheet: asking for no pictures is an error", () => {
  assertThrows(() => contactSheet([], ["photo"]), RangeError, "it needs one");
});

Deno.test("grayMask: class 0 black, the last class white", () => {
  const mask = { width: 4, height: 1, data: Uint8Array.of(0, 1, 2, 255) };
  const grays = [...grayMask(mask, 3).data].filter((_, i) => i % 3 === 0);
  assertEquals(grays, [0, 128, 255, 0]);
});

const canDecodeJpeg = canRead && Deno.permissions.querySync({ name: "env" }).state === "granted";

Deno.test("encodeJpeg: a decoder sees the picture again, whatever its size", {
  ignore: !canDecodeJpeg,
}, async () => {
  for (const [width, height] of [[1, 1], [7, 9], [8, 8], [33, 17], [64, 40]] as const) {
    // Smooth, with every colour and one hard edge.
    const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
      const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
      const light = [3 * x, 250 - 4 * y, x + y][c] ?? 0;
      return x > width / 2 && c === 0 ? 255 - light : light;
    });
    const bytes = encodeJpeg({ width, height, data }, 95);
    const seen = await decodePhoto(bytes, "x.jpg");
    assertEquals([seen.width, seen.height], [width, height]);
    const worst = data.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - seen.data[i]!)),
      0,
    );
    // Steps of quality 95 are at most 12, and colours turn into light and back.
    assert(worst <= 16, `${width}x${height}: off by ${worst}`);
    const small = encodeJpeg({ width, height, data }, 30);
    assert(small.length <= bytes.length, "a lower quality is smaller");
  }
});
