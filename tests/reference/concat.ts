/** Concatenation on channels (PyTorch: `torch.cat(inputs, 1)`). @module */
import { type Array64, dims4, requireSameShape, zeros } from "./array.ts";

/** Joins `[N, C_i, H, W]` arrays to `[N, sum C_i, H, W]`. */
export function concat(inputs: readonly Array64[]): Array64 {
  const shapes = inputs.map((input) => dims4("concat", input));
  const [n, , h, w] = shapes[0] ?? [0, 0, 0, 0];
  const channels = shapes.reduce((sum, shape) => sum + shape[1], 0);
  const y = zeros([n, channels, h, w]);
  let first = 0;
  for (const input of inputs) {
    const [, c] = dims4("concat", input);
    requireSameShape("concat", input, { shape: [n, c, h, w] });
    const length = c * h * w;
    for (let image = 0; image < n; image++) {
      const values = input.data.subarray(image * length, (image + 1) * length);
      y.data.set(values, (image * channels + first) * h * w);
    }
    first += c;
  }
  return y;
}

/** Splits the gradient `[N, sum C_i, H, W]` into those of the inputs, of `channels[i]` each. */
export function concatBackward(gradOutput: Array64, channels: readonly number[]): Array64[] {
  const [n, total, h, w] = dims4("concatBackward", gradOutput);
  let first = 0;
  return channels.map((c) => {
    const grad = zeros([n, c, h, w]);
    for (let image = 0; image < n; image++) {
      const start = (image * total + first) * h * w;
      grad.data.set(gradOutput.data.subarray(start, start + c * h * w), image * c * h * w);
    }
    first += c;
    return grad;
  });
}
