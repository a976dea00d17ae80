/**
 * What a checkpoint says of itself: lists need no weights, so none are read.
 * @module
 */
import { openSource, shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";
import { recognise, type UnetConfig } from "../nn/unet_spec.ts";
import type { ByteSource } from "./byte_source.ts";
import { describeNetwork } from "./checkpoint.ts";
import { type CheckpointInfo, DESCRIPTION } from "./checkpoint_info.ts";
import { isPth } from "./decode_model.ts";
import { summarisePth } from "./pth_checkpoint.ts";
import { isResumeTensor } from "./resume_state.ts";

/** A checkpoint without its weights. */
export interface CheckpointSummary {
  /** Absolute. */
  readonly path: string;
  /** By its content. */
  readonly format: "safetensors" | "pth";
  readonly config: UnetConfig;
  readonly info: CheckpointInfo;
  readonly sizeBytes: number;
  readonly written: Date;
}

/** Enough to tell formats apart. */
const START_BYTES = 16;

/** Headers of networks are far smaller; a hostile length must not allocate. */
const MOST_HEADER_BYTES = 2 ** 24;

/**
 * Reads what stands beside the weights of a checkpoint, safetensors or PyTorch's `.pth`, and looks
 * whether the file has room for the weights.
 * @throws {InputError} naming the file when it is no checkpoint of a U-Net or not complete.
 */
export async function summariseCheckpoint(path: string): Promise<CheckpointSummary> {
  using source = await openSource(path);
  const file = shownPath(path);
  const start = await source.read(0, Math.min(source.sizeBytes, START_BYTES));
  const format = isPth(start, file) ? "pth" : "safetensors";
  const summary = format === "pth"
    ? await summarisePth(source, file)
    : await summariseSafetensors(source, file);
  const { mtime } = await Deno.stat(path);
  const sizeBytes = source.sizeBytes;
  return { path, format, ...summary, sizeBytes, written: mtime ?? new Date(0) };
}

async function summariseSafetensors(
  source: ByteSource,
  file: string,
): Promise<Pick<CheckpointSummary, "config" | "info">> {
  const refuse = (found: string) =>
    new InputError(`${file} is no checkpoint that can be used: ${found}; remove it or train again`);
  const size = source.sizeBytes;
  if (size < 8) throw refuse(`it has ${size} bytes`);
  const length = await source.read(0, 8);
  const headerBytes = Number(new DataView(length.buffer).getBigUint64(0, true));
  if (headerBytes > Math.min(MOST_HEADER_BYTES, size - 8)) {
    throw refuse(`its header claims ${headerBytes} of its ${size} bytes`);
  }
  const header = parse(await source.read(8, 8 + headerBytes));
  if (!isRecord(header)) throw refuse("its header is no JSON object");
  const shapes = new Map<string, number[]>();
  let end = 0;
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__" || !isRecord(value)) continue;
    const { shape, data_offsets: offsets } = value;
    if (!isNumbers(shape) || !isNumbers(offsets)) throw refuse("its header is damaged");
    end = Math.max(end, offsets[1] ?? 0);
    if (!isResumeTensor(name)) shapes.set(name, shape);
  }
  if (8 + headerBytes + end !== size) {
    throw refuse(`it has ${size} bytes, its header accounts for ${8 + headerBytes + end}`);
  }
  const told = isRecord(header.__metadata__) ? header.__metadata__[DESCRIPTION] : undefined;
  const description = typeof told === "string" ? told : undefined;
  return describeNetwork(recognise(shapes, file), { description }, file);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => typeof item === "number");
