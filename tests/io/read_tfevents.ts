/**
 * A reader of TensorBoard's event files that shares nothing with what writes them: framing with its
 * checksums, protobuf, and the rule by which a run that went on replaces what it had told before.
 * @module
 */

/** A value of a summary. */
export interface EventValue {
  tag: string;
  scalar?: number;
  image?: { width: number; height: number; bytes: Uint8Array };
  histogram?: {
    min: number;
    max: number;
    count: number;
    sum: number;
    squares: number;
    limits: number[];
    counts: number[];
  };
}

/** A node of the graph. */
export interface GraphNode {
  name: string;
  op: string;
  inputs: string[];
  /** Of each output. */
  shapes: number[][];
}

/** What a record holds. */
export interface ReadEvent {
  wallTime: number;
  step: number;
  version?: string;
  /** 1 where a session starts. */
  session?: number;
  graph?: GraphNode[];
  values: EventValue[];
}

/** One bit at a time, straight from the definition. */
function castagnoli(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const odd = ((crc ^ (byte >>> bit)) & 1) === 1;
      crc = odd ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    }
  }
  return ~crc >>> 0;
}

function unmasked(crc: number): number {
  const turned = (crc - 0xa282ead8) >>> 0;
  return ((turned >>> 17) | (turned << 15)) >>> 0;
}

/** The events of a file. @throws where a checksum is wrong or the file ends within a record. */
export function readEvents(bytes: Uint8Array): ReadEvent[] {
  const events: ReadEvent[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length;) {
    const length = Number(view.getBigUint64(at, true));
    const head = bytes.subarray(at, at + 8);
    const data = bytes.subarray(at + 12, at + 12 + length);
    if (castagnoli(head) !== unmasked(view.getUint32(at + 8, true))) {
      throw new Error(`the length of the record at byte ${at} has a wrong checksum`);
    }
    if (castagnoli(data) !== unmasked(view.getUint32(at + 12 + length, true))) {
      throw new Error(`the record at byte ${at} has a wrong checksum`);
    }
    events.push(eventOf(data));
    at += 16 + length;
  }
  return events;
}

/**
 * What TensorBoard shows of the files of a folder: steps and values by tag. A step that was told twice
 * is there twice, unless a session that started in between took the first one back.
 */
export function shownScalars(files: readonly Uint8Array[]): Map<string, [number, number][]> {
  const shown = new Map<string, [number, number][]>();
  for (const event of files.flatMap(readEvents)) {
    if (event.session === 1) {
      for (const [tag, points] of shown) {
        shown.set(tag, points.filter(([step]) => step < event.step));
      }
    }
    for (const { tag, scalar } of event.values) {
      if (scalar === undefined) continue;
      shown.set(tag, [...shown.get(tag) ?? [], [event.step, scalar]]);
    }
  }
  return shown;
}

type Field = number | Uint8Array;

/** The fields of a message: numbers as they stand, floats as their bytes. */
function fieldsOf(bytes: Uint8Array): Map<number, Field[]> {
  const fields = new Map<number, Field[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("a message ends within a number");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(value);
    }
  };
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new Error("a message ends within a field");
    return bytes.subarray(at, at += length);
  };
  while (at < bytes.length) {
    const key = varint();
    const [field, type] = [Math.floor(key / 8), key % 8];
    const lengths: Record<number, () => Field> = {
      0: varint,
      1: () => take(8),
      2: () => take(varint()),
      5: () => take(4),
    };
    const read = lengths[type];
    if (!read) throw new Error(`field ${field} has type ${type}`);
    fields.set(field, [...fields.get(field) ?? [], read()]);
  }
  return fields;
}

const bytesOf = (field: Field | undefined): Uint8Array =>
  field instanceof Uint8Array ? field : new Uint8Array();
const text = (field: Field | undefined): string => new TextDecoder().decode(bytesOf(field));
const whole = (field: Field | undefined): number => typeof field === "number" ? field : 0;
const copy = (field: Field | undefined): ArrayBuffer => bytesOf(field).slice().buffer;
const doubles = (field: Field | undefined): number[] => [...new Float64Array(copy(field))];
const double = (field: Field | undefined): number => doubles(field)[0] ?? 0;

function eventOf(data: Uint8Array): ReadEvent {
  const fields = fieldsOf(data);
  const one = (field: number) => fields.get(field)?.[0];
  return {
    wallTime: double(one(1)),
    step: whole(one(2)),
    ...(fields.has(3) ? { version: text(one(3)) } : {}),
    ...(fields.has(4) ? { graph: graphOf(bytesOf(one(4))) } : {}),
    ...(fields.has(7) ? { session: whole(fieldsOf(bytesOf(one(7))).get(1)?.[0]) } : {}),
    values: (fieldsOf(bytesOf(one(5))).get(1) ?? []).map((value) => valueOf(bytesOf(value))),
  };
}

function valueOf(data: Uint8Array): EventValue {
  const fields = fieldsOf(data);
  const one = (field: number) => fields.get(field)?.[0];
  const value: EventValue = { tag: text(one(1)) };
  if (fields.has(2)) value.scalar = new Float32Array(copy(one(2)))[0] ?? NaN;
  if (fields.has(4)) {
    const image = fieldsOf(bytesOf(one(4)));
    const [height, width] = [whole(image.get(1)?.[0]), whole(image.get(2)?.[0])];
    value.image = { width, height, bytes: bytesOf(image.get(4)?.[0]) };
  }
  if (fields.has(5)) {
    const histogram = fieldsOf(bytesOf(one(5)));
    const at = (field: number) => histogram.get(field)?.[0];
    value.histogram = {
      ...{ min: double(at(1)), max: double(at(2)), count: double(at(3)), sum: double(at(4)) },
      ...{ squares: double(at(5)), limits: doubles(at(6)), counts: doubles(at(7)) },
    };
  }
  return value;
}

function graphOf(data: Uint8Array): GraphNode[] {
  return (fieldsOf(data).get(1) ?? []).map((node) => {
    const fields = fieldsOf(bytesOf(node));
    const shapes = (fields.get(5) ?? []).flatMap((entry) => {
      const pair = fieldsOf(bytesOf(entry));
      if (text(pair.get(1)?.[0]) !== "_output_shapes") return [];
      const list = fieldsOf(bytesOf(fieldsOf(bytesOf(pair.get(2)?.[0])).get(1)?.[0]));
      return (list.get(7) ?? []).map((shape) =>
        (fieldsOf(bytesOf(shape)).get(2) ?? []).map((size) =>
          whole(fieldsOf(bytesOf(size)).get(1)?.[0])
        )
      );
    });
    return {
      name: text(fields.get(1)?.[0]),
      op: text(fields.get(2)?.[0]),
      inputs: (fields.get(3) ?? []).map(text),
      shapes,
    };
  });
}
