/** Gradient clipping (PyTorch: `clip_grad_value_` and `clip_grad_norm_`), on copies. @module */

/** Every value limited to [-clipValue, clipValue]. */
export function clipByValue(grads: readonly Float64Array[], clipValue: number): Float64Array[] {
  return grads.map((grad) => grad.map((g) => Math.min(Math.max(g, -clipValue), clipValue)));
}

/**
 * All gradients scaled by min(1, maxNorm / (totalNorm + 1e-6)), where totalNorm is the Euclidean
 * norm of all of them together, before clipping.
 */
export function clipByNorm(
  grads: readonly Float64Array[],
  maxNorm: number,
): { grads: Float64Array[]; totalNorm: number } {
  const totalNorm = Math.sqrt(
    grads.reduce((total, grad) => grad.reduce((sum, g) => sum + g * g, total), 0),
  );
  const factor = Math.min(1, maxNorm / (totalNorm + 1e-6));
  return { grads: grads.map((grad) => grad.map((g) => g * factor)), totalNorm };
}
