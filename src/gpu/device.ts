/**
 * The GPU: adapter choice, limits, errors and lifetime.
 * @module
 */
import { checkChoice } from "../choices.ts";
import { DeviceError } from "../errors.ts";
import {
  type AdapterChoice,
  describe,
  isLlvmpipe,
  isSoftwareAdapter,
  openDevice,
  requestAdapter,
  vectorBits,
} from "./adapter.ts";
import type { KernelSpec } from "./kernel_spec.ts";
import { compileKernel } from "./pipeline.ts";
import { suitsTextures } from "./read_speed.ts";
import type { Tuning } from "./tuning.ts";
import { warmUp } from "./warm_up.ts";

/** Which convolution kernels to use: by adapter type, or forced. */
export type KernelFamily = "auto" | "gpu" | "cpu";

const KERNEL_FAMILIES: readonly KernelFamily[] = ["auto", "gpu", "cpu"];

/** The convolution kernels in use: what decides how their results are rounded. */
export interface KernelChoice {
  /** Kernels for real GPUs or for processors. */
  readonly family: "gpu" | "cpu";
  /** Tiles that were measured to be best; absent where none differ from the table's. */
  readonly tuning?: Tuning;
}

/** Options of {@linkcode requestGpu}. */
export interface GpuOptions {
  /** Default `high`. */
  adapter?: AdapterChoice;
  /** Refuse programs that plan more GPU memory than this; default 8 GiB. */
  memoryBudgetBytes?: number;
  /** Default `auto`: `cpu` on software adapters that can run them, `gpu` elsewhere. */
  kernels?: KernelFamily;
  /**
   * Kernels whose inputs take at least so many bytes read them through textures; default: as
   * measured on software adapters, elsewhere none.
   */
  textureReadBytes?: number;
  /** Which tiles to use by shape, from measurements on this adapter; default: the tables' own. */
  tuning?: Tuning;
}

const DEFAULT_MEMORY_BUDGET_BYTES = 8 * 2 ** 30;

/** Buffers of fewer bytes are read sooner than copied: a copy ends a pass, which costs 0.1 ms or more. */
const TEXTURE_READ_BYTES = 2 ** 18;

/** Devices that help to translate kernels, at most: each takes some 50 MB meanwhile. */
const MOST_HELPERS = 4;

/**
 * Submissions that no fence follows: for about so long, but not more than so many. llvmpipe takes one
 * only when the one before it is done, so few wait whatever time they take.
 */
const FENCE_MS = 100;
const LLVMPIPE_FENCE_MS = 2000;
const MOST_UNFENCED = 8;

/**
 * Asks for a GPU and prepares it.
 *
 * @throws {DeviceError} where WebGPU or a matching adapter is missing.
 * @throws {InputError} for options of unknown names.
 * @example
 * ```ts ignore
 * using gpu = await requestGpu({ adapter: "high" });
 * console.log(gpu.description);
 * ```
 */
export async function requestGpu(options: GpuOptions = {}): Promise<Gpu> {
  checkChoice("kernels", options.kernels ?? "auto", KERNEL_FAMILIES);
  if (typeof navigator === "undefined" || !navigator.gpu) {
    throw new DeviceError(
      "Asked for a GPU, but this runtime has no WebGPU (navigator.gpu); use Deno 2.9 or newer, or " +
        "a browser with WebGPU switched on.",
    );
  }
  const choice = options.adapter ?? "high";
  const adapter = await requestAdapter(choice);
  if (!adapter) {
    throw new DeviceError(
      `Asked for a GPU adapter (${choice}), but the system offers none; install a Vulkan driver ` +
        "(on Debian or Ubuntu without a GPU: apt-get install mesa-vulkan-drivers libvulkan1).",
    );
  }
  let device: GPUDevice;
  try {
    device = await openDevice(adapter);
  } catch (error) {
    throw new DeviceError(
      `Opening a device on adapter "${describe(adapter.info)}" failed: ${message(error)}.`,
    );
  }
  const textureReadBytes = options.textureReadBytes ??
    (familyOf(adapter.info, options) === "cpu" && await suitsTextures(device, adapter.info)
      ? TEXTURE_READ_BYTES
      : Infinity);
  return new Gpu(device, adapter.info, { ...options, textureReadBytes });
}

/** An open device with its pipelines; `dispose` frees everything it made. */
export class Gpu {
  /** The WebGPU device underneath. */
  readonly device: GPUDevice;
  /** The adapter's name, for people. */
  readonly description: string;
  /** Whether the adapter computes on the processor. */
  readonly isSoftware: boolean;
  /** Whether it is Mesa's software adapter. */
  readonly isLlvmpipe: boolean;
  /** Width of the vectors that a software adapter computes with, in bits, as far as it tells. */
  readonly vectorBits: number;
  /** Which convolution kernels programs on this device use. */
  readonly kernelFamily: "gpu" | "cpu";
  /** Which tiles its kernels use by shape, where not the tables' own. */
  readonly tuning: Tuning;
  /** Kernels whose inputs take at least so many bytes read them through textures. */
  readonly textureReadBytes: number;
  /** Programs that plan more than this are refused. */
  readonly memoryBudgetBytes: number;

  readonly #adapter: AdapterChoice;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  /** Templates by number, as part of pipelines' keys. */
  readonly #sources = new Map<string, number>();
  /** The last {@linkcode warmUp} that was begun. */
  #warming: Promise<void> = Promise.resolve();
  #firstError: string | undefined;
  #lost: string | undefined;
  #destroyed = false;
  #inFlight: Promise<unknown>[] = [];
  /** Submissions since the last fence, which was set at that time. */
  #unfenced = 0;
  #fencedAtMs = performance.now();
  /** Submissions to a fence. */
  #fenceLength = 1;

  /** Use {@linkcode requestGpu}. */
  constructor(device: GPUDevice, info: GPUAdapterInfo, options: GpuOptions) {
    this.device = device;
    this.#adapter = options.adapter ?? "high";
    this.description = describe(info);
    this.isSoftware = isSoftwareAdapter(info);
    this.isLlvmpipe = isLlvmpipe(this.description);
    this.vectorBits = vectorBits(this.description);
    this.kernelFamily = familyOf(info, options);
    this.tuning = options.tuning ?? {};
    this.textureReadBytes = options.textureReadBytes ?? Infinity;
    this.memoryBudgetBytes = options.memoryBudgetBytes ?? DEFAULT_MEMORY_BUDGET_BYTES;
    // Without a listener validation errors vanish and results are silently wrong.
    device.addEventListener("uncapturederror", (event) => {
      this.#firstError ??= (event as GPUUncapturedErrorEvent).error.message;
      event.preventDefault();
    });
    device.lost.then((lost) => {
      if (!this.#destroyed) this.#lost = lost.message || String(lost.reason);
    });
  }

  /** What decides how results of convolutions are rounded, for checkpoints. */
  get kernels(): KernelChoice {
    const tuned = Object.keys(this.tuning).length > 0;
    return { family: this.kernelFamily, ...(tuned ? { tuning: this.tuning } : {}) };
  }

  /** Whether images can be kept as 16-bit floats: the feature `shader-f16`. */
  get supportsF16(): boolean {
    return this.device.features.has("shader-f16");
  }

  /** The device's limits. */
  get limits(): GPUSupportedLimits {
    return this.device.limits;
  }

  /** The compiled pipeline of a kernel; equal specs share one. */
  pipeline(spec: KernelSpec): Promise<GPUComputePipeline> {
    this.check();
    const key = this.#keyOf(spec);
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = compileKernel(this.device, spec);
      this.#pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  /** The same of several kernels, by spec; a driver that can work ahead is made to. */
  async pipelines(specs: readonly KernelSpec[]): Promise<Map<KernelSpec, GPUComputePipeline>> {
    this.check();
    if (this.isLlvmpipe) {
      // One after the other, so that no kernel is translated twice.
      const warming = this.#warming.catch(() => {}).then(() => this.#warmUp(specs));
      this.#warming = warming;
      await warming;
    }
    return new Map(
      await Promise.all(specs.map(async (spec) => [spec, await this.pipeline(spec)] as const)),
    );
  }

  async #warmUp(specs: readonly KernelSpec[]): Promise<void> {
    const fresh = new Map(
      specs.map((spec) => [this.#keyOf(spec), spec] as const)
        .filter(([key]) => !this.#pipelines.has(key)),
    );
    const processors = navigator.hardwareConcurrency;
    await warmUp([...fresh.values()], {
      device: this.device,
      build: (spec) => this.pipeline(spec),
      buildFor: compileKernel,
      openHelper: async () => {
        const adapter = await requestAdapter(this.#adapter);
        return adapter ? await openDevice(adapter) : undefined;
      },
      mostHelpers: processors > 1 ? Math.min(processors, MOST_HELPERS) : 0,
    });
  }

  /** By code, not by name: two ops may well choose the same name. */
  #keyOf({ constants, source }: KernelSpec): string {
    const number = this.#sources.get(source) ?? this.#sources.size;
    this.#sources.set(source, number);
    return `${number} ${JSON.stringify(constants)}`;
  }

  /**
   * Fails if anything went wrong on the device since the last call.
   * @throws {DeviceError} naming the first uncaptured error, or that the device is lost or closed.
   */
  check(): void {
    if (this.#destroyed) throw new DeviceError("Used a GPU device after it was closed.");
    if (this.#lost !== undefined) {
      throw new DeviceError(`The GPU device was lost (${this.#lost}); start over.`);
    }
    if (this.#firstError !== undefined) {
      const error = this.#firstError;
      this.#firstError = undefined;
      throw new DeviceError(`The GPU reported an error: ${error}`);
    }
  }

  /** How long work is submitted before {@linkcode Gpu.throttle} waits for any of it, about. */
  get fenceMs(): number {
    return this.isLlvmpipe ? LLVMPIPE_FENCE_MS : FENCE_MS;
  }

  /** Resolves when everything submitted so far is done. */
  async idle(): Promise<void> {
    this.check();
    await this.device.queue.onSubmittedWorkDone();
    this.check();
  }

  /**
   * Waits until the submissions that {@linkcode Gpu.submitted} was told of are finished, but for
   * `depth` and, where they take little time, some more: so that a fast host does not queue without
   * bound. With depth 0 none is left.
   */
  async throttle(depth: number): Promise<void> {
    if (depth === 0 && this.#unfenced > 0) this.#fence();
    while (this.#inFlight.length > depth) await this.#inFlight.shift();
  }

  /** Marks what was submitted last, for {@linkcode Gpu.throttle}. */
  submitted(): void {
    this.#unfenced++;
    if (this.#unfenced >= this.#fenceLength) this.#fence();
  }

  /**
   * Asks to be told when all that was submitted is done. In Deno that alone stops the program until
   * it is, and the device then waits for the next step to be encoded: so one fence for several short
   * steps (measured on an H100: 15.7 ms a step with a fence each, 5.0 without; on llvmpipe 0.92 of the
   * time of steps of 0.4 s).
   */
  #fence(): void {
    this.#inFlight.push(this.device.queue.onSubmittedWorkDone());
    // After the call, so that what it waited for counts with the submissions it waited for.
    const now = performance.now();
    const submissionMs = (now - this.#fencedAtMs) / this.#unfenced;
    const fits = Math.min(MOST_UNFENCED, Math.max(1, Math.floor(this.fenceMs / submissionMs)));
    // By and by, since before the first fences are reached only the host's time is known.
    this.#fenceLength = Math.min(fits, 2 * this.#fenceLength);
    this.#fencedAtMs = now;
    this.#unfenced = 0;
  }

  /** A labelled buffer, zero-initialised as WebGPU guarantees. */
  createBuffer(label: string, sizeBytes: number, usage: number): GPUBuffer {
    this.check();
    return this.device.createBuffer({ label, size: Math.max(16, sizeBytes), usage });
  }

  /**
   * Copies `sizeBytes` of a buffer to the host.
   * @throws {DeviceError} when the device failed meanwhile.
   */
  async readBuffer(
    source: GPUBuffer,
    offsetBytes: number,
    sizeBytes: number,
  ): Promise<ArrayBuffer> {
    this.check();
    const staging = this.createBuffer(
      `readback of ${source.label}`,
      sizeBytes,
      GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    );
    try {
      const encoder = this.device.createCommandEncoder({ label: "readback" });
      encoder.copyBufferToBuffer(source, offsetBytes, staging, 0, sizeBytes);
      this.device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ).catch((error) => {
        // A lost device, or memory that ran out, says more than that mapping failed.
        this.check();
        throw new DeviceError(`Reading ${source.label} from the GPU failed: ${message(error)}.`);
      });
      this.check();
      return staging.getMappedRange(0, sizeBytes).slice(0);
    } finally {
      staging.destroy();
    }
  }

  /** Closes the device and frees all its memory. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#pipelines.clear();
    this.device.destroy();
  }

  /** Same as {@linkcode destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

function familyOf(info: GPUAdapterInfo, { kernels = "auto" }: GpuOptions): "gpu" | "cpu" {
  if (kernels !== "auto") return kernels;
  return isSoftwareAdapter(info) && readsStorageTextures() ? "cpu" : "gpu";
}

/** What the kernels for processors do, and not every browser can. */
function readsStorageTextures(): boolean {
  const gpu: GPU & { wgslLanguageFeatures?: ReadonlySet<string> } = navigator.gpu;
  return gpu.wgslLanguageFeatures?.has("readonly_and_readwrite_storage_textures") ?? false;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
