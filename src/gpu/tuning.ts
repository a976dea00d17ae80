/**
 * Tuning: which of a kernel's candidates was measured to be fastest for a shape. Plain data, so that
 * whoever measures and remembers it (the command line does, in a file) hands it to the engine.
 *
 * A family of kernels that has a choice lists its candidates, its own favourite first, under a key
 * that tells everything that decides their speed, and lets {@linkcode choose} pick. Nothing else is
 * needed for its shapes to be tuned.
 * @module
 */

import type { ImageType } from "./kernel_spec.ts";

/**
 * Names of candidates by key, for example `5x4 lanes 8` by
 * `conv2d_texture_forward 1x64x128x192>64 3x3`. Names, not numbers: a table may change, and a name
 * that is there no longer is as good as none.
 */
export type Tuning = Readonly<Record<string, string>>;

/** A choice that a kernel has. */
export interface Candidate {
  /** Unique among those of a key; says what it is, so that it stays right when tables change. */
  readonly name: string;
}

/** Where choices come from and where they are told. */
export interface TuningTarget {
  /** Which candidate a key uses; default: each family's favourite. */
  tuning?: Tuning;
  /** Element type of images, which every key also tells; default f32. */
  images?: ImageType;
  /** Filled with the names that every key could choose among, the favourite first. */
  choices?: Map<string, readonly string[]>;
}

/** The tuned candidate of the key of a shape, or the first one. */
export function choose<T extends Candidate>(
  { tuning, choices, images }: TuningTarget,
  shape: string,
  candidates: readonly [T, ...T[]],
): T {
  const key = images === "f16" ? `f16 ${shape}` : shape;
  choices?.set(key, candidates.map(({ name }) => name));
  const name = tuning !== undefined && Object.hasOwn(tuning, key) ? tuning[key] : undefined;
  return candidates.find((candidate) => candidate.name === name) ?? candidates[0];
}

/** Whether a value read from a file is a {@linkcode Tuning}. */
export function isTuning(value: unknown): value is Tuning {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((name) => typeof name === "string");
}

/** Keys of a tuning for kernels of one family; the others wait for a device that uses those. */
export function keysOf(tuning: Tuning, family: "gpu" | "cpu"): string[] {
  return Object.keys(tuning).filter((key) => /\bconv2d_gemm_/.test(key) === (family === "gpu"));
}
