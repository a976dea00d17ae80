/**
 * Class maps and probabilities out of a blended map, some rows at a time.
 * @module
 */
import code from "../../shaders/area_argmax.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Tensor } from "../graph/graph.ts";
import type { BlendArea } from "./blend_area.ts";

/** Options of {@linkcode areaArgmax}. */
export interface AreaArgmaxOptions {
  /** [height, width] of the whole class map. */
  size: readonly [number, number];
  /** Rows of it that one run makes. */
  rows: number;
  /** What was blended. */
  values: "logits" | "probabilities";
  /** Two-class networks only: class 1 where its probability is above this, 0 to 1. */
  threshold?: number;
  /** Whether the probabilities are wanted, too. */
  probabilities?: boolean;
}

/** What {@linkcode areaArgmax} makes. */
export interface AreaArgmax {
  /** u32 [rows, ceil(W / 4)]: class ids as bytes, see `unpackIds`. */
  ids: Tensor;
  /** u32 [K, rows, ceil(W / 4) * 2]: float16, two of a row in a word; padding follows each row. */
  probabilities: Tensor | undefined;
}

/**
 * Rows of the class map of `area`: its values, brought to `size` by bilinear interpolation
 * (PyTorch's `interpolate(..., align_corners=False)`), then the best class of each pixel. The rows
 * that they come from must be complete and still be held.
 *
 * @param firstRow u32 [1]: the first row to make; what would lie below the map stays as it was.
 * @throws {ShapeError} for more than 255 classes, or a threshold with other than two.
 */
export function areaArgmax(
  area: BlendArea,
  firstRow: Tensor,
  { size: [height, width], rows, values, threshold, probabilities = false }: AreaArgmaxOptions,
): AreaArgmax {
  const { channels } = area;
  if (channels > 255 || (threshold !== undefined && channels !== 2)) {
    throw new ShapeError(
      `area_argmax got ${channels} classes${threshold === undefined ? "" : " and a threshold"}, ` +
        "expected at most 255, and two for a threshold.",
    );
  }
  const words = Math.ceil(width / 4);
  const { outputs: [ids, maps] } = firstRow.graph.record({
    op: "area_argmax",
    inputs: [firstRow],
    outputs: [
      { shape: [rows, words], dtype: "u32" },
      ...(probabilities ? [{ shape: [channels, rows, words * 2], dtype: "u32" as const }] : []),
    ],
    attributes: { height, width, values, ...(threshold === undefined ? {} : { threshold }) },
    lower(context, { outputs: [ids, maps] }) {
      if (!ids) throw new Error("area_argmax has no output");
      const best = context.scratch("best", rows * words * 16);
      const total = context.scratch("total", rows * words * 16);
      const grid: [number, number, number] = [Math.ceil(words / 64), rows, 1];
      const shared = {
        THRESHOLD: threshold === undefined ? 0 : 1,
        PROBABILITIES: values === "probabilities" ? 1 : 0,
        TOTAL: maps && values === "logits" ? 1 : 0,
      };
      for (const pass of maps ? ["best", "probability"] : ["best"]) {
        for (const [at, { memory, firstBlock, blocks }] of area.chunks.entries()) {
          const FIRST = at === 0 ? 1 : 0;
          context.dispatch({
            kernel: {
              name: `area_argmax_${pass}`,
              source: code,
              constants: { PASS: pass, FIRST, ...shared },
            },
            params: [
              ...[area.width, area.height, area.rows, channels, firstBlock, blocks],
              ...[width, height, words, rows],
              ...[area.width / width, area.height / height, threshold ?? 0.5].map(f32Bits),
            ],
            grid,
          }, [
            firstRow,
            context.reading("area", memory, "f32"),
            ...(pass === "best" || !maps
              ? [ids, best, total]
              : [...context.readings(["best", "total"], [best, total], "f32"), maps]),
          ]);
        }
      }
    },
  });
  if (!ids) throw new Error("area_argmax has no output");
  return { ids, probabilities: maps };
}
