/**
 * Whole maps from overlapping windows: each is added with its weights to a ring of rows, so that a
 * map of any height takes the memory of one row of windows.
 * @module
 */
import code from "../../shaders/window_blend.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../graph/graph.ts";
import { c4Geometry } from "../graph/layout.ts";
import type { BlendArea } from "./blend_area.ts";

/** Where a window goes, for {@linkcode windowBlend}; 5 words by {@linkcode placementWords}. */
export interface WindowPlacement {
  /** First column. */
  left: number;
  /** First row. */
  top: number;
  /** Columns before this one hold earlier windows' sums, which are added to. */
  keepX: number;
  /** Rows before this one do, too; everything else is overwritten. */
  keepY: number;
  /** The values are mirrored: left to right, top to bottom. */
  flip?: readonly [boolean, boolean];
}

/** The values of the input `placement` of {@linkcode windowBlend}. */
export function placementWords({ left, top, keepX, keepY, flip }: WindowPlacement): Uint32Array {
  return Uint32Array.of(left, top, keepX, keepY, (flip?.[0] ? 1 : 0) + (flip?.[1] ? 2 : 0));
}

/**
 * Adds a window to `area`, each value times its column's and its row's weight; see the shader for
 * what is added to and what overwritten.
 *
 * @param values f32 [1, C, h, w], C as the area has.
 * @param weights flat [w + h]: of the columns, then of the rows.
 * @param placement u32 [5], see {@linkcode placementWords}; the window must lie inside the map.
 */
export function windowBlend(
  values: Tensor,
  weights: Tensor,
  placement: Tensor,
  area: BlendArea,
): void {
  const [batch = 0, channels = 0, height = 0, width = 0] = values.shape;
  const [count = 0] = weights.shape;
  if (
    values.layout !== "c4" || batch !== 1 || channels !== area.channels ||
    count !== width + height || placement.dtype !== "u32" || placement.shape[0] !== 5 ||
    height > area.rows || width > area.width
  ) {
    throw new ShapeError(
      `window_blend got "${values.label}" ${values.describe()}, weights ${weights.describe()} and ` +
        `placement ${placement.describe()}, expected a window [1, ${area.channels}, h, w] of at ` +
        `most ${area.rows} x ${area.width} pixels, [w + h] weights and u32[5].`,
    );
  }
  values.graph.record({
    op: "window_blend",
    inputs: [values, weights, placement],
    outputs: [],
    effect: true,
    lower(context) {
      const { pitch } = c4Geometry(values.shape, values.dtype);
      for (const { memory, firstBlock, blocks } of area.chunks) {
        context.dispatch({
          kernel: { name: "window_blend", source: code, constants: {} },
          params: [width, height, pitch, firstBlock, area.rows, area.width],
          grid: [Math.ceil(width / 64), height, blocks],
        }, [context.reading("values", values), weights, placement, memory]);
      }
    },
  });
}
