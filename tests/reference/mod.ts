/**
 * The float64 reference of every op, forward and backward, with PyTorch's semantics: what the
 * engine's results are held to.
 * @module
 */
export * from "./arithmetic.ts";
export * from "./array.ts";
export * from "./augment.ts";
export * from "./batch_norm2d.ts";
export * from "./bce_with_logits.ts";
export * from "./clip.ts";
export * from "./concat.ts";
export * from "./conv2d.ts";
export * from "./conv_transpose2d.ts";
export * from "./cross_entropy.ts";
export * from "./finite_difference.ts";
export * from "./max_pool2d.ts";
export * from "./optimizers.ts";
export * from "./pad2d.ts";
export * from "./reduce.ts";
export * from "./relu.ts";
export * from "./sigmoid.ts";
export * from "./soft_dice.ts";
export * from "./softmax.ts";
export * from "./upsample_bilinear2d.ts";
