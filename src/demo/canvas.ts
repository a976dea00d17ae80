/**
 * The surface a demo scene is painted on: for every sample its material, colour, height and slope.
 * Photo and mask are both read from it, which is why they fit to the pixel.
 * @module
 */

import { NoiseField, type Random } from "./noise.ts";

/** Class ids of the scene; `SCENE_CLASSES` names them in this order. */
export const Kind = {
  grass: 0,
  tree: 1,
  paved: 2,
  roof: 3,
  car: 4,
  person: 5,
  water: 6,
  soil: 7,
} as const;

/** The class of a sample nothing was painted on yet. */
const unpainted = 255;

/** Linear-light reflectance, each channel in [0, 1]. */
export type Colour = readonly [number, number, number];

/** Linear-light colour of sRGB values in [0, 255] (gamma 2.2, near enough for a drawing). */
export function colour(red: number, green: number, blue: number): Colour {
  return [(red / 255) ** 2.2, (green / 255) ** 2.2, (blue / 255) ** 2.2];
}

/** A place in the world, metres from the centre of the picture, and a heading in radians. */
export interface Frame {
  readonly x: number;
  readonly y: number;
  readonly angle: number;
}

/** The point (x, y) metres of `frame`, turned by `angle` more, as a frame of the world. */
export function within(frame: Frame, x: number, y: number, angle = 0): Frame {
  const c = Math.cos(frame.angle);
  const s = Math.sin(frame.angle);
  return {
    x: frame.x + c * x - s * y,
    y: frame.y + s * x + c * y,
    angle: frame.angle + angle,
  };
}

/** What a shader says about one point: class, reflectance, height in metres, slopes dh/dx, dh/dy. */
export interface Sample {
  kind: number;
  red: number;
  green: number;
  blue: number;
  height: number;
  slopeX: number;
  slopeY: number;
}

/** Fills `sample` for the local point (x, y) in metres; false leaves the canvas as it is there. */
export type Shader = (x: number, y: number, sample: Sample) => boolean;

/** Sets a sample's reflectance to `value` times `brightness`. */
export function tint(sample: Sample, value: Colour, brightness: number): void {
  sample.red = value[0] * brightness;
  sample.green = value[1] * brightness;
  sample.blue = value[2] * brightness;
}

/** Samples along each side of a pixel. */
export const samplesPerSide = 2;

/** Square metres a picture shows: 54 x 36 m where it is 3:2. */
const areaMetres = 54 * 36;

/** Height, colour and class of everything in view, at `samplesPerSide` squared samples a pixel. */
export class SceneCanvas {
  /** Picture size in samples. */
  readonly columns: number;
  readonly rows: number;
  /** Metres between two neighbouring samples. */
  readonly pitch: number;
  /** How far the world is turned against the picture, radians. */
  readonly heading: number;
  /** Unit vector to the sun in world coordinates; z is up. */
  readonly sun: { readonly x: number; readonly y: number; readonly z: number };
  readonly noise: NoiseField;

  readonly kind: Uint8Array;
  readonly red: Float32Array;
  readonly green: Float32Array;
  readonly blue: Float32Array;
  readonly height: Float32Array;
  /** Direct sunlight received, relative to flat ground. */
  readonly lit: Float32Array;

  readonly #sample: Sample = {
    kind: 0,
    red: 0,
    green: 0,
    blue: 0,
    height: 0,
    slopeX: 0,
    slopeY: 0,
  };

  constructor(random: Random, width: number, height: number) {
    this.columns = width * samplesPerSide;
    this.rows = height * samplesPerSide;
    this.pitch = Math.sqrt(areaMetres / (width * height)) / samplesPerSide;
    this.heading = random.range(-Math.PI, Math.PI);
    const azimuth = random.range(-Math.PI, Math.PI);
    const elevation = random.range(0.62, 1.0);
    this.sun = {
      x: Math.cos(azimuth) * Math.cos(elevation),
      y: Math.sin(azimuth) * Math.cos(elevation),
      z: Math.sin(elevation),
    };
    this.noise = new NoiseField(random);
    const count = this.columns * this.rows;
    this.kind = new Uint8Array(count).fill(unpainted);
    this.red = new Float32Array(count);
    this.green = new Float32Array(count);
    this.blue = new Float32Array(count);
    this.height = new Float32Array(count);
    this.lit = new Float32Array(count);
  }

  /** Half the picture's diagonal in metres: nothing farther from the centre can be seen. */
  get reach(): number {
    return Math.hypot(this.columns, this.rows) * this.pitch / 2;
  }

  /**
   * Runs `shader` over the box of half-sizes (halfX, halfY) metres around `frame`. Where it answers
   * true and is not below what lies there, its sample replaces what lies there.
   */
  paint(frame: Frame, halfX: number, halfY: number, shader: Shader): void {
    this.#draw(frame, halfX, halfY, shader);
  }

  /** As `paint`, over the whole picture, and only where nothing was painted yet. */
  fill(frame: Frame, shader: Shader): void {
    const { kind } = this;
    this.#draw(frame, 2 * this.reach, 2 * this.reach, shader, (i) => kind[i] === unpainted);
  }

  /** The class at a point of the world, or -1 outside the picture. */
  kindAt(x: number, y: number): number {
    const index = this.#indexAt(x, y);
    return index < 0 ? -1 : this.kind[index]!;
  }

  /** Whether `test` holds for the class on a 5 x 5 lattice of the box around `frame`. */
  boxIs(frame: Frame, halfX: number, halfY: number, test: (kind: number) => boolean): boolean {
    for (let j = -2; j <= 2; j++) {
      for (let i = -2; i <= 2; i++) {
        const point = within(frame, i * halfX / 2, j * halfY / 2);
        if (!test(this.kindAt(point.x, point.y))) return false;
      }
    }
    return true;
  }

  /** A random point of the world inside the picture, `margin` metres from its border. */
  randomPoint(random: Random, margin: number): Frame {
    const across = random.range(-0.5, 0.5) * (this.columns * this.pitch - 2 * margin);
    const down = random.range(-0.5, 0.5) * (this.rows * this.pitch - 2 * margin);
    return within({ x: 0, y: 0, angle: this.heading }, across, down, -this.heading);
  }

  #indexAt(x: number, y: number): number {
    const [exactColumn, exactRow] = this.#toSamples(x, y);
    const column = Math.round(exactColumn);
    const row = Math.round(exactRow);
    if (column < 0 || row < 0 || column >= this.columns || row >= this.rows) return -1;
    return row * this.columns + column;
  }

  #toSamples(x: number, y: number): [number, number] {
    const c = Math.cos(this.heading);
    const s = Math.sin(this.heading);
    return [
      (c * x + s * y) / this.pitch + (this.columns - 1) / 2,
      (c * y - s * x) / this.pitch + (this.rows - 1) / 2,
    ];
  }

  #draw(
    frame: Frame,
    halfX: number,
    halfY: number,
    shader: Shader,
    onlyAt?: (index: number) => boolean,
  ): void {
    const turn = this.heading - frame.angle;
    const stepX = Math.cos(turn) * this.pitch;
    const stepY = Math.sin(turn) * this.pitch;
    const [centreColumn, centreRow] = this.#toSamples(frame.x, frame.y);
    const spanColumns = (Math.abs(stepX) * halfX + Math.abs(stepY) * halfY) / this.pitch ** 2;
    const spanRows = (Math.abs(stepY) * halfX + Math.abs(stepX) * halfY) / this.pitch ** 2;
    const firstColumn = Math.max(0, Math.floor(centreColumn - spanColumns));
    const lastColumn = Math.min(this.columns - 1, Math.ceil(centreColumn + spanColumns));
    const firstRow = Math.max(0, Math.floor(centreRow - spanRows));
    const lastRow = Math.min(this.rows - 1, Math.ceil(centreRow + spanRows));

    // In row `down` the box is where `across` is within reachX of down * slantX, and within reachY of
    // down * slantY; nearly along an axis one of the two says nothing.
    const isAlongX = Math.abs(stepY) < 1e-9;
    const isAlongY = Math.abs(stepX) < 1e-9;
    const slantX = isAlongY ? 0 : stepY / stepX;
    const slantY = isAlongX ? 0 : -stepX / stepY;
    const reachX = isAlongY ? Infinity : halfX / Math.abs(stepX);
    const reachY = isAlongX ? Infinity : halfY / Math.abs(stepY);

    const c = Math.cos(frame.angle);
    const s = Math.sin(frame.angle);
    const sunX = c * this.sun.x + s * this.sun.y;
    const sunY = c * this.sun.y - s * this.sun.x;
    const sunZ = this.sun.z;
    const sample = this.#sample;
    const { columns, kind, red, green, blue, height, lit } = this;
    for (let row = firstRow; row <= lastRow; row++) {
      const down = row - centreRow;
      const left = Math.max(down * slantX - reachX, down * slantY - reachY);
      const right = Math.min(down * slantX + reachX, down * slantY + reachY);
      // Rounded outwards: whether the samples at the ends are inside is for the test below to say.
      const first = Math.max(firstColumn, Math.floor(centreColumn + left));
      const last = Math.min(lastColumn, Math.ceil(centreColumn + right));
      for (let column = first; column <= last; column++) {
        const across = column - centreColumn;
        const x = across * stepX - down * stepY;
        const y = across * stepY + down * stepX;
        if (x < -halfX || x > halfX || y < -halfY || y > halfY) continue;
        const index = row * columns + column;
        if (onlyAt && !onlyAt(index)) continue;
        sample.height = 0;
        sample.slopeX = 0;
        sample.slopeY = 0;
        if (!shader(x, y, sample) || sample.height < height[index]!) continue;
        kind[index] = sample.kind;
        red[index] = sample.red;
        green[index] = sample.green;
        blue[index] = sample.blue;
        height[index] = sample.height;
        const { slopeX, slopeY } = sample;
        const facing = (sunZ - slopeX * sunX - slopeY * sunY) /
          (sunZ * Math.sqrt(1 + slopeX * slopeX + slopeY * slopeY));
        lit[index] = facing > 0 ? facing : 0;
      }
    }
  }
}
