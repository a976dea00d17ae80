import { add, mul, relu, scale } from "../../src/ops/elementwise.ts";
import { random } from "../reference/array.ts";
import * as reference from "../reference/arithmetic.ts";
import * as reluReference from "../reference/relu.ts";
import { type OpCase, testOps } from "./harness.ts";

const shapes = [[2, 5, 3, 17], [1, 1, 1, 1], [7], [3, 4, 16, 14]];

function* cases(): Generator<OpCase> {
  for (const shape of shapes) {
    const [a, b, dy] = [random(1, shape), random(2, shape), random(3, shape)];
    const name = `[${shape}]`;
    yield {
      name: `add ${name}`,
      inputs: { a: { value: a }, b: { value: b } },
      record: ({ a, b }) => add(a!, b!),
      output: reference.add(a, b),
      outputGradient: dy,
      gradients: reference.addBackward(dy),
    };
    yield {
      name: `mul ${name}`,
      inputs: { a: { value: a }, b: { value: b } },
      record: ({ a, b }) => mul(a!, b!),
      output: reference.mul(a, b),
      outputGradient: dy,
      gradients: reference.mulBackward(dy, a, b),
    };
    yield {
      name: `scale ${name}`,
      inputs: { x: { value: a } },
      record: ({ x }) => scale(x!, -1.75),
      output: reference.scale(a, -1.75),
      outputGradient: dy,
      gradients: { x: reference.scaleBackward(dy, -1.75) },
    };
    yield {
      name: `relu ${name}`,
      inputs: { x: { value: a } },
      record: ({ x }) => relu(x!),
      output: reluReference.relu(a),
      outputGradient: dy,
      gradients: { x: reluReference.reluBackward(dy, a) },
    };
  }
}

testOps(cases());
