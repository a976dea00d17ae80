import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { readMask } from "../../src/data/mask.ts";
import { decodePhoto } from "../../src/data/photo.ts";
import { decodePng } from "../../src/data/png.ts";
import { pngSize } from "../../src/data/png_chunks.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { canDecode, testData } from "../support.ts";
import { FOREIGN_HEIGHT, FOREIGN_PNGS, FOREIGN_WIDTH } from "./foreign_png.ts";
import { channelsOf, makeChunk, makeHeader, makePng, type PngSpec, SIGNATURE } from "./make_png.ts";
import { exifSegment } from "./sample_jpeg.ts";

const KINDS: readonly [colorType: number, bitDepths: number[]][] = [
  [0, [1, 2, 4, 8, 16]],
  [2, [8, 16]],
  [3, [1, 2, 4, 8]],
  [4, [8, 16]],
  [6, [8, 16]],
];
const SIZES = [[1, 1], [2, 3], [5, 7], [9, 2], [33, 17]] as const;

/** Noise over the whole range, by hashing the position. */
function scramble(bitDepth: number) {
  return (x: number, y: number, c: number) => {
    let hash = Math.imul(x * 31 + y * 1009 + c * 77 + 5, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca77);
    return ((hash ^ (hash >>> 13)) >>> 8) % 2 ** bitDepth;
  };
}

function samplesOf(spec: PngSpec): number[] {
  const out: number[] = [];
  for (let y = 0; y < spec.height; y++) {
    for (let x = 0; x < spec.width; x++) {
      for (let c = 0; c < channelsOf(spec.colorType); c++) out.push(spec.sample(x, y, c));
    }
  }
  return out;
}

const GRAY: PngSpec = { width: 6, height: 5, bitDepth: 8, colorType: 0, sample: scramble(8) };

function refused(bytes: Iterable<number>, reason: string): void {
  const error = assertThrows(() => decodePng(Uint8Array.from(bytes), "bad.png"), InputError);
  assertStringIncludes(error.message, "bad.png");
  assertStringIncludes(error.message, reason);
}

for (const interlaced of [false, true]) {
  Deno.test(`decodePng reads every colour type and bit depth${interlaced ? ", interlaced" : ""}`, () => {
    for (const [colorType, bitDepths] of KINDS) {
      for (const bitDepth of bitDepths) {
        for (const [width, height] of SIZES) {
          for (const shift of [0, 1, 2, 3, 4]) {
            const palette = colorType === 3 ? [...Array(3 << bitDepth).keys()] : undefined;
            const filter = (row: number) => (row + shift) % 5;
            const sample = scramble(bitDepth);
            const spec = { width, height, bitDepth, colorType, sample, interlaced, filter };
            const bytes = makePng(
              palette ? { ...spec, palette: palette.map((v) => v & 255) } : spec,
            );
            const image = decodePng(bytes, "made.png");
            const what =
              `type ${colorType}, ${bitDepth} bits, ${width}x${height}, filters ${shift}`;
            assertEquals([...image.data], samplesOf(spec), what);
            assertEquals(image.data instanceof Uint16Array, bitDepth === 16, what);
            const { channels, bitDepth: depth } = image;
            assertEquals([image.width, image.height, image.colorType, channels, depth], [
              width,
              height,
              colorType,
              channelsOf(colorType),
              bitDepth,
            ]);
          }
        }
      }
    }
  });
}

Deno.test("decodePng joins pixel data that is cut into many chunks", () => {
  const spec = { ...GRAY, width: 40, splitBytes: 7 };
  assertEquals([...decodePng(makePng(spec), "x").data], samplesOf(spec));
});

Deno.test("decodePng keeps palette and transparency", () => {
  const palette = [1, 2, 3, 40, 50, 60, 255, 254, 253];
  const sample = (x: number) => x % 3;
  const indexed = { width: 4, height: 2, bitDepth: 2, colorType: 3, sample };
  const image = decodePng(makePng({ ...indexed, palette, transparency: [7, 8] }), "x");
  assertEquals([...image.palette ?? []], palette);
  assertEquals([...image.transparency ?? []], [7, 8]);
  const gray = decodePng(makePng({ ...GRAY, transparency: [0x01, 0x02] }), "x");
  assertEquals([...gray.transparency ?? []], [0x102]);
  assertEquals(gray.palette, undefined);
});

Deno.test("decodePng refuses a file cut at any byte, naming it", () => {
  const palette = [0, 0, 0, 9, 9, 9];
  const spec = { width: 9, height: 4, bitDepth: 1, colorType: 3, sample: scramble(1), palette };
  const whole = makePng(spec);
  for (let length = 0; length < whole.length; length++) refused(whole.subarray(0, length), "");
});

Deno.test("decodePng notices every single flipped bit", () => {
  const whole = makePng(GRAY);
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bytes = whole.slice();
    bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7));
    refused(bytes, "");
  }
});

Deno.test("decodePng says what is wrong with a file whose checksums are right", () => {
  const header = makeHeader(GRAY);
  const end = makeChunk("IEND", []);
  refused([], "does not start with the eight bytes");
  refused([...SIGNATURE, ...header, ...end], "no pixel data");
  refused([...SIGNATURE, ...end], "first chunk is not a header");
  refused(makePng({ ...GRAY, filter: (row) => row === 3 ? 5 : 0 }), "filter 5");
  refused(makePng({ ...GRAY, tamper: (rows) => rows.slice(1) }), "fewer than the 35 bytes");
  refused(makePng({ ...GRAY, tamper: (rows) => [...rows, 0] }), "pixel data");
  refused(makePng({ ...GRAY, colorType: 3 }), "without a palette");
  refused(makePng({ ...GRAY, palette: [1, 2] }), "palette has 2 bytes");
  refused(
    makePng({ ...GRAY, bitDepth: 4, colorType: 2, sample: scramble(4) }),
    "4 bits for colour",
  );
  refused([...SIGNATURE, ...makeHeader({ ...GRAY, colorType: 5 }), ...end], "colour type 5");
  refused([...SIGNATURE, ...makeHeader({ ...GRAY, width: 0 }), ...end], "0x5 pixels");
  refused([...SIGNATURE, ...header, ...makeChunk("CgBI", []), ...end], "CgBI chunk");
  const notZlib = makeChunk("IDAT", [1, 2, 3, 4, 5]);
  refused([...SIGNATURE, ...header, ...notZlib, ...end], "cannot be decompressed");
});

Deno.test("decodePng refuses forged sizes before it allocates them", () => {
  const forged = makeHeader({ ...GRAY, width: 16000, height: 16000 });
  const rest = makePng(GRAY).subarray(33);
  refused([...SIGNATURE, ...forged, ...rest], "cannot hold");
  refused([...SIGNATURE, ...makeHeader({ ...GRAY, width: 2 ** 30 }), ...rest], "1073741824x5");
});

Deno.test("decodePng passes over optional chunks, damaged ones too", () => {
  const bytes = [...makePng(GRAY)];
  const note = makeChunk("tEXt", [72, 105]);
  note[note.length - 1] = (note[note.length - 1]! + 1) & 255;
  bytes.splice(33, 0, ...note);
  assertEquals([...decodePng(Uint8Array.from(bytes), "x").data], samplesOf(GRAY));
});

Deno.test("pngSize needs the header alone", () => {
  const bytes = makePng({ ...GRAY, width: 300, height: 2 });
  // Up to the name of the first chunk of pixel data: EXIF might stand before it.
  assertEquals(pngSize(bytes.subarray(0, 41), "x"), {
    width: 300,
    height: 2,
    orientation: 1,
    bitDepth: GRAY.bitDepth,
  });
  assertThrows(() => pngSize(bytes.subarray(0, 30), "cut.png"), InputError, "cut.png");
});

Deno.test("encodePng writes gray, RGB, RGBA and 16 bits that decode to the same samples", () => {
  for (const channels of [1, 3, 4] as const) {
    for (const bits of [8, 16]) {
      for (const [width, height] of SIZES) {
        const length = width * height * channels;
        const sample = (_: unknown, i: number) => scramble(bits)(i, 3, 1);
        const data = bits === 16
          ? Uint16Array.from({ length }, sample)
          : Uint8Array.from({ length }, sample);
        const image = decodePng(encodePng({ width, height, channels, data }), "x");
        assertEquals([image.width, image.height], [width, height]);
        assertEquals([image.channels, image.bitDepth], [channels, bits]);
        assertEquals(image.data, data);
      }
    }
  }
});

Deno.test("encodePng keeps indices and their colours", () => {
  const palette = [[1, 2, 3], [200, 100, 0], [255, 255, 255]] as const;
  const data = Uint8Array.of(0, 1, 2, 2, 1, 0);
  const bytes = encodePng({ width: 3, height: 2, channels: 1, data, palette });
  const image = decodePng(bytes, "x");
  assertEquals(image.colorType, 3);
  assertEquals(image.data, data);
  assertEquals([...image.palette ?? []], palette.flat());
  const dark = { width: 3, height: 2, channels: 1, data, palette: palette.slice(0, 2) } as const;
  assertThrows(() => encodePng(dark), RangeError, "index 2 has no colour");
});

Deno.test("encodePng chooses a filter that fits the rows", () => {
  const width = 64;
  const picture = (sample: (x: number, y: number) => number) => {
    const data = Uint8Array.from(
      { length: width * width },
      (_, i) => sample(i % width, Math.floor(i / width)),
    );
    const bytes = encodePng({ width, height: width, channels: 1, data });
    assertEquals(decodePng(bytes, "x").data, data);
    return bytes.length;
  };
  const noise = scramble(8);
  // Columns of noise repeated in every row, and the same turned: only up, only sub can predict them.
  assert(picture((x) => noise(x, 0, 0)) < 300, "rows that equal the row above");
  assert(picture((x, y) => (noise(0, y, 0) + 3 * x) & 255) < 600, "rows of constant slope");
  assert(picture((x, y) => (noise(x, 0, 0) + 2 * y) & 255) < 300, "columns of constant slope");
  assert(picture((x, y) => noise(x, y, 0)) > 4000, "noise cannot be compressed");
});

Deno.test("encodePng refuses samples that do not fill the image", () => {
  const data = new Uint8Array(11);
  assertThrows(() => encodePng({ width: 2, height: 2, channels: 3, data }), RangeError, "needs 12");
});

const oddities = testData("oddities");

Deno.test({
  name: "decodePng reads the PNG suite, interlaced twins equal, corrupt files refused",
  ignore: !oddities,
  fn() {
    const folder = `${oddities}/pngsuite`;
    const read = (name: string) => decodePng(Deno.readFileSync(`${folder}/${name}`), name);
    let twins = 0;
    let corrupt = 0;
    for (const { name } of Deno.readDirSync(folder)) {
      if (name.startsWith("basn")) {
        const plain = read(name);
        const type = Number(name[4]);
        assertEquals([plain.colorType, plain.bitDepth], [type, Number(name.slice(6, 8))], name);
        assertEquals(plain, read(name.replace("basn", "basi")), name);
        twins++;
      } else if (name.startsWith("x")) {
        const error = assertThrows(() => read(name), InputError);
        assertStringIncludes(error.message, name);
        corrupt++;
      }
    }
    assertEquals([twins, corrupt], [15, 12]);
    const deep = read("basn0g16.png").data;
    assertEquals([Math.min(...deep), Math.max(...deep)], [0, 65535]);
  },
});

Deno.test({
  name: "decodePng refuses broken and truncated real files with the reason",
  ignore: !oddities,
  fn() {
    const reasons = {
      "broken.png": "chunk",
      "truncated_end_chunk.png": "before its end chunk",
      "truncated_image.png": "bytes more than the file has",
    };
    for (const [name, reason] of Object.entries(reasons)) {
      const bytes = Deno.readFileSync(`${oddities}/broken/${name}`);
      const error = assertThrows(() => decodePng(bytes, name), InputError);
      assertStringIncludes(error.message, name);
      assertStringIncludes(error.message, reason);
    }
  },
});

Deno.test({
  name: "what encodePng writes is read by another library",
  ignore: !canDecode,
  async fn() {
    const { Image } = await import("imagescript");
    const palette = [[1, 2, 3], [200, 100, 0], [255, 255, 255]] as const;
    const [width, height] = [37, 23];
    for (const channels of [1, 3, 4] as const) {
      for (const indexed of channels === 1 ? [false, true] : [false]) {
        const data = Uint8Array.from(
          { length: width * height * channels },
          (_, i) => indexed ? i % 3 : (i * 7 + (i >> 5)) & 255,
        );
        const source = { width, height, channels, data };
        const bytes = encodePng(indexed ? { ...source, palette } : source);
        const image = await Image.decode(bytes);
        assertEquals([image.width, image.height], [width, height]);
        for (let i = 0; i < width * height; i++) {
          const stored = [...data.subarray(i * channels, (i + 1) * channels)];
          const value = stored[0]!;
          const rgb = indexed ? palette[value]! : channels === 1 ? [value, value, value] : stored;
          const expected = channels === 4 ? rgb : [...rgb, 255];
          assertEquals([...image.bitmap.subarray(i * 4, i * 4 + 4)], [...expected]);
        }
      }
    }
  },
});

Deno.test("decodePng reads what Pillow and libvips write, to the sample", () => {
  for (const { about, base64, samples } of FOREIGN_PNGS) {
    const { width, height, data } = decodePng(Uint8Array.fromBase64(base64), about);
    assertEquals([width, height], [FOREIGN_WIDTH, FOREIGN_HEIGHT], about);
    const expected = Array.from(
      { length: width * height },
      (_, at) => samples(at % width, Math.floor(at / width)),
    ).flat();
    assertEquals([...data], expected, about);
  }
});

Deno.test("a PNG with an EXIF turn is turned, its size too, photo and mask alike", async () => {
  // 0 1 2 over 3 4 5, as each orientation shows it.
  const seen: Record<number, number[]> = {
    1: [0, 1, 2, 3, 4, 5],
    2: [2, 1, 0, 5, 4, 3],
    3: [5, 4, 3, 2, 1, 0],
    4: [3, 4, 5, 0, 1, 2],
    5: [0, 3, 1, 4, 2, 5],
    6: [3, 0, 4, 1, 5, 2],
    7: [5, 2, 4, 1, 3, 0],
    8: [2, 5, 1, 4, 0, 3],
  };
  for (const bitDepth of [8, 16]) {
    const plain = [...makePng({
      width: 3,
      height: 2,
      bitDepth,
      colorType: 0,
      sample: (x, y) => (x + 3 * y) * (bitDepth === 16 ? 257 : 1),
    })];
    for (let orientation = 1; orientation <= 8; orientation++) {
      // The body of the JPEG segment without its marker, its length and "Exif\0\0".
      const exif = exifSegment(orientation, orientation % 2 === 0).slice(10);
      const bytes = [...plain];
      bytes.splice(33, 0, ...makeChunk("eXIf", exif));
      const file = Uint8Array.from(bytes);
      const [width, height] = orientation >= 5 ? [2, 3] : [3, 2];
      const told = pngSize(file, "x");
      assertEquals([told.width, told.height, told.orientation], [width, height, orientation]);
      const mask = readMask(file, "x");
      const photo = await decodePhoto(file, "x");
      assertEquals([mask.width, mask.height, photo.width, photo.height], [
        ...[width, height],
        ...[width, height],
      ]);
      const factor = bitDepth === 16 ? 257 : 1;
      assertEquals([...mask.data].map((value) => value / factor), seen[orientation]);
      assertEquals([...photo.data].filter((_, at) => at % 3 === 0), seen[orientation]);
    }
  }
});
