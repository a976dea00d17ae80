/**
 * From a painted canvas to a photo: cast shadows, sky light, then what a camera adds (exposure,
 * white balance, blur, noise, gamma).
 * @module
 */

import { samplesPerSide, type SceneCanvas } from "./canvas.ts";
import type { Random } from "./noise.ts";

/** Per pixel the greatest height of its samples, metres. */
function pixelHeights(canvas: SceneCanvas, width: number, height: number): Float32Array {
  const heights = new Float32Array(width * height);
  for (let row = 0; row < canvas.rows; row++) {
    const to = Math.floor(row / samplesPerSide) * width;
    for (let column = 0; column < canvas.columns; column++) {
      const index = to + Math.floor(column / samplesPerSide);
      const value = canvas.height[row * canvas.columns + column]!;
      if (value > heights[index]!) heights[index] = value;
    }
  }
  return heights;
}

/**
 * How much of the sun each pixel sees, [0, 1]: every pixel looks along the height field towards the
 * sun, and what only just rises above the line of sight covers it in part.
 */
function sunlight(
  canvas: SceneCanvas,
  heights: Float32Array,
  width: number,
  height: number,
): Float32Array {
  const visible = new Float32Array(width * height);
  const { sun, heading } = canvas;
  const flat = Math.hypot(sun.x, sun.y);
  const right = (Math.cos(heading) * sun.x + Math.sin(heading) * sun.y) / flat;
  const down = (Math.cos(heading) * sun.y - Math.sin(heading) * sun.x) / flat;
  const metres = canvas.pitch * samplesPerSide;
  const rise = sun.z / flat * metres;
  let highest = 0;
  for (const value of heights) if (value > highest) highest = value;
  const stride = Math.max(1, 0.17 / metres);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const own = heights[y * width + x]!;
      const farthest = (highest - own) / rise;
      let covered = 0;
      for (let far = stride; far < farthest && covered < 1; far += stride) {
        const column = Math.round(x + right * far);
        const row = Math.round(y + down * far);
        if (column < 0 || row < 0 || column >= width || row >= height) break;
        const over = heights[row * width + column]! - own - 0.12 - far * rise;
        if (over <= 0) continue;
        const part = over / (0.18 + 0.03 * far * metres);
        if (part > covered) covered = part;
      }
      visible[y * width + x] = covered >= 1 ? 0 : 1 - covered;
    }
  }
  return visible;
}

/** Mean over a square of 2 * radius + 1 pixels, border repeated; `values` is left as it is. */
function boxBlur(values: Float32Array, width: number, height: number, radius: number) {
  const rows = boxBlurLines(values, radius, {
    count: height,
    length: width,
    start: width,
    step: 1,
  });
  return boxBlurLines(rows, radius, { count: width, length: height, start: 1, step: width });
}

/** Mean over 2 * radius + 1 values along each of `count` lines, whose starts lie `start` apart. */
function boxBlurLines(
  from: Float32Array,
  radius: number,
  { count, length, start, step }: { count: number; length: number; start: number; step: number },
): Float32Array {
  const to = new Float32Array(from.length);
  for (let i = 0; i < count; i++) {
    const first = i * start;
    const at = (k: number) => from[first + Math.min(length - 1, Math.max(0, k)) * step]!;
    let sum = 0;
    for (let k = -radius; k <= radius; k++) sum += at(k);
    for (let k = 0; k < length; k++) {
      to[first + k * step] = sum / (2 * radius + 1);
      sum += at(k + radius + 1) - at(k - radius);
    }
  }
  return to;
}

/** Blurs one channel with the 3-tap kernel (side, 1 - 2 side, side) along rows, then columns. */
function soften(values: Float32Array, width: number, height: number, side: number): Float32Array {
  const rows = new Float32Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const near = values[x > 0 ? i - 1 : i]! + values[x < width - 1 ? i + 1 : i]!;
      rows[i] = (1 - 2 * side) * values[i]! + side * near;
    }
  }
  const out = new Float32Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const near = rows[y > 0 ? i - width : i]! + rows[y < height - 1 ? i + width : i]!;
      out[i] = (1 - 2 * side) * rows[i]! + side * near;
    }
  }
  return out;
}

/** The photo of a canvas: width x height x RGB bytes. */
export function develop(
  canvas: SceneCanvas,
  random: Random,
  width: number,
  height: number,
): Uint8Array<ArrayBuffer> {
  const heights = pixelHeights(canvas, width, height);
  const sun = soften(sunlight(canvas, heights, width, height), width, height, 0.2);
  const around = boxBlur(heights, width, height, Math.max(1, Math.round(1.1 / canvas.pitch / 2)));

  const exposure = random.range(0.88, 1.25);
  const contrast = random.range(0.62, 0.82);
  const warmth = random.range(-0.07, 0.07);
  const cast = random.range(-0.025, 0.025);
  const haze = random.range(0, 0.025);
  const direct = [contrast * 1.06, contrast, contrast * 0.92];
  const ambient = [(1 - contrast) * 0.86, (1 - contrast) * 0.98, (1 - contrast) * 1.2];
  const gain = [1 + warmth, 1 + cast, 1 - warmth];
  const blur = random.range(0.04, 0.13);
  const grain = random.range(1, 3);

  const photo = new Uint8Array(width * height * 3);
  const samples = samplesPerSide * samplesPerSide;
  const gamma = new Uint8Array(4097);
  for (let i = 0; i < gamma.length; i++) gamma[i] = Math.round(255 * (i / 4096) ** (1 / 2.2));
  const channels = [canvas.red, canvas.green, canvas.blue];
  for (const [c, samplesOf] of channels.entries()) {
    const light = new Float32Array(width * height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const pixel = y * width + x;
        let shaded = 0;
        let bright = 0;
        for (let j = 0; j < samplesPerSide; j++) {
          const first = (y * samplesPerSide + j) * canvas.columns + x * samplesPerSide;
          for (let i = 0; i < samplesPerSide; i++) {
            const value = samplesOf[first + i]!;
            shaded += value;
            bright += value * canvas.lit[first + i]!;
          }
        }
        // What stands around a point hides part of the sky from it.
        const hidden = Math.min(0.5, Math.max(0, 0.09 * (around[pixel]! - heights[pixel]!)));
        light[pixel] = (shaded * ambient[c]! * (1 - hidden) + bright * direct[c]! * sun[pixel]!) /
          samples;
      }
    }
    const seen = soften(light, width, height, blur);
    for (let pixel = 0; pixel < seen.length; pixel++) {
      const value = haze + seen[pixel]! * exposure * gain[c]!;
      // A sum of two uniform numbers is close enough to the bell shape of sensor noise.
      const noise = grain * (random.next() + random.next() - 1) * 1.7;
      const level = gamma[Math.min(4096, Math.round(value * 4096))]! + noise;
      photo[pixel * 3 + c] = Math.min(255, Math.max(0, Math.round(level)));
    }
  }
  return photo;
}

/** The class of each pixel: the commonest of its samples, ties to the higher surface. */
export function classMask(
  canvas: SceneCanvas,
  width: number,
  height: number,
): Uint8Array<ArrayBuffer> {
  const mask = new Uint8Array(width * height);
  const votes = new Float32Array(256);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let best = 0;
      let winner = 0;
      for (let k = 0; k < 2 * samplesPerSide * samplesPerSide; k++) {
        const i = k % samplesPerSide;
        const j = Math.floor(k / samplesPerSide) % samplesPerSide;
        const index = (y * samplesPerSide + j) * canvas.columns + x * samplesPerSide + i;
        const kind = canvas.kind[index]!;
        if (k >= samplesPerSide * samplesPerSide) {
          votes[kind] = 0;
          continue;
        }
        votes[kind]! += 1 + 0.01 * Math.min(20, canvas.height[index]!);
        if (votes[kind]! > best) {
          best = votes[kind]!;
          winner = kind;
        }
      }
      mask[y * width + x] = winner;
    }
  }
  return mask;
}
