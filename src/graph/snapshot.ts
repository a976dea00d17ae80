/**
 * A copy of what runs change and leave to later ones, on the GPU, so that they can be made again.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { PersistentBuffer } from "./memory.ts";

/** Copies of some arenas. */
export class Snapshot {
  readonly #pairs: readonly { arena: PersistentBuffer; copy: PersistentBuffer }[];

  /** Allocates nothing yet. */
  constructor(arenas: readonly PersistentBuffer[]) {
    this.#pairs = arenas.filter(({ sizeBytes }) => sizeBytes > 0).map((arena) => ({
      arena,
      copy: new PersistentBuffer(`snapshot of ${arena.label}`, arena.sizeBytes),
    }));
  }

  /** Bytes of the copies. */
  get sizeBytes(): number {
    return this.#pairs.reduce((sum, { copy }) => sum + copy.sizeBytes, 0);
  }

  /** Remembers the arenas as they are after all that was submitted so far. */
  take(gpu: Gpu): void {
    this.#copy(gpu, ({ arena, copy }) => [arena, copy]);
  }

  /** Puts the arenas back. */
  restore(gpu: Gpu): void {
    this.#copy(gpu, ({ arena, copy }) => [copy, arena]);
  }

  /** Frees the copies. */
  destroy(): void {
    for (const { copy } of this.#pairs) copy.destroy();
  }

  #copy(
    gpu: Gpu,
    direction: (
      pair: { arena: PersistentBuffer; copy: PersistentBuffer },
    ) => [PersistentBuffer, PersistentBuffer],
  ): void {
    const encoder = gpu.device.createCommandEncoder({ label: "snapshot" });
    for (const pair of this.#pairs) {
      const [from, to] = direction(pair);
      encoder.copyBufferToBuffer(from.on(gpu), 0, to.on(gpu), 0, from.sizeBytes);
    }
    gpu.device.queue.submit([encoder.finish()]);
  }
}
