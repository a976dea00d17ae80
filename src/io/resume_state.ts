/**
 * What a checkpoint holds beside the network so that its training can go on as if never stopped:
 * arrays of the optimizer, weights in training where the network holds their running average, and
 * the state of the run as JSON. Programs that only use the network need not look at it.
 * @module
 */
import { InputError } from "../errors.ts";
import { type UnetConfig, unetTensors } from "../nn/unet_spec.ts";
import { float32Tensor, parseSafetensors, type SafeTensor, toFloat32 } from "./safetensors.ts";

/** The state of a training run. */
export interface ResumeState {
  /** By `optimizer.ARRAY.PARAMETER`, and `trained.NAME` for the weights behind an average. */
  tensors: Map<string, Float32Array<ArrayBuffer>>;
  /** Everything else, fit for JSON. */
  run: Record<string, unknown>;
}

/** Where a safetensors file keeps the JSON. */
export const RESUME = "webgpu-unet-resume";

/** In front of the names of weights that the network's own are an average of. */
export const TRAINED = "trained.";

const PREFIXES = ["optimizer.", TRAINED];

/** Whether a tensor of a file belongs to the training and not to the network. */
export function isResumeTensor(name: string): boolean {
  return PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** The tensors of a state, each with the shape of the one of the network that it belongs to. */
export function resumeTensors(config: UnetConfig, state: ResumeState): [string, SafeTensor][] {
  const shapes = new Map(unetTensors(config).map(({ name, shape }) => [name, shape]));
  return [...state.tensors].map(([name, values]) => {
    const [prefix = "", array = ""] = name.split(".", 2);
    const owner = name.slice(prefix === "trained" ? TRAINED.length : `${prefix}.${array}.`.length);
    return [name, float32Tensor(shapes.get(owner) ?? [values.length], values)];
  });
}

/**
 * The state of the run that wrote a checkpoint, `undefined` where it holds none.
 * @param file Named in errors.
 * @throws {InputError} for a damaged file.
 */
export function decodeResumeState(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
): ResumeState | undefined {
  const { tensors, metadata } = parseSafetensors(bytes, file);
  const text = metadata[RESUME];
  if (text === undefined) return undefined;
  let run: unknown;
  try {
    run = JSON.parse(text);
  } catch {
    run = undefined;
  }
  if (typeof run !== "object" || run === null || Array.isArray(run)) {
    throw new InputError(
      `${file}: its state of training (${RESUME}) is no JSON object; the file is damaged, start ` +
        "from its weights alone (-f)",
    );
  }
  const own = [...tensors].filter(([name]) => isResumeTensor(name));
  return {
    tensors: new Map(own.map(([name, tensor]) => [name, toFloat32(tensor)])),
    run: { ...run },
  };
}
