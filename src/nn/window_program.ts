/**
 * Prediction by sliding windows: the network sees one window at a time, the windows' answers are
 * blended into a ring of rows on the GPU, and rows of the class map are made as soon as no further
 * window reaches them. Memory depends on the window and the width of the image, not on its height.
 * A photo at several scales fills a ring at each, all at the same pace.
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import type { MemoryPool } from "../graph/pool.ts";
import { compile, type Program } from "../graph/program.ts";
import { unpackIds } from "../ops/resize_argmax.ts";
import { placementWords } from "../ops/window_blend.ts";
import type { PhotoBatch } from "./segmenter.ts";
import type { UNet } from "./unet.ts";
import { type Flip, type View, type WindowPlan, windowSizes } from "./window_plan.ts";
import type { AxisWindow } from "./windows.ts";

/** Rows of the probabilities of every class, float16 as WebGPU packs them. */
export interface ProbabilityRows {
  /** First row of the class map. */
  firstRow: number;
  /** How many. */
  rows: number;
  /** Values from one row to the next: the width rounded up to a multiple of four. */
  pitch: number;
  /** float16 bits [classes, rows, pitch]. */
  values: Uint16Array;
}

/** Where the rows of a prediction go. */
export interface WindowOutput {
  /** Gets the probabilities, from top to bottom. */
  onProbabilities?: ((rows: ProbabilityRows) => void | Promise<void>) | undefined;
  /** Called as windows are done. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Windows queued ahead of the device. */
const QUEUE_DEPTH = 2;

/** A view while it is predicted. */
interface Filling {
  readonly view: View;
  readonly programs: Programs;
  /** RGBA, one word a pixel. */
  readonly words: Uint32Array;
  /** Rows of windows that were added. */
  added: number;
  /** Rows of the main view that this one has everything for. */
  complete: number;
}

/** The programs of a view. */
interface Programs {
  readonly windows: Map<string, Program>;
  /** Adds its rows to the main view's; the main view itself has none. */
  merge: Program | undefined;
}

/** The compiled programs of a {@linkcode WindowPlan}. */
export class WindowProgram {
  readonly #views = new Map<View, Programs>();
  #band: Program | undefined;

  /** Use {@linkcode WindowProgram.compile}. */
  private constructor(readonly plan: WindowPlan, readonly gpu: Gpu) {}

  /** Compiles the programs, which borrow their memory from `pool`. */
  static async compile(
    gpu: Gpu,
    net: UNet,
    plan: WindowPlan,
    pool: MemoryPool,
  ): Promise<WindowProgram> {
    const made = new WindowProgram(plan, gpu);
    const options = { outputs: {}, stores: [net.store], pool };
    try {
      for (const view of plan.bySize) {
        const programs: Programs = { windows: new Map(), merge: undefined };
        made.#views.set(view, programs);
        for (const [height, width] of windowSizes(view)) {
          const graph = plan.windowGraph(view, height, width);
          programs.windows.set(`${height},${width}`, await compile(gpu, graph, options));
        }
      }
      for (const [view, programs] of made.#views) {
        if (view === plan.main) continue;
        programs.merge = await compile(gpu, plan.mergeGraph(view), { outputs: {}, pool });
      }
      const { graph, outputs } = plan.bandGraph();
      made.#band = await compile(gpu, graph, { outputs, pool });
      return made;
    } catch (error) {
      made.destroy();
      throw error;
    }
  }

  /**
   * The class of every pixel.
   * @param views RGBA bytes of the photo as the network sees it, at each scale.
   */
  async predict(
    views: readonly PhotoBatch["pixels"][],
    { onProbabilities, onProgress }: WindowOutput,
  ) {
    const { plan } = this;
    const { main, job: { size: [height, width] } } = plan;
    const ids = new Uint8Array(height * width);
    const fillings = plan.views.map((view, i) => this.#filling(view, views[i]));
    let merged = 0;
    let made = 0;
    let done = 0;
    let reading: Promise<void> = Promise.resolve();
    const onWindow = () => onProgress?.(++done, plan.runs);
    while (merged < main.height) {
      // Whatever the one that is furthest behind has held is used up: its ring may go on.
      const last = fillings.reduce((a, b) => b.complete < a.complete ? b : a);
      await this.#addRow(last, onWindow);
      const complete = Math.min(...fillings.map((filling) => filling.complete));
      this.#merge(merged, complete);
      merged = complete;
      const until = rowsFrom(merged, main.height, height);
      while (made < until) {
        const firstRow = made;
        const count = Math.min(plan.bandRows, until - made);
        const band = this.#read(firstRow, count);
        band.catch(() => undefined);
        // The device goes on with the next window while this one is read.
        const previous = reading;
        reading = (async () => {
          await previous;
          const { words, probabilities } = await band;
          ids.set(unpackIds(words, 1, width).subarray(0, count * width), firstRow * width);
          if (probabilities) await onProbabilities?.(probabilities);
        })();
        reading.catch(() => undefined);
        // Probabilities are large: none pile up.
        if (plan.job.probabilities) await reading;
        made += count;
      }
    }
    await reading;
    return ids;
  }

  /** Frees the programs and the blended rows. */
  destroy(): void {
    for (const { windows, merge } of this.#views.values()) {
      for (const program of windows.values()) program.destroy();
      merge?.destroy();
    }
    this.#views.clear();
    this.#band?.destroy();
    this.plan.destroy();
  }

  #filling(view: View, pixels: PhotoBatch["pixels"] | undefined): Filling {
    const programs = this.#views.get(view);
    if (!programs || !pixels) throw new Error("A view has no programs or no pixels");
    // A view may start at any byte, words only at every fourth.
    const { buffer, byteOffset, byteLength } = pixels.byteOffset % 4 === 0
      ? pixels
      : pixels.slice();
    const words = new Uint32Array(buffer, byteOffset, byteLength / 4);
    return { view, programs, words, added: 0, complete: 0 };
  }

  /** Adds the next row of windows, each with its flips. */
  async #addRow(filling: Filling, onWindow: () => void): Promise<void> {
    const { view: { rows, columns, height, width } } = filling;
    const [above, row, below] = [-1, 0, 1].map((step) => rows[filling.added + step]);
    if (!row) throw new Error("All windows were added before");
    for (const [j, column] of columns.entries()) {
      for (const [turn, flip] of this.plan.flips.entries()) {
        const before = columns[j - 1];
        await this.#add(filling, row, column, flip, {
          // Further flips of a window always meet the first one's sums.
          keepX: turn > 0 ? width : before ? before.start + before.length : 0,
          keepY: above ? above.start + above.length : 0,
        });
        onWindow();
      }
    }
    filling.added++;
    const held = below?.start ?? height;
    // The main view's own rows are no interpolation: each is complete by itself.
    filling.complete = filling.view === this.plan.main
      ? held
      : rowsFrom(held, height, this.plan.main.height);
  }

  async #add(
    { view, programs, words }: Filling,
    row: AxisWindow,
    column: AxisWindow,
    flip: Flip,
    { keepX, keepY }: { keepX: number; keepY: number },
  ): Promise<void> {
    const program = programs.windows.get(`${row.length},${column.length}`);
    if (!program) throw new Error(`No program for ${row.length} x ${column.length} pixels`);
    const weights = new Float32Array(column.length + row.length);
    weights.set(column.weights);
    weights.set(row.weights.map((weight) => weight * this.plan.share), column.length);
    program.write("pixels", cut(words, view.width, row, column, flip));
    program.write("weights", weights);
    for (const [label, taps] of this.plan.windowTaps(view, row, column)) program.write(label, taps);
    program.write(
      "placement",
      placementWords({ left: column.start, top: row.start, keepX, keepY, flip }),
    );
    await program.runQueued(QUEUE_DEPTH);
  }

  /** Adds these rows of all other views to the main one's. */
  #merge(first: number, end: number): void {
    if (first === end) return;
    for (const { merge } of this.#views.values()) {
      merge?.write("span", Uint32Array.of(first, end));
      merge?.run();
    }
  }

  async #read(
    firstRow: number,
    rows: number,
  ): Promise<{ words: Uint32Array; probabilities: ProbabilityRows | undefined }> {
    const { bandRows, job, main } = this.plan;
    const band = this.#band;
    if (!band) throw new Error("The window program is not compiled");
    band.write("firstRow", Uint32Array.of(firstRow));
    band.run();
    const [words, raw] = await Promise.all([
      band.readInts("ids"),
      job.probabilities ? band.readRaw("probabilities") : undefined,
    ]);
    if (!raw) return { words, probabilities: undefined };
    const pitch = Math.ceil(job.size[1] / 4) * 4;
    const classes = main.area.channels;
    const all = new Uint16Array(raw, 0, classes * bandRows * pitch);
    const values = rows === bandRows ? all : new Uint16Array(classes * rows * pitch);
    for (let k = 0; k < classes && values !== all; k++) {
      const first = k * bandRows * pitch;
      values.set(all.subarray(first, first + rows * pitch), k * rows * pitch);
    }
    return { words, probabilities: { firstRow, rows, pitch, values } };
  }
}

/** How many rows of a map of `size` can be interpolated from the first `held` rows of `from`. */
function rowsFrom(held: number, from: number, size: number): number {
  if (held >= from) return size;
  let row = 0;
  while (row < size) {
    const source = Math.max(0, (row + 0.5) * from / size - 0.5);
    if (Math.min(Math.floor(source) + 1, from - 1) >= held) break;
    row++;
  }
  return row;
}

/** A window of an image of one word a pixel, mirrored as asked. */
function cut(
  words: Uint32Array,
  imageWidth: number,
  row: AxisWindow,
  column: AxisWindow,
  [mirrored, upsideDown]: Flip,
): Uint32Array {
  const out = new Uint32Array(row.length * column.length);
  for (let y = 0; y < row.length; y++) {
    const from = (row.start + (upsideDown ? row.length - 1 - y : y)) * imageWidth + column.start;
    const line = out.subarray(y * column.length, (y + 1) * column.length);
    line.set(words.subarray(from, from + column.length));
    if (mirrored) line.reverse();
  }
  return out;
}
