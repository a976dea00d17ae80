/**
 * Large arrays as NumPy's `.npy`, written in parts, so that no more than a part is in memory.
 *
 * Source: NEP 1, a simple file format for NumPy arrays (version 1.0).
 * @module
 */
import { dirname } from "node:path";
import { shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";
import { openTemporary } from "./atomic_file.ts";

const HEADER_BYTES = 128;

/** A float16 array [planes, rows, columns], row-major, that appears when it is complete. */
export class NpyFile {
  #temporary = "";
  #file: Deno.FsFile | undefined;
  #notNumbers = 0;

  private constructor(readonly path: string, readonly shape: readonly [number, number, number]) {}

  /** Values written that are no numbers (NaN). */
  get notNumbers(): number {
    return this.#notNumbers;
  }

  /** Starts a file under a temporary name. @throws {InputError} naming it. */
  static async create(path: string, shape: readonly [number, number, number]): Promise<NpyFile> {
    const npy = new NpyFile(path, shape);
    await npy.#trying(async () => {
      await Deno.mkdir(dirname(path), { recursive: true });
      const { temporary, file } = await openTemporary(path);
      npy.#temporary = temporary;
      npy.#file = file;
      await npy.#writeAt(0, npyHeader(shape));
    });
    return npy;
  }

  /**
   * Writes rows of all planes.
   * @param values float16 bits [planes, rows, pitch], of which the first `columns` of a row count.
   */
  async writeRows(
    firstRow: number,
    rows: number,
    pitch: number,
    values: Uint16Array,
  ): Promise<void> {
    const [planes, height, columns] = this.shape;
    await this.#trying(async () => {
      const packed = new Uint8Array(rows * columns * 2);
      const view = new DataView(packed.buffer);
      for (let plane = 0; plane < planes; plane++) {
        for (let row = 0, to = 0; row < rows; row++) {
          const from = (plane * rows + row) * pitch;
          for (let x = 0; x < columns; x++, to += 2) {
            const bits = values[from + x]!;
            view.setUint16(to, bits, true);
            if ((bits & 0x7fff) > 0x7c00) this.#notNumbers++;
          }
        }
        await this.#writeAt(HEADER_BYTES + (plane * height + firstRow) * columns * 2, packed);
      }
    });
  }

  /** Flushes the file and gives it its name. @throws {InputError} naming it. */
  async finish(): Promise<void> {
    await this.#trying(async () => {
      await this.#file?.sync();
      this.#close();
      await Deno.rename(this.#temporary, this.path);
    });
  }

  /** Removes what there is of it. */
  async abandon(): Promise<void> {
    this.#close();
    if (this.#temporary) await Deno.remove(this.#temporary).catch(() => undefined);
  }

  #close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  async #writeAt(offset: number, bytes: Uint8Array): Promise<void> {
    if (!this.#file) throw new Error("the file is closed");
    await this.#file.seek(offset, Deno.SeekMode.Start);
    for (let written = 0; written < bytes.length;) {
      written += await this.#file.write(bytes.subarray(written));
    }
  }

  async #trying(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.abandon();
      const reason = error instanceof Error ? error.message : String(error);
      throw new InputError(`cannot write ${shownPath(this.path)}: ${reason}`);
    }
  }
}

function npyHeader(shape: readonly number[]): Uint8Array {
  const text = `{'descr': '<f2', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const header = new TextEncoder().encode(text.padEnd(HEADER_BYTES - 11) + "\n");
  const magic = Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), 1, 0);
  return Uint8Array.of(...magic, header.length & 255, header.length >> 8, ...header);
}
