import { imageInput } from "../../src/ops/image_input.ts";
import { fromValues } from "../reference/array.ts";
import { testOps } from "./harness.ts";

testOps(
  [1, 3, 4].map((channels) => {
    const [batch, height, width] = [2, 5, 67];
    const byte = (n: number, c: number, y: number, x: number) =>
      (n * 131 + c * 57 + y * 29 + x * 7) % 256;
    const words: number[] = [];
    const values: number[] = [];
    for (let n = 0; n < batch; n++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const [r, g, b, a] = [0, 1, 2, 3].map((c) => byte(n, c, y, x));
          words.push(((a! << 24) | (b! << 16) | (g! << 8) | r!) >>> 0);
        }
      }
      for (let c = 0; c < channels; c++) {
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) values.push(byte(n, c, y, x) / 255);
        }
      }
    }
    return {
      name: `image_input of ${channels} channels`,
      inputs: {
        pixels: { value: fromValues([batch, height, width], words), dtype: "u32" as const },
      },
      record: ({ pixels }) => imageInput(pixels!, channels),
      output: fromValues([batch, channels, height, width], values),
    };
  }),
  false,
);
