/**
 * A writer of Python pickles (protocol 2), of the few instructions that a state_dict needs.
 *
 * Source: the opcodes' documentation in CPython's `Lib/pickletools.py`.
 * @module
 */

/** Builds a pickle instruction by instruction. */
export class PickleWriter {
  readonly #bytes: number[] = [0x80, 2]; // PROTO

  /** Opens a group that {@linkcode tuple} or {@linkcode setItems} closes. */
  mark(): this {
    return this.#op("(");
  }

  /** A whole number of at most 2^53. */
  integer(value: number): this {
    if (value >= 0 && value < 0x100) return this.#op("K", value);
    if (value >= 0 && value < 0x10000) return this.#op("M", value & 0xff, value >> 8);
    if (value === (value | 0)) {
      return this.#op("J", value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24);
    }
    const digits = new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
    return this.#op("\x8a", digits.length, ...digits);
  }

  /** False. */
  no(): this {
    return this.#op("\x89");
  }

  /** A string. */
  text(value: string): this {
    const utf8 = new TextEncoder().encode(value);
    const length = new Uint8Array(Uint32Array.of(utf8.length).buffer);
    return this.#op("X", ...length, ...utf8);
  }

  /** A function or class by its module and name. */
  global(module: string, name: string): this {
    return this.#op("c", ...new TextEncoder().encode(`${module}\n${name}\n`));
  }

  /** A tuple of everything since the mark. */
  tuple(): this {
    return this.#op("t");
  }

  /** A tuple of whole numbers. */
  integers(values: readonly number[]): this {
    this.mark();
    for (const value of values) this.integer(value);
    return this.tuple();
  }

  /** Calls the global below the tuple on top with that tuple. */
  call(): this {
    return this.#op("R");
  }

  /** The outside object that the value on top names. */
  persistent(): this {
    return this.#op("Q");
  }

  /** Puts the keys and values since the mark into the dict below. */
  setItems(): this {
    return this.#op("u");
  }

  /** The bytes, ended. */
  end(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#op(".").#bytes);
  }

  #op(code: string, ...operands: number[]): this {
    this.#bytes.push(code.charCodeAt(0), ...operands);
    return this;
  }
}
