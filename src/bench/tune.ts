/**
 * Tuning: runs a network's step once for each candidate that its kernels have and keeps, by shape,
 * the fastest. All shapes try their n-th candidate in the same program, so that the number of
 * programs is that of candidates, not of shapes.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import type { Tuning } from "../gpu/tuning.ts";
import { parameterGradients } from "../graph/autograd.ts";
import { Graph, type Tensor } from "../graph/graph.ts";
import { LowerContext, type LowerTarget } from "../graph/lower.ts";
import { MemoryPool } from "../graph/pool.ts";
import { PAUSE } from "../graph/profile.ts";
import { compile, type Program } from "../graph/program.ts";
import { lowerTarget } from "../graph/program_plan.ts";
import { rewrite } from "../graph/rewrite.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import { rmsprop } from "../nn/optimizers.ts";
import { Stream } from "../nn/random.ts";
import { UNet, type UnetOptions } from "../nn/unet.ts";
import { crossEntropy } from "../ops/cross_entropy.ts";
import { median } from "./peers.ts";

/** What to tune for. */
export interface TuneOptions extends BatchShape {
  mode: "train" | "infer";
  network: UnetOptions;
  /** Candidates that every shape tries at most. */
  candidates: number;
  /** Runs of each candidate, in turns; the fastest counts. */
  rounds: number;
  /** Called before the programs are compiled and before each round. */
  onProgress?: (message: string) => void;
}

/** What was found about a shape. */
export interface TunedShape {
  key: string;
  /** In the order of the family's own estimate, the favourite first. */
  candidates: { name: string; timeMs: number }[];
  /** The one to use. */
  best: string;
}

/** What came of it. */
export interface TuneResult {
  shapes: TunedShape[];
  /** Choices that differ from the favourites. */
  tuning: Tuning;
  /** A whole step by the clock, medians, in turns. */
  favouriteMs: number;
  tunedMs: number;
}

/** Less is noise: the favourite stays. */
const SMALLEST_GAIN = 0.03;

/** Whole steps for the final comparison, each way. */
const FINAL_STEPS = 5;

/** Measures every candidate of every shape of a step. */
export async function tuneStep(gpu: Gpu, options: TuneOptions): Promise<TuneResult> {
  const { net, graph, outputs } = record(options);
  const choices = choicesOf(graph, outputs, lowerTarget(gpu));
  const most = Math.min(
    options.candidates,
    Math.max(1, ...choices.names.values().map((names) => names.length)),
  );
  const pool = new MemoryPool(gpu);
  const programs: Program[] = [];
  const make = (tuning: Tuning) =>
    compile(gpu, graph, { outputs, stores: [net.store], pool, target: { tuning } });
  try {
    options.onProgress?.(
      `Compiling ${most} candidates for ${choices.names.size} shapes (seconds each, the first time)`,
    );
    for (let k = 0; k < most; k++) {
      const tuning = [...choices.names].map(([key, names]) => [key, names[k] ?? names[0] ?? ""]);
      programs.push(await make(Object.fromEntries(tuning)));
    }
    const image = graph.inputs.get("image");
    const values = image?.shape.reduce((product, size) => product * size, 1) ?? 0;
    programs[0]?.write("image", new Stream(1).uniform(values, 1));
    const times = new Map<string, number[]>();
    for (let round = 0; round < options.rounds; round++) {
      options.onProgress?.(`Round ${round + 1} of ${options.rounds}`);
      for (const [k, program] of programs.entries()) {
        for (const [key, timeMs] of await timeKeys(program, choices.keyOfStep)) {
          const row = times.get(key) ?? [];
          row[k] = Math.min(row[k] ?? Infinity, timeMs);
          times.set(key, row);
        }
      }
    }
    const shapes = [...choices.names].map(([key, names]): TunedShape => {
      const candidates = names.slice(0, most).map((name, k) => ({
        name,
        timeMs: times.get(key)?.[k] ?? Infinity,
      }));
      return { key, candidates, best: bestOf(candidates) };
    });
    const tuning = Object.fromEntries(
      shapes.filter(({ candidates, best }) => best !== candidates[0]?.name)
        .map(({ key, best }) => [key, best]),
    );
    const [favourite] = programs;
    const tuned = await make(tuning);
    programs.push(tuned);
    const [favouriteMs, tunedMs] = await compareSteps(gpu, favourite ?? tuned, tuned);
    return { shapes, tuning, favouriteMs, tunedMs };
  } finally {
    for (const program of programs) program.destroy();
    pool.destroy();
    net.store.destroy();
  }
}

/** The fastest candidate; the first where none is clearly faster. */
export function bestOf(candidates: readonly { name: string; timeMs: number }[]): string {
  const [favourite] = candidates;
  let best = favourite;
  for (const candidate of candidates) {
    if (best && candidate.timeMs < best.timeMs) best = candidate;
  }
  const isGain = best && favourite && best.timeMs < favourite.timeMs * (1 - SMALLEST_GAIN);
  return (isGain ? best : favourite)?.name ?? "";
}

function record({ network, mode, batch, height, width }: TuneOptions) {
  const net = new UNet(network);
  const graph = new Graph();
  const shape = [batch, net.config.channels, height, width];
  const image = graph.input("image", { shape, layout: "c4" });
  const logits = net.forward(image, { training: mode === "train" });
  if (mode === "infer") return { net, graph, outputs: { logits } as Record<string, Tensor> };
  const labels = graph.input("labels", { shape: [batch, height, width], dtype: "u32" });
  const loss = crossEntropy(logits, labels);
  // The optimizer's rate stays zero, so that the weights do as well.
  rmsprop().record(graph, net.store, parameterGradients(loss, net.store));
  return { net, graph, outputs: { loss } as Record<string, Tensor> };
}

/** The candidates of every shape, and which shape a step of the program belongs to. */
interface Choices {
  names: Map<string, readonly string[]>;
  keyOfStep: (string | undefined)[];
}

function choicesOf(graph: Graph, outputs: Record<string, Tensor>, target: LowerTarget): Choices {
  const names = new Map<string, readonly string[]>();
  const keyOfStep: Choices["keyOfStep"] = [];
  const context = new LowerContext(target);
  for (const node of rewrite(graph, Object.values(outputs))) {
    target.choices = new Map();
    context.lower(node);
    const [own] = target.choices;
    if (own && own[1].length > 1) names.set(...own);
    while (keyOfStep.length < context.steps.length) {
      keyOfStep.push(own && names.has(own[0]) ? own[0] : undefined);
    }
  }
  return { names, keyOfStep };
}

/** The time of all nodes of each shape in one run. */
async function timeKeys(
  program: Program,
  keyOfStep: readonly (string | undefined)[],
): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (const { step, kernel, timeMs } of await program.profile()) {
    const key = keyOfStep[step];
    if (key !== undefined && kernel !== PAUSE) times.set(key, (times.get(key) ?? 0) + timeMs);
  }
  return times;
}

async function compareSteps(gpu: Gpu, a: Program, b: Program): Promise<[number, number]> {
  const times: [number[], number[]] = [[], []];
  for (let step = 0; step < FINAL_STEPS; step++) {
    for (const [i, program] of [a, b].entries()) {
      const started = performance.now();
      program.run();
      await gpu.idle();
      times[i]?.push(performance.now() - started);
    }
  }
  return [median(times[0]), median(times[1])];
}
