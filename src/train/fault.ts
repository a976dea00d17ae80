/**
 * Where a loss that is no number comes from: the steps since the last snapshot are made again, and
 * the one that goes wrong is run node by node.
 * @module
 */
import type { PlannedNode } from "../graph/program_plan.ts";
import type { BufferMemory } from "../graph/memory.ts";
import type { GroupPosition, Trainer, TrainingBatch } from "./trainer.ts";

/** A step that can be made again. */
export interface FaultStep {
  /** The very batch. */
  load(): Promise<TrainingBatch>;
  position: GroupPosition;
  learningRate: number;
  /** Number of the batch in its epoch, from 1. */
  batch: number;
  /** Number of the step in its run, from 1. */
  step: number;
}

/**
 * Says which layer first leaves values that are no finite numbers, where that can be found out.
 *
 * @param steps those since the trainer's last snapshot, the one with the wrong loss last
 */
export async function findFault(
  trainer: Trainer,
  steps: readonly FaultStep[],
): Promise<string | undefined> {
  if (!trainer.rewind()) return undefined;
  const already = await brokenParameter(trainer);
  if (already !== undefined) return `${already} held such values before`;
  // Weights break in the update before the loss does; then that step is the one to look at.
  for (const [i, step] of steps.entries()) {
    await replay(trainer, step);
    const [loss = 0] = await trainer.losses();
    if (Number.isFinite(loss) && await brokenParameter(trainer) === undefined) continue;
    trainer.rewind();
    for (const before of steps.slice(0, i)) await replay(trainer, before);
    trainer.learningRate = step.learningRate;
    return await inspect(trainer, step);
  }
  return undefined;
}

async function replay(trainer: Trainer, step: FaultStep): Promise<void> {
  trainer.learningRate = step.learningRate;
  await trainer.train(await step.load(), step.position);
}

async function inspect(trainer: Trainer, step: FaultStep): Promise<string> {
  let found: string | undefined;
  await trainer.inspect(await step.load(), step.position, (node, output, values) => {
    if (values.every(Number.isFinite)) return true;
    found = describeFault(trainer, node, output, values);
    return false;
  });
  const where = `in step ${step.step}`;
  if (found !== undefined) return `${where}, ${found}`;
  const parameter = await brokenParameter(trainer);
  return `${where}, the update of the optimizer left ${parameter ?? "a weight"} without finite ` +
    "values, though all gradients were finite";
}

function describeFault(
  trainer: Trainer,
  node: PlannedNode,
  { home }: BufferMemory,
  values: Float32Array,
): string {
  const value = values.find((v) => !Number.isFinite(v));
  const { store } = trainer.net;
  const isGradient = home !== undefined && home.buffer === store.companion("gradients");
  const parameter = isGradient
    ? store.trainable.find((t) => t.home.offsetBytes === home.offsetBytes)
    : undefined;
  const what = parameter ? `the gradient of ${parameter.name}` : `the output of ${node.label}`;
  return `${what} is the first to hold ${value}`;
}

/** A trainable array with a value that is no finite number. */
async function brokenParameter(trainer: Trainer): Promise<string | undefined> {
  for (const [name, values] of await trainer.parameters()) {
    if (!values.every(Number.isFinite)) return name;
  }
  return undefined;
}
