/**
 * The protobuf wire format, writing only: fields of a message one after the other.
 *
 * Source: https://protobuf.dev/programming-guides/encoding
 * @module
 */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** A message being written; large bytes are kept as they are until {@linkcode Message.bytes}. */
export class Message {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  /** How many bytes it has so far. */
  get lengthBytes(): number {
    return this.#length;
  }

  /** A whole number, at least 0. */
  integer(field: number, value: number): this {
    this.#push(varint(tag(field, VARINT)));
    return this.#push(varint(value));
  }

  /** A float of 32 bits. */
  float(field: number, value: number): this {
    this.#push(varint(tag(field, FIXED32)));
    return this.#push(new Uint8Array(Float32Array.of(value).buffer));
  }

  /** A float of 64 bits. */
  double(field: number, value: number): this {
    this.#push(varint(tag(field, FIXED64)));
    return this.#push(new Uint8Array(Float64Array.of(value).buffer));
  }

  /** Floats of 64 bits as a repeated field, packed. */
  doubles(field: number, values: readonly number[]): this {
    return this.raw(field, new Uint8Array(Float64Array.from(values).buffer));
  }

  /** A string. */
  text(field: number, value: string): this {
    return this.raw(field, new TextEncoder().encode(value));
  }

  /** Bytes; not copied yet. */
  raw(field: number, value: Uint8Array): this {
    this.#push(varint(tag(field, LENGTH_DELIMITED)));
    this.#push(varint(value.length));
    return this.#push(value);
  }

  /** A message inside this one. */
  message(field: number, value: Message): this {
    this.#push(varint(tag(field, LENGTH_DELIMITED)));
    this.#push(varint(value.#length));
    // One by one: a network has far more parts than a call may have arguments.
    for (const part of value.#parts) this.#push(part);
    return this;
  }

  /** Whole numbers as a repeated field; not packed, the default of proto2. */
  integers(field: number, values: readonly number[]): this {
    for (const value of values) this.integer(field, value);
    return this;
  }

  /** The message. */
  bytes(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  #push(part: Uint8Array): this {
    this.#parts.push(part);
    this.#length += part.length;
    return this;
  }
}

function tag(field: number, wireType: number): number {
  return field * 8 + wireType;
}

/** Seven bits a byte, the lowest first; not by shifts, which would end at 32 bits. */
function varint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`protobuf: ${value} is no whole number of at least 0`);
  }
  const bytes = [];
  while (value >= 0x80) {
    bytes.push(value % 0x80 + 0x80);
    value = Math.floor(value / 0x80);
  }
  return Uint8Array.of(...bytes, value);
}
