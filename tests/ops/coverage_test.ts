/** Every op has cases: one that is missing here does not type-check. */
import { assertEquals, assertMatch } from "@std/assert";
import * as ops from "../../src/ops/mod.ts";
import { canRead } from "../support.ts";

type Exports = typeof ops;
type Op = {
  [K in keyof Exports]: Exports[K] extends (...args: never[]) => unknown ? K : never;
}[keyof Exports];

/** The file in this folder that holds an op to its reference. */
const TESTED_IN: Record<Op, string> = {
  add: "elementwise",
  areaAdd: "area_add",
  areaArgmax: "window_blend",
  argmax: "argmax",
  argmaxThreshold: "argmax",
  augment: "augment",
  batchNorm2d: "batch_norm2d",
  bceWithLogits: "bce_with_logits",
  binarySoftDice: "soft_dice",
  channelSum: "reduce",
  concat: "conv2d",
  conv2d: "conv2d",
  convTranspose2d: "conv_transpose2d",
  crossEntropy: "cross_entropy",
  focalLoss: "cross_entropy",
  imageInput: "image_input",
  maxPool2d: "max_pool2d",
  mean: "reduce",
  mul: "elementwise",
  pad2d: "pad2d",
  placementWords: "window_blend",
  relu: "elementwise",
  resizeArgmax: "resize_argmax",
  scale: "elementwise",
  sigmoid: "sigmoid",
  softDice: "soft_dice",
  softmax: "softmax",
  sum: "reduce",
  unpackIds: "resize_argmax",
  upsampleBilinear2d: "upsample_bilinear2d",
  upsampleWindow2d: "upsample_window2d",
  windowBlend: "window_blend",
  windowTaps: "upsample_window2d",
};

Deno.test("no op is listed that does not exist", () => {
  const exported = Object.keys(ops).filter((name) =>
    typeof ops[name as keyof Exports] === "function"
  );
  assertEquals(Object.keys(TESTED_IN).sort(), exported.sort());
});

Deno.test({
  name: "the test file of an op uses it",
  ignore: !canRead,
  async fn() {
    for (const [op, file] of Object.entries(TESTED_IN)) {
      const text = await Deno.readTextFile(new URL(`${file}_test.ts`, import.meta.url));
      assertMatch(text, new RegExp(`\\b${op}\\b`), `${file}_test.ts does not use ${op}`);
    }
  },
});
