/**
 * Buffers that kernels read by way of textures.
 *
 * llvmpipe reads a storage buffer lane by lane. On processors with AVX-512 that costs it four times
 * what a storage texture does, but on all others it puts every lane's value into a vector by way of
 * memory and waits for it: 18 times (a vec4 614 and 33 cycles for 8 lanes, AMD EPYC 7003). A copy into
 * a texture costs a tenth of that, so there kernels read large buffers through copies of them. Newer
 * Mesa writes the reading out for every lane instead, which takes long to translate and leaves the
 * processor's cache of code: the same holds for all processors.
 * @module
 */
import { INPUT_WIDTH } from "../gpu/template.ts";
import { type ImageType, vectorBytesOf } from "./layout.ts";
import type { LowerTarget, TextureCopyStep } from "./lower.ts";
import { type BufferMemory, type TextureMemory, textureMemory } from "./memory.ts";

/** A buffer of vec4s as the `//@input` of that name of a kernel's template. */
export interface Reading {
  /** Tells it from a memory, which is bound as it is. */
  readonly kind: "reading";
  /** As the template names it. */
  readonly name: string;
  /** What is read. */
  readonly memory: BufferMemory;
  /** Of its numbers. */
  readonly type: ImageType;
  /** A copy that several dispatches share, made already. */
  readonly copy?: TextureMemory;
}

/** Larger ones are cut, where they can be, so that the copies stay in the processor's cache. */
export const READ_PART_BYTES = 8 * 2 ** 20;

/** What a part of tensors that can be cut should take at most. */
export function partBytes({ maxBindingBytes, textureReadBytes = Infinity }: LowerTarget): number {
  return textureReadBytes < Infinity ? Math.min(maxBindingBytes, READ_PART_BYTES) : maxBindingBytes;
}

/**
 * Whether what a kernel reads is copied: all of it, since that ends a pass only once.
 * @param textures that it binds anyway
 */
export function areCopied(
  readings: readonly Reading[],
  target: LowerTarget,
  textures = 0,
): boolean {
  const { textureReadBytes = Infinity } = target;
  // What is copied already costs nothing more.
  const bytesOf = ({ copy, memory }: Reading) => copy ? Infinity : memory.sizeBytes;
  return canBeCopied(readings, target, textures) &&
    readings.reduce((sum, reading) => sum + bytesOf(reading), 0) >= textureReadBytes;
}

/** Whether copies of all these fit the device, and are read faster. */
export function canBeCopied(
  readings: readonly Reading[],
  { textureReadBytes = Infinity, maxTextureDimension, maxStorageTextures = Infinity }: LowerTarget,
  textures = 0,
): boolean {
  return textureReadBytes < Infinity && readings.length > 0 &&
    textures + readings.length <= maxStorageTextures &&
    readings.every((reading) => rowsOf(reading) <= maxTextureDimension);
}

function rowsOf({ memory, type }: Reading): number {
  return Math.ceil(memory.sizeBytes / vectorBytesOf(type) / INPUT_WIDTH);
}

/** The texture for a buffer. */
export function textureFor(reading: Reading, maxTextureDimension: number): TextureMemory {
  const { name: label, type } = reading;
  const size = { label, width: INPUT_WIDTH, height: rowsOf(reading), type };
  return textureMemory(size, maxTextureDimension);
}

/** The copies that fill it: of whole rows, and of what is left. */
export function copiesInto(
  target: TextureMemory,
  { memory: source, type }: Reading,
): Omit<TextureCopyStep, "kind" | "label">[] {
  const vectorBytes = vectorBytesOf(type);
  const bytesPerRow = INPUT_WIDTH * vectorBytes;
  const vectors = Math.ceil(source.sizeBytes / vectorBytes);
  const rows = Math.floor(vectors / INPUT_WIDTH);
  const rest = vectors % INPUT_WIDTH;
  const shared = { source, bytesPerRow, target, x: 0 };
  return [
    { ...shared, offsetBytes: 0, y: 0, width: INPUT_WIDTH, height: rows },
    { ...shared, offsetBytes: rows * bytesPerRow, y: rows, width: rest, height: 1 },
  ].filter(({ width, height }) => width > 0 && height > 0);
}

/** By template: names of its inputs, which are looked for at every dispatch. */
const declared = new Map<string, ReadonlySet<string>>();

/** Throws where a template does not declare what is read as its input. */
export function checkInputs(source: string, readings: readonly Reading[]): void {
  let names = declared.get(source);
  if (!names) {
    // Inputs that there are several of have a number, in the template an expression.
    const found = source.matchAll(/\/\/@input\(.*\) ([A-Za-z_]+)(?:\d+|\$\{\w+\})?:/g);
    names = new Set([...found].map(([, name = ""]) => name));
    declared.set(source, names);
  }
  for (const { name } of readings) {
    if (names.has(name.replace(/\d+$/, ""))) continue;
    throw new RangeError(`"${name}" is read by a kernel without an input of that name`);
  }
}
