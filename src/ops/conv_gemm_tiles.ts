/**
 * Tile sizes of the gemm family: what a workgroup computes together and what of it a thread keeps
 * in registers. Candidates are ranked by a cost model, whose constants were fitted to an NVIDIA H100
 * (tests/bench/README.md has the measurements); a tuner may time the first few.
 * @module
 */

import type { Candidate } from "../gpu/tuning.ts";

/** What WebGPU guarantees, which browsers grant without being asked for more. */
const MAX_WORKGROUP_BYTES = 16384;
const MAX_INVOCATIONS = 256;

/** A big GPU: so many multiprocessors, each with so many multiply-adds at once. */
const MULTIPROCESSORS = 128;
const LANES_AT_ONCE = 128;
/** 32-bit registers of a multiprocessor, which its resident workgroups share. */
const MULTIPROCESSOR_REGISTERS = 65536;
const THREAD_REGISTERS = 255;
/** Registers of a thread for addresses and counters. */
const OTHER_REGISTERS = 16;

/** So many resident warps wait for as long as they compute. */
const WAITING_WARPS = 6;
/** Time to read a vec4 from workgroup memory, in multiply-adds of a thread. */
const READ_COST = 4;
/** Time to bring a vec4 into workgroup memory, likewise. */
const LOAD_COST = 24;
/** Where finding it takes divisions by no power of two, and clamps. */
const WINDOW_LOAD_COST = 32;
/** Time of a step's two barriers for each thread, in multiply-adds. */
const STEP_COST = 64;

/** Threads over channels or slices: few sizes, since each is a shader to compile. */
const GROUPS = [16, 8, 4, 2, 1];

/** The sizes of which no half is idle. */
function groupsFor(needed: number): number[] {
  return GROUPS.filter((n) => n < 2 * needed);
}

/** Pixels of a row a thread of the forward kernel computes; its tiles are as wide. */
export const PIXELS = 8;

/** What a workgroup of the forward kernel computes. */
export interface ForwardTile extends Candidate {
  /** Threads over output channels. */
  readonly channelGroups: number;
  /** Planes of four output channels a thread computes. */
  readonly outPlanes: number;
  /** Rows of pixels. */
  readonly rows: number;
  /** Input planes a step takes. */
  readonly planes: number;
}

/** What decides a forward tile; sizes are those of one phase. */
export interface ForwardProblem {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly phases: number;
  readonly inputPlanes: number;
  readonly outputPlanes: number;
  readonly tapsY: number;
  readonly tapsX: number;
}

/** Rows of a tile, in eights, because the threads of a warp differ in rows. */
const FORWARD_ROWS = [32, 16, 8];

/** The tiles that fit WebGPU's default limits, the one that should be fastest first. */
export function forwardTiles(problem: ForwardProblem): [ForwardTile, ...ForwardTile[]] {
  const ranked: Ranked<ForwardTile>[] = [];
  for (const outPlanes of planesOfThread(problem.outputPlanes)) {
    for (const channelGroups of groupsFor(problem.outputPlanes / outPlanes)) {
      for (const rows of FORWARD_ROWS) {
        const size = { channelGroups, outPlanes, rows };
        const planes = [4, 2, 1].find((n) =>
          (n === 1 || n <= problem.inputPlanes) &&
          forwardBytes({ ...size, planes: n }, problem) <= MAX_WORKGROUP_BYTES
        );
        if (channelGroups * rows > MAX_INVOCATIONS || planes === undefined) continue;
        const name = `${channelGroups}x${outPlanes * 4} channels, ${rows}x${PIXELS}, ` +
          `planes ${planes}`;
        const tile = { name, ...size, planes };
        ranked.push({ tile, cost: forwardCost(tile, problem) });
      }
    }
  }
  return cheapestFirst(ranked, problem);
}

/** Planes of output channels that a thread may take: fewer need fewer registers. */
function planesOfThread(outputPlanes: number): number[] {
  return outputPlanes === 1 ? [1] : [2, 1];
}

interface Ranked<T> {
  tile: T;
  cost: number;
}

function cheapestFirst<T>(ranked: Ranked<T>[], problem: unknown): [T, ...T[]] {
  const [first, ...others] = ranked.sort((a, b) => a.cost - b.cost).map(({ tile }) => tile);
  if (first === undefined) throw new RangeError(`no tile for ${JSON.stringify(problem)}`);
  return [first, ...others];
}

/** Workgroup memory of a forward tile: the window of pixels, with an odd pitch, and the weights. */
export function forwardBytes(
  tile: Omit<ForwardTile, "name">,
  { tapsY, tapsX }: ForwardProblem,
): number {
  const pitch = (PIXELS + tapsX - 1) | 1;
  const pixels = (tile.rows + tapsY - 1) * pitch;
  const weights = tapsY * tapsX * 4 * tile.channelGroups * tile.outPlanes;
  return tile.planes * (pixels + weights) * 16;
}

/** Multiply-adds, loads and barriers of all workgroups, and the wait for the last of them. */
function forwardCost(tile: ForwardTile, p: ForwardProblem): number {
  const blocks = Math.ceil(p.outputPlanes / (tile.channelGroups * tile.outPlanes));
  const tiles = Math.ceil(p.height / tile.rows) * Math.ceil(p.width / PIXELS);
  const window = PIXELS + p.tapsX - 1;
  const rows = tile.planes * p.tapsY;
  const multiplyAdds = rows * p.tapsX * 16 * tile.outPlanes * PIXELS;
  const reads = rows * (window + p.tapsX * 4 * tile.outPlanes);
  const lanes = wholeWarps(tile.channelGroups * tile.rows);
  const loads = forwardBytes(tile, p) / 16;
  const registers = 4 * (PIXELS * tile.outPlanes + window + tile.outPlanes + loads / lanes);
  const cost = Math.ceil(p.inputPlanes / tile.planes) * waiting(registers, lanes) *
    (lanes * (multiplyAdds + reads * READ_COST + STEP_COST) + loads * LOAD_COST);
  const last = MULTIPROCESSORS * Math.max(1, LANES_AT_ONCE / lanes);
  return cost * (p.batch * p.phases * blocks * tiles + last);
}

/**
 * How much longer a workgroup takes because its threads wait for memory while too few others are
 * resident. Measured: a weight gradient with 6 warps resident takes 1.34 times as long as with 12.
 */
function waiting(values: number, lanes: number): number {
  const wanted = Math.ceil(values) + OTHER_REGISTERS;
  const registers = Math.ceil(Math.min(THREAD_REGISTERS, wanted) / 8) * 8;
  const workgroups = Math.max(1, Math.floor(MULTIPROCESSOR_REGISTERS / (registers * lanes)));
  // What does not fit a thread's registers lies in memory.
  const spilled = Math.max(1, wanted / THREAD_REGISTERS);
  return spilled * (1 + WAITING_WARPS * 32 / (workgroups * lanes));
}

/** A workgroup of 48 threads takes the time of 64. */
function wholeWarps(threads: number): number {
  return Math.ceil(threads / 32) * 32;
}

/** What a workgroup of the weight gradient kernel computes. */
export interface WeightGradTile extends Candidate {
  /** Threads over output channels. */
  readonly outGroups: number;
  /** Planes of four output channels a thread computes. */
  readonly outPlanes: number;
  /** Threads over input channels, 4 channels each, 8 where a thread has a single tap. */
  readonly inGroups: number;
  readonly inPlanes: number;
  /** Threads over pixels; each leaves a partial sum of its own. */
  readonly slices: number;
  /** Pixels of a step. */
  readonly height: number;
  readonly width: number;
}

/** What decides a weight gradient tile; sizes are the output's. */
export interface WeightGradProblem {
  /** Partial sums that there is room for. */
  readonly maxSums: number;
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly inputPlanes: number;
  readonly outputPlanes: number;
  readonly tapsY: number;
  readonly tapsX: number;
}

/** Neighbouring pixels a thread of the weight gradient reads at once. */
export const WEIGHT_GRAD_PIXELS = 4;

/** Rows of a slice and columns. */
const WEIGHT_GRAD_SIZES = [[4, 8], [2, 8], [1, 8], [1, 4]] as const;

/** The tiles that fit WebGPU's default limits, the one that should be fastest first. */
export function weightGradTiles(
  problem: WeightGradProblem,
): [WeightGradTile, ...WeightGradTile[]] {
  // With three taps in a row 8 x 4 channels are 96 sums, with one tap 8 x 8 are 64.
  const inPlanes = problem.tapsX === 1 && problem.inputPlanes > 1 ? 2 : 1;
  const ranked: Ranked<WeightGradTile>[] = [];
  for (const outPlanes of planesOfThread(problem.outputPlanes)) {
    for (const outGroups of groupsFor(problem.outputPlanes / outPlanes)) {
      for (const inGroups of groupsFor(problem.inputPlanes / inPlanes)) {
        for (const slices of GROUPS.filter((n) => n <= problem.maxSums)) {
          for (const [rows, width] of WEIGHT_GRAD_SIZES) {
            const height = rows * slices;
            const name = `${outGroups}x${outPlanes * 4} by ${inGroups}x${inPlanes * 4} channels, ` +
              `${height}x${width}, slices ${slices}`;
            const tile = { name, outGroups, outPlanes, inGroups, inPlanes, slices, height, width };
            if (
              weightGradThreads(tile, problem) <= MAX_INVOCATIONS &&
              weightGradBytes(tile, problem) <= MAX_WORKGROUP_BYTES
            ) {
              ranked.push({ tile, cost: weightGradCost(tile, problem) });
            }
          }
        }
      }
    }
  }
  return cheapestFirst(ranked, problem);
}

/** Threads of a workgroup: one for each of its groups, kernel rows and slices. */
export function weightGradThreads(tile: WeightGradTile, { tapsY }: WeightGradProblem): number {
  return tile.outGroups * tile.inGroups * tapsY * tile.slices;
}

/** Workgroup memory of a weight gradient tile: output gradient and input, planes at odd pitches. */
export function weightGradBytes(tile: WeightGradTile, problem: WeightGradProblem): number {
  const [gradient, input] = weightGradCells(tile, problem).map((cells) => cells | 1);
  return 16 * (tile.outGroups * tile.outPlanes * (gradient ?? 0) +
    tile.inGroups * tile.inPlanes * (input ?? 0));
}

function weightGradCells(tile: WeightGradTile, p: WeightGradProblem): [number, number] {
  return [
    tile.height * tile.width,
    (tile.height + p.tapsY - 1) * (tile.width + p.tapsX - 1),
  ];
}

function weightGradCost(tile: WeightGradTile, p: WeightGradProblem): number {
  const outBlocks = Math.ceil(p.outputPlanes / (tile.outGroups * tile.outPlanes));
  const inBlocks = Math.ceil(p.inputPlanes / (tile.inGroups * tile.inPlanes));
  const tiles = p.batch * Math.ceil(p.height / tile.height) * Math.ceil(p.width / tile.width);
  const sums = tile.outPlanes * tile.inPlanes * p.tapsX * 16;
  const pixels = tile.height * tile.width / tile.slices;
  const window = (WEIGHT_GRAD_PIXELS + p.tapsX - 1) * tile.inPlanes;
  const reads = pixels / WEIGHT_GRAD_PIXELS * (window + WEIGHT_GRAD_PIXELS * tile.outPlanes);
  const lanes = wholeWarps(weightGradThreads(tile, p));
  const [gradient, input] = weightGradCells(tile, p);
  const gradientLoads = tile.outGroups * tile.outPlanes * gradient;
  const inputLoads = tile.inGroups * tile.inPlanes * input;
  const registers = sums + 4 * (window + tile.outPlanes + (gradientLoads + inputLoads) / lanes);
  return outBlocks * inBlocks * tiles * waiting(registers, lanes) *
    (lanes * (pixels * sums + reads * READ_COST + STEP_COST) +
      gradientLoads * LOAD_COST + inputLoads * WINDOW_LOAD_COST);
}

/**
 * Workgroups that share the pixels: many for each multiprocessor, since those of the last round
 * leave most of them idle (with 1.3 times as many as are resident, a third of the time was lost).
 * But each leaves sums as large as three tiles, which have to be written, read and added.
 */
const WORKGROUPS_OF_MULTIPROCESSOR = 8;
const TILES_OF_STRIP = 8;
const MAX_PARTIAL_BYTES = 48 * 2 ** 20;

/**
 * Strips of pixels, each summed by workgroups of its own.
 * @param groupsOfStrip workgroups that work on a strip
 * @param stripBytes partial sums a strip leaves, all slices together
 * @param tiles of all images
 * @param most strips that there is room for
 */
export function weightGradStrips(
  groupsOfStrip: number,
  stripBytes: number,
  tiles: number,
  most: number,
): number {
  const filling = Math.ceil(MULTIPROCESSORS * WORKGROUPS_OF_MULTIPROCESSOR / groupsOfStrip);
  const affordable = Math.floor(MAX_PARTIAL_BYTES / stripBytes);
  return Math.max(1, Math.min(Math.ceil(tiles / TILES_OF_STRIP), filling, affordable, most));
}
