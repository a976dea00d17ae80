/**
 * A slow, literal PNG encoder for tests: every colour type, bit depth, row filter and interlacing,
 * and deliberately wrong files. It shares no code with the reader that it checks.
 * @module
 */
import { deflateSync } from "node:zlib";

/** What to encode; `sample(x, y, c)` gives the samples. */
export interface PngSpec {
  width: number;
  height: number;
  bitDepth: number;
  colorType: number;
  sample: (x: number, y: number, c: number) => number;
  interlaced?: boolean;
  /** The filter type of row `row` of a sub-image; default none. */
  filter?: (row: number) => number;
  palette?: number[];
  transparency?: number[];
  /** Cuts the pixel data into chunks of this many bytes. */
  splitBytes?: number;
  /** Changes the rows before they are compressed. */
  tamper?: (rows: number[]) => number[];
}

export function channelsOf(colorType: number): number {
  return [1, 0, 3, 1, 2, 0, 4][colorType] ?? 1;
}

function crc(bytes: number[]): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return ~value >>> 0;
}

function big(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

/** A chunk with its length and its correct checksum. */
export function makeChunk(type: string, data: Iterable<number>): number[] {
  const body = [...type].map((letter) => letter.charCodeAt(0)).concat([...data]);
  return [...big(body.length - 4), ...body, ...big(crc(body))];
}

export function makeHeader(spec: PngSpec): number[] {
  const { width, height, bitDepth, colorType } = spec;
  const data = [...big(width), ...big(height), bitDepth, colorType, 0, 0, spec.interlaced ? 1 : 0];
  return makeChunk("IHDR", data);
}

export const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** The columns and rows of each sub-image, by the specification's 8x8 table. */
function subImages(spec: PngSpec): { columns: number[]; rows: number[] }[] {
  const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);
  if (!spec.interlaced) return [{ columns: upTo(spec.width), rows: upTo(spec.height) }];
  const table = [
    "16462646",
    "77777777",
    "56565656",
    "77777777",
    "36463646",
    "77777777",
    "56565656",
    "77777777",
  ];
  const passOf = (x: number, y: number) => Number(table[y % 8]![x % 8]);
  return [1, 2, 3, 4, 5, 6, 7].map((pass) => ({
    columns: upTo(spec.width).filter((x) => upTo(8).some((y) => passOf(x, y) === pass)),
    rows: upTo(spec.height).filter((y) => upTo(8).some((x) => passOf(x, y) === pass)),
  })).filter(({ columns, rows }) => columns.length > 0 && rows.length > 0);
}

function packRow(spec: PngSpec, columns: number[], y: number): number[] {
  let bits = "";
  for (const x of columns) {
    for (let c = 0; c < channelsOf(spec.colorType); c++) {
      bits += spec.sample(x, y, c).toString(2).padStart(spec.bitDepth, "0");
    }
  }
  const bytes: number[] = [];
  for (let i = 0; i < bits.length; i += 8) {
    bytes.push(parseInt(bits.slice(i, i + 8).padEnd(8, "0"), 2));
  }
  return bytes;
}

function predict(filter: number, a: number, b: number, c: number): number {
  if (filter === 1) return a;
  if (filter === 2) return b;
  if (filter === 3) return Math.floor((a + b) / 2);
  if (filter !== 4) return 0;
  const p = a + b - c;
  const distances = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
  return [a, b, c][distances.indexOf(Math.min(...distances))]!;
}

/** The whole file. */
export function makePng(spec: PngSpec): Uint8Array {
  const pixelBytes = Math.max(1, (channelsOf(spec.colorType) * spec.bitDepth) / 8);
  let raw: number[] = [];
  for (const { columns, rows } of subImages(spec)) {
    let above: number[] = [];
    rows.forEach((y, row) => {
      const filter = spec.filter?.(row) ?? 0;
      const bytes = packRow(spec, columns, y);
      raw.push(filter);
      bytes.forEach((byte, i) => {
        const a = bytes[i - pixelBytes] ?? 0;
        const predicted = predict(filter, a, above[i] ?? 0, above[i - pixelBytes] ?? 0);
        raw.push((byte - predicted) & 255);
      });
      above = bytes;
    });
  }
  raw = spec.tamper?.(raw) ?? raw;
  const packed = [...deflateSync(Uint8Array.from(raw))];
  const size = spec.splitBytes ?? packed.length;
  const data: number[] = [];
  for (let i = 0; i < packed.length; i += size) {
    data.push(...makeChunk("IDAT", packed.slice(i, i + size)));
  }
  return Uint8Array.from([
    ...SIGNATURE,
    ...makeHeader(spec),
    ...(spec.palette ? makeChunk("PLTE", spec.palette) : []),
    ...(spec.transparency ? makeChunk("tRNS", spec.transparency) : []),
    ...data,
    ...makeChunk("IEND", []),
  ]);
}
