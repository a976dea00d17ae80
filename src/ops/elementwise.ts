/**
 * Elementwise ops: add, mul, scale, relu and their gradients.
 * @module
 */
import code from "../../shaders/elementwise.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { f32Bits } from "../gpu/kernel_spec.ts";
import type { Attributes, InputGradients, NodeSpec, Tensor } from "../graph/graph.ts";
import { vectorTypeOf } from "../graph/layout.ts";
import { linearGrid } from "./grid.ts";

/** `alpha * a + beta * b` for tensors of one shape. */
export function add(a: Tensor, b: Tensor, alpha = 1, beta = 1): Tensor {
  return record("add", [a, b], { alpha, beta }, ([dy], needs) => [
    needs[0] ? scaled(dy, alpha) : undefined,
    needs[1] ? scaled(dy, beta) : undefined,
  ]);
}

/** `a * b`, elementwise, for tensors of one shape. */
export function mul(a: Tensor, b: Tensor): Tensor {
  return record("mul", [a, b], {}, ([dy], needs) => [
    dy && needs[0] ? mul(dy, b) : undefined,
    dy && needs[1] ? mul(dy, a) : undefined,
  ]);
}

/** `alpha * x`. */
export function scale(x: Tensor, alpha: number): Tensor {
  return record("scale", [x], { alpha }, ([dy]) => [scaled(dy, alpha)]);
}

/** `max(x, 0)`; the gradient at 0 is 0, as in PyTorch. */
export function relu(x: Tensor): Tensor {
  const y: Tensor = record("relu", [x], {}, ([dy]) => [dy ? reluGrad(dy, y) : undefined]);
  return y;
}

/** `dy` where the output `y` of the ReLU is positive, else 0. */
function reluGrad(dy: Tensor, y: Tensor): Tensor {
  return record("relu_grad", [dy, y], {});
}

function scaled(x: Tensor | undefined, alpha: number): Tensor | undefined {
  return x && alpha !== 1 ? scale(x, alpha) : x;
}

function record(
  op: string,
  inputs: Tensor[],
  attributes: Attributes,
  backward?: (dy: (Tensor | undefined)[], needs: boolean[]) => InputGradients,
): Tensor {
  const [x, other] = inputs;
  if (!x) throw new ShapeError(`${op} needs a tensor.`);
  if (x.dtype === "u32") {
    throw new ShapeError(`${op} got "${x.label}" of type ${x.dtype}, expected f32 or f16.`);
  }
  if (other && (other.shape.join() !== x.shape.join() || other.layout !== x.layout)) {
    throw new ShapeError(
      `${op} got "${x.label}" ${x.describe()} (${x.layout}) and "${other.label}" ` +
        `${other.describe()} (${other.layout}); both must have one shape and layout.`,
    );
  }
  const spec: NodeSpec = {
    op,
    inputs,
    outputs: [{ shape: x.shape, layout: x.layout }],
    attributes,
    isCheap: true,
    lower(context, node) {
      const { alpha, beta } = node.attributes;
      context.splitVectors([node.output, ...node.inputs], ({ of, vectors, values }) => {
        const tail = values - (vectors - 1) * 4;
        const { grid, stride } = linearGrid(vectors);
        context.dispatch({
          kernel: {
            name: op,
            source: code,
            constants: {
              OP: op,
              OPERANDS: inputs.length,
              TAIL: tail < 4 ? 1 : 0,
              IMAGE: vectorTypeOf(x.dtype),
            },
          },
          params: [vectors, stride, f32Bits(Number(alpha ?? 1)), f32Bits(Number(beta ?? 1)), tail],
          grid,
        }, [...context.readings(["a", "b"], node.inputs.map(of), x.dtype), of(node.output)]);
      });
    },
    ...(backward ? { backward } : {}),
  };
  return x.graph.record(spec).output;
}
