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
import { MemoryPool } from "../graph/pool.ts";
import { PAUSE } from "../graph/profile.ts";
import { compile, type Program } from "../graph/program.ts";
import { lowerTarget } from "../graph/program_plan.ts";
import type { BatchShape } from "../nn/batch_shape.ts";
import { rmsprop } from "../nn/optimizers.ts";
import { Stream } from "../nn/random.ts";
import { UNet, type UnetOptions } from "../nn/unet.ts";
import { crossEntropy } from "../ops/cross_entropy.ts";
import { median } from "./peers.ts";
import { queueLength, stepsQueuedMs, timeQueued } from "./queued.ts";
import { type StepOwner, stepOwners } from "./step_owners.ts";

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
  const { net, graph, outputs } = recordTunedStep(options);
  const pool = new MemoryPool(gpu);
  const programs: Program[] = [];
  const compileWith = async (tuning: Tuning): Promise<Program> => {
    const target = { tuning };
    const program = await compile(gpu, graph, { outputs, stores: [net.store], pool, target });
    programs.push(program);
    return program;
  };
  const variantOf = async (tuning: Tuning): Promise<Variant> => {
    const program = await compileWith(tuning);
    const owners = stepOwners(program.plan, graph, { ...lowerTarget(gpu), tuning });
    return { program, owners, compileAgain: () => compileWith(tuning) };
  };
  try {
    const favourite = await variantOf({});
    const names = namesOf(favourite);
    const most = Math.min(
      options.candidates,
      Math.max(1, ...names.values().map((list) => list.length)),
    );
    options.onProgress?.(
      `Compiling ${most} candidates for ${names.size} shapes (seconds each, the first time)`,
    );
    const variants = [favourite];
    for (let k = 1; k < most; k++) {
      const tuning = [...names].map(([key, list]) => [key, list[k] ?? list[0] ?? ""]);
      variants.push(await variantOf(Object.fromEntries(tuning)));
    }
    const image = graph.inputs.get("image");
    const values = image?.shape.reduce((product, size) => product * size, 1) ?? 0;
    (await ready(favourite)).write("image", new Stream(1).uniform(values, 1));
    const times = new Map<string, number[]>();
    for (let round = 0; round < options.rounds; round++) {
      options.onProgress?.(`Round ${round + 1} of ${options.rounds}`);
      for (const [k, variant] of variants.entries()) {
        for (const [key, timeMs] of await timeKeys(variant)) {
          const row = times.get(key) ?? [];
          row[k] = Math.min(row[k] ?? Infinity, timeMs);
          times.set(key, row);
        }
      }
    }
    const shapes = [...names].map(([key, list]): TunedShape => {
      const candidates = list.slice(0, most).map((name, k) => ({
        name,
        timeMs: times.get(key)?.[k] ?? Infinity,
      }));
      return { key, candidates, best: bestOf(candidates) };
    });
    const tuning = Object.fromEntries(
      shapes.filter(({ candidates, best }) => best !== candidates[0]?.name)
        .map(({ key, best }) => [key, best]),
    );
    const [favouriteMs, tunedMs] = await compareSteps(gpu, favourite, await variantOf(tuning));
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

/** Records the step. */
export function recordTunedStep(
  { network, mode, batch, height, width }: Pick<TuneOptions, "network" | "mode"> & BatchShape,
) {
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

/** The step with one candidate for each shape. */
interface Variant {
  program: Program;
  readonly owners: readonly StepOwner[];
  readonly compileAgain: () => Promise<Program>;
}

/** The program, made anew where another one took its memory. */
async function ready(variant: Variant): Promise<Program> {
  const { program } = variant;
  if (program.isEvicted) {
    variant.program = await variant.compileAgain();
    program.destroy();
  }
  return variant.program;
}

/** The names that every shape with a choice has, the favourite first. */
function namesOf({ owners }: Variant): Map<string, readonly string[]> {
  return new Map(
    owners.flatMap(({ choices }) => [...choices].filter(([, names]) => names.length > 1)),
  );
}

/**
 * The time of all nodes of each shape in one run. A node of several shapes, such as a convolution
 * that is cut into parts, counts for each of them: they change candidates together.
 */
async function timeKeys(variant: Variant): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (const { step, kernel, timeMs } of await (await ready(variant)).profile()) {
    if (kernel === PAUSE) continue;
    for (const key of variant.owners[step]?.choices.keys() ?? []) {
      times.set(key, (times.get(key) ?? 0) + timeMs);
    }
  }
  return times;
}

async function compareSteps(gpu: Gpu, a: Variant, b: Variant): Promise<[number, number]> {
  const times: [number[], number[]] = [[], []];
  let together = 1;
  for (let step = 0; step < FINAL_STEPS; step++) {
    for (const [i, variant] of [a, b].entries()) {
      const program = await ready(variant);
      const stepMs = await timeQueued(gpu, together, () => program.run());
      times[i]?.push(stepMs);
      if (i === 1) together = queueLength(stepMs, stepsQueuedMs(gpu));
    }
  }
  return [median(times[0]), median(times[1])];
}
