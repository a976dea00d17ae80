/**
 * What a checkpoint says of itself, from its first bytes: lists need no weights.
 * @module
 */
import { readHead, shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";
import { recognise, type UnetConfig } from "../nn/unet_spec.ts";
import { type CheckpointInfo, DESCRIPTION, parseInfo, plainInfo } from "./checkpoint_info.ts";
import { isResumeTensor } from "./resume_state.ts";

/** A checkpoint without its weights. */
export interface CheckpointSummary {
  /** Absolute. */
  readonly path: string;
  readonly config: UnetConfig;
  readonly info: CheckpointInfo;
  readonly sizeBytes: number;
  readonly written: Date;
}

/** Headers of networks are far smaller; a hostile length must not allocate. */
const MOST_HEADER_BYTES = 2 ** 24;

/**
 * Reads the header of a safetensors checkpoint.
 * @throws {InputError} naming the file when it is no checkpoint of a U-Net or not complete.
 */
export async function summariseCheckpoint(path: string): Promise<CheckpointSummary> {
  const file = shownPath(path);
  const refuse = (found: string) =>
    new InputError(`${file} is no checkpoint that can be used: ${found}; remove it or train again`);
  const { size, mtime } = await Deno.stat(path);
  const length = await readHead(path, 8);
  if (length.length < 8) throw refuse(`it has ${length.length} bytes`);
  const headerBytes = Number(new DataView(length.buffer).getBigUint64(0, true));
  if (headerBytes > Math.min(MOST_HEADER_BYTES, size - 8)) {
    throw refuse(`its header claims ${headerBytes} of its ${size} bytes`);
  }
  const header = parse(await readHead(path, 8 + headerBytes));
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
  const config = recognise(shapes, file);
  const told = isRecord(header.__metadata__) ? header.__metadata__[DESCRIPTION] : undefined;
  const info = typeof told === "string"
    ? parseInfo(told, config.classes, file)
    : plainInfo(config.classes);
  return { path, config, info, sizeBytes: size, written: mtime ?? new Date(0) };
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes.subarray(8)));
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => typeof item === "number");
