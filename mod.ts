/**
 * A WebGPU engine that trains and runs U-Nets for semantic segmentation: symbolic graphs,
 * reverse-mode gradients, planned memory and hand-written WGSL kernels, without dependencies. It
 * uses web standards only, so it runs in Deno and in browsers that have WebGPU.
 *
 * Segment a photo with a trained network:
 *
 * ```ts ignore
 * const gpu = await requestGpu();
 * const bytes = await Deno.readFile("checkpoints/best.safetensors");
 * const net = networkOf(decodeCheckpoint(bytes, "best.safetensors"), "best.safetensors");
 * using segmenter = new Segmenter(gpu, net);
 * const ids = await segmenter.predict({ batch: 1, height, width, pixels: rgba });
 * ```
 *
 * Record and train a network of your own, here a single convolution that learns to find bright
 * pixels, and save it:
 *
 * ```ts
 * import { assert } from "@std/assert";
 *
 * using gpu = await requestGpu();
 * const store = new ParameterStore();
 * const weight = store.add("conv.weight", [2, 3, 1, 1], new Float32Array(6));
 * const bias = store.add("conv.bias", [2], new Float32Array(2));
 *
 * // Recording: shapes are checked here, nothing runs yet.
 * const graph = new Graph();
 * const image = graph.input("image", { shape: [1, 3, 8, 8], layout: "c4" });
 * const labels = graph.input("labels", { shape: [1, 8, 8], dtype: "u32" });
 * const logits = conv2d(image, graph.parameter(weight), graph.parameter(bias));
 * const loss = crossEntropy(logits, labels);
 * const optimizer = adam();
 * optimizer.record(graph, store, parameterGradients(loss, store));
 *
 * // Compiling: memory is planned, shaders are built. Then every step only replays.
 * using program = await compile(gpu, graph, { outputs: { loss }, stores: [store] });
 * const pixels = Float32Array.from({ length: 3 * 64 }, (_, i) => (i % 64) / 64);
 * program.write("image", pixels);
 * program.write("labels", Uint32Array.from({ length: 64 }, (_, i) => (i < 32 ? 0 : 1)));
 * let first = Infinity;
 * for (let step = 1; step <= 100; step++) {
 *   program.write("optimizer", optimizer.stepState(0.1, step));
 *   program.run();
 *   if (step === 1) [first = NaN] = await program.read("loss");
 * }
 * const [last = NaN] = await program.read("loss");
 * assert(last < first / 2, `the loss fell from ${first} to ${last}`);
 *
 * // Saving: plain safetensors, readable by PyTorch and others.
 * const values = await store.read(gpu);
 * const tensors = store.tensors.map(({ name, shape }) =>
 *   [name, float32Tensor(shape, Float32Array.from(values.get(name) ?? []))] as const
 * );
 * assert(parseSafetensors(encodeSafetensors(tensors), "saved").tensors.has("conv.weight"));
 * ```
 *
 * @module
 */
export * from "./src/errors.ts";
export {
  type AdapterChoice,
  Gpu,
  type GpuOptions,
  type KernelFamily,
  requestGpu,
} from "./src/gpu/device.ts";
export { type DispatchSpec, type KernelSpec } from "./src/gpu/kernel_spec.ts";

export {
  type Attributes,
  type ConstantInput,
  Graph,
  type InputGradients,
  Node,
  type NodeSpec,
  Tensor,
  type TensorSpec,
} from "./src/graph/graph.ts";
export { type DType, type Layout } from "./src/graph/layout.ts";
export { History } from "./src/graph/history.ts";
export { type Home, PersistentBuffer } from "./src/graph/memory.ts";
export { ParameterStore, type StoredTensor } from "./src/graph/store.ts";
export {
  backpropagate,
  differentiate,
  type ParameterGradient,
  parameterGradients,
} from "./src/graph/autograd.ts";
export { compile, type CompileOptions, Program } from "./src/graph/program.ts";
export { lowerTarget, planProgram, type ProgramPlan } from "./src/graph/program_plan.ts";
export { MemoryPool } from "./src/graph/pool.ts";

export * from "./src/ops/mod.ts";
export * from "./src/nn/optimizers.ts";
export { UNet, unetConfig, type UnetOptions } from "./src/nn/unet.ts";
export {
  parameterCount,
  type UnetConfig,
  type UnetModel,
  type Upsample,
} from "./src/nn/unet_spec.ts";
export { type PhotoBatch, type PredictOptions, Segmenter } from "./src/nn/segmenter.ts";
export {
  type BatchShape,
  Trainer,
  type TrainerOptions,
  type TrainingBatch,
} from "./src/train/trainer.ts";
export { type ClassScore, ConfusionMatrix, IGNORED, type Scores } from "./src/train/metrics.ts";
export { type PlateauOptions, ReduceOnPlateau } from "./src/train/schedule.ts";

export {
  type Checkpoint,
  type CheckpointClass,
  type CheckpointInfo,
  decodeCheckpoint,
  encodeCheckpoint,
  networkOf,
} from "./src/io/checkpoint.ts";
export {
  type Dtype,
  encodeSafetensors,
  float32Tensor,
  parseSafetensors,
  type SafeTensor,
  type SafeTensorsFile,
  toFloat32,
} from "./src/io/safetensors.ts";
