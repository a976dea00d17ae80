/**
 * Optimizers with the semantics of `torch.optim`. A step is a node of the train graph: one dispatch
 * updates all parameters, which lie in one arena, with their gradients and the optimizer's state
 * in arenas of equal offsets.
 * @module
 */
import code from "../../shaders/optimizer_step.wgsl" with { type: "text" };
import { InputError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { ParameterGradient } from "../graph/autograd.ts";
import type { Graph, Tensor } from "../graph/graph.ts";
import type { ParameterStore } from "../graph/store.ts";
import { partBytes } from "../graph/texture_reads.ts";
import { arenaWindows } from "../ops/arena_windows.ts";
import { gradientNorm } from "../ops/clip.ts";
import { linearGrid } from "../ops/grid.ts";
import type { LossScale } from "./loss_scale.ts";

/** Limits on the gradients that an optimizer uses; at most one of them. */
export interface Clipping {
  /** Every gradient value is limited to [-clipValue, clipValue] (PyTorch: `clip_grad_value_`). */
  clipValue?: number | undefined;
  /** All gradients are scaled to a joint norm of at most this (PyTorch: `clip_grad_norm_`). */
  clipNorm?: number | undefined;
}

/** An optimizer: what to record into a train graph, and what to write before each of its runs. */
export interface Optimizer {
  /** For example `adamw`. */
  readonly name: string;
  /** Names of the store's companion arenas that hold the state, for checkpoints. */
  readonly companions: readonly string[];
  /**
   * Records the update of the parameters of `gradients` and declares the input `optimizer`. Other
   * parameters of `store` stay as they are, even by weight decay. Gradients are clipped inside the
   * update; the gradient arena itself keeps the unclipped ones.
   *
   * @param lossScale what the gradients are multiplied with; where one of them is no finite number,
   *   parameters and state stay as they are
   * @returns flat [2], gradient norm before clipping and factor, when clipping by norm or with a loss
   *   scale
   */
  record(
    graph: Graph,
    store: ParameterStore,
    gradients: readonly ParameterGradient[],
    clipping?: Clipping,
    lossScale?: LossScale,
  ): Tensor | undefined;
  /** Values of the input `optimizer` for the run that makes step number `step`, the first being 1. */
  stepState(learningRate: number, step: number): Float32Array;
  /**
   * How far gradients that stay as they are move a parameter in step number `step`, in learning
   * rates; 1 where the gradient itself decides.
   */
  stride(step: number): number;
}

/** Options of {@linkcode sgd}; all default to 0 and false. */
export interface SgdOptions {
  /** Share of the previous update that is kept, from 0 to below 1. */
  momentum?: number;
  /** Needs momentum. */
  nesterov?: boolean;
  /** L2 penalty, added to the gradient. */
  weightDecay?: number;
}

/** Options of {@linkcode rmsprop}. */
export interface RmspropOptions {
  /** Decay of the mean of squares, default 0.99. */
  alpha?: number;
  /** Added outside the square root, default 1e-8. */
  eps?: number;
  /** Default 0. */
  momentum?: number;
  /** L2 penalty, added to the gradient, default 0. */
  weightDecay?: number;
}

/** Options of {@linkcode adam} and {@linkcode adamw}. */
export interface AdamOptions {
  /** Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
  /** `adam`: L2 penalty, default 0. `adamw`: decoupled decay, default 0.01. */
  weightDecay?: number;
}

/** Stochastic gradient descent, with dampening 0 (Sutskever et al., 2013, in PyTorch's form). */
export function sgd(options: SgdOptions = {}): Optimizer {
  const { momentum = 0, nesterov = false, weightDecay = 0 } = options;
  if (nesterov && momentum === 0) {
    throw new InputError("Optimizer sgd got nesterov without momentum; give it a momentum.");
  }
  return optimizer("sgd", { momentum, nesterov, weightDecay });
}

/** RMSprop, not centred (Hinton, lecture 6e, 2012). */
export function rmsprop(options: RmspropOptions = {}): Optimizer {
  const { alpha = 0.99, eps = 1e-8, momentum = 0, weightDecay = 0 } = options;
  return optimizer("rmsprop", { second: alpha, eps, momentum, weightDecay });
}

/** Adam with bias correction (Kingma and Ba, 2015). */
export function adam(options: AdamOptions = {}): Optimizer {
  const { betas: [first, second] = [0.9, 0.999], eps = 1e-8, weightDecay = 0 } = options;
  return optimizer("adam", { first, second, eps, weightDecay });
}

/** Adam with decoupled weight decay (Loshchilov and Hutter, 2019). */
export function adamw(options: AdamOptions = {}): Optimizer {
  const { betas: [first, second] = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
  return optimizer("adamw", { first, second, eps, weightDecay });
}

interface Settings {
  momentum?: number;
  nesterov?: boolean;
  weightDecay: number;
  /** Decay of the mean of gradients. */
  first?: number;
  /** Decay of the mean of squares. */
  second?: number;
  eps?: number;
}

type Rule = "sgd" | "rmsprop" | "adam" | "adamw";

/** State arenas by PyTorch's names, in the order of the kernel's bindings. */
function stateNames(rule: Rule, hasMomentum: boolean): string[] {
  if (rule === "adam" || rule === "adamw") return ["exp_avg", "exp_avg_sq"];
  const squares = rule === "rmsprop" ? ["square_avg"] : [];
  return hasMomentum ? ["momentum_buffer", ...squares] : squares;
}

function optimizer(rule: Rule, settings: Settings): Optimizer {
  const { momentum = 0, nesterov = false, weightDecay, first = 0, second = 0 } = settings;
  checkSettings(rule, settings);
  const companions = stateNames(rule, momentum > 0).map((name) => `optimizer.${name}`);

  function record(
    graph: Graph,
    store: ParameterStore,
    gradients: readonly ParameterGradient[],
    { clipValue, clipNorm }: Clipping = {},
    lossScale?: LossScale,
  ): Tensor | undefined {
    checkClipping(rule, clipValue, clipNorm);
    if (gradients.length === 0) {
      throw new InputError(
        `Optimizer ${rule} got no gradients; differentiate a loss that depends on a parameter.`,
      );
    }
    const norm = clipNorm === undefined && lossScale === undefined
      ? undefined
      : gradientNorm(graph, store, gradients, clipNorm ?? Infinity, lossScale);
    const state = graph.input("optimizer", { shape: [8] });
    const arena = store.companion("gradients");
    const stateArenas = companions.map((name) => store.companion(name));
    const clip = clipNorm !== undefined ? "norm" : clipValue !== undefined ? "value" : "none";
    graph.record({
      op: `optimizer_${rule}`,
      inputs: [...gradients.map(({ gradient }) => gradient), state, ...(norm ? [norm] : [])],
      outputs: [],
      effect: true,
      attributes: { clip, weightDecay, scaled: lossScale !== undefined },
      lower(context, node) {
        const [state, ...norm] = node.inputs.slice(gradients.length);
        if (!state) throw new Error(`${node.label} has no state`);
        for (const window of arenaWindows(gradients, partBytes(context.target))) {
          const { offsetBytes, sizeBytes } = window;
          const { grid, stride } = linearGrid(sizeBytes / 16);
          const floats = [
            ...[clipValue ?? 0, weightDecay, momentum, first, 1 - first, second, 1 - second],
            settings.eps ?? 0,
          ];
          context.dispatch({
            kernel: {
              name: `optimizer_${rule}`,
              source: code,
              constants: {
                RULE: rule,
                MOMENTUM: momentum > 0 ? 1 : 0,
                NESTEROV: nesterov ? 1 : 0,
                CLIP: clip,
                SCALED: lossScale ? 1 : 0,
              },
            },
            params: [sizeBytes / 16, stride, ...floats.map(f32Bits)],
            grid,
          }, [
            context.window(store.parameters, offsetBytes, sizeBytes),
            context.reading("gradients", context.window(arena, offsetBytes, sizeBytes), "f32"),
            context.reading("state", state, "f32"),
            ...norm,
            ...stateArenas.map((arena) => context.window(arena, offsetBytes, sizeBytes)),
          ]);
        }
      },
    });
    return norm;
  }

  return {
    name: rule,
    companions,
    record,
    stepState: (learningRate, step) =>
      Float32Array.of(learningRate, 1 - first ** step, 1 - second ** step, 0, 0, 0, 0, 0),
    // The mean of squares starts at 0, uncorrected, and momentum adds up.
    stride: (step) => rule === "rmsprop" ? 1 / ((1 - momentum) * Math.sqrt(1 - second ** step)) : 1,
  };
}

function checkSettings(rule: Rule, { momentum, weightDecay, first, second, eps }: Settings): void {
  for (const [name, value] of Object.entries({ momentum, first, second })) {
    if (value !== undefined && !(value >= 0 && value < 1)) {
      throw new InputError(
        `Optimizer ${rule} got a decay (${name}) of ${value}, expected one from 0 to below 1.`,
      );
    }
  }
  if (!(weightDecay >= 0)) {
    throw new InputError(
      `Optimizer ${rule} got weight decay ${weightDecay}, expected at least 0.`,
    );
  }
  // Where gradients are 0, as in the padding of the arena, eps alone keeps 0 / 0 away.
  if (eps !== undefined && !(Math.fround(eps) > 0)) {
    throw new InputError(`Optimizer ${rule} got eps ${eps}, expected a positive number.`);
  }
}

function checkClipping(rule: Rule, value: number | undefined, norm: number | undefined): void {
  const limit = value ?? norm;
  if ((value !== undefined && norm !== undefined) || (limit !== undefined && !(limit > 0))) {
    throw new InputError(
      `Optimizer ${rule} got clipValue ${value} and clipNorm ${norm}, expected at most one of ` +
        "them, and a positive one.",
    );
  }
}
