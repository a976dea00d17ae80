/**
 * A baseline JPEG writer for photos on report pages: a tenth of the bytes of PNG. Never for masks.
 *
 * Source: ITU-T T.81 with the tables of its annex K; JFIF 1.02 for the colours.
 * @module
 */

import type { Picture } from "./overlay.ts";

const bytesOf = (hex: string): Uint8Array => Uint8Array.fromHex(hex);

// Tables K.1 and K.2, in the order of rows.
const LIGHT_STEPS = bytesOf(
  "100b0a101828333d0c0c0e131a3a3c370e0d1018283945380e11161d3357503e12162538446d674d18233740" +
    "5168715c31404e5767797865485c5f6270646763",
);
const COLOUR_STEPS = bytesOf(
  "1112182f6363636312151a4263636363181a3863636363632f42636363636363636363636363636363636363" +
    "6363636363636363636363636363636363636363",
);

/** A Huffman table as files hold it: how many codes of each length, and what they stand for. */
interface CodeTable {
  readonly counts: Uint8Array;
  readonly values: Uint8Array;
}

// Tables K.3 to K.6.
const LIGHT_DC = {
  counts: bytesOf("00010501010101010100000000000000"),
  values: bytesOf("000102030405060708090a0b"),
};
const COLOUR_DC = {
  counts: bytesOf("00030101010101010101010000000000"),
  values: bytesOf("000102030405060708090a0b"),
};
const LIGHT_AC = {
  counts: bytesOf("0002010303020403050504040000017d"),
  values: bytesOf(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a" +
      "25262728292a3435363738393a434445464748494a535455565758595a636465666768696a73747576777879" +
      "7a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9" +
      "cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
  ),
};
const COLOUR_AC = {
  counts: bytesOf("00020102040403040705040400010277"),
  values: bytesOf(
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f117" +
      "18191a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778" +
      "797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7" +
      "c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
  ),
};

/** Position in a block of each coefficient in the order they are written. */
const ZIGZAG = zigzag();

function zigzag(): number[] {
  const cells = Array.from({ length: 64 }, (_, at) => ({ x: at & 7, y: at >> 3 }));
  // Even diagonals run up, odd ones down.
  const along = ({ x, y }: { x: number; y: number }) => (x + y) % 2 === 0 ? x : y;
  return cells.sort((a, b) => a.x + a.y - b.x - b.y || along(a) - along(b))
    .map(({ x, y }) => y * 8 + x);
}

/** `COSINES[u * 8 + x]`: the orthonormal cosine transform of 8 samples. */
const COSINES = Float64Array.from({ length: 64 }, (_, at) => {
  const [u, x] = [at >> 3, at & 7];
  return (u === 0 ? Math.SQRT1_2 : 1) / 2 * Math.cos((2 * x + 1) * u * Math.PI / 16);
});

/** Code and length by symbol (T.81, C.2). */
function codesOf({ counts, values }: CodeTable): Map<number, { code: number; length: number }> {
  const codes = new Map<number, { code: number; length: number }>();
  let code = 0;
  let at = 0;
  for (const [shorter, count] of counts.entries()) {
    for (let i = 0; i < count; i++) codes.set(values[at++]!, { code: code++, length: shorter + 1 });
    code <<= 1;
  }
  return codes;
}

/** Bits, the most significant first; a zero byte follows each 0xff, as T.81 wants. */
class BitWriter {
  readonly bytes: number[] = [];
  #held = 0;
  #count = 0;

  write(value: number, length: number): void {
    for (let bit = length - 1; bit >= 0; bit--) {
      this.#held = (this.#held << 1) | ((value >> bit) & 1);
      if (++this.#count < 8) continue;
      this.bytes.push(this.#held);
      if (this.#held === 0xff) this.bytes.push(0);
      this.#held = 0;
      this.#count = 0;
    }
  }

  /** Fills the last byte with ones. */
  finish(): void {
    if (this.#count > 0) this.write(0xff, 8 - this.#count);
  }
}

/** One of the three planes: its quantisation, its codes and its last mean. */
class Plane {
  readonly #dc: ReturnType<typeof codesOf>;
  readonly #ac: ReturnType<typeof codesOf>;
  readonly #rows = new Float64Array(64);
  readonly block = new Float64Array(64);
  #before = 0;

  constructor(readonly steps: Uint8Array, dc: CodeTable, ac: CodeTable) {
    this.#dc = codesOf(dc);
    this.#ac = codesOf(ac);
  }

  /** Transforms, quantises and writes the block. */
  encode(bits: BitWriter): void {
    this.#transform();
    const values = ZIGZAG.map((at) => Math.round(this.block[at]! / this.steps[at]!));
    const mean = values[0]!;
    this.#put(bits, this.#dc, 0, mean - this.#before);
    this.#before = mean;
    let zeros = 0;
    for (const value of values.slice(1)) {
      if (value === 0) {
        zeros++;
        continue;
      }
      for (; zeros > 15; zeros -= 16) this.#symbol(bits, this.#ac, 0xf0);
      this.#put(bits, this.#ac, zeros, value);
      zeros = 0;
    }
    if (zeros > 0) this.#symbol(bits, this.#ac, 0);
  }

  #transform(): void {
    const { block } = this;
    for (let y = 0; y < 8; y++) {
      for (let u = 0; u < 8; u++) {
        let sum = 0;
        for (let x = 0; x < 8; x++) sum += COSINES[u * 8 + x]! * block[y * 8 + x]!;
        this.#rows[y * 8 + u] = sum;
      }
    }
    for (let u = 0; u < 8; u++) {
      for (let v = 0; v < 8; v++) {
        let sum = 0;
        for (let y = 0; y < 8; y++) sum += COSINES[v * 8 + y]! * this.#rows[y * 8 + u]!;
        block[v * 8 + u] = sum;
      }
    }
  }

  /** A run of zeros and a value: the symbol, then the value in as many bits as the symbol says. */
  #put(bits: BitWriter, codes: ReturnType<typeof codesOf>, zeros: number, value: number): void {
    const size = 32 - Math.clz32(Math.abs(value));
    this.#symbol(bits, codes, zeros * 16 + size);
    bits.write(value < 0 ? value + (1 << size) - 1 : value, size);
  }

  #symbol(bits: BitWriter, codes: ReturnType<typeof codesOf>, symbol: number): void {
    const found = codes.get(symbol);
    if (found === undefined) throw new RangeError(`no JPEG code stands for ${symbol}`);
    bits.write(found.code, found.length);
  }
}

/** The steps of a quality of 1 to 100, as the IJG library scales them. */
function scaledSteps(steps: Uint8Array, quality: number): Uint8Array {
  const scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;
  return steps.map((step) => Math.min(255, Math.max(1, Math.floor((step * scale + 50) / 100))));
}

/**
 * Encodes a picture as JPEG, colours at full resolution.
 * @param quality 1 to 100
 */
export function encodeJpeg({ width, height, data }: Picture, quality = 82): Uint8Array {
  const light = scaledSteps(LIGHT_STEPS, quality);
  const colour = scaledSteps(COLOUR_STEPS, quality);
  const bits = new BitWriter();
  const planes = [
    new Plane(light, LIGHT_DC, LIGHT_AC),
    new Plane(colour, COLOUR_DC, COLOUR_AC),
    new Plane(colour, COLOUR_DC, COLOUR_AC),
  ] as const;
  for (let top = 0; top < height; top += 8) {
    for (let left = 0; left < width; left += 8) {
      for (let i = 0; i < 64; i++) {
        // Blocks over the edge repeat the last row and column.
        const y = Math.min(height - 1, top + (i >> 3));
        const x = Math.min(width - 1, left + (i & 7));
        const at = (y * width + x) * 3;
        const [r, g, b] = [data[at]!, data[at + 1]!, data[at + 2]!];
        planes[0].block[i] = 0.299 * r + 0.587 * g + 0.114 * b - 128;
        planes[1].block[i] = -0.168736 * r - 0.331264 * g + 0.5 * b;
        planes[2].block[i] = 0.5 * r - 0.418688 * g - 0.081312 * b;
      }
      for (const plane of planes) plane.encode(bits);
    }
  }
  bits.finish();
  return Uint8Array.from([
    ...[0xff, 0xd8],
    ...segment(0xe0, [...bytesOf("4a46494600"), 1, 2, 0, 0, 1, 0, 1, 0, 0]),
    ...segment(0xdb, [0, ...ZIGZAG.map((at) => light[at]!)]),
    ...segment(0xdb, [1, ...ZIGZAG.map((at) => colour[at]!)]),
    ...segment(0xc0, [
      ...[8, height >> 8, height & 255, width >> 8, width & 255, 3],
      ...[1, 0x11, 0, 2, 0x11, 1, 3, 0x11, 1],
    ]),
    ...segment(0xc4, [0x00, ...LIGHT_DC.counts, ...LIGHT_DC.values]),
    ...segment(0xc4, [0x10, ...LIGHT_AC.counts, ...LIGHT_AC.values]),
    ...segment(0xc4, [0x01, ...COLOUR_DC.counts, ...COLOUR_DC.values]),
    ...segment(0xc4, [0x11, ...COLOUR_AC.counts, ...COLOUR_AC.values]),
    ...segment(0xda, [3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]),
    ...bits.bytes,
    ...[0xff, 0xd9],
  ]);
}

function segment(marker: number, data: readonly number[]): number[] {
  const length = data.length + 2;
  return [0xff, marker, length >> 8, length & 255, ...data];
}
