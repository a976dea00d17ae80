/**
 * Dynamic loss scaling for images of 16 bits: the loss counts so many times over in the backward
 * pass that small gradients do not round to 0, and the optimizer divides it out again. Where a
 * gradient overflows, the update is left out and the scale halves; after many updates without
 * overflow it doubles. All of that happens on the GPU, so that no step waits for the host; what the
 * host counts, steps of schedules and of Adam's bias correction, includes the updates left out.
 *
 * Source: P. Micikevicius et al., "Mixed Precision Training" (2018); numbers of
 * `torch.cuda.amp.GradScaler`.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Graph, Tensor } from "../graph/graph.ts";
import { type BufferMemory, PersistentBuffer } from "../graph/memory.ts";

/** Where a {@linkcode LossScale} stands. */
export interface LossScaleState {
  /** What the loss is multiplied with in the backward pass. */
  scale: number;
  /** Updates since it last changed. */
  goodUpdates: number;
  /** Updates left out so far, because a gradient overflowed. */
  skipped: number;
  /** Of these, the last ones in a row; 0 where the last update was made. */
  skippedInRow: number;
}

const INITIAL: LossScaleState = { scale: 2 ** 16, goodUpdates: 0, skipped: 0, skippedInRow: 0 };
/** The scale's limits: below, 16 bits do not suffice; above, nothing is gained. */
const [SMALLEST, LARGEST] = [1, 2 ** 24];
const FLOATS = 4;
/** More than it takes from the largest scale to the smallest, so that a few were made at that one. */
const MOST_IN_ROW = 30;

/**
 * Whether 16 bits do not suffice: at the smallest scale, too, one update after the other is left out.
 * A single one says little, since the next batch may not overflow.
 */
export function isStuck({ scale, skippedInRow }: LossScaleState): boolean {
  return scale <= SMALLEST && skippedInRow >= MOST_IN_ROW;
}

/** A scale of the loss that lies on the GPU and adapts itself; one for all programs of a training. */
export class LossScale {
  /** Updates without overflow after which the scale doubles. */
  readonly growthInterval: number;
  /** f32 [4]: scale, updates since it changed, updates left out, of these the last ones in a row. */
  readonly buffer: PersistentBuffer = new PersistentBuffer("loss scale", FLOATS * 4);
  #pending: LossScaleState | undefined = INITIAL;

  /**
   * Starts at 65536.
   * @throws {InputError} for an interval that is no whole number of at least 1.
   */
  constructor(options: { growthInterval?: number } = {}) {
    this.growthInterval = options.growthInterval ?? 2000;
    if (!Number.isSafeInteger(this.growthInterval) || this.growthInterval < 1) {
      throw new InputError(
        `A loss scale got a growth interval of ${this.growthInterval}, expected a whole number of ` +
          "at least 1.",
      );
    }
  }

  /** The scale as a tensor, flat [1]: the gradient of the scaled loss with respect to the loss. */
  seed(graph: Graph): Tensor {
    return graph.parameter({
      name: "loss_scale",
      shape: [1],
      trainable: false,
      home: { buffer: this.buffer, offsetBytes: 0 },
    });
  }

  /** The whole state as kernels bind it. */
  get memory(): BufferMemory {
    const { buffer } = this;
    return {
      kind: "buffer",
      label: buffer.label,
      sizeBytes: buffer.sizeBytes,
      home: { buffer, offsetBytes: 0 },
    };
  }

  /** Sets the scale, to go on where another one was. */
  set(state: LossScaleState): void {
    const { scale, goodUpdates, skipped, skippedInRow } = state;
    const isUsable = scale >= SMALLEST && scale <= LARGEST && goodUpdates >= 0 &&
      skippedInRow >= 0 && skipped >= skippedInRow;
    if (!isUsable) {
      throw new InputError(
        `Setting a loss scale of ${scale} after ${goodUpdates} good updates and ${skipped} skipped ` +
          `ones (${skippedInRow} in a row) failed: expected a scale from ${SMALLEST} to ${LARGEST} ` +
          "and counts from 0.",
      );
    }
    this.#pending = { scale, goodUpdates, skipped, skippedInRow };
  }

  /** Brings what was set to the GPU; to be called before a program runs that uses the scale. */
  upload(gpu: Gpu): void {
    if (!this.#pending) return;
    const { scale, goodUpdates, skipped, skippedInRow } = this.#pending;
    const values = Float32Array.of(scale, goodUpdates, skipped, skippedInRow);
    gpu.device.queue.writeBuffer(this.buffer.on(gpu), 0, values);
    this.#pending = undefined;
  }

  /** Where it stands after all that was submitted. Waits for the device. */
  async read(gpu: Gpu): Promise<LossScaleState> {
    this.upload(gpu);
    const bytes = await gpu.readBuffer(this.buffer.on(gpu), 0, FLOATS * 4);
    const [scale = 0, goodUpdates = 0, skipped = 0, skippedInRow = 0] = new Float32Array(bytes);
    return { scale, goodUpdates, skipped, skippedInRow };
  }

  /** Frees the GPU memory. */
  destroy(): void {
    this.buffer.destroy();
  }
}
