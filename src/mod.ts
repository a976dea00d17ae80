/**
 * Every public name. They stand here and not in `mod.ts` because `deno test --doc` imports what a
 * documented module exports by name into its examples, used or not, and the compiler refuses unused
 * imports.
 * @module
 */
export * from "./errors.ts";
export type { AdapterChoice } from "./gpu/adapter.ts";
export {
  Gpu,
  type GpuOptions,
  type KernelChoice,
  type KernelFamily,
  requestGpu,
} from "./gpu/device.ts";
export { type Tuning, type TuningTarget } from "./gpu/tuning.ts";
export { type DispatchSpec, f32Bits, type KernelSpec } from "./gpu/kernel_spec.ts";

export {
  type Attributes,
  type ConstantInput,
  Graph,
  type InputGradients,
  type Joint,
  Node,
  type NodeSpec,
  Tensor,
  type TensorSpec,
} from "./graph/graph.ts";
export { type DType, type ImageType, type Layout } from "./graph/layout.ts";
export { History } from "./graph/history.ts";
export {
  type BufferMemory,
  type Home,
  type Memory,
  PersistentBuffer,
  type TextureMemory,
} from "./graph/memory.ts";
export { ParameterStore, type StoredTensor } from "./graph/store.ts";
export {
  backpropagate,
  differentiate,
  type ParameterGradient,
  parameterGradients,
} from "./graph/autograd.ts";
export { compile, type CompileOptions, Program } from "./graph/program.ts";
export {
  lowerTarget,
  type PlannedNode,
  type PlannedOutput,
  planProgram,
  type ProgramPlan,
} from "./graph/program_plan.ts";
export {
  type DispatchStep,
  type ImageView,
  LowerContext,
  type LowerTarget,
  type Step,
  type TensorWindow,
  type TextureCopyStep,
  type VectorWindow,
} from "./graph/lower.ts";
export { type HostValues } from "./graph/host_values.ts";
export { type Reading } from "./graph/texture_reads.ts";
export { type ImagePart } from "./graph/staging.ts";
export { type UnitRange } from "./graph/windows.ts";
export { type BufferSlot, type MemoryPlan, type Slot, type TextureSlot } from "./graph/plan.ts";
export { type ProfileEntry } from "./graph/profile.ts";
export { MemoryPool } from "./graph/pool.ts";

export * from "./ops/mod.ts";
export { BlendArea, type BlendAreaOptions, type BlendChunk } from "./ops/blend_area.ts";
export { type Pair } from "./ops/conv_shape.ts";
export * from "./nn/loss_scale.ts";
export * from "./nn/optimizers.ts";
export { type ForwardOptions, UNet, unetConfig, type UnetOptions } from "./nn/unet.ts";
export { parameterCount, type UnetConfig, type UnetModel, type Upsample } from "./nn/unet_spec.ts";
export { type BatchShape } from "./nn/batch_shape.ts";
export {
  type PhotoBatch,
  type PredictOptions,
  Segmenter,
  type SegmenterOptions,
} from "./nn/segmenter.ts";
export { type Flips } from "./nn/window_plan.ts";
export { type ProbabilityRows } from "./nn/window_program.ts";
export {
  type GroupPosition,
  Trainer,
  type TrainerOptions,
  type TrainerState,
  type TrainingBatch,
} from "./train/trainer.ts";
export { type BatchScore, Validator, type ValidatorOptions } from "./train/validator.ts";
export { type ClockPart, RunClock } from "./train/run_clock.ts";
export { LOSSES, type LossName } from "./train/losses.ts";
export { type StepKind, type StepShape } from "./train/step.ts";
export { type ClassScore, ConfusionMatrix, IGNORED, type Scores } from "./train/metrics.ts";
export {
  type PlateauOptions,
  ReduceOnPlateau,
  type Schedule,
  type ScheduleState,
} from "./train/schedule.ts";

export {
  type Checkpoint,
  type CheckpointClass,
  type CheckpointInfo,
  checkpointOf,
  decodeCheckpoint,
  decodeResumeState,
  encodeCheckpoint,
  encodeSafetensorsCheckpoint,
  networkOf,
  type ResumeState,
} from "./io/checkpoint.ts";
export { decodeModel } from "./io/decode_model.ts";
export { encodeOnnx } from "./io/onnx_write.ts";
export { encodeIndexedPng, type IndexedImage } from "./io/png_indexed.ts";
export { decodePth, encodePth } from "./io/pth_checkpoint.ts";
export {
  type Dtype,
  encodeSafetensors,
  float32Tensor,
  parseSafetensors,
  type SafeTensor,
  type SafeTensorsFile,
  toFloat32,
} from "./io/safetensors.ts";
