/**
 * How work over the planes of an image is cut into invocations: sums in two levels, and maps that
 * read per-channel values once for several rows.
 * @module
 */
import type { C4Geometry } from "../graph/layout.ts";
import { MAX_WORKGROUPS, vectorLanes } from "./grid.ts";

/** Which kind of adapter the kernels run on. */
export type Family = "gpu" | "cpu";

/** Template constants of the first level of a sum. */
export interface ChunkConstants {
  /** Invocations that share a chunk and walk through it side by side. */
  CHUNK_LANES: number;
  /** Chunks of a workgroup. */
  GROUP_CHUNKS: number;
}

/**
 * A GPU reads 16 vec4s, 256 bytes, at once. On the processor 8 invocations are one vector that runs
 * through its chunk alone: with 8 the chunk is read as one stream, with 16 in two passes that skip
 * every other 128 bytes, at half the speed.
 */
const CHUNK: Record<Family, ChunkConstants> = {
  gpu: { CHUNK_LANES: 16, GROUP_CHUNKS: 4 },
  cpu: { CHUNK_LANES: 8, GROUP_CHUNKS: 1 },
};

/**
 * How many vec4s an invocation of the first level takes. On the processor every partial costs a slow
 * store and second-level work. A GPU waits for memory once for each value that an invocation takes,
 * at either level, and needs many invocations: as many values at both, within bounds.
 */
const PARTIAL_LENGTH: Record<Family, (count: number) => number> = {
  gpu: (count) => Math.min(64, Math.max(8, Math.ceil(Math.sqrt(count / FINISH.gpu.LANES)))),
  cpu: () => 1024,
};

/** Template constants of the second level of a sum. */
export interface FinishConstants {
  /** Invocations that share a block of four channels, a power of two. */
  LANES: number;
  /** Blocks of a workgroup. */
  GROUP_BLOCKS: number;
}

const FINISH: Record<Family, FinishConstants> = {
  gpu: { LANES: 256, GROUP_BLOCKS: 1 },
  cpu: { LANES: 1, GROUP_BLOCKS: 64 },
};

/** vec4s that a workgroup of a map walks along, about: beside them it costs little to start one. */
const WALK_VECTORS = 2048;

/** The second level of a sum for `blocks` blocks of four channels. */
export function finishGrid(
  blocks: number,
  family: Family,
): { constants: FinishConstants; grid: [number, number, number] } {
  const constants = FINISH[family];
  return { constants, grid: [Math.ceil(blocks / constants.GROUP_BLOCKS), 1, 1] };
}

/** Chunks of a plane for the first level of a sum. */
export interface PlaneChunks {
  constants: ChunkConstants;
  /** vec4s of a chunk, a multiple of CHUNK_LANES */
  chunkSize: number;
  chunks: number;
  /** Partial results of a plane. */
  length: number;
  /** Workgroups for `planes` planes: chunks in y, planes in z. */
  grid(planes: number): [number, number, number];
}

/**
 * Cuts a plane of `count` vec4s into runs of memory.
 * @param mostLength partial results of a plane that there is room for; no fewer than a chunk's
 */
export function planeChunks(
  count: number,
  family: Family,
  mostLength: number = Infinity,
): PlaneChunks {
  const { CHUNK_LANES, GROUP_CHUNKS } = CHUNK[family];
  const mostChunks = Math.max(1, Math.floor(mostLength / CHUNK_LANES));
  const lanes = Math.max(
    PARTIAL_LENGTH[family](count),
    Math.ceil(count / (Math.min(mostChunks, MAX_WORKGROUPS * GROUP_CHUNKS) * CHUNK_LANES)),
  );
  return cut(count, lanes * CHUNK_LANES, family);
}

/** Cuts the rows of an image, without its border, into runs of whole rows. */
export function rowChunks(
  g: C4Geometry,
  family: Family,
  mostLength: number = Infinity,
): PlaneChunks & { chunkRows: number } {
  const { CHUNK_LANES } = CHUNK[family];
  const mostChunks = Math.max(1, Math.floor(mostLength / CHUNK_LANES));
  const wanted = Math.max(
    Math.ceil(PARTIAL_LENGTH[family](g.planeSize) * CHUNK_LANES / g.pitch),
    Math.ceil(g.height / mostChunks),
  );
  const chunkRows = Math.min(g.height, wanted);
  return { chunkRows, ...cut(g.height * g.pitch, chunkRows * g.pitch, family) };
}

function cut(count: number, chunkSize: number, family: Family): PlaneChunks {
  const constants = CHUNK[family];
  const chunks = Math.ceil(count / chunkSize);
  return {
    constants,
    chunkSize,
    chunks,
    length: chunks * constants.CHUNK_LANES,
    grid: (planes) => [1, Math.ceil(chunks / constants.GROUP_CHUNKS), planes],
  };
}

/** How a map, which writes whole planes, border included, is cut into workgroups. */
export interface MapGrid {
  /** Columns in x, where none walks, chunks of rows in y, planes in z. */
  grid(planes: number): [number, number, number];
  /**
   * Template constants. WALK 0: LANES neighbours in a row, each of which takes ROWS rows of its column,
   * and GROUP_ROWS such chunks of rows in a workgroup; 1: a workgroup's LANES walk along `rows` rows.
   */
  constants: { WALK: number; LANES: number; ROWS: number; GROUP_ROWS: number };
  /** Rows of a workgroup that walks. */
  rows: number;
}

/**
 * On a GPU an invocation takes a few rows of a column. On the processor a workgroup is one vector that
 * walks along whole rows: it reads and writes memory in order, twice as fast.
 */
export function mapGrid(
  g: C4Geometry,
  target: { kernelFamily: Family; vectorBits?: number },
): MapGrid {
  if (target.kernelFamily === "cpu") {
    const fewest = Math.ceil(g.rows / MAX_WORKGROUPS);
    const rows = Math.max(1, fewest, Math.round(WALK_VECTORS / g.pitch));
    const constants = { WALK: 1, LANES: vectorLanes(target), ROWS: 0, GROUP_ROWS: 1 };
    return { grid: (planes) => [1, Math.ceil(g.rows / rows), planes], constants, rows };
  }
  const constants = { WALK: 0, LANES: 16, ROWS: 4, GROUP_ROWS: 4 };
  const groups = Math.ceil(g.rows / (constants.ROWS * constants.GROUP_ROWS));
  return { grid: (planes) => [g.pitch / 16, groups, planes], constants, rows: 0 };
}
