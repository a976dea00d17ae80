/**
 * Dispatches of no workgroups: they compute nothing, but make a driver prepare a kernel.
 * @module
 */

/** Large enough for the params and every array of fixed size that a kernel declares. */
const BUFFER_BYTES = 2 ** 14;
/** Textures of programs have no sides that are powers of two either: see `textureMemory`. */
const TEXTURE_SIDE = 3;

/** A variable that a kernel binds, and the format of a texture. */
export const BINDING =
  /@binding\((\d+)\)\s*var(?:<[^>]*>)?\s+\w+\s*:\s*(?:texture_storage_2d<(\w+))?/g;

/** Dispatches kernels on a device with resources of its own. */
export class EmptyDispatch {
  readonly #device: GPUDevice;
  /** By binding, since a dispatch may not read and write one buffer. */
  readonly #buffers = new Map<number, GPUBuffer>();
  readonly #textures = new Map<string, GPUTexture>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Submits an empty dispatch of the kernel of that WGSL. What is wrong with it is told nowhere. */
  async submit(pipeline: GPUComputePipeline, code: string): Promise<void> {
    const device = this.#device;
    device.pushErrorScope("validation");
    try {
      const entries = [...code.matchAll(BINDING)].map(([, binding, format]): GPUBindGroupEntry => ({
        binding: Number(binding),
        resource: format === undefined
          ? { buffer: this.#buffer(Number(binding)) }
          : this.#texture(format as GPUTextureFormat).createView(),
      }));
      const encoder = device.createCommandEncoder({ label: "empty dispatch" });
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      if (entries.length > 0) {
        const layout = pipeline.getBindGroupLayout(0);
        pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
      }
      pass.dispatchWorkgroups(0);
      pass.end();
      device.queue.submit([encoder.finish()]);
    } finally {
      await device.popErrorScope();
    }
  }

  /** Frees the resources. */
  destroy(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    for (const texture of this.#textures.values()) texture.destroy();
  }

  #buffer(binding: number): GPUBuffer {
    let buffer = this.#buffers.get(binding);
    if (!buffer) {
      const label = `empty dispatch ${binding}`;
      buffer = this.#device.createBuffer({
        label,
        size: BUFFER_BYTES,
        usage: GPUBufferUsage.STORAGE,
      });
      this.#buffers.set(binding, buffer);
    }
    return buffer;
  }

  #texture(format: GPUTextureFormat): GPUTexture {
    let texture = this.#textures.get(format);
    if (!texture) {
      texture = this.#device.createTexture({
        label: "empty dispatch",
        size: [TEXTURE_SIDE, TEXTURE_SIDE],
        format,
        usage: GPUTextureUsage.STORAGE_BINDING,
      });
      this.#textures.set(format, texture);
    }
    return texture;
  }
}
