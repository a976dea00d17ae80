import { assert, assertEquals } from "@std/assert";
import { c4Geometry } from "../../src/graph/layout.ts";
import { mapGrid } from "../../src/ops/channel_chunks.ts";

Deno.test("maps: grids cover every row of a plane once, within what a device runs", () => {
  for (const kernelFamily of ["cpu", "gpu"] as const) {
    for (const [height, width] of [[1, 1], [128, 192], [9, 5000], [66000, 1366], [300000, 2]]) {
      const g = c4Geometry([2, 5, height ?? 0, width ?? 0], "f32");
      const { grid, constants, rows } = mapGrid(g, { kernelFamily, vectorBits: 512 });
      const [across, down, planes] = grid(3);
      const { WALK, LANES, ROWS, GROUP_ROWS } = constants;
      assertEquals([planes, across * (WALK ? g.pitch : LANES)], [3, g.pitch]);
      const each = WALK ? rows : ROWS * GROUP_ROWS;
      assert(down * each >= g.rows && (down - 1) * each < g.rows, `${down} chunks of ${each} rows`);
      assert(down <= 65535, `${down} chunks`);
    }
  }
});
