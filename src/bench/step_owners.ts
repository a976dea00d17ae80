/**
 * Which node each step of a program belongs to. Labels do not tell nodes apart, so the nodes are
 * lowered again as the plan did it, and every step is compared with the plan's: a time that is put
 * down to the wrong node looks as good as any other.
 * @module
 */
import type { Graph, Node } from "../graph/graph.ts";
import { LowerContext, type LowerTarget, type Step } from "../graph/lower.ts";
import { nodesToLower, type ProgramPlan } from "../graph/program_plan.ts";
import { lastUsesOf } from "../graph/readers.ts";

/** The node behind some steps. */
export interface StepOwner {
  readonly node: Node;
  /** The names that each of the node's keys chooses among, for `choose`. */
  readonly choices: ReadonlyMap<string, readonly string[]>;
}

/**
 * The owner of each of the plan's steps, in order.
 * @param target What the plan was made for.
 * @throws {Error} where lowering again gives other steps than the plan's.
 */
export function stepOwners(
  { steps, outputs }: Pick<ProgramPlan, "steps" | "outputs">,
  graph: Graph,
  target: LowerTarget,
): StepOwner[] {
  const tensors = [...outputs.values()].map(({ tensor }) => tensor);
  const planned: LowerTarget = { ...target, images: graph.images };
  const nodes = nodesToLower(graph, tensors, planned);
  const context = new LowerContext(planned, lastUsesOf(nodes, tensors));
  const owners: StepOwner[] = [];
  for (const node of nodes) {
    const choices = new Map<string, readonly string[]>();
    planned.choices = choices;
    context.lower(node);
    while (owners.length < context.steps.length) owners.push({ node, choices });
  }
  for (let i = 0; i < Math.max(steps.length, owners.length); i++) {
    const [found, again] = [steps[i], context.steps[i]];
    if (detailsOf(found) === detailsOf(again)) continue;
    throw new Error(
      `Timing a program by its nodes: step ${i} is ${nameOf(found)}, but lowering the nodes once ` +
        `more gives ${nameOf(again)} there; expected the same steps, ` +
        "since times would be put down to the wrong nodes.",
    );
  }
  return owners;
}

function nameOf(step: Step | undefined): string {
  if (step === undefined) return "missing";
  return `${step.kind === "dispatch" ? step.spec.kernel.name : "a copy"} of "${step.label}"`;
}

function detailsOf(step: Step | undefined): string {
  if (step?.kind !== "dispatch") return nameOf(step);
  const { kernel: { constants }, params, grid } = step.spec;
  return JSON.stringify([nameOf(step), constants, params, grid]);
}
