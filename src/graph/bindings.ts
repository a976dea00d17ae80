/**
 * From planned memories to GPU objects: where each lies, and the commands of a plan's steps with
 * their bind groups.
 * @module
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { KernelSpec } from "../gpu/kernel_spec.ts";
import type { Command } from "./commands.ts";
import type { Step } from "./lower.ts";
import { type BufferMemory, type Memory, wholeOf } from "./memory.ts";
import type { Slot } from "./plan.ts";
import type { ProgramPlan } from "./program_plan.ts";

/** The memory of a program on a device. */
export class Bindings {
  readonly #gpu: Gpu;
  readonly #plan: ProgramPlan;
  readonly #slots: ReadonlyMap<Slot, GPUBuffer | GPUTexture>;
  readonly #params: GPUBuffer;

  constructor(
    gpu: Gpu,
    plan: ProgramPlan,
    slots: ReadonlyMap<Slot, GPUBuffer | GPUTexture>,
    params: GPUBuffer,
  ) {
    this.#gpu = gpu;
    this.#plan = plan;
    this.#slots = slots;
    this.#params = params;
  }

  /** The command of step number `index`. */
  command(
    step: Step,
    index: number,
    pipelines: ReadonlyMap<KernelSpec, GPUComputePipeline>,
  ): Command {
    if (step.kind === "copy-to-texture") {
      const { buffer, offset } = this.range(step.source);
      return {
        kind: "copy-to-texture",
        source: { buffer, offset: offset + step.offsetBytes, bytesPerRow: step.bytesPerRow },
        target: { texture: this.#texture(step.target), origin: [step.x, step.y] },
        size: [step.width, step.height, 1],
      };
    }
    const pipeline = pipelines.get(step.spec.kernel);
    if (!pipeline) throw new Error(`Step ${step.label} has no pipeline`);
    const size = Math.max(64, Math.ceil(step.spec.params.length / 64) * 64) * 4;
    const entries: GPUBindGroupEntry[] = [
      {
        binding: 0,
        resource: { buffer: this.#params, offset: this.#plan.paramsOffsets[index] ?? 0, size },
      },
    ];
    step.operands.forEach((operand, i) => {
      entries.push({
        binding: i + 1,
        resource: operand.kind === "buffer" ? this.range(operand) : this.#texture(operand)
          .createView(),
      });
    });
    const group = this.#gpu.device.createBindGroup({
      label: step.label,
      layout: pipeline.getBindGroupLayout(0),
      entries,
    });
    return { kind: "dispatch", pipeline, group, grid: step.spec.grid };
  }

  /** Where a memory lies. @throws {InputError} where no step computes it. */
  range(memory: BufferMemory): { buffer: GPUBuffer; offset: number; size: number } {
    const size = Math.max(16, memory.sizeBytes);
    if (memory.home) {
      const { buffer, offsetBytes } = memory.home;
      return { buffer: buffer.on(this.#gpu), offset: offsetBytes, size };
    }
    const whole = wholeOf(memory);
    const buffer = this.#slot(whole);
    if (!(buffer instanceof GPUBuffer)) throw new Error(`${memory.label} has no buffer`);
    const start = this.#plan.memory.offsetOf.get(whole) ?? 0;
    return { buffer, offset: start + (memory.within?.offsetBytes ?? 0), size };
  }

  /** Overwrites all planned memory. */
  fill(value: number): void {
    const { queue } = this.#gpu.device;
    for (const memory of this.#slots.values()) {
      if (memory instanceof GPUBuffer) {
        queue.writeBuffer(memory, 0, new Float32Array(memory.size / 4).fill(value));
      } else {
        const { width, height, format } = memory;
        const Texels = format === "rgba16float" ? Float16Array : Float32Array;
        const texels = new Texels(width * height * 4).fill(value);
        const bytesPerRow = width * 4 * Texels.BYTES_PER_ELEMENT;
        queue.writeTexture({ texture: memory }, texels, { bytesPerRow }, [
          width,
          height,
        ]);
      }
    }
  }

  #texture(memory: Memory): GPUTexture {
    const texture = this.#slot(memory);
    if (texture instanceof GPUBuffer) throw new Error(`${memory.label} has no texture`);
    return texture;
  }

  #slot(memory: Memory): GPUBuffer | GPUTexture {
    const slot = this.#plan.memory.slotOf.get(memory);
    const found = slot && this.#slots.get(slot);
    if (!found) {
      throw new InputError(
        `Output "${memory.label}" is computed by no step of the program; ask for a tensor that an ` +
          "op makes.",
      );
    }
    return found;
  }
}
