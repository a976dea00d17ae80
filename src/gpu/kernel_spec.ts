/**
 * What an op says about one compute dispatch, before any GPU object exists: plain data, so that
 * planning, counting and testing need no device.
 * @module
 */

/** A WGSL template and the constants that make one shader of it. */
export interface KernelSpec {
  /** Label in errors and profiles, for example `conv2d_texture_forward`. */
  readonly name: string;
  /** Template text of a file in `shaders/`. */
  readonly source: string;
  /** Structural constants of the template; shapes travel in the params buffer instead. */
  readonly constants: Readonly<Record<string, number | string>>;
}

/** Element type of images. */
export type ImageType = "f32" | "f16";

/**
 * Constants that every template may use: the types of a vec4 and of a texel of images. Kernels that
 * say nothing of them get those of f32.
 */
export const IMAGE_CONSTANTS = {
  f32: { IMAGE: "vec4f", TEXEL: "rgba32float" },
  f16: { IMAGE: "vec4h", TEXEL: "rgba16float" },
} as const;

/** One dispatch: its kernel, the words of its params buffer (binding 0) and its grid. */
export interface DispatchSpec {
  /** The shader; compiled once a device for each name and set of constants. */
  readonly kernel: KernelSpec;
  /** 32-bit words of binding 0; floats go through {@linkcode f32Bits}. */
  readonly params: readonly number[];
  /** Workgroups in x, y, z; each at most 65535. */
  readonly grid: readonly [number, number, number];
}

const scratch = new DataView(new ArrayBuffer(4));

/** The bits of a float32 as an unsigned integer, for params words declared `f32` in WGSL. */
export function f32Bits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}
