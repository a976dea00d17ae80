/**
 * Logits of a network by our engine, for comparing with other programs.
 * @module
 */
import { Graph } from "../../src/graph/graph.ts";
import { compile } from "../../src/graph/program.ts";
import type { Checkpoint } from "../../src/io/checkpoint.ts";
import { networkOf } from "../../src/io/checkpoint.ts";
import { testGpu } from "../ops/harness.ts";

/** [batch, classes, height, width] of an image [batch, channels, height, width]. */
export async function engineLogits(
  checkpoint: Checkpoint,
  image: Float32Array,
  [batch, height, width]: readonly [number, number, number],
): Promise<Float32Array> {
  const gpu = await testGpu();
  const net = networkOf(checkpoint, "the network");
  const graph = new Graph();
  const { channels } = checkpoint.config;
  const x = graph.input("image", { shape: [batch, channels, height, width], layout: "c4" });
  const logits = net.forward(x, { training: false });
  using program = await compile(gpu, graph, { outputs: { logits }, stores: [net.store] });
  program.write("image", image);
  program.run();
  const found = await program.read("logits");
  net.store.destroy();
  return found;
}

/** The largest difference; NaN where there is one. */
export function largestDifference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return NaN;
  let worst = 0;
  // Math.max hands a NaN on.
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, Math.abs((found[i] ?? NaN) - (expected[i] ?? NaN)));
  }
  return worst;
}
