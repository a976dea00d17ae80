/**
 * Tables of a run's folder, as CSV: what an epoch came to, and the loss of every step.
 * @module
 */
import { parse, stringify } from "@std/csv";
import { isFile, readText, shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";
import { AppendFile } from "../io/append_file.ts";
import { writeFileAtomic } from "../io/atomic_file.ts";
import type { Scores } from "./metrics.ts";

/** An epoch. */
export interface EpochRow {
  /** Counted from 1, over all runs that led here. */
  readonly epoch: number;
  /** The last step of the epoch, counted likewise. */
  readonly step: number;
  /** Mean over the epoch's batches, without those whose loss overflowed in 16 bits. */
  readonly trainLoss: number;
  /** Of the validation split; null where a version that did not measure it trained the epoch. */
  readonly validLoss: number | null;
  /** Of the validation split. */
  readonly scores: Pick<Scores, "meanIoU" | "meanDice" | "pixelAccuracy">;
  /** By class id; null for a class that is neither in truth nor in prediction. */
  readonly classIoU: readonly (number | null)[];
  /** At the epoch's first step. */
  readonly learningRate: number;
  /** Of training and validation. */
  readonly seconds: number;
}

/** A step. */
export interface StepRow {
  /** Counted from 1, over all runs that led here. */
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly learningRate: number;
}

const EPOCH_COLUMNS = [
  "epoch",
  "step",
  "train_loss",
  "valid_loss",
  "mean_iou",
  "mean_dice",
  "pixel_accuracy",
  "learning_rate",
  "seconds",
] as const;
const STEP_COLUMNS = ["step", "epoch", "loss", "learning_rate"] as const;

/** `results.csv` with the rows that are in it. */
export async function openEpochTable(
  path: string,
  classNames: readonly string[],
  keepEpochs: number,
): Promise<Table<EpochRow>> {
  const names = classNames.map((name) => `iou/${name}`);
  return await Table.open<EpochRow>(path, {
    columns: [...EPOCH_COLUMNS, ...names],
    added: ["valid_loss"],
    write: ({ epoch, step, trainLoss, validLoss, scores, classIoU, learningRate, seconds }) => [
      ...[epoch, step, trainLoss, validLoss],
      ...[scores.meanIoU, scores.meanDice, scores.pixelAccuracy],
      ...[learningRate, seconds, ...classIoU],
    ],
    read: (cells) => {
      const numbers = cells.map((cell) => cell === "" ? null : Number(cell));
      const at = (column: number) => numbers[column] ?? NaN;
      return {
        epoch: at(0),
        step: at(1),
        trainLoss: at(2),
        validLoss: numbers[3] ?? null,
        scores: { meanIoU: at(4), meanDice: at(5), pixelAccuracy: at(6) },
        learningRate: at(7),
        seconds: at(8),
        classIoU: numbers.slice(EPOCH_COLUMNS.length),
      };
    },
    keep: ({ epoch }) => epoch <= keepEpochs,
  });
}

/** `losses.csv` with the rows that are in it. */
export async function openStepTable(path: string, keepSteps: number): Promise<Table<StepRow>> {
  return await Table.open<StepRow>(path, {
    columns: STEP_COLUMNS,
    write: ({ step, epoch, loss, learningRate }) => [step, epoch, shortest(loss), learningRate],
    read: (cells) => {
      const [step = NaN, epoch = NaN, loss = NaN, learningRate = NaN] = cells.map(Number);
      return { step, epoch, loss, learningRate };
    },
    keep: ({ step }) => step <= keepSteps,
  });
}

/** How rows become cells and back. */
interface TableShape<T> {
  readonly columns: readonly string[];
  /** Those of them that tables of earlier versions lack; their cells are empty then. */
  readonly added?: readonly string[];
  readonly write: (row: T) => readonly (number | string | null)[];
  readonly read: (cells: readonly string[]) => T;
  /** Rows of an earlier run that goes on: those after its checkpoint are made again. */
  readonly keep: (row: T) => boolean;
}

/** A table that grows. */
export class Table<T> {
  readonly #file: AppendFile;

  private constructor(
    path: string,
    private readonly shape: TableShape<T>,
    /** All rows, earlier ones first. */
    readonly rows: T[],
  ) {
    this.#file = new AppendFile(path);
  }

  /** @throws {InputError} where the file is another table or cannot be read or written. */
  static async open<T>(path: string, shape: TableShape<T>): Promise<Table<T>> {
    const rows: T[] = [];
    if (await isFile(path)) {
      const [header = [], ...lines] = parse(wholeLines(await readText(path)));
      const places = placesOf(shape, header);
      if (!places) {
        throw new InputError(
          `cannot go on with ${shownPath(path)}: its columns are ${header.join(", ")}, expected ` +
            `${shape.columns.join(", ")}; move it away, or start a new run`,
        );
      }
      const cells = lines.map((line) => places.map((place) => line[place] ?? ""));
      rows.push(...cells.map(shape.read).filter(shape.keep));
    }
    const text = stringify([shape.columns, ...rows.map(shape.write)], { headers: false });
    await writeFileAtomic(path, new TextEncoder().encode(text));
    return new Table(path, shape, rows);
  }

  /** Appends rows in one piece. */
  append(...rows: T[]): void {
    if (rows.length === 0) return;
    for (const row of rows) this.rows.push(row);
    const text = stringify(rows.map(this.shape.write), { headers: false });
    this.#file.append(new TextEncoder().encode(text));
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }
}

/** Where a table with this header holds each column, -1 for nowhere; `undefined` for another table. */
function placesOf(
  { columns, added = [] }: Pick<TableShape<unknown>, "columns" | "added">,
  header: readonly string[],
): number[] | undefined {
  const places: number[] = [];
  let at = 0;
  for (const column of columns) {
    if (header[at] === column) places.push(at++);
    else if (added.includes(column)) places.push(-1);
    else return undefined;
  }
  return at === header.length ? places : undefined;
}

/** A run that was killed while its disk was full can leave a part of a line. */
const wholeLines = (text: string): string => text.slice(0, text.lastIndexOf("\n") + 1);

/** The fewest digits that give a float of 32 bits again. */
export function shortest(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const text = String(Number(value.toPrecision(digits)));
    if (Math.fround(Number(text)) === Math.fround(value)) return text;
  }
  return String(Number(value.toPrecision(9)));
}
