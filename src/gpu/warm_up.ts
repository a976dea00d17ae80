/**
 * What llvmpipe leaves to a kernel's first dispatch, done when the kernel is built: translating it to
 * the processor's code, which takes half a second for a large one and is remembered on disk. A device
 * translates one kernel at a time. Where many are missing others help: they fill the cache on disk,
 * from which the device that is to run the kernels reads them then.
 * @module
 */
import { EmptyDispatch } from "./empty_dispatch.ts";
import type { KernelSpec } from "./kernel_spec.ts";
import { kernelCode } from "./pipeline.ts";

/** The devices, and how a kernel is built for them. */
export interface WarmUpTools {
  /** The device that is to run the kernels. */
  readonly device: GPUDevice;
  /** Builds a kernel for it. */
  build(kernel: KernelSpec): Promise<GPUComputePipeline>;
  /** Builds a kernel for a helper. */
  buildFor(helper: GPUDevice, kernel: KernelSpec): Promise<GPUComputePipeline>;
  /** Opens another device of the same adapter; `undefined` where that fails. */
  openHelper(): Promise<GPUDevice | undefined>;
  /** Helpers that the machine can keep busy. */
  readonly mostHelpers: number;
}

/** What was found and done. */
export interface WarmUp {
  /** Whether there are many kernels, and the one that was tried first was missing in the cache. */
  readonly isCold: boolean;
  /** Devices that helped. */
  readonly helpers: number;
}

/** As many kernels may be worth helpers. */
const MANY_KERNELS = 8;
/** Translating takes 10 to 40 times as long as building, reading a translation about as long. */
const COLD_RATIO = 5;
/** Work that pays for opening a helper and building kernels once more. */
const HELPER_MS = 500;

/** A kernel whose work is guessed by the length of its code. */
interface Sized {
  readonly kernel: KernelSpec;
  readonly code: string;
}

/**
 * Builds `kernels` and has them translated.
 * @throws {DeviceError} where one does not compile
 */
export async function warmUp(kernels: readonly KernelSpec[], tools: WarmUpTools): Promise<WarmUp> {
  // The largest first, so that all devices end at about the same time.
  const sized = kernels.map((kernel): Sized => ({ kernel, code: kernelCode(kernel) }))
    .sort((a, b) => b.code.length - a.code.length);
  using main = new Translator(tools.device, tools.build);
  const work = sized.length < MANY_KERNELS ? 0 : await missingMs(sized, main);
  const helpers: Translator[] = [];
  try {
    // What fails on helpers the main device does, or fails at and says so.
    await openHelpers(helpers, sized, work, tools).catch(() => {});
    for (const kernel of sized) {
      const idlest = [main, ...helpers].reduce((a, b) => b.load < a.load ? b : a);
      await (idlest === main ? main.translate(kernel) : idlest.translate(kernel).catch(() => {}));
    }
    for (const helper of helpers) await helper.idle().catch(() => {});
  } finally {
    for (const helper of helpers) helper.close();
  }
  for (const kernel of sized) await main.translate(kernel);
  return { isCold: work > 0, helpers: helpers.length };
}

/** How long translating all kernels would take, as far as one of them tells; 0 where that is cached. */
async function missingMs(kernels: readonly Sized[], main: Translator): Promise<number> {
  const probe = probeOf(kernels);
  const { isCold, translateMs } = await main.probe(probe);
  return isCold ? translateMs / probe.code.length * lengthOf(kernels) : 0;
}

/** Adds as many helpers as the work pays for; none where they share no cache with the main device. */
async function openHelpers(
  helpers: Translator[],
  kernels: readonly Sized[],
  work: number,
  { openHelper, buildFor, mostHelpers }: WarmUpTools,
): Promise<void> {
  const count = Math.min(mostHelpers, Math.floor(work / HELPER_MS));
  while (helpers.length < count) {
    const device = await openHelper();
    if (!device) return;
    const helper = new Translator(device, (kernel) => buildFor(device, kernel));
    helpers.push(helper);
    // Mesa may write a little later what was translated: helpers are then done without.
    if (helpers.length === 1 && (await helper.probe(probeOf(kernels))).isCold) {
      helpers.pop();
      helper.close();
      return;
    }
  }
}

/** The kernel half way through all code: one that takes long enough to tell translating from reading. */
function probeOf(kernels: readonly Sized[]): Sized {
  let left = lengthOf(kernels) / 2;
  const probe = kernels.find(({ code }) => (left -= code.length) <= 0);
  if (!probe) throw new RangeError("There is no kernel to translate");
  return probe;
}

function lengthOf(kernels: readonly Sized[]): number {
  return kernels.reduce((sum, { code }) => sum + code.length, 0);
}

/** A device that translates kernels. */
class Translator {
  readonly #device: GPUDevice;
  readonly #build: (kernel: KernelSpec) => Promise<GPUComputePipeline>;
  readonly #dispatch: EmptyDispatch;
  readonly #done = new Set<Sized>();

  constructor(device: GPUDevice, build: (kernel: KernelSpec) => Promise<GPUComputePipeline>) {
    this.#device = device;
    this.#build = build;
    this.#dispatch = new EmptyDispatch(device);
  }

  /** Length of the code that it was given. */
  get load(): number {
    return lengthOf([...this.#done]);
  }

  /**
   * Builds a kernel and begins to translate it, once; in Deno waits first for the one before it.
   * @returns when it was built
   */
  async translate(sized: Sized): Promise<number> {
    if (this.#done.has(sized)) return performance.now();
    this.#done.add(sized);
    const pipeline = await this.#build(sized.kernel);
    const builtMs = performance.now();
    await this.#dispatch.submit(pipeline, sized.code);
    return builtMs;
  }

  /** Translates a kernel and says whether it was in no cache. */
  async probe(sized: Sized): Promise<{ isCold: boolean; translateMs: number }> {
    const startMs = performance.now();
    const builtMs = await this.translate(sized);
    await this.idle();
    const translateMs = performance.now() - builtMs;
    return { isCold: translateMs > COLD_RATIO * (builtMs - startMs), translateMs };
  }

  async idle(): Promise<void> {
    await this.#device.queue.onSubmittedWorkDone();
  }

  close(): void {
    this.#device.destroy();
  }

  [Symbol.dispose](): void {
    this.#dispatch.destroy();
  }
}
