/**
 * A ring of scalars on the GPU, such as losses: every run adds one, the host reads many at once
 * instead of waiting for the device after each step.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { PersistentBuffer } from "./memory.ts";

/** The last values of a scalar output, of one program or of several that take turns. */
export class History {
  /** Values kept. */
  readonly length: number;
  readonly #buffer: PersistentBuffer;
  #count = 0;

  /** Keeps the last `length` values, 4 bytes each; default 64. */
  constructor(length = 64) {
    this.length = length;
    this.#buffer = new PersistentBuffer("history", length * 4);
  }

  /** Values recorded so far, including those that were overwritten. */
  get count(): number {
    return this.#count;
  }

  /** Encodes the copy of a scalar into the ring. */
  record(gpu: Gpu, encoder: GPUCommandEncoder, source: GPUBuffer, offsetBytes: number): void {
    const slotBytes = (this.#count % this.length) * 4;
    encoder.copyBufferToBuffer(source, offsetBytes, this.#buffer.on(gpu), slotBytes, 4);
    this.#count++;
  }

  /**
   * The last `count` values, oldest first. Waits for the device.
   * @throws {InputError} when fewer were recorded or kept.
   */
  async read(gpu: Gpu, count: number): Promise<Float32Array> {
    if (count > this.length || count > this.#count) {
      throw new InputError(
        `Asked for ${count} values of history, but ${this.#count} runs were made and ` +
          `${this.length} are kept.`,
      );
    }
    // Runs may be recorded while this waits.
    const first = this.#count - count;
    const bytes = await gpu.readBuffer(this.#buffer.on(gpu), 0, this.length * 4);
    const ring = new Float32Array(bytes);
    return Float32Array.from({ length: count }, (_, i) => ring[(first + i) % this.length] ?? NaN);
  }

  /** Frees the GPU memory. */
  destroy(): void {
    this.#buffer.destroy();
  }
}
