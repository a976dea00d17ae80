/**
 * Networks in PyTorch's files: where in them the weights lie, under which names, and what training
 * scripts save beside them.
 * @module
 */
import { InputError } from "../errors.ts";
import { recognise, type UnetConfig } from "../nn/unet_spec.ts";
import { type ByteSource, memorySource } from "./byte_source.ts";
import {
  checkCheckpoint,
  type Checkpoint,
  describeCheckpoint,
  describeNetwork,
  makeCheckpoint,
  stateDict,
  type ToldInfo,
} from "./checkpoint.ts";
import { DESCRIPTION } from "./checkpoint_info.ts";
import { PthTensor } from "./pth_globals.ts";
import { parsePth, type PthFile } from "./pth_read.ts";
import { encodePthTensors } from "./pth_write.ts";
import type { SafeTensor } from "./safetensors.ts";

/** Every U-Net has it; what stands before it is the prefix of all names (`module.` and the like). */
const LAST_WEIGHT = "outc.conv.weight";

/** Where training scripts put the weights, in order of preference. */
const STATE_DICTS = ["state_dict", "model_state_dict"];

/** The member of the container that holds the description; PyTorch passes over it. */
const DESCRIPTION_MEMBER = `${DESCRIPTION}.json`;
const MOST_DESCRIPTION_BYTES = 1 << 24;

/**
 * Reads a network from a file of `torch.save`, of either container: a state_dict, or one inside a
 * training checkpoint, also with the `module.` of DataParallel before every name and with
 * milesial/Pytorch-UNet's `mask_values` beside the weights.
 *
 * @param file Named in errors.
 * @throws {InputError} for a damaged file, one that holds no U-Net, or one that names anything but
 *   tensors and plain containers; nothing of a file is ever run.
 */
export async function decodePth(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
): Promise<Checkpoint> {
  const { pth, found, config, told } = await findNetwork(memorySource(bytes), file);
  const tensors = new Map<string, SafeTensor>();
  for (const [name, view] of found) tensors.set(name, await pth.tensor(view, name));
  return makeCheckpoint(config, tensors, told, file);
}

/**
 * What a file of `torch.save` says of its network. Its weights are not read; whether the file has
 * room for them all is looked at.
 * @param file Named in errors.
 * @throws {InputError} as {@linkcode decodePth}
 */
export async function summarisePth(
  source: ByteSource,
  file: string,
): Promise<Pick<Checkpoint, "config" | "info">> {
  const { pth, found, config, told } = await findNetwork(source, file);
  for (const [name, view] of found) pth.check(view, name);
  return describeNetwork(config, told, file);
}

/** The network in a file, before any element of it is touched. */
interface FoundNetwork {
  readonly pth: PthFile;
  /** By state_dict name. */
  readonly found: ReadonlyMap<string, PthTensor>;
  readonly config: UnetConfig;
  readonly told: ToldInfo;
}

async function findNetwork(source: ByteSource, file: string): Promise<FoundNetwork> {
  const pth = await parsePth(source, file);
  const { value } = pth;
  const entries = findStateDict(value, file);
  const prefix = prefixOf(entries) ?? "";
  const found = new Map<string, PthTensor>();
  for (const [key, entry] of entries) {
    if (typeof key !== "string" || !(entry instanceof PthTensor)) continue;
    found.set(key.startsWith(prefix) ? key.slice(prefix.length) : key, entry);
  }
  const config = recognise(new Map([...found].map(([name, { shape }]) => [name, shape])), file);
  const description = await pth.extra(DESCRIPTION_MEMBER, MOST_DESCRIPTION_BYTES);
  const told = {
    description: description && new TextDecoder().decode(description),
    maskValues: entries.get("mask_values") ??
      (value instanceof Map ? value.get("mask_values") : undefined),
  };
  return { pth, found, config, told };
}

/**
 * A network as a file of `torch.save` that `torch.load(..., weights_only=True)` reads: its
 * state_dict as a plain OrderedDict. The description of classes and training lies in the container
 * beside it, where PyTorch does not look and {@linkcode decodePth} does.
 * @throws {InputError} at 4 GiB, and where {@linkcode decodePth} would not read it as it is.
 */
export function encodePth(checkpoint: Checkpoint): Uint8Array<ArrayBuffer> {
  checkCheckpoint(checkpoint);
  const description = new TextEncoder().encode(describeCheckpoint(checkpoint));
  return encodePthTensors(stateDict(checkpoint), [{
    name: DESCRIPTION_MEMBER,
    data: description,
  }]);
}

function findStateDict(value: unknown, file: string): Map<unknown, unknown> {
  if (value instanceof Map) {
    const named = STATE_DICTS.map((name) => value.get(name));
    for (const entries of [value, ...named, ...value.values()]) {
      if (entries instanceof Map && prefixOf(entries) !== undefined) return entries;
    }
  }
  const keys = value instanceof Map ? [...value.keys()].slice(0, 5).map(String) : [];
  throw new InputError(
    `${file}: could not be read as a U-Net: it holds no tensor ${LAST_WEIGHT}` +
      (keys.length > 0 ? ` (but ${JSON.stringify(keys.join(", ").slice(0, 200))})` : "") +
      "; use the state_dict of a unet-small or unet",
  );
}

function prefixOf(entries: ReadonlyMap<unknown, unknown>): string | undefined {
  for (const [key, entry] of entries) {
    if (typeof key !== "string" || !(entry instanceof PthTensor)) continue;
    if (key === LAST_WEIGHT || key.endsWith(`.${LAST_WEIGHT}`)) {
      return key.slice(0, -LAST_WEIGHT.length);
    }
  }
  return undefined;
}
