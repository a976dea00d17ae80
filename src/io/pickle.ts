/**
 * A reader of Python pickles that runs nothing: a pickle may only name what a given table holds, and
 * what it builds are plain values. Any other name, and any instruction that pickles of weights do
 * not use, ends the reading. It uses no recursion, and time and memory stay in proportion to the
 * number of bytes read.
 *
 * Source: the opcodes' documentation in CPython's `Lib/pickletools.py`, protocols 2 to 5.
 * @module
 */
import type { InputError } from "../errors.ts";
import type { Refuse } from "./zip.ts";

/** Something that a pickle may name; what is not callable can only be passed on. */
export class PickleGlobal {
  /**
   * @param name Module and name, with a dot between.
   * @param call What a call of it gives; `undefined` for arguments that it does not take.
   */
  constructor(
    readonly name: string,
    readonly call?: (args: readonly unknown[]) => unknown,
  ) {}
}

/** An object of which nothing but its existence matters. */
export class OpaqueObject {
  /** @param name Module and name of what made it. */
  constructor(readonly name: string) {}
}

/** What the reader needs to know of the world. */
export interface PickleHost {
  /** What a pickle may name, by module and name with a dot between. */
  globals: ReadonlyMap<string, PickleGlobal>;
  /** What a persistent id stands for; `undefined` for one that means nothing. */
  persistent: (id: unknown) => unknown;
  /** Makes the error for what is wrong with the file. */
  refuse: Refuse;
  /** Makes the error for a name that is not in the table. */
  refuseGlobal: (name: string) => InputError;
}

/** Integers of more bytes are in no pickle of weights. */
const MOST_INTEGER_BYTES = 1024;
const MOST_NAME_BYTES = 1024;
/** A full training checkpoint has some ten thousand; each may cost a value in memory. */
const MOST_INSTRUCTIONS = 1 << 24;

/**
 * Reads one pickle: dicts become Maps, lists and tuples arrays, sets Sets, strings strings, bytes
 * Uint8Arrays, numbers numbers (bigint past 2^53), None null.
 *
 * @param start Where in `bytes` it begins.
 * @returns the value, and where the pickle ends.
 * @throws What the host's functions make, if the pickle is damaged or asks for anything else.
 */
export function unpickle(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  host: PickleHost,
): { value: unknown; end: number } {
  return new Unpickler(bytes, start, host).run();
}

class Unpickler {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #host: PickleHost;
  #at: number;
  #stack: unknown[] = [];
  readonly #outer: unknown[][] = [];
  readonly #memo = new Map<number, unknown>();

  constructor(bytes: Uint8Array<ArrayBuffer>, start: number, host: PickleHost) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = start;
    this.#host = host;
  }

  run(): { value: unknown; end: number } {
    let count = 0;
    while (true) {
      const code = this.uint8();
      if (code === 0x2e /* . STOP */) return { value: this.pop(), end: this.#at };
      if (++count > MOST_INSTRUCTIONS) {
        throw this.damaged(`has more than ${MOST_INSTRUCTIONS} instructions`);
      }
      const handler = instructions[code];
      if (!handler) {
        throw this.#host.refuse(
          `its pickle uses the instruction 0x${code.toString(16).padStart(2, "0")} at byte ${
            this.#at - 1
          }, which weights do not need`,
        );
      }
      handler(this);
    }
  }

  // What instructions are made of.

  push(value: unknown): void {
    this.#stack.push(value);
  }

  pop(): unknown {
    if (this.#stack.length === 0) throw this.damaged("takes a value where there is none");
    return this.#stack.pop();
  }

  top(): unknown {
    if (this.#stack.length === 0) throw this.damaged("takes a value where there is none");
    return this.#stack.at(-1);
  }

  mark(): void {
    this.#outer.push(this.#stack);
    this.#stack = [];
  }

  /** What was pushed since the mark. */
  popMark(): unknown[] {
    const items = this.#stack;
    const outer = this.#outer.pop();
    if (!outer) throw this.damaged("closes a group that it did not open");
    this.#stack = outer;
    return items;
  }

  /** The last `count` values as a tuple. */
  tuple(count: number): void {
    const items = Array.from({ length: count }, () => this.pop()).reverse();
    this.push(items);
  }

  put(key: number): void {
    this.#memo.set(key, this.top());
  }

  memoize(): void {
    this.put(this.#memo.size);
  }

  get(key: number): void {
    if (!this.#memo.has(key)) throw this.damaged(`refers to value ${key}, which is not there`);
    this.push(this.#memo.get(key));
  }

  append(items: readonly unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.damaged("appends to something that is no list");
    for (const item of items) list.push(item);
  }

  setItems(items: readonly unknown[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) {
      throw this.damaged("sets items of something that is no dict");
    }
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
  }

  addItems(items: readonly unknown[]): void {
    const set = this.top();
    if (!(set instanceof Set)) throw this.damaged("adds to something that is no set");
    for (const item of items) set.add(item);
  }

  global(name: string): void {
    const found = this.#host.globals.get(name);
    if (!found) throw this.#host.refuseGlobal(name);
    this.push(found);
  }

  /** A call of a global: the only thing that happens is what the table says. */
  reduce(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof PickleGlobal) || !Array.isArray(args)) {
      throw this.damaged("calls something that is no function");
    }
    const made = callee.call?.(args);
    if (made === undefined) {
      throw this.damaged(`calls ${callee.name} with arguments that it does not take`);
    }
    this.push(made);
  }

  /** Attributes of an object. No weights lie there: an OrderedDict's are module versions. */
  build(): void {
    this.pop();
    const target = this.top();
    if (!(target instanceof Map) && !(target instanceof OpaqueObject)) {
      throw this.damaged("sets attributes of something that has none");
    }
  }

  persistent(): void {
    const found = this.#host.persistent(this.pop());
    if (found === undefined) throw this.damaged("refers to something other than a tensor's memory");
    this.push(found);
  }

  damaged(does: string): InputError {
    return this.#host.refuse(`its pickle ${does} (before byte ${this.#at})`);
  }

  // Reading.

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.byteLength) {
      throw this.#host.refuse(
        `its pickle needs ${count} bytes at byte ${at}, but only ` +
          `${this.#bytes.byteLength - at} are left`,
      );
    }
    this.#at += count;
    return at;
  }

  uint8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  /** A length or position; past 2^53 it is past the end anyway. */
  uint64(): number {
    return Number(this.#view.getBigUint64(this.#take(8), true));
  }

  /** Big-endian, unlike everything else. */
  float64(): number {
    return this.#view.getFloat64(this.#take(8), false);
  }

  raw(count: number): Uint8Array<ArrayBuffer> {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  text(count: number): string {
    return new TextDecoder().decode(this.raw(count));
  }

  /** A string of Python 2, whose bytes may be of any encoding. */
  byteText(count: number): string {
    return new TextDecoder("latin1").decode(this.raw(count));
  }

  integer(count: number): number | bigint {
    if (count > MOST_INTEGER_BYTES) {
      throw this.damaged(`holds an integer of ${count} bytes`);
    }
    const digits = this.raw(count);
    let value = 0n;
    for (const [i, digit] of digits.entries()) value |= BigInt(digit) << BigInt(8 * i);
    const signed = BigInt.asIntN(8 * count, value);
    const number = Number(signed);
    return Number.isSafeInteger(number) ? number : signed;
  }

  line(): string {
    const limit = Math.min(this.#bytes.byteLength, this.#at + MOST_NAME_BYTES);
    for (let end = this.#at; end < limit; end++) {
      if (this.#bytes[end] !== 0x0a) continue;
      const text = this.text(end - this.#at);
      this.#at++;
      return text;
    }
    throw this.damaged("holds a name that does not end");
  }
}

/** By opcode; what is not here is refused. */
const instructions: Readonly<Record<number, (u: Unpickler) => void>> = {
  // Frame and protocol say nothing that matters here.
  0x80: (u) => void u.uint8(), // PROTO
  0x95: (u) => void u.uint64(), // FRAME

  0x28: (u) => u.mark(), // ( MARK
  0x30: (u) => void u.pop(), // 0 POP
  0x31: (u) => void u.popMark(), // 1 POP_MARK
  0x32: (u) => u.push(u.top()), // 2 DUP

  0x4e: (u) => u.push(null), // N NONE
  0x88: (u) => u.push(true), // NEWTRUE
  0x89: (u) => u.push(false), // NEWFALSE
  0x4a: (u) => u.push(u.int32()), // J BININT
  0x4b: (u) => u.push(u.uint8()), // K BININT1
  0x4d: (u) => u.push(u.uint16()), // M BININT2
  0x8a: (u) => u.push(u.integer(u.uint8())), // LONG1
  0x8b: (u) => u.push(u.integer(u.uint32())), // LONG4
  0x47: (u) => u.push(u.float64()), // G BINFLOAT

  0x58: (u) => u.push(u.text(u.uint32())), // X BINUNICODE
  0x8c: (u) => u.push(u.text(u.uint8())), // SHORT_BINUNICODE
  0x8d: (u) => u.push(u.text(u.uint64())), // BINUNICODE8
  0x54: (u) => u.push(u.byteText(u.uint32())), // T BINSTRING
  0x55: (u) => u.push(u.byteText(u.uint8())), // U SHORT_BINSTRING
  0x42: (u) => u.push(u.raw(u.uint32())), // B BINBYTES
  0x43: (u) => u.push(u.raw(u.uint8())), // C SHORT_BINBYTES
  0x8e: (u) => u.push(u.raw(u.uint64())), // BINBYTES8

  0x5d: (u) => u.push([]), // ] EMPTY_LIST
  0x61: (u) => u.append([u.pop()]), // a APPEND
  0x65: (u) => u.append(u.popMark()), // e APPENDS
  0x29: (u) => u.push([]), // ) EMPTY_TUPLE
  0x74: (u) => u.push(u.popMark()), // t TUPLE
  0x85: (u) => u.tuple(1), // TUPLE1
  0x86: (u) => u.tuple(2), // TUPLE2
  0x87: (u) => u.tuple(3), // TUPLE3
  0x7d: (u) => u.push(new Map()), // } EMPTY_DICT
  0x73: (u) => u.setItems([u.pop(), u.pop()].reverse()), // s SETITEM
  0x75: (u) => u.setItems(u.popMark()), // u SETITEMS
  0x8f: (u) => u.push(new Set()), // EMPTY_SET
  0x90: (u) => u.addItems(u.popMark()), // ADDITEMS
  0x91: (u) => u.push(new Set(u.popMark())), // FROZENSET

  0x71: (u) => u.put(u.uint8()), // q BINPUT
  0x72: (u) => u.put(u.uint32()), // r LONG_BINPUT
  0x94: (u) => u.memoize(), // MEMOIZE
  0x68: (u) => u.get(u.uint8()), // h BINGET
  0x6a: (u) => u.get(u.uint32()), // j LONG_BINGET

  0x63: (u) => u.global(`${u.line()}.${u.line()}`), // c GLOBAL
  0x93: (u) => { // STACK_GLOBAL
    const name = u.pop();
    const module = u.pop();
    if (typeof name !== "string" || typeof module !== "string") {
      throw u.damaged("names something by what is no text");
    }
    u.global(`${module}.${name}`);
  },
  0x52: (u) => u.reduce(), // R REDUCE
  0x62: (u) => u.build(), // b BUILD
  0x51: (u) => u.persistent(), // Q BINPERSID
};
