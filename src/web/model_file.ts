/// <reference lib="dom" />
/**
 * Networks: from a file that the user gives, or from the folder that lies beside the page.
 * @module
 */
import { type Checkpoint, decodeModel, InputError } from "../mod.ts";
import { describe } from "../nn/unet_spec.ts";
import type { Report } from "./elements.ts";
import { SERVED_FOLDER, SERVED_LIST, type ServedModel } from "./served.ts";

/** A network that was read. */
export interface Model {
  readonly name: string;
  readonly checkpoint: Checkpoint;
}

/** Photos have red, green and blue; a network of one channel reads their red. */
const PHOTO_CHANNELS = [1, 3];

/** What the host offers; nothing where it has no list. */
export async function servedModels(): Promise<ServedModel[]> {
  // Pages opened from a disk may not read what lies beside them.
  if (!location.protocol.startsWith("http")) return [];
  try {
    const answer = await fetch(SERVED_LIST);
    const list: unknown = answer.ok ? await answer.json() : [];
    return Array.isArray(list) ? list.filter(isServedModel) : [];
  } catch {
    // No list is no fault: files can be chosen.
    return [];
  }
}

function isServedModel(value: unknown): value is ServedModel {
  if (typeof value !== "object" || value === null) return false;
  const { name, bytes }: Partial<ServedModel> = value;
  return typeof name === "string" && typeof bytes === "number";
}

/**
 * Fetches a network from the host.
 * @throws {InputError} where it is not there (any more) or is no network for photos.
 */
export async function fetchModel({ name, bytes }: ServedModel, report: Report): Promise<Model> {
  let answer: Response;
  try {
    answer = await fetch(SERVED_FOLDER + encodeURIComponent(name));
  } catch {
    throw new InputError(
      `${name} could not be fetched: its server does not answer; start it again`,
    );
  }
  if (!answer.ok || !answer.body) {
    throw new InputError(
      `${name} could not be fetched: the server answered ${answer.status}; reload this page`,
    );
  }
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let read = 0;
  for (const reader = answer.body.getReader();;) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    read += value.length;
    report(`Reading ${name}`, bytes > 0 ? Math.min(1, read / bytes) : undefined);
  }
  return await readModel(new Blob(pieces), name);
}

/**
 * Reads a network from a file's content.
 * @throws {InputError} naming it, where it is none or none for photos.
 */
export async function readModel(file: Blob, name: string): Promise<Model> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new InputError(`${name} could not be read: it was moved or changed; choose it again`);
  }
  const checkpoint = await decodeModel(bytes, name);
  const { channels } = checkpoint.config;
  if (!PHOTO_CHANNELS.includes(channels)) {
    throw new InputError(
      `${name} reads images of ${channels} channels, but photos have 3; use a network for photos`,
    );
  }
  return { name, checkpoint };
}

/** A network in a line, for people. */
export function modelText({ name, checkpoint: { config, info } }: Model): string {
  const epochs = info.epoch > 0 ? `, ${info.epoch} epoch${info.epoch === 1 ? "" : "s"}` : "";
  return `${name}: ${describe(config)}${epochs}`;
}

/** Bytes as people read them. */
export function sizeText(bytes: number): string {
  return bytes < 2 ** 20
    ? `${Math.ceil(bytes / 2 ** 10)} KiB`
    : `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`;
}
