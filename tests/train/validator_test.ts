import { assert, assertEquals } from "@std/assert";
import { Graph } from "../../src/graph/graph.ts";
import { MemoryPool } from "../../src/graph/pool.ts";
import { compile } from "../../src/graph/program.ts";
import { Segmenter } from "../../src/nn/segmenter.ts";
import { UNet } from "../../src/nn/unet.ts";
import { imageInput } from "../../src/ops/image_input.ts";
import { LOSSES, type LossName } from "../../src/train/losses.ts";
import { IGNORED } from "../../src/train/metrics.ts";
import type { TrainingBatch } from "../../src/train/trainer.ts";
import { Validator } from "../../src/train/validator.ts";
import { testGpu } from "../ops/harness.ts";
import { type Array64, crossEntropy, fromValues, softDice } from "../reference/mod.ts";

const CLASSES = 3;
const WEIGHTS = Float32Array.of(0.5, 2, 1.25);

/** Photos of which some pixels, and all of class 2 in places, count nowhere. */
function batchOf(batch: number, height: number, width: number): TrainingBatch {
  const area = height * width;
  return {
    ...{ batch, height, width },
    pixels: Uint8Array.from({ length: batch * area * 4 }, (_, i) => (i * 37 + (i >> 5)) % 251),
    labels: Uint8Array.from({ length: batch * area }, (_, i) => i % 5 === 0 ? IGNORED : i % 3),
  };
}

/** What training has made of the running statistics: nothing that a batch would have. */
function withStatistics(net: UNet): UNet {
  for (const { name, shape } of net.store.tensors) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (name.endsWith(".running_mean")) {
      net.store.set(name, Float32Array.from({ length: size }, (_, c) => 0.1 * Math.sin(c)));
    }
    if (name.endsWith(".running_var")) {
      net.store.set(name, Float32Array.from({ length: size }, (_, c) => 0.3 + 0.2 * (c % 3)));
    }
  }
  return net;
}

/** The reference's loss of logits of the network in inference. */
function expectedLoss(
  name: LossName,
  logits: Array64,
  batch: TrainingBatch,
  weight?: Float32Array,
) {
  const target = {
    shape: [batch.batch, batch.height, batch.width],
    data: Int32Array.from(batch.labels),
  };
  const options = { ignoreIndex: IGNORED, ...(weight ? { weight } : {}) };
  const ce = () => crossEntropy(logits, target, options);
  const dice = () => softDice(logits, target, { ignoreIndex: IGNORED });
  if (name === "focal") return crossEntropy(logits, target, { ...options, gamma: 2 });
  return name === "ce" ? ce() : name === "dice" ? dice() : ce() + dice();
}

Deno.test({
  name: "validation: classes and every loss as inference and the reference have them",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const gpu = await testGpu();
    const net = withStatistics(new UNet({ classes: CLASSES, width: 4 }, 5));
    const before = await net.store.read(gpu);
    const pool = new MemoryPool(gpu);
    using segmenter = new Segmenter(gpu, net, { pool });
    for (const batch of [batchOf(2, 19, 22), batchOf(1, 24, 17)]) {
      const graph = new Graph();
      const shape = [batch.batch, batch.height, batch.width];
      const image = imageInput(graph.input("pixels", { shape, dtype: "u32" }), 3);
      const outputs = { logits: net.forward(image, { training: false }) };
      using program = await compile(gpu, graph, { outputs, stores: [net.store] });
      program.write("pixels", batch.pixels);
      program.run();
      const [n = 0, h = 0, w = 0] = shape;
      const logits = fromValues([n, CLASSES, h, w], await program.read("logits"));
      const predicted = await segmenter.predict(batch);
      for (const loss of LOSSES) {
        for (const classWeights of [undefined, WEIGHTS]) {
          using validator = new Validator(gpu, net, { loss, classWeights, pool });
          for (let time = 0; time < 2; time++) {
            const scored = await validator.score(batch);
            assertEquals(scored.predicted, predicted);
            const expected = expectedLoss(loss, logits, batch, classWeights);
            assert(Math.abs(scored.loss - expected) <= 1e-5 * expected, `${loss}: ${scored.loss}`);
          }
        }
      }
    }
    using plain = new Validator(gpu, net, { pool });
    const unknown = batchOf(1, 24, 17);
    unknown.labels.fill(IGNORED);
    assertEquals((await plain.score(unknown)).loss, 0);
    assertEquals(await net.store.read(gpu), before, "scoring changes nothing");
    pool.destroy();
    net.store.destroy();
  },
});
