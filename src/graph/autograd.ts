/**
 * Reverse-mode differentiation: walks the recorded nodes backwards and records their gradients
 * into the same graph.
 * @module
 */
import { ShapeError } from "../errors.ts";
import { add, scale } from "../ops/elementwise.ts";
import type { Node, Tensor } from "./graph.ts";
import type { ParameterStore, StoredTensor } from "./store.ts";

/**
 * Records the gradient of the scalar `loss` with respect to each tensor of `wrt`.
 *
 * @param seed what the gradients are multiplied with, of the loss's shape; default 1
 * @throws {ShapeError} when `loss` is no scalar, or an op on the way has no gradient.
 */
export function differentiate(
  loss: Tensor,
  wrt: readonly Tensor[],
  seed?: Tensor,
): Map<Tensor, Tensor> {
  if (loss.shape.some((size) => size !== 1)) {
    throw new ShapeError(
      `Differentiating "${loss.label}" of shape [${
        loss.shape.join(",")
      }] failed: a loss must be a ` +
        "scalar; reduce it with mean or sum first.",
    );
  }
  const one = () => loss.graph.constant("grad.seed", loss.shape, new Float32Array([1]));
  return backpropagate(loss, seed ?? one(), wrt);
}

/**
 * Records the gradients of `sum(y * dy)` with respect to each tensor of `wrt`; those that `y` does
 * not depend on are missing from the result.
 *
 * @throws {ShapeError} when an op on the way has no gradient.
 */
export function backpropagate(
  y: Tensor,
  dy: Tensor,
  wrt: readonly Tensor[],
): Map<Tensor, Tensor> {
  const { graph } = y;
  const nodes = [...graph.nodes];
  const wanted = dependents(nodes, wrt);
  const gradients = new Map<Tensor, Tensor>([[y, dy]]);

  for (const node of nodes.reverse()) {
    const outputGradients = node.outputs.map((t) => gradients.get(t));
    if (outputGradients.every((g) => !g)) continue;
    const needs = node.inputs.map((t) => wanted.has(t));
    if (!needs.includes(true)) continue;
    if (!node.spec.backward) {
      throw new ShapeError(
        `Differentiating through ${node.label} failed: op ${node.op} has no gradient.`,
      );
    }
    const backward = node.spec.backward;
    const inputGradients = graph.scope(
      "grad",
      () => backward.call(node.spec, outputGradients, needs, node),
    );
    node.inputs.forEach((input, i) => {
      const gradient = inputGradients[i];
      if (!gradient || !needs[i]) return;
      const sum = gradients.get(input);
      gradients.set(input, sum ? graph.scope("grad", () => add(sum, gradient)) : gradient);
    });
  }
  return new Map(wrt.flatMap((t) => {
    const gradient = gradients.get(t);
    return gradient ? [[t, gradient]] : [];
  }));
}

/** Tensors whose value depends on one of `roots`. */
function dependents(nodes: readonly Node[], roots: readonly Tensor[]): Set<Tensor> {
  const found = new Set(roots);
  for (const node of nodes) {
    if (node.inputs.some((t) => found.has(t))) { for (const t of node.outputs) found.add(t); }
  }
  return found;
}

/** A parameter and the gradient that lies at its offset in the store's `gradients` arena. */
export interface ParameterGradient {
  /** The array that the optimizer is to update. */
  stored: StoredTensor;
  /** Derivative of the loss, `flat`, of the parameter's shape. */
  gradient: Tensor;
}

/**
 * Differentiates `loss` with respect to every trainable array of `store` that it depends on, and
 * pins the results into the store's `gradients` arena, where an optimizer finds all of them.
 *
 * @param seed see {@linkcode differentiate}
 */
export function parameterGradients(
  loss: Tensor,
  store: ParameterStore,
  seed?: Tensor,
): ParameterGradient[] {
  const { graph } = loss;
  const arena = store.companion("gradients");
  const tensors = store.trainable.map((stored) => graph.parameter(stored));
  const gradients = differentiate(loss, tensors, seed);
  // How often each tensor is read or asked for: a dispatch must not read one window of the arena
  // and write another, so only a gradient that nobody else reads may move there.
  const uses = new Map<Tensor, number>();
  const use = (t: Tensor) => uses.set(t, (uses.get(t) ?? 0) + 1);
  for (const node of graph.nodes) node.inputs.forEach(use);
  for (const gradient of tensors.map((t) => gradients.get(t))) if (gradient) use(gradient);
  return store.trainable.flatMap((stored, i) => {
    const tensor = tensors[i];
    let gradient = tensor && gradients.get(tensor);
    if (!gradient) return [];
    if (gradient.home || uses.get(gradient) !== 1) gradient = scale(gradient, 1);
    gradient.home = { buffer: arena, offsetBytes: stored.home.offsetBytes };
    return [{ stored, gradient }];
  });
}
