/**
 * What a run leaves behind besides checkpoints: results.csv, losses.csv, TensorBoard event files and
 * report.html in a folder of its own. It looks on and never waits for the GPU within an epoch.
 * @module
 */
import { basename, join } from "node:path";
import { removeStaleTemporaries, writeFileAtomic } from "../io/atomic_file.ts";
import type { Message } from "../io/protobuf.ts";
import { EventFile } from "../io/tfevents_file.ts";
import { Gallery } from "../report/gallery.ts";
import { type Colours, drawnColours } from "../report/overlay.ts";
import { bestEpoch, runPage, type ScoredEpoch } from "../report/run_page.ts";
import type { PageClass } from "../report/scores.ts";
import { type EpochImages, readBestImages, writeBestImages } from "./best_images.ts";
import type { EpochResult, RunEnd, RunObserver, ScoredBatch, StepResult } from "./run_events.ts";
import { makeRunFolder, reopenRunFolder, type RunConfig } from "./run_folder.ts";
import { type EpochRow, openEpochTable, openStepTable, type StepRow } from "./run_table.ts";
import type { Table } from "./run_table.ts";
import { maskStrip, photoStrip, type Strip, stripOf } from "./run_pictures.ts";
import { runFacts } from "./run_facts.ts";

/** Pictures and distributions are told this often, and after a run's first and last epoch. */
const DETAIL_EVERY = 5;

/** Losses wait so long or until there are so many. */
const STEPS_EVERY_MS = 10_000;
const STEPS_AT_ONCE = 64;

/** Of the time of a run, what drawing its page may take before the end. */
const REPORT_SHARE = 0.01;

/** Arrays on the GPU, by parameter; read after some epochs. */
export interface RunArrays {
  weights(): Promise<ReadonlyMap<string, Float32Array>>;
  /** Of the last step. */
  gradients(): Promise<ReadonlyMap<string, Float32Array>>;
}

/** Options of {@linkcode RunLog.open}. */
export interface RunLogOptions {
  /** The folder of all runs, absolute. */
  readonly runs: string;
  /** Of this one. */
  readonly name: string;
  readonly config: RunConfig;
  readonly classes: readonly PageClass[];
  /** The validation images as people know them, in order. */
  readonly images: readonly string[];
  readonly arrays: RunArrays;
  /** The network, as `graphDef` draws it. */
  readonly graph: () => Message;
  /** Lines for the top of the page. */
  readonly notes: readonly string[];
  /** A run that goes on: the name of its folder, and where it stood when it was saved. */
  readonly resumed?: {
    readonly run: string;
    readonly epoch: number;
    readonly step: number;
  } | undefined;
}

/** The log of one run. */
export class RunLog implements RunObserver {
  /** Where everything lies. */
  readonly folder: string;
  readonly #options: RunLogOptions;
  readonly #events: EventFile;
  readonly #epochs: Table<EpochRow>;
  readonly #steps: Table<StepRow>;
  readonly #begunMs = performance.now();
  /** Steps whose losses are known, not yet in the table. */
  #fresh: StepRow[] = [];
  #gallery: Gallery;
  #strip: Strip | undefined;
  #scored: ScoredEpoch | undefined;
  #wroteMs = performance.now();
  #spentMs = 0;
  #reportMs = 0;
  #told = 0;
  #reportedEpoch = 0;
  #lastEpoch = 0;
  #state: string | undefined;
  /** What kept the log from being written; nothing more is then, since a part may be. */
  #failure: { error: unknown } | undefined;

  private constructor(
    folder: string,
    options: RunLogOptions,
    epochs: Table<EpochRow>,
    steps: Table<StepRow>,
    best: EpochImages | undefined,
  ) {
    this.folder = folder;
    this.#options = options;
    this.#epochs = epochs;
    this.#steps = steps;
    const { resumed, classes } = options;
    this.#gallery = new Gallery(classes.length);
    this.#scored = best && scoredEpoch(best, classes);
    this.#events = new EventFile(folder, (resumed?.step ?? 0) + 1);
    // TensorBoard wants one graph a run.
    if (resumed === undefined) this.#events.addGraph(options.graph());
    this.#events.flush();
  }

  /**
   * Makes the run's folder; where the run goes on, the same folder goes on, without the rows after
   * the point that it goes on from.
   * @throws {InputError} naming what cannot be read or written.
   */
  static async open(options: RunLogOptions): Promise<RunLog> {
    const { runs, name, config, classes, resumed } = options;
    const now = new Date();
    const again = resumed && await reopenRunFolder(runs, resumed.run, config, {
      epoch: resumed.epoch,
      now,
    });
    const folder = again ?? await makeRunFolder(runs, name, config, now);
    await removeStaleTemporaries(folder);
    const names = classes.map((item) => item.name);
    const epochs = await openEpochTable(join(folder, "results.csv"), names, resumed?.epoch ?? 0);
    const steps = await openStepTable(join(folder, "losses.csv"), resumed?.step ?? 0);
    const found = again === undefined ? { ...options, resumed: undefined } : options;
    const best = await readBestImages(folder, classes.length);
    const row = bestEpoch(epochs.rows);
    // The file may be of an epoch that is to be made again.
    const isBest = best?.epoch === row?.epoch &&
      best?.matrix.scores().meanIoU === row?.scores.meanIoU;
    return new RunLog(folder, found, epochs, steps, isBest ? best : undefined);
  }

  /** The name that {@linkcode RunLogOptions.resumed} takes. */
  get run(): string {
    return basename(this.folder);
  }

  /** The page. */
  get reportPath(): string {
    return join(this.folder, "report.html");
  }

  /** Time spent here so far. */
  get spentMs(): number {
    return this.#spentMs;
  }

  /** The loss of a step is known. */
  stepDone({ step, epoch, loss, learningRate }: StepResult): void {
    if (this.#failure) return;
    this.#fresh.push({ step, epoch, loss, learningRate });
    const waitedMs = performance.now() - this.#wroteMs;
    if (this.#fresh.length < STEPS_AT_ONCE && waitedMs <= STEPS_EVERY_MS) return;
    try {
      this.#timed(() => this.#writeSteps());
    } catch (error) {
      this.#failure = { error };
    }
  }

  /** A batch of the validation split is predicted. */
  imagesScored(batch: ScoredBatch): void {
    this.#timed(() => {
      const { height, width } = batch;
      const area = height * width;
      this.#strip ??= stripOf(batch);
      batch.indices.forEach((index, i) => {
        this.#gallery.offer({
          name: this.#options.images[index] ?? `image ${index}`,
          photo: { width, height, pixels: batch.pixels.subarray(i * area * 4, (i + 1) * area * 4) },
          ...{ width, height },
          truth: batch.labels.subarray(i * area, (i + 1) * area),
          predicted: batch.predicted.subarray(i * area, (i + 1) * area),
        });
      });
    });
  }

  /** An epoch is trained and scored. Its rows are written before any checkpoint of it. */
  async epochScored(result: EpochResult): Promise<void> {
    if (this.#failure) return;
    try {
      await this.#tellEpoch(result);
    } catch (error) {
      this.#failure = { error };
    }
  }

  /**
   * Checkpoints were written: a log that could not be ends the run only now, so that it costs no
   * weights.
   * @throws {InputError} naming the file of the log.
   */
  saved(): void {
    if (this.#failure) throw this.#failure.error;
  }

  async #tellEpoch(result: EpochResult): Promise<void> {
    const { epoch, scores, matrix, last } = result;
    this.#lastEpoch = result.lastEpoch;
    const row: EpochRow = {
      epoch,
      step: result.step,
      trainLoss: result.loss,
      validLoss: result.validLoss,
      scores,
      classIoU: scores.classes.map(({ iou }) => iou),
      learningRate: result.learningRate,
      seconds: (result.trainMs + result.validMs) / 1000,
    };
    const gallery = this.#gallery;
    this.#gallery = new Gallery(this.#options.classes.length);
    const strip = this.#strip;
    this.#strip = undefined;
    const detailed = this.#told === 0 || last || epoch % DETAIL_EVERY === 0;
    this.#told++;
    this.#timed(() => {
      this.#writeSteps();
      this.#events.add(row.step, { scalars: this.#epochScalars(row) });
      if (detailed && strip) this.#tellPictures(row.step, strip);
    });
    if (detailed) await this.#tellArrays(row.step);
    this.#timed(() => {
      this.#events.flush();
      this.#epochs.append(row);
    });
    const best = bestEpoch(this.#epochs.rows);
    const images = { epoch, matrix, gallery };
    if (best === row) await this.#keep(images);
    if (best === row || this.#scored?.epoch !== best?.epoch) {
      this.#scored = scoredEpoch(images, this.#options.classes);
    }
    const budgetMs = REPORT_SHARE * (performance.now() - this.#begunMs);
    if (this.#reportedEpoch === 0 || this.#reportMs < budgetMs) await this.#report();
  }

  /** The run ended as it should. */
  async ended({ reason }: RunEnd): Promise<void> {
    this.#state = STATES[reason];
    await this.#close();
  }

  /** Whatever happened: what is known is written. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state !== undefined) return;
    this.#state = "stopped by an error";
    // The error to tell is the one that ended the run.
    await this.#close().catch(() => undefined);
  }

  async #close(): Promise<void> {
    try {
      if (!this.#failure) this.#timed(() => this.#writeSteps());
    } finally {
      this.#events.close();
      this.#epochs.close();
      this.#steps.close();
    }
    if (this.#epochs.rows.length > 0) await this.#report();
  }

  /** Whatever happens next, the page can still show them. */
  async #keep(images: EpochImages): Promise<void> {
    const begun = performance.now();
    await writeBestImages(this.folder, images);
    this.#spentMs += performance.now() - begun;
  }

  #timed(work: () => void): void {
    const begun = performance.now();
    work();
    this.#spentMs += performance.now() - begun;
  }

  #writeSteps(): void {
    for (const { step, loss, learningRate } of this.#fresh) {
      const scalars = [["Loss/train", loss], ["learning_rate", learningRate]] as const;
      this.#events.add(step, { scalars });
    }
    this.#events.flush();
    this.#steps.append(...this.#fresh);
    this.#fresh = [];
    this.#wroteMs = performance.now();
  }

  #epochScalars({ epoch, trainLoss, validLoss, scores, classIoU, seconds }: EpochRow) {
    const { meanIoU, meanDice, pixelAccuracy } = scores;
    return [
      ["Loss/epoch", trainLoss],
      ...(validLoss === null ? [] : [["Loss/val", validLoss] as const]),
      ["Dice/val", meanDice],
      ["IoU/val", meanIoU],
      ["Accuracy/val", pixelAccuracy],
      ["epoch", epoch],
      ["seconds", seconds],
      // A slash would make a group.
      ...classIoU.flatMap((iou, id) => {
        const name = this.#options.classes[id]?.name.replaceAll("/", "_") ?? String(id);
        return iou === null ? [] : [[`IoU_class/${name}`, iou] as const];
      }),
    ] as const;
  }

  #tellPictures(step: number, strip: Strip): void {
    const colours: Colours = this.#options.classes.map(({ color }) => color);
    this.#events.add(step, {
      images: [
        ["images", photoStrip(strip)],
        ["masks/true", maskStrip(strip, strip.labels, colours)],
        ["masks/pred", maskStrip(strip, strip.predicted, colours)],
      ],
    });
  }

  async #tellArrays(step: number): Promise<void> {
    const { arrays } = this.#options;
    const begun = performance.now();
    const tagged = (prefix: string, values: ReadonlyMap<string, Float32Array>) =>
      [...values].map(([name, array]) =>
        [`${prefix}/${name.replaceAll(".", "/")}`, array] as const
      );
    this.#events.add(step, { histograms: tagged("weights", await arrays.weights()) });
    this.#events.add(step, { histograms: tagged("grads", await arrays.gradients()) });
    this.#spentMs += performance.now() - begun;
  }

  async #report(): Promise<void> {
    const rows = this.#epochs.rows;
    const epoch = rows.at(-1)?.epoch ?? 0;
    const begun = performance.now();
    const state = this.#state ?? `in epoch ${epoch + 1} of ${this.#lastEpoch}`;
    const page = runPage({
      title: this.run,
      notes: [
        `${state}, ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
        ...this.#options.notes,
      ],
      epochs: rows,
      steps: this.#steps.rows,
      classes: this.#options.classes,
      scored: this.#scored,
      settings: runFacts(this.#options.config),
    });
    await writeFileAtomic(this.reportPath, new TextEncoder().encode(page));
    this.#reportedEpoch = epoch;
    const tookMs = performance.now() - begun;
    this.#reportMs += tookMs;
    this.#spentMs += tookMs;
  }
}

function scoredEpoch(
  { epoch, matrix, gallery }: EpochImages,
  classes: readonly PageClass[],
): ScoredEpoch {
  const colours: Colours = classes.map(({ color }) => color);
  return {
    ...{ epoch, scores: matrix.scores(), matrix, images: gallery.count },
    // Drawn when the page is: most epochs' pictures never are.
    get pictures() {
      return gallery.pictures(drawnColours(colours));
    },
  };
}

const STATES: Readonly<Record<RunEnd["reason"], string>> = {
  done: "Finished",
  patience: "Ended early, for want of gain",
  time: "Ended early, for want of time",
  interrupted: "Interrupted",
};
