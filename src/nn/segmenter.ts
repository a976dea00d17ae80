/**
 * Inference: photos in, class maps out. Compiles a program for each image size it meets and keeps
 * the latest ones; all share one pool of memory. Photos that do not fit can be predicted by windows.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { ImageType } from "../graph/layout.ts";
import { mib } from "../graph/memory.ts";
import { MemoryPool } from "../graph/pool.ts";
import { compile, type Program } from "../graph/program.ts";
import { ProgramCache } from "../graph/program_cache.ts";
import { lowerTarget, planProgram, type ProgramPlan } from "../graph/program_plan.ts";
import { unpackIds } from "../ops/resize_argmax.ts";
import type { BatchShape } from "./batch_shape.ts";
import { checkPrediction } from "./check_prediction.ts";
import { chooseWindows, isPlain } from "./choose_windows.ts";
import { photoGraph } from "./photo_graph.ts";
import type { UNet } from "./unet.ts";
import type { Flips } from "./window_plan.ts";
import { type ProbabilityRows, WindowProgram } from "./window_program.ts";

/** A batch of equally sized photos. */
export interface PhotoBatch extends BatchShape {
  /** RGBA bytes, row by row, photo after photo; alpha is not looked at by RGB networks. */
  pixels: Uint8Array | Uint8ClampedArray;
}

/** Options of {@linkcode Segmenter}. */
export interface SegmenterOptions {
  /** Memory shared with programs that never run at the same time; default: a pool of its own. */
  pool?: MemoryPool;
  /**
   * How activations are kept: `f16` halves their memory on adapters with the feature `shader-f16`;
   * class maps differ in a few pixels of nearly equal scores. Default `f32`.
   */
  images?: ImageType;
}

/** Options of {@linkcode Segmenter.predict}. */
export interface PredictOptions {
  /** [height, width] of the class map; default: the photo's. */
  size?: readonly [number, number];
  /** Two-class networks: class 1 where its probability is above this; default 0.5. */
  threshold?: number;
  /**
   * Sliding windows, for single photos: their side in pixels of the photo and the least share of
   * one that its neighbour covers, too (0 to below 1; default: what the network sees around a
   * pixel, at most half). Side 0 takes the whole photo where that fits the memory budget, else the
   * largest windows that do. Default: the whole photo.
   */
  window?: { readonly side: number; readonly overlap?: number };
  /** Average the probabilities of the photo and its flips; default none; single photos only. */
  flips?: Flips;
  /**
   * The same photo scaled otherwise: its probabilities are averaged with those of the first, which
   * decides the class map's size where `size` does not; default none; single photos only.
   */
  alsoAt?: readonly PhotoBatch[];
  /** Gets the probabilities, some rows at a time, from top to bottom; single photos only. */
  onProbabilities?: (rows: ProbabilityRows) => void | Promise<void>;
  /** Called as windows are done, where there are any. */
  onProgress?: (done: number, total: number) => void;
}

/** Programs are light, their memory is shared; a validation split may have many batch shapes. */
const CACHED_PROGRAMS = 32;

/**
 * Most memory held, as a multiple of what the largest size needs: enough for upright and lying
 * photos of one camera, which fit each other's memory badly.
 */
const MOST_HELD = 2;

/** A network ready to segment photos of any size. */
export class Segmenter {
  readonly #gpu: Gpu;
  readonly #net: UNet;
  readonly #pool: MemoryPool;
  readonly #ownsPool: boolean;
  readonly #images: ImageType;
  readonly #programs = new ProgramCache(CACHED_PROGRAMS);
  /** The windows of the latest size; their blended rows are large, so there are no others. */
  #windows: { readonly key: string; readonly program: WindowProgram } | undefined;
  #plannedBytes = 0;
  #queue: Promise<unknown> = Promise.resolve();

  /** Uses the parameters that `net` has at each prediction; compiles nothing yet. */
  constructor(gpu: Gpu, net: UNet, { pool, images = "f32" }: SegmenterOptions = {}) {
    this.#gpu = gpu;
    this.#net = net;
    this.#pool = pool ?? new MemoryPool(gpu);
    this.#ownsPool = pool === undefined;
    this.#images = images;
  }

  /** Bytes of GPU memory held for activations. */
  get poolBytes(): number {
    return this.#pool.sizeBytes;
  }

  /** Bytes of GPU memory that the largest prediction so far planned, parameters included. */
  get plannedBytes(): number {
    return this.#plannedBytes;
  }

  /**
   * The class of every pixel: ids [batch * H * W] at `options.size`. Calls may overlap: the
   * device gets them one after the other and need not wait between them.
   *
   * @throws {InputError} when pixels or options are wrong, or the plan does not fit the memory budget.
   * @throws {ShapeError} when the photo is too small for the network.
   */
  predict(photos: PhotoBatch, options: PredictOptions = {}): Promise<Uint8Array> {
    const submitted = this.#queue.then(() => this.#submit(photos, options));
    this.#queue = submitted.catch(() => {});
    return submitted.then(({ ids }) => ids);
  }

  /**
   * The largest of 0.9, 0.8, ... 0.1 by which a photo must be scaled for a prediction to fit memory
   * and limits; `undefined` when none is small enough.
   */
  largestFit(photos: BatchShape, options: PredictOptions = {}): number | undefined {
    const size = options.size ?? [photos.height, photos.width];
    for (let tenths = 9; tenths >= 1; tenths--) {
      const height = Math.max(1, Math.floor((photos.height * tenths) / 10));
      const width = Math.max(1, Math.floor((photos.width * tenths) / 10));
      const shape = { batch: photos.batch, height, width };
      try {
        const { graph, ids } = photoGraph(this.#net, shape, size, options.threshold, this.#images);
        const plan = planProgram(graph, { ids }, lowerTarget(this.#gpu));
        if (plan.plannedBytes <= this.#gpu.memoryBudgetBytes) return tenths / 10;
      } catch (error) {
        // Over a limit of the device, or by now too small for the network.
        if (!(error instanceof InputError)) throw error;
      }
    }
    return undefined;
  }

  /** Frees the programs and their memory; the network stays. */
  destroy(): void {
    this.#programs.destroy();
    this.#dropWindows();
    if (this.#ownsPool) this.#pool.destroy();
  }

  /** Same as {@linkcode destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** Puts the work on the device's queue; the next photo's may follow before this one is read. */
  async #submit(
    photos: PhotoBatch,
    options: PredictOptions,
  ): Promise<{ ids: Promise<Uint8Array> | Uint8Array }> {
    checkPrediction(photos, options);
    const windows = await this.#windowProgram(photos, options);
    if (windows) {
      const views = [photos, ...options.alsoAt ?? []].map(({ pixels }) => pixels);
      return { ids: await windows.predict(views, options) };
    }
    const [height, width] = options.size ?? [photos.height, photos.width];
    const program = await this.#program(photos, [height, width], options.threshold);
    program.write("pixels", photos.pixels);
    program.run();
    const ids = program.readInts("ids").then((words) => unpackIds(words, height, width));
    // It is awaited a turn later.
    ids.catch(() => undefined);
    return { ids };
  }

  /** The programs of the photo's windows; `undefined` where it is predicted whole. */
  async #windowProgram(
    photos: BatchShape,
    options: PredictOptions,
  ): Promise<WindowProgram | undefined> {
    const { size, threshold, window, flips, alsoAt = [], onProbabilities } = options;
    const plain = isPlain(options);
    if (!window && plain) return undefined;
    const shapes = [photos, ...alsoAt].map(({ batch, height, width }) => [batch, height, width]);
    const wanted = [window?.side, window?.overlap, flips, onProbabilities !== undefined];
    const key = JSON.stringify([shapes, size, threshold, wanted]);
    if (this.#windows?.key === key) return this.#windows.program;
    // A whole photo's program that is there has fitted before.
    if (plain && window?.side === 0 && this.#programs.has(programKey(photos, options))) {
      return undefined;
    }
    const plan = chooseWindows(this.#gpu, this.#net, photos, options, this.#images);
    if (!plan) return undefined;
    this.#dropWindows();
    const { plans, plannedBytes, besidesBytes } = plan.plans();
    checkBudget(plannedBytes, this.#gpu.memoryBudgetBytes);
    this.#makeRoom(plans, besidesBytes);
    const program = await WindowProgram.compile(this.#gpu, this.#net, plan, this.#pool);
    this.#windows = { key, program };
    this.#plannedBytes = Math.max(this.#plannedBytes, plannedBytes);
    return program;
  }

  #dropWindows(): void {
    this.#windows?.program.destroy();
    this.#windows = undefined;
  }

  #program(
    photos: BatchShape,
    size: readonly [number, number],
    threshold: number | undefined,
  ): Promise<Program> {
    const key = programKey(photos, { size, ...(threshold === undefined ? {} : { threshold }) });
    return this.#programs.get(key, async () => {
      this.#dropWindows();
      const { graph, ids } = photoGraph(this.#net, photos, size, threshold, this.#images);
      const outputs = { ids };
      const plan = planProgram(graph, outputs, lowerTarget(this.#gpu));
      this.#makeRoom([plan]);
      this.#plannedBytes = Math.max(this.#plannedBytes, plan.plannedBytes);
      return await compile(this.#gpu, graph, {
        outputs,
        stores: [this.#net.store],
        pool: this.#pool,
      });
    });
  }

  /**
   * Starts with an empty pool where `plans` would make it hold too much: photos of ever larger sizes
   * would each leave memory behind that the next is too large for.
   * @param besidesBytes Memory that they need outside of the pool.
   */
  #makeRoom(plans: readonly ProgramPlan[], besidesBytes = 0): void {
    // A shared pool has others to think of; it keeps to the budget by itself.
    if (!this.#ownsPool) return;
    const kept = this.#programs.programs.map(({ plan }) => plan);
    const largestBytes = Math.max(...[...plans, ...kept].map(({ memory }) => memory.slotBytes));
    const slots = plans.map(({ memory }) => memory.slots);
    const heldBytes = this.#pool.sizeBytes + this.#pool.lackingBytes(...slots);
    const mostBytes = Math.min(
      MOST_HELD * largestBytes,
      this.#gpu.memoryBudgetBytes - besidesBytes,
    );
    if (heldBytes > mostBytes) this.destroy();
  }
}

function programKey(photos: BatchShape, { size, threshold }: PredictOptions): string {
  const { batch, height, width } = photos;
  return [batch, height, width, ...size ?? [height, width], threshold].join();
}

function checkBudget(plannedBytes: number, budgetBytes: number): void {
  if (plannedBytes <= budgetBytes) return;
  throw new InputError(
    `Predicting by these windows plans ${mib(plannedBytes)} of GPU memory, but the budget is ` +
      `${mib(budgetBytes)}; use a smaller tile, scale or width.`,
  );
}
