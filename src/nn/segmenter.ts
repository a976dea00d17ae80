/**
 * Inference: photos in, class maps out. Compiles a program for each image size it meets and keeps
 * the latest ones; all share one pool of memory.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { Graph, type Tensor } from "../graph/graph.ts";
import { MemoryPool, usableProgram } from "../graph/pool.ts";
import { compile, type Program } from "../graph/program.ts";
import { lowerTarget, planProgram, type ProgramPlan } from "../graph/program_plan.ts";
import { imageInput } from "../ops/image_input.ts";
import { resizeArgmax, unpackIds } from "../ops/resize_argmax.ts";
import type { BatchShape } from "./batch_shape.ts";
import type { UNet } from "./unet.ts";

/** A batch of equally sized photos. */
export interface PhotoBatch extends BatchShape {
  /** RGBA bytes, row by row, photo after photo; alpha is not looked at by RGB networks. */
  pixels: Uint8Array;
}

/** Options of {@linkcode Segmenter}. */
export interface SegmenterOptions {
  /** Memory shared with programs that never run at the same time; default: a pool of its own. */
  pool?: MemoryPool;
}

/** Options of {@linkcode Segmenter.predict}. */
export interface PredictOptions {
  /** [height, width] of the class map; default: the photo's. */
  size?: readonly [number, number];
  /** Two-class networks: class 1 where its probability is above this; default 0.5. */
  threshold?: number;
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
  readonly #programs = new Map<string, Program>();
  #queue: Promise<unknown> = Promise.resolve();

  /** Uses the parameters that `net` has at each prediction; compiles nothing yet. */
  constructor(gpu: Gpu, net: UNet, { pool }: SegmenterOptions = {}) {
    this.#gpu = gpu;
    this.#net = net;
    this.#pool = pool ?? new MemoryPool(gpu);
    this.#ownsPool = pool === undefined;
  }

  /** Bytes of GPU memory held for activations. */
  get poolBytes(): number {
    return this.#pool.sizeBytes;
  }

  /**
   * The class of every pixel: ids [batch * H * W] at `options.size`. Calls may overlap; they run
   * one after the other.
   *
   * @throws {InputError} when the plan does not fit the memory budget.
   * @throws {ShapeError} when the photo is too small for the network.
   */
  predict(photos: PhotoBatch, options: PredictOptions = {}): Promise<Uint8Array> {
    const result = this.#queue.then(() => this.#predict(photos, options));
    this.#queue = result.catch(() => {});
    return result;
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
        const { graph, ids } = this.#record(shape, size, options.threshold);
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
    for (const program of this.#programs.values()) program.destroy();
    this.#programs.clear();
    if (this.#ownsPool) this.#pool.destroy();
  }

  /** Same as {@linkcode destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  async #predict(photos: PhotoBatch, options: PredictOptions): Promise<Uint8Array> {
    const [height, width] = options.size ?? [photos.height, photos.width];
    const program = await this.#program(photos, [height, width], options.threshold);
    program.write("pixels", photos.pixels);
    program.run();
    return unpackIds(await program.readInts("ids"), height, width);
  }

  #record(
    { batch, height, width }: BatchShape,
    size: readonly [number, number],
    threshold: number | undefined,
  ): { graph: Graph; ids: Tensor } {
    const graph = new Graph();
    const pixels = graph.input("pixels", { shape: [batch, height, width], dtype: "u32" });
    const image = imageInput(pixels, this.#net.config.channels);
    const logits = this.#net.forward(image, { training: false });
    // 0.5 is what the argmax of two classes decides anyway.
    const cut = threshold === undefined || threshold === 0.5 ? {} : { threshold };
    return { graph, ids: resizeArgmax(logits, { size, ...cut }) };
  }

  async #program(
    photos: BatchShape,
    size: readonly [number, number],
    threshold: number | undefined,
  ): Promise<Program> {
    const key = [photos.batch, photos.height, photos.width, ...size, threshold].join();
    let program = usableProgram(this.#programs, key);
    this.#programs.delete(key);
    if (!program) {
      const { graph, ids } = this.#record(photos, size, threshold);
      const outputs = { ids };
      this.#makeRoom(planProgram(graph, outputs, lowerTarget(this.#gpu)));
      program = await compile(this.#gpu, graph, {
        outputs,
        stores: [this.#net.store],
        pool: this.#pool,
      });
    }
    this.#programs.set(key, program);
    for (const [oldest, old] of this.#programs) {
      if (this.#programs.size <= CACHED_PROGRAMS) break;
      old.destroy();
      this.#programs.delete(oldest);
    }
    return program;
  }

  /**
   * Starts with an empty pool where `plan` would make it hold too much: photos of ever larger sizes
   * would each leave memory behind that the next is too large for.
   */
  #makeRoom({ memory }: ProgramPlan): void {
    // A shared pool has others to think of; it keeps to the budget by itself.
    if (!this.#ownsPool) return;
    const kept = [...this.#programs.values()].map(({ plan }) => plan.memory.slotBytes);
    const largestBytes = Math.max(memory.slotBytes, ...kept);
    const heldBytes = this.#pool.sizeBytes + this.#pool.lackingBytes(memory.slots);
    const mostBytes = Math.min(MOST_HELD * largestBytes, this.#gpu.memoryBudgetBytes);
    if (heldBytes > mostBytes) this.destroy();
  }
}
