/**
 * The gradients of one convolution computed together where they go through Winograd's algorithms:
 * all of them need the same transformed windows of the output's gradient, which are made once.
 * @module
 */
import type { Joint, Node } from "../graph/graph.ts";
import type { ImageView, LowerContext, LowerTarget } from "../graph/lower.ts";
import type { BufferMemory, TextureMemory } from "../graph/memory.ts";
import { rangesOf, type UnitRange } from "../graph/windows.ts";
import { clearBorder } from "./clear_border.ts";
import { chooseConvFamily, limitsOf, textureDims } from "./conv_lower.ts";
import { ownInputs, type Preparation, preparationOf, withCopies } from "./conv_prologue.ts";
import type { ConvShape } from "./conv_shape.ts";
import { type ConvDims, inputGradOf } from "./conv_texture.ts";
import { inputPlanesOf, planesOf } from "./conv_texture_geometry.ts";
import { atOnce, imagesOf } from "./conv_windows.ts";
import { suitsWinograd, winogradConvolution } from "./conv_winograd.ts";
import { blockRanges, gradientBlockGrid, imageTransform } from "./conv_winograd_geometry.ts";
import {
  accumulateBlocks,
  multiplyWindows,
  packWeights,
  transformWindows,
} from "./conv_winograd_lower.ts";
import { suitsWinogradWeightGrad, winogradWeightGrad } from "./conv_winograd_weight_grad.ts";

/** The gradient of the weight, with what it needs beside that of the output. */
interface WeightGrad {
  readonly inputs: readonly ImageView[];
  readonly preparation: Preparation | undefined;
  readonly output: BufferMemory;
}

/** The gradient of an input, alike. */
interface InputGrad {
  readonly segment: number;
  readonly weight: BufferMemory;
  readonly output: ImageView;
}

/** What is made for the first images and serves the others. */
interface Kept {
  sums?: BufferMemory;
  finish?: () => void;
  readonly packed: Map<InputGrad, TextureMemory>;
}

/** Gradients that need the same windows. */
interface Lot {
  readonly gradient: ImageView;
  readonly weightGrad: WeightGrad | undefined;
  readonly inputGrads: readonly InputGrad[];
}

/** What the gradients of a convolution have in common: the same one for the nodes of all of them. */
export class ConvGradients implements Joint {
  readonly #shape: ConvShape;

  /** The gradients of a convolution of `shape`. */
  constructor(shape: ConvShape) {
    this.#shape = shape;
  }

  /**
   * All gradients of a convolution of one input; those of several inputs without the weight's, for
   * which all inputs would have to stay in memory beside all their gradients.
   */
  lots(nodes: readonly Node[], target: LowerTarget): readonly Node[][] {
    const isSingle = this.#shape.inputChannels.length === 1;
    const lot = nodes.filter((node) => isSingle || segmentOf(node) !== undefined);
    const { mostImages } = limitsOf(target, this.#shape);
    return lot.length > 1 && this.#suits(lot, target, mostImages) ? [lot] : [];
  }

  /** Whether so many images at once go the way that can be shared. */
  #suits(lot: readonly Node[], target: LowerTarget, batch: number): boolean {
    const shape = { ...this.#shape, batch };
    const dims = textureDims(shape);
    if (!dims || chooseConvFamily(target, shape) !== "texture") return false;
    return lot.every((node) => {
      const segment = segmentOf(node);
      return segment === undefined
        ? suitsWinogradWeightGrad(dims, target)
        : suitsWinograd(inputGradOf(dims, segment).dims, target);
    });
  }

  /** Emits the steps of a lot, the gradients side by side. */
  lower(context: LowerContext, nodes: readonly Node[]): void {
    const lot = lotOf(context, nodes);
    const dims = textureDims(this.#shape);
    const bound = [
      lot.gradient,
      ...lot.weightGrad?.inputs ?? [],
      ...lot.inputGrads.map(({ output }) => output),
    ];
    const { mostImages } = limitsOf(context.target, this.#shape);
    const count = atOnce(context, bound, { mostImages, takesPlanes: true });
    const ranges = rangesOf(this.#shape.batch, count);
    const isShared = ranges.every(({ count }) => this.#suits(nodes, context.target, count));
    if (!dims || !isShared || !servesAll(dims, lot, ranges, context.target)) {
      for (const node of nodes) node.spec.lower(context, node);
      return;
    }
    const kept: Kept = { packed: new Map() };
    for (const range of ranges) {
      lowerImages(context, { ...dims, batch: range.count }, lot, range, kept);
    }
    kept.finish?.();
  }
}

/** The input that a node is the gradient of; none for a weight's gradient. */
function segmentOf({ attributes }: Node): number | undefined {
  return typeof attributes.segment === "number" ? attributes.segment : undefined;
}

function lotOf(context: LowerContext, nodes: readonly Node[]): Lot {
  let gradient: ImageView | undefined;
  let weightGrad: WeightGrad | undefined;
  const inputGrads: InputGrad[] = [];
  for (const node of nodes) {
    const segment = segmentOf(node);
    if (segment === undefined) {
      const inputs = ownInputs(node).map((input) => context.view(input));
      gradient = inputs.pop();
      const preparation = preparationOf(context, node);
      weightGrad = { inputs, preparation, output: context.memory(node.output) };
      continue;
    }
    const [dy, weight] = node.inputs;
    if (!dy || !weight) throw new Error(`Node ${node.label} lacks inputs`);
    gradient = context.view(dy);
    inputGrads.push({ segment, weight: context.memory(weight), output: context.view(node.output) });
  }
  if (!gradient) throw new Error("Gradients of a convolution need that of its output");
  return { gradient, weightGrad, inputGrads };
}

/** How some images, `dims` are those of them, are cut for all gradients of a lot. */
function cutOf(dims: ConvDims, { weightGrad, inputGrads }: Lot, target: LowerTarget) {
  const gradientPlanes = planesOf(dims.outputChannels);
  const adjoints = inputGrads.map(({ segment }) => inputGradOf(dims, segment));
  const planes = Math.max(
    gradientPlanes,
    weightGrad ? inputPlanesOf(dims) : 0,
    ...adjoints.map((adjoint) => planesOf(adjoint.dims.outputChannels)),
  );
  const grid = gradientBlockGrid(dims);
  const blocks = blockRanges(grid, planes, target);
  return { gradientPlanes, adjoints, grid, blocks };
}

/**
 * Whether what is made for the first images serves the others: fewer images may call for blocks of
 * another size, or for more strips of sums.
 */
function servesAll(
  dims: ConvDims,
  lot: Lot,
  ranges: readonly UnitRange[],
  target: LowerTarget,
): boolean {
  const [first, ...others] = ranges.map(({ count }) => {
    const some = { ...dims, batch: count };
    const { grid, blocks } = cutOf(some, lot, target);
    const sumBytes = lot.weightGrad ? winogradWeightGrad(some, target, blocks).sumBytes : 0;
    return { positions: grid.positions, sumBytes };
  });
  return others.every(({ positions, sumBytes }) =>
    positions === first?.positions && sumBytes <= first.sumBytes
  );
}

/** The steps for some of the images; `dims` are those of these. */
function lowerImages(
  context: LowerContext,
  dims: ConvDims,
  lot: Lot,
  range: UnitRange,
  kept: Kept,
): void {
  const { target } = context;
  const { gradient, weightGrad, inputGrads } = lot;
  const { gradientPlanes, adjoints, grid, blocks } = cutOf(dims, lot, target);

  const inputs = weightGrad?.inputs.map((view) => imagesOf(view, range)) ?? [];
  const preparation = weightGrad?.preparation;
  const prologue = preparation?.prologue;
  const isAdded = kept.sums !== undefined;
  const sum = weightGrad && winogradWeightGrad(dims, target, blocks, isAdded, prologue);
  if (weightGrad && sum && !kept.sums) {
    const sums = kept.sums = context.scratch("sums", sum.sumBytes);
    const reading = context.reading("sums", sums, "f32");
    kept.finish = () => context.dispatch(sum.finish, [reading, weightGrad.output]);
  }
  const convolutions = inputGrads.map((inputGrad, i) => {
    const adjoint = adjoints[i];
    if (!adjoint) throw new RangeError(`There is no gradient ${i}`);
    const spec = winogradConvolution(adjoint, target, "none", blocks);
    const packed = kept.packed.get(inputGrad) ??
      packWeights(context, spec.packed, inputGrad.weight);
    kept.packed.set(inputGrad, packed);
    return { parts: spec.parts, packed, output: imagesOf(inputGrad.output, range) };
  });

  const prepared = withCopies(context, preparation);
  blocks.forEach((some, p) => {
    const transform = imageTransform(dims, gradientPlanes, grid, some, target);
    const windows = transformWindows(context, transform, [imagesOf(gradient, range)]);
    const part = sum?.parts[p];
    if (part && kept.sums) accumulateBlocks(context, part, windows, inputs, kept.sums, prepared);
    for (const { parts, packed, output } of convolutions) {
      const part = parts[p];
      if (part) multiplyWindows(context, part, windows, packed, output, []);
    }
  });
  for (const { output } of convolutions) clearBorder(context, output);
}
