/**
 * The ops a graph can be recorded from.
 * @module
 */
export * from "./area_add.ts";
export * from "./area_argmax.ts";
export * from "./argmax.ts";
export * from "./batch_norm2d.ts";
export * from "./bce_with_logits.ts";
export * from "./augment.ts";
export { concat } from "./concat.ts";
export { conv2d, type Conv2dOptions } from "./conv2d.ts";
export * from "./conv_transpose2d.ts";
export * from "./cross_entropy.ts";
export * from "./elementwise.ts";
export * from "./image_input.ts";
export * from "./max_pool2d.ts";
export * from "./pad2d.ts";
export * from "./reduce.ts";
export * from "./resize_argmax.ts";
export * from "./sigmoid.ts";
export * from "./soft_dice.ts";
export * from "./softmax.ts";
export * from "./upsample_bilinear2d.ts";
export * from "./upsample_window2d.ts";
export * from "./window_blend.ts";
