/// <reference lib="dom" />
/**
 * The GPU and the network on it: opened when first needed, opened anew after a failure.
 * @module
 */
import {
  type Checkpoint,
  type Gpu,
  InputError,
  networkOf,
  type PhotoBatch,
  requestGpu,
  Segmenter,
  ShapeError,
  type UNet,
} from "../mod.ts";
import type { Report } from "./elements.ts";
import type { Model } from "./model_file.ts";

/** GiB of memory supposed where a browser does not tell how much there is. */
const SUPPOSED_MEMORY_GIB = 4;

/** What to do where there is no WebGPU, in words. */
const BROWSERS = "use a current Chrome, Edge, Firefox or Safari with hardware acceleration on";

/** Why nothing can be computed in this browser, as a sentence; `undefined` where all is well. */
export async function whatIsMissing(): Promise<string | undefined> {
  if (!globalThis.isSecureContext) {
    return "This page was opened over plain http from another machine, where browsers give no " +
      "WebGPU; open it over https, or on the machine that serves it.";
  }
  if (!navigator.gpu) return `This browser has no WebGPU, which computes the mask; ${BROWSERS}.`;
  if (!await navigator.gpu.requestAdapter()) {
    return `This browser has WebGPU, but offers no GPU adapter on this machine; ${BROWSERS}.`;
  }
  return undefined;
}

/** Computes masks. One at a time. */
export class Engine {
  #gpu: Gpu | undefined;
  #net: UNet | undefined;
  #segmenter: Segmenter | undefined;
  #checkpoint: Checkpoint | undefined;

  /** The GPU's name for people; empty before anything was computed. */
  get description(): string {
    return this.#gpu?.description ?? "";
  }

  /**
   * The class of every pixel, at `size` ([height, width]).
   * @param scale That led to `photo`; named in errors.
   * @throws {InputError} what went wrong, and which scale would do where scale is to blame.
   */
  async segment(
    { name, checkpoint }: Model,
    photo: PhotoBatch,
    size: readonly [number, number],
    scale: number,
    report: Report,
  ): Promise<Uint8Array> {
    try {
      report("Opening the GPU");
      const segmenter = await this.#open(checkpoint, name);
      report(`Computing ${photo.width} × ${photo.height} pixels on ${this.description}`);
      return await segmenter.predict(photo, { size });
    } catch (error) {
      const advised = this.#inTermsOfScale(photo, size, scale, error);
      // Whatever failed, the next attempt starts on a device that works.
      this.close();
      throw advised;
    }
  }

  /** Frees the GPU. */
  close(): void {
    this.#segmenter?.destroy();
    this.#net?.store.destroy();
    this.#gpu?.destroy();
    this.#gpu =
      this.#net =
      this.#segmenter =
      this.#checkpoint =
        undefined;
  }

  async #open(checkpoint: Checkpoint, name: string): Promise<Segmenter> {
    try {
      this.#gpu?.check();
    } catch {
      // Lost while nothing ran, as when a laptop slept: nothing that the user asked for has failed.
      this.close();
    }
    if (this.#segmenter && this.#checkpoint === checkpoint) return this.#segmenter;
    this.#segmenter?.destroy();
    this.#net?.store.destroy();
    this.#segmenter = undefined;
    this.#gpu ??= await requestGpu({ memoryBudgetBytes: memoryBudgetBytes() });
    this.#net = networkOf(checkpoint, name);
    this.#checkpoint = checkpoint;
    this.#segmenter = new Segmenter(this.#gpu, this.#net);
    return this.#segmenter;
  }

  #inTermsOfScale(
    photo: PhotoBatch,
    size: readonly [number, number],
    scale: number,
    error: unknown,
  ): unknown {
    if (!(error instanceof InputError)) return error;
    const message = error.message.replace(/\.$/, "");
    if (error instanceof ShapeError) {
      return new InputError(scale < 1 ? `${message}; use a larger scale.` : `${message}.`);
    }
    if (!/smaller batch|limit|memory/i.test(message)) return error;
    const factor = this.#segmenter?.largestFit(photo, { size }) ?? 0.5;
    const fits = Number((scale * factor).toPrecision(2));
    return new InputError(`${message.replace(/;[^;]*$/, "")}; what would fit: scale ${fits}.`);
  }
}

/** Half of the machine's memory, as far as the browser tells: 8 GiB is the most that it does. */
function memoryBudgetBytes(): number {
  const { deviceMemory = SUPPOSED_MEMORY_GIB }: Navigator & { deviceMemory?: number } = navigator;
  return (deviceMemory / 2) * 2 ** 30;
}
