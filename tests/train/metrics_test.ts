import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { ConfusionMatrix, IGNORED } from "../../src/train/metrics.ts";

Deno.test("metrics: scores by hand", () => {
  const matrix = new ConfusionMatrix(3);
  // Pairs of truth and prediction: 0-0 three times, 0-1 once, 1-1 twice, 1-0 once, 2-1 once.
  matrix.add([0, 0, 0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 1, 0, 1]);
  const { pixelAccuracy, meanIoU, meanDice, classes } = matrix.scores();
  assertEquals(pixelAccuracy, 5 / 8);
  assertEquals(classes, [
    { id: 0, iou: 3 / 5, dice: 6 / 8, precision: 3 / 4, recall: 3 / 4, pixels: 4 },
    { id: 1, iou: 2 / 5, dice: 4 / 7, precision: 2 / 4, recall: 2 / 3, pixels: 3 },
    { id: 2, iou: 0, dice: 0, precision: 0, recall: 0, pixels: 1 },
  ]);
  assertAlmostEquals(meanIoU, (3 / 5 + 2 / 5 + 0) / 3, 1e-15);
  assertAlmostEquals(meanDice, (6 / 8 + 4 / 7 + 0) / 3, 1e-15);
});

Deno.test("metrics: images add up to one matrix, not to a mean of means", () => {
  const together = new ConfusionMatrix(2);
  together.add([0, 0, 0, 1], [0, 0, 1, 1]);
  const apart = new ConfusionMatrix(2);
  apart.add([0], [0]);
  apart.add([0, 0, 1], [0, 1, 1]);
  assertEquals(apart.scores(), together.scores());
});

Deno.test("metrics: ignored pixels count nowhere", () => {
  const matrix = new ConfusionMatrix(2);
  matrix.add([0, IGNORED, 1, IGNORED], [0, 1, 1, 0]);
  const { pixelAccuracy, classes } = matrix.scores();
  assertEquals(pixelAccuracy, 1);
  assertEquals(classes.map(({ pixels, iou }) => [pixels, iou]), [[1, 1], [1, 1]]);
});

Deno.test("metrics: a class of neither truth nor prediction is null and in no mean", () => {
  const matrix = new ConfusionMatrix(4);
  matrix.add([0, 0, 1, 1], [0, 1, 1, 1]);
  const { meanIoU, meanDice, classes } = matrix.scores();
  for (const id of [2, 3]) {
    assertEquals(
      classes[id],
      { id, iou: null, dice: null, precision: null, recall: null, pixels: 0 },
    );
  }
  assertAlmostEquals(meanIoU, (1 / 2 + 2 / 3) / 2, 1e-15);
  assertAlmostEquals(meanDice, (2 / 3 + 4 / 5) / 2, 1e-15);
});

Deno.test("metrics: a class that is predicted but nowhere in truth scores 0 and counts", () => {
  const matrix = new ConfusionMatrix(2);
  matrix.add([0, 0], [0, 1]);
  const { meanIoU, classes } = matrix.scores();
  assertEquals(classes[1], { id: 1, iou: 0, dice: 0, precision: 0, recall: 0, pixels: 0 });
  assertEquals(meanIoU, 0.25);
});

Deno.test("metrics: without any pixel everything is 0, not NaN", () => {
  const { pixelAccuracy, meanIoU, meanDice } = new ConfusionMatrix(2).scores();
  assertEquals([pixelAccuracy, meanIoU, meanDice], [0, 0, 0]);
});

Deno.test("metrics: truth and prediction of different sizes are refused", () => {
  assertThrows(() => new ConfusionMatrix(2).add([0, 1], [0]), RangeError, "2 true and 1 predicted");
});
