/**
 * Weights of classes in the loss, so that rare ones are learnt too.
 * @module
 */

/**
 * Weights proportional to `frequency ^ -power`, scaled so that the mean weight of a pixel is 1. Power
 * 0 weighs all pixels alike, 1 weighs all classes alike; 0.5 lies between and suits most sets.
 *
 * @param pixels pixels of each class in the training masks, by class id
 * @returns by class id; 1 for a class without a pixel, which never enters the loss
 */
export function classWeights(pixels: readonly number[], power = 0.5): Float32Array {
  const total = pixels.reduce((sum, count) => sum + count, 0);
  const raw = pixels.map((count) => count > 0 ? (count / total) ** -power : 0);
  const mean = raw.reduce((sum, weight, id) => sum + weight * (pixels[id] ?? 0), 0) / total;
  return Float32Array.from(raw, (weight) => weight > 0 ? weight / mean : 1);
}
