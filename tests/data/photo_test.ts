import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { decodePhoto, describeFormat, imageSize, type Photo } from "../../src/data/photo.ts";
import { resizeArea } from "../../src/data/resize.ts";
import { canRead, testData } from "../support.ts";
import { makePng } from "./make_png.ts";
import { RED_BLUE_JPEG, redBlueTurned } from "./sample_jpeg.ts";

/** The JPEG decoder reads its WebAssembly file and one environment variable. */
const canDecodeJpeg = canRead && Deno.permissions.querySync({ name: "env" }).state === "granted";
const oddities = testData("oddities");

const latin = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

async function refused(bytes: Uint8Array, ...reasons: string[]): Promise<void> {
  const error = await assertRejects(() => decodePhoto(bytes, "some/bad.jpg"), InputError);
  for (const reason of ["some/bad.jpg", ...reasons]) assertStringIncludes(error.message, reason);
}

Deno.test("decodePhoto turns every kind of PNG into 8-bit RGB", async () => {
  const rgbOf = async (
    spec: Parameters<typeof makePng>[0],
  ) => [...(await decodePhoto(makePng(spec), "x.png")).data];
  const size = { width: 2, height: 1 };
  const row = (...samples: number[][]) => (x: number, _y: number, c: number) => samples[x]![c]!;
  assertEquals(
    await rgbOf({ ...size, bitDepth: 1, colorType: 0, sample: row([0], [1]) }),
    [0, 0, 0, 255, 255, 255],
  );
  assertEquals(
    await rgbOf({ ...size, bitDepth: 4, colorType: 0, sample: row([1], [15]) }),
    [17, 17, 17, 255, 255, 255],
  );
  assertEquals(
    await rgbOf({ ...size, bitDepth: 16, colorType: 0, sample: row([128], [65407]) }),
    [0, 0, 0, 255, 255, 255],
    "rounded to the nearest",
  );
  assertEquals(
    await rgbOf({ ...size, bitDepth: 8, colorType: 2, sample: row([1, 2, 3], [4, 5, 6]) }),
    [1, 2, 3, 4, 5, 6],
  );
  assertEquals(
    await rgbOf({ ...size, bitDepth: 16, colorType: 2, sample: row([257, 0, 514], [65535, 0, 1]) }),
    [1, 0, 2, 255, 0, 0],
  );
  assertEquals(
    await rgbOf({ ...size, bitDepth: 8, colorType: 4, sample: row([9, 0], [200, 255]) }),
    [9, 9, 9, 200, 200, 200],
    "alpha is dropped",
  );
  assertEquals(
    await rgbOf({ ...size, bitDepth: 8, colorType: 6, sample: row([1, 2, 3, 0], [4, 5, 6, 255]) }),
    [1, 2, 3, 4, 5, 6],
  );
  const palette = [10, 20, 30, 40, 50, 60];
  assertEquals(
    await rgbOf({ ...size, bitDepth: 2, colorType: 3, sample: row([1], [3]), palette }),
    [40, 50, 60, 0, 0, 0],
    "an index without a colour is black",
  );
});

Deno.test("decodePhoto says what a file is that is no photo", async () => {
  await refused(new Uint8Array(0), "an empty file", "copy it again");
  await refused(latin("II*\0abcdefgh"), "a TIFF", "convert it");
  await refused(latin("MM\0*abcdefgh"), "a TIFF");
  await refused(latin("RIFF\x01\x02\x03\x04WEBPVP8 "), "a WebP");
  await refused(latin("GIF89a"), "a GIF");
  await refused(latin("\0\0\0\x18ftypheic"), "a HEIC");
  await refused(latin("BM123"), "a BMP");
  await refused(latin("version https://git-lfs.github.com/spec/v1"), "Git LFS pointer");
  await refused(latin("hello"), "neither a PNG nor a JPEG");
  assertEquals(describeFormat(latin("\xff\x0a")), "a JPEG XL");
});

Deno.test("a cut PNG or JPEG header is refused before any decoder is loaded", async () => {
  const png = makePng({ width: 3, height: 3, bitDepth: 8, colorType: 0, sample: () => 1 });
  await refused(png.subarray(0, 50), "IDAT chunk needs 9 bytes more");
  await refused(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0), "header holds no size");
  const huge = Uint8Array.of(0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 255, 255, 255, 255, 1, 1, 0x11, 0);
  await refused(huge, "65535x65535");
});

Deno.test("imageSize reads headers alone and turns as EXIF says", () => {
  assertEquals(imageSize(RED_BLUE_JPEG.subarray(0, 100), "x"), { width: 16, height: 8 });
  for (const orientation of [1, 2, 3, 4]) {
    assertEquals(imageSize(redBlueTurned(orientation), "x"), { width: 16, height: 8 });
  }
  for (const orientation of [5, 6, 7, 8]) {
    assertEquals(imageSize(redBlueTurned(orientation), "x"), { width: 8, height: 16 });
  }
  const png = makePng({ width: 3, height: 9, bitDepth: 8, colorType: 0, sample: () => 1 });
  assertEquals(imageSize(png, "x"), { width: 3, height: 9 });
  assertThrows(() => imageSize(latin("II*\0"), "scan.jpg"), InputError, "scan.jpg");
  assertThrows(() => imageSize(RED_BLUE_JPEG.subarray(0, 20), "cut.jpg"), InputError, "cut.jpg");
});

/** "red" or "blue" at a pixel of the sample. */
function colourAt(photo: Photo, x: number, y: number): string {
  const [red, green, blue] = photo.data.subarray((y * photo.width + x) * 3);
  assert(Math.abs(red! - blue!) > 150 && green! < 60, `(${red}, ${green}, ${blue}) at ${x}, ${y}`);
  return red! > blue! ? "red" : "blue";
}

Deno.test({
  name: "decodePhoto decodes JPEG and applies all eight EXIF orientations",
  ignore: !canDecodeJpeg,
  async fn() {
    // Red is the stored left half: where is it to be seen?
    const redAt = ["left", "left", "right", "right", "left", "top", "top", "bottom", "bottom"];
    for (let orientation = 1; orientation <= 8; orientation++) {
      const photo = await decodePhoto(redBlueTurned(orientation), "x.jpg");
      const sideways = orientation >= 5;
      assertEquals([photo.width, photo.height], sideways ? [8, 16] : [16, 8]);
      assertEquals(photo.data.length, 16 * 8 * 3);
      const first = colourAt(photo, 1, 1);
      const last = colourAt(photo, photo.width - 2, photo.height - 2);
      assertEquals(colourAt(photo, sideways ? 6 : 1, sideways ? 1 : 6), first);
      const expected = redAt[orientation]!;
      assertEquals(first, ["left", "top"].includes(expected) ? "red" : "blue", `${orientation}`);
      assertEquals(last, first === "red" ? "blue" : "red");
    }
  },
});

Deno.test({
  name: "decodePhoto refuses a JPEG cut at any byte",
  ignore: !canDecodeJpeg,
  async fn() {
    for (let length = 0; length < RED_BLUE_JPEG.length; length++) {
      await refused(RED_BLUE_JPEG.slice(0, length));
    }
  },
});

interface IndexRow {
  path: string;
  means?: number[];
  size: string;
}

/** Rows of the index of real files: mean colours and sizes as another library decodes them. */
function readIndex(): IndexRow[] {
  return Deno.readTextFileSync(`${oddities}/index.txt`).trim().split("\n").map((line) => {
    const columns = line.split("|").map((column) => column.trim());
    const means = line.match(/mean=([\d.,]+)/)?.[1]?.split(",").slice(0, 3).map(Number);
    return { path: columns[0]!, size: columns[6]!, ...(means ? { means } : {}) };
  });
}

function meansOf({ data }: Photo): number[] {
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i++) sums[i % 3] = sums[i % 3]! + data[i]!;
  return sums.map((sum) => (sum * 3) / data.length);
}

Deno.test({
  name: "decodePhoto gives the pixels and sizes of real files, odd ones included",
  ignore: !oddities || !canDecodeJpeg,
  async fn() {
    let compared = 0;
    for (const { path, means, size } of readIndex()) {
      // A damaged stream, which decoders repair differently, and a wrong checksum, which we refuse.
      if (path.endsWith("dc-predictor-overflow.jpg") || path.endsWith("xcsn0g01.png")) continue;
      const bytes = Deno.readFileSync(`${oddities}/${path}`);
      if (!means) continue;
      const photo = await decodePhoto(bytes, path);
      const [width, height] = size.split("x").map(Number);
      assertEquals([photo.width, photo.height], [width, height], path);
      assertEquals(imageSize(bytes, path), { width: photo.width, height: photo.height }, path);
      // Inverse cosine transforms and the rounding of 16 bits differ by a fraction of a step.
      meansOf(photo).forEach((mean, c) => {
        assert(Math.abs(mean - means[c]!) < 0.7, `${path}: ${meansOf(photo)}, not ${means}`);
      });
      compared++;
    }
    assert(compared >= 45, `${compared} files compared`);
  },
});

Deno.test({
  name: "decodePhoto turns real photos upright",
  ignore: !oddities || !canDecodeJpeg,
  async fn() {
    const small = async (orientation: number) => {
      const path = `${oddities}/exif-jpeg/Landscape_${orientation}.jpg`;
      return resizeArea(await decodePhoto(Deno.readFileSync(path), path), 30, 20).data;
    };
    const upright = await small(1);
    for (const orientation of [3, 6, 8]) {
      const turned = await small(orientation);
      const meanOff = (values: Uint8Array) =>
        values.reduce((sum, value, i) => sum + Math.abs(value - upright[i]!), 0) / values.length;
      // The number of the orientation is written on each photo, which some pixels show.
      assert(meanOff(turned) < 1.5, `orientation ${orientation}: off by ${meanOff(turned)}`);
      assert(meanOff(turned.slice().reverse()) > 15, "a half turn would show");
    }
  },
});

Deno.test({
  name: "decodePhoto refuses real broken files, naming them",
  ignore: !oddities || !canDecodeJpeg,
  async fn() {
    const broken = [
      "broken/broken.png",
      "broken/empty.jpg",
      "broken/missing-sos.jpg",
      "broken/truncated_end_chunk.png",
      "broken/truncated_image.png",
      "jpeg/jpeg_lossless_sel1.jpg",
    ];
    for (const path of broken) {
      const bytes = Deno.readFileSync(`${oddities}/${path}`);
      const error = await assertRejects(() => decodePhoto(bytes, path), InputError);
      assertStringIncludes(error.message, path);
    }
    for (const share of [0.1, 0.5, 0.9, 0.999]) {
      for (const name of ["hopper.jpg", "progressive3.jpg", "ycck.jpg"]) {
        const bytes = Deno.readFileSync(`${oddities}/jpeg/${name}`);
        const cut = bytes.slice(0, Math.floor(bytes.length * share));
        const error = await assertRejects(() => decodePhoto(cut, name), InputError);
        assertStringIncludes(error.message, name);
      }
    }
  },
});
