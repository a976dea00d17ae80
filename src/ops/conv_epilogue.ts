/**
 * What the kernels of a convolution do to its sums before they store them.
 * @module
 */
import type { BufferMemory } from "../graph/memory.ts";

/**
 * `none` stores the sums, `bias` adds a value for each channel, `affine` also multiplies by one, and
 * `affine_relu` then stores zero in place of what is below.
 */
export type Epilogue = "none" | "bias" | "affine" | "affine_relu";

/** A factor and an offset for each channel, and whether a ReLU follows. */
export interface Affine {
  /** As `batch_norm2d_fold` leaves it: two vec4s for every four channels, factors first. */
  readonly memory: BufferMemory;
  readonly relu: boolean;
}

/** An epilogue and the memories that it binds, after all others of the kernel. */
export interface Finish {
  readonly epilogue: Epilogue;
  readonly operands: readonly BufferMemory[];
}

/** The epilogue for a bias (`flat`) or for what stands in its place. */
export function finishOf(bias: BufferMemory | undefined, affine?: Affine): Finish {
  if (affine) {
    return { epilogue: affine.relu ? "affine_relu" : "affine", operands: [affine.memory] };
  }
  return bias ? { epilogue: "bias", operands: [bias] } : { epilogue: "none", operands: [] };
}

/** Template constants of an epilogue. */
export function epilogueConstants(epilogue: Epilogue): { EPILOGUE: string; RELU: number } {
  return epilogue === "affine_relu"
    ? { EPILOGUE: "affine", RELU: 1 }
    : { EPILOGUE: epilogue, RELU: 0 };
}
