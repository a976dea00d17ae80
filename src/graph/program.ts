/**
 * Compile and replay: a recorded graph becomes buffers, pipelines and bind groups made once, and a
 * list of commands that every run only submits.
 * @module
 */
import { DeviceError, InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { KernelSpec } from "../gpu/kernel_spec.ts";
import { Bindings } from "./bindings.ts";
import { type Command, encodeCommands, encodeCopy, encodeDispatch } from "./commands.ts";
import type { Graph, Tensor } from "./graph.ts";
import { deviceValues, type HostValues } from "./host_values.ts";
import { type C4Memory, c4Memory, unpackC4 } from "./layout.ts";
import type { LowerTarget } from "./lower.ts";
import { History } from "./history.ts";
import { type BufferMemory, mib } from "./memory.ts";
import { MemoryPool } from "./pool.ts";
import { COPY, profileCommands, type ProfiledCommand, type ProfileEntry } from "./profile.ts";
import {
  lowerTarget,
  persistentBuffers,
  type PlannedNode,
  planProgram,
  type ProgramPlan,
} from "./program_plan.ts";
import { checkStores, type ParameterStore } from "./store.ts";

/** What {@linkcode compile} needs besides the graph. */
export interface CompileOptions {
  /** Tensors to be read after a run, by name. */
  outputs: Record<string, Tensor>;
  /** All stores whose parameters the graph uses. */
  stores?: ParameterStore[];
  /** Name of a scalar output whose last values {@linkcode Program.history} keeps. */
  historyOf?: string;
  /** How many values the history holds; default 64. */
  historyLength?: number;
  /** A history shared with other programs, instead of one of its own. */
  history?: History;
  /**
   * Memory shared with programs that never run at the same time; default: memory of its own. Where
   * the pool would outgrow the budget, it is emptied: see {@linkcode Program.isEvicted}.
   */
  pool?: MemoryPool;
  /** Instead of the device's limits and tuning: for tests and for who measures tunings. */
  target?: Partial<LowerTarget>;
}

/**
 * Makes a program of a graph.
 *
 * @throws {InputError} when the plan is over the memory budget or a limit of the device, or a store is
 * missing.
 * @throws {DeviceError} when a shader does not compile or memory runs out.
 */
export async function compile(gpu: Gpu, graph: Graph, options: CompileOptions): Promise<Program> {
  if (graph.images === "f16" && !gpu.supportsF16) {
    throw new InputError(
      `Compiling a graph with images of 16 bits: adapter "${gpu.description}" has no feature ` +
        "shader-f16; use 32 bits.",
    );
  }
  checkStores(graph.parameters, options.stores ?? []);
  const target = { ...lowerTarget(gpu), ...options.target };
  const plan = planProgram(graph, options.outputs, target);
  if (plan.plannedBytes > gpu.memoryBudgetBytes) {
    throw new InputError(
      `The program plans ${mib(plan.plannedBytes)} of GPU memory, but the budget is ` +
        `${mib(gpu.memoryBudgetBytes)}; use a smaller batch, scale or width.`,
    );
  }
  const dispatches = plan.steps.filter((step) => step.kind === "dispatch");
  const pipelines = await gpu.pipelines(dispatches.map(({ spec }) => spec.kernel));
  const { device } = gpu;
  device.pushErrorScope("out-of-memory");
  let program: Program | undefined;
  let fault: GPUError | null;
  const otherBytes = plan.plannedBytes - plan.memory.slotBytes;
  options.pool?.makeRoom(plan.memory.slots, gpu.memoryBudgetBytes - otherBytes);
  try {
    program = new Program(gpu, graph, plan, pipelines, options);
  } finally {
    fault = await device.popErrorScope();
  }
  if (fault) {
    program.destroy();
    throw new DeviceError(
      `Allocating ${mib(plan.plannedBytes)} of GPU memory failed (${fault.message}); use a ` +
        "smaller batch, scale or width.",
    );
  }
  try {
    gpu.check();
  } catch (error) {
    program.destroy();
    throw error;
  }
  return program;
}

/** A compiled graph: write its inputs, run it, read its outputs. */
export class Program {
  /** What was planned. */
  readonly plan: ProgramPlan;
  readonly #gpu: Gpu;
  readonly #graph: Graph;
  readonly #stores: ParameterStore[];
  readonly #commands: readonly Command[];
  readonly #bindings: Bindings;
  readonly #pool: MemoryPool;
  readonly #ownPool: MemoryPool | undefined;
  readonly #generation: number;
  readonly #params: GPUBuffer;
  readonly #history: History;
  readonly #ownHistory: boolean;
  readonly #historySource: BufferMemory | undefined;
  #runs = 0;
  #destroyed = false;

  /** Use {@linkcode compile}. */
  constructor(
    gpu: Gpu,
    graph: Graph,
    plan: ProgramPlan,
    pipelines: ReadonlyMap<KernelSpec, GPUComputePipeline>,
    options: CompileOptions,
  ) {
    this.plan = plan;
    this.#gpu = gpu;
    this.#graph = graph;
    this.#stores = options.stores ?? [];
    this.#ownHistory = options.history === undefined;
    this.#history = options.history ?? new History(options.historyLength);
    this.#historySource = options.historyOf === undefined
      ? undefined
      : this.#scalar(options.historyOf);
    this.#params = gpu.createBuffer(
      "params",
      plan.params.byteLength,
      GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
    );
    gpu.device.queue.writeBuffer(this.#params, 0, plan.params.buffer as ArrayBuffer);
    this.#pool = options.pool ?? new MemoryPool(gpu);
    this.#ownPool = options.pool ? undefined : this.#pool;
    this.#generation = this.#pool.generation;
    for (const tensor of graph.inputs.values()) tensor.home?.buffer.retain();
    try {
      const bindings = new Bindings(gpu, plan, this.#pool.take(plan.memory.slots), this.#params);
      this.#bindings = bindings;
      this.#commands = plan.steps.map((step, i) => bindings.command(step, i, pipelines));
      for (const { tensor, values } of graph.constants) this.#writeRaw(tensor, values);
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  /** GPU memory of this program, parameters included. */
  get plannedBytes(): number {
    return this.plan.plannedBytes;
  }

  /** Whether its pool gave up its memory for another program: it has to be compiled again. */
  get isEvicted(): boolean {
    return this.#pool.generation !== this.#generation;
  }

  /** Dispatches of one run. */
  get dispatches(): number {
    return this.plan.dispatches;
  }

  /** Runs so far. */
  get runs(): number {
    return this.#runs;
  }

  /**
   * Sets an input. Values are row-major (NCHW for images); 8-bit or 32-bit words for u32 inputs.
   * @throws {InputError} for an unknown input or a wrong number of values.
   */
  write(label: string, values: HostValues): void {
    this.#check();
    const tensor = this.#graph.inputs.get(label);
    if (!tensor) {
      throw new InputError(
        `Wrote input "${label}", but this program has ${
          [...this.#graph.inputs.keys()].join(", ")
        }.`,
      );
    }
    this.#writeRaw(tensor, deviceValues(tensor, values));
  }

  /** Submits one run; does not wait for it. */
  run(): void {
    this.encode()();
  }

  /** Encodes one run; what it returns submits that, which may have to wait for an earlier one. */
  encode(): () => void {
    this.#check();
    for (const store of this.#stores) store.upload(this.#gpu);
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder({ label: "run" });
    encodeCommands(encoder, this.#commands);
    if (this.#historySource) {
      const { buffer, offset } = this.#bindings.range(this.#historySource);
      this.#history.record(this.#gpu, encoder, buffer, offset);
    }
    const commands = encoder.finish();
    return () => {
      device.queue.submit([commands]);
      this.#runs++;
    };
  }

  /**
   * Like {@linkcode run}, but first waits until at most `depth` earlier runs are unfinished, or
   * some more where they are short ({@linkcode Gpu.throttle}), so that a fast host does not queue
   * without bound.
   */
  async runQueued(depth = 2): Promise<void> {
    await this.#gpu.throttle(depth);
    this.run();
    this.#gpu.submitted();
  }

  /**
   * Makes one run and says where its time went; slower than an ordinary run.
   * @param timestamps whether to use timestamp queries; default: where the adapter has them. Without
   *   them each step of the program runs several times, and memory is needed to undo that.
   */
  async profile(timestamps?: boolean): Promise<ProfileEntry[]> {
    this.#check();
    for (const store of this.#stores) store.upload(this.#gpu);
    const entries = await profileCommands(
      this.#gpu,
      this.#commands.map((command, i): ProfiledCommand => {
        const step = this.plan.steps[i];
        const label = step?.label ?? "";
        return command.kind === "dispatch"
          ? {
            label,
            kernel: step?.kind === "dispatch" ? step.spec.kernel.name : "",
            dispatch: (pass) => encodeDispatch(pass, command),
          }
          : { label, kernel: COPY, copy: (encoder) => encodeCopy(encoder, command) };
      }),
      persistentBuffers(this.plan.steps),
      timestamps,
    );
    this.#runs++;
    return entries;
  }

  /**
   * Makes one run node by node and shows the memory of each float output as soon as it is computed,
   * zero padding included: for finding out where a value comes from. Ends when `visit` returns false.
   */
  async inspect(
    visit: (node: PlannedNode, output: BufferMemory, values: Float32Array) => boolean,
  ): Promise<void> {
    this.#check();
    for (const store of this.#stores) store.upload(this.#gpu);
    let done = 0;
    for (const node of this.plan.nodes) {
      const encoder = this.#gpu.device.createCommandEncoder({ label: node.label });
      encodeCommands(encoder, this.#commands.slice(done, node.end));
      this.#gpu.device.queue.submit([encoder.finish()]);
      done = node.end;
      for (const { memory, dtype, count } of node.outputs) {
        const values = c4Memory(await this.#readMemory(memory), dtype).subarray(0, count);
        if (!visit(node, memory, Float32Array.from(values))) return;
      }
    }
    this.#runs++;
  }

  /**
   * Reads an output, row-major (NCHW for images). Waits for the device.
   * @throws {InputError} for an unknown output or one of whole numbers.
   */
  async read(name: string): Promise<Float32Array> {
    const { tensor, memory } = this.#output(name, "floats");
    const bytes = await this.#readMemory(memory);
    return tensor.layout === "c4"
      ? unpackC4(c4Memory(bytes, tensor.dtype), tensor.shape, tensor.dtype)
      : new Float32Array(bytes, 0, tensor.shape.reduce((a, b) => a * b, 1));
  }

  /**
   * Reads an output of whole numbers, such as class ids.
   * @throws {InputError} for an unknown output or one of floats.
   */
  async readInts(name: string): Promise<Uint32Array> {
    const { tensor, memory } = this.#output(name, "whole numbers");
    const bytes = await this.#readMemory(memory);
    return new Uint32Array(bytes, 0, tensor.shape.reduce((a, b) => a * b, 1));
  }

  /** Reads an output's memory as it lies on the GPU. */
  async readRaw(name: string): Promise<ArrayBuffer> {
    return await this.#readMemory(this.#output(name).memory);
  }

  /** The last `count` values of the scalar chosen by `historyOf`, oldest first. */
  async history(count: number): Promise<Float32Array> {
    this.#check();
    return await this.#history.read(this.#gpu, count);
  }

  /**
   * Fills all planned memory with `value`. With NaN, whatever a kernel forgets to write shows up
   * in the results: for tests.
   */
  fill(value: number): void {
    this.#check();
    this.#bindings.fill(value);
  }

  /** Frees the memory of this program; parameter stores stay. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#ownPool?.destroy();
    for (const tensor of this.#graph.inputs.values()) tensor.home?.buffer.release();
    if (this.#ownHistory) this.#history.destroy();
    this.#params.destroy();
  }

  /** Same as {@linkcode destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #check(): void {
    if (this.#destroyed) throw new DeviceError("Used a program after it was destroyed.");
    if (this.isEvicted) {
      throw new DeviceError(
        "Used a program whose memory went to another program of its pool; compile it again.",
      );
    }
    this.#gpu.check();
  }

  #output(
    name: string,
    wanted?: "floats" | "whole numbers",
  ): { tensor: Tensor; memory: BufferMemory } {
    const output = this.plan.outputs.get(name);
    if (!output) {
      throw new InputError(
        `Asked for output "${name}", but this program has ${
          [...this.plan.outputs.keys()].join(", ")
        }.`,
      );
    }
    const [found, method] = output.tensor.dtype === "u32"
      ? ["whole numbers", "readInts"]
      : ["floats", "read"];
    if (wanted && wanted !== found) {
      throw new InputError(
        `Read output "${name}" as ${wanted}, but it holds ${found}; use ${method}.`,
      );
    }
    return output;
  }

  #scalar(name: string): BufferMemory {
    const { tensor, memory } = this.#output(name);
    if (tensor.layout !== "flat" || tensor.shape.some((size) => size !== 1)) {
      throw new InputError(
        `Asked for the history of output "${name}" ${tensor.describe()} (${tensor.layout}); choose ` +
          "a flat scalar such as the loss.",
      );
    }
    return memory;
  }

  async #readMemory(memory: BufferMemory): Promise<ArrayBuffer> {
    this.#check();
    for (const store of this.#stores) store.upload(this.#gpu);
    const { buffer, offset } = this.#bindings.range(memory);
    return await this.#gpu.readBuffer(buffer, offset, memory.sizeBytes);
  }

  #writeRaw(tensor: Tensor, values: HostValues | C4Memory): void {
    this.#gpu.check();
    if (!tensor.home) throw new Error(`${tensor.label} has no memory`);
    this.#gpu.device.queue.writeBuffer(
      tensor.home.buffer.on(this.#gpu),
      tensor.home.offsetBytes,
      values.buffer as ArrayBuffer,
      values.byteOffset,
      values.byteLength,
    );
  }
}
