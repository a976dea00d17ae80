import { assert, assertEquals } from "@std/assert";
import {
  applyOrientation,
  exifOrientation,
  jpegHeader,
  type Orientation,
} from "../../src/data/exif.ts";
import { exifSegment } from "./sample_jpeg.ts";

const ALL: readonly Orientation[] = [1, 2, 3, 4, 5, 6, 7, 8];
const START = [0xff, 0xd8];
const APP0 = [0xff, 0xe0, 0, 6, 1, 2, 3, 4];
/** A frame of 3 rows and 513 columns. */
const FRAME = [0xff, 0xc2, 0, 11, 8, 0, 3, 2, 1, 1, 1, 0x11, 0];
const SCAN = [0xff, 0xda, 0, 2];

Deno.test("exifOrientation reads both byte orders, as SHORT and as LONG", () => {
  for (const orientation of ALL) {
    for (const little of [true, false]) {
      for (const type of [3, 4]) {
        const bytes = [...START, ...APP0, ...exifSegment(orientation, little, type), ...FRAME];
        assertEquals(exifOrientation(Uint8Array.from(bytes)), orientation);
      }
    }
  }
});

Deno.test("exifOrientation is 1 when nothing makes sense", () => {
  const of = (...bytes: number[][]) => exifOrientation(Uint8Array.from(bytes.flat()));
  assertEquals(of([]), 1);
  assertEquals(of(START, APP0, FRAME), 1);
  assertEquals(of(START, exifSegment(0, true), FRAME), 1, "0 is no orientation");
  assertEquals(of(START, exifSegment(9, false), FRAME), 1, "nor is 9");
  assertEquals(of(START, exifSegment(6, true, 2), FRAME), 1, "text instead of a number");
  assertEquals(of(START, SCAN, exifSegment(6, true)), 1, "inside the pixel data");
  assertEquals(of(exifSegment(6, true)), 1, "no JPEG");
  const wrongOrder = exifSegment(6, true);
  wrongOrder[10] = 0x4a;
  assertEquals(of(START, wrongOrder), 1);
  const farDirectory = exifSegment(6, false);
  farDirectory[14] = 0x7f;
  assertEquals(of(START, farDirectory), 1);
});

Deno.test("exifOrientation and jpegHeader survive every cut and random damage", () => {
  const whole = Uint8Array.from([...START, ...APP0, ...exifSegment(6, false), ...FRAME, ...SCAN]);
  for (let length = 0; length <= whole.length; length++) {
    assert([1, 6].includes(exifOrientation(whole.subarray(0, length))));
    jpegHeader(whole.subarray(0, length));
  }
  let state = 12345;
  for (let round = 0; round < 20000; round++) {
    const bytes = whole.slice();
    for (let k = 0; k < 4; k++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      bytes[3 + (state >>> 8) % (bytes.length - 3)] = state >>> 24;
    }
    assert(ALL.includes(exifOrientation(bytes)));
    jpegHeader(bytes);
  }
});

Deno.test("jpegHeader finds size and orientation, past fill bytes and junk", () => {
  const of = (...bytes: number[][]) => jpegHeader(Uint8Array.from(bytes.flat()));
  const expected = { width: 513, height: 3, orientation: 5 };
  assertEquals(of(START, exifSegment(5, true), FRAME), { ...expected, orientation: 5 });
  assertEquals(of(START, APP0, FRAME)?.orientation, 1);
  assertEquals(of(START, APP0, [0xff, 0xff], FRAME)?.width, 513);
  assertEquals(of(START, APP0, [7, 8, 9], FRAME)?.width, 513);
  assertEquals(of(START, APP0, [0xff, 0xc4, 0, 8, 9, 9, 9, 9, 9, 9], FRAME)?.height, 3);
  assertEquals(of(START, APP0, SCAN, FRAME), undefined);
  assertEquals(of(START, APP0), undefined);
});

const LETTERS = { width: 3, height: 2, data: new TextEncoder().encode("abcdef") };

Deno.test("applyOrientation turns and mirrors as the standard says", () => {
  const expected: Record<Orientation, string> = {
    1: "abc/def",
    2: "cba/fed",
    3: "fed/cba",
    4: "def/abc",
    5: "ad/be/cf",
    6: "da/eb/fc",
    7: "fc/eb/da",
    8: "cf/be/ad",
  };
  for (const orientation of ALL) {
    const { width, height, data } = applyOrientation(LETTERS, orientation);
    const text = new TextDecoder().decode(data);
    const rows = Array.from({ length: height }, (_, y) => text.slice(y * width, (y + 1) * width));
    assertEquals(rows.join("/"), expected[orientation]);
  }
});

Deno.test("applyOrientation keeps pixels whole, whatever their channels and the image's size", () => {
  for (const channels of [1, 3, 4]) {
    const [width, height] = [131, 70];
    const data = Uint8Array.from(
      { length: width * height * channels },
      (_, i) => Math.imul(i + 1, 2654435761) >>> 24,
    );
    const image = { width, height, data };
    for (const orientation of ALL) {
      const inverse = orientation === 6 ? 8 : orientation === 8 ? 6 : orientation;
      const turned = applyOrientation(image, orientation);
      assertEquals(turned.width, orientation >= 5 ? height : width);
      assertEquals(applyOrientation(turned, inverse), image);
    }
  }
});
