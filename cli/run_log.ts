/**
 * The folder that a training run leaves behind, opened with all that is known of the run.
 * @module
 */

import { basename, isAbsolute } from "node:path";
import { shownPath } from "../src/data/files.ts";
import { Graph } from "../src/graph/graph.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { graphDef } from "../src/io/tfevents_graph.ts";
import type { UNet } from "../src/nn/unet.ts";
import { describe } from "../src/nn/unet_spec.ts";
import { imageInput } from "../src/ops/image_input.ts";
import { RunLog } from "../src/train/run_log.ts";
import type { RunState } from "../src/train/run_state.ts";
import { COMMON_OPTIONS } from "./command.ts";
import type { TrainingSettings } from "./training_data.ts";

/** What a run leaves behind, and where. */
export interface RunLogSettings {
  /** Folder of all runs, absolute. */
  readonly runs: string;
  /** Of this run; default: the network. */
  readonly name?: string | undefined;
  /** Options of the command by name; config.json holds them. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The name of the folder of a run that goes on. */
  readonly run?: string | undefined;
}

/** Rows and columns of the image in the graph that TensorBoard draws. */
const DRAWN_SIDE = 256;

/**
 * The log of a run, where one is wanted.
 * @param result The network that is scored and saved.
 * @param state Where the run stands.
 * @throws {InputError} where its folder cannot be made.
 */
export async function openRunLog(
  gpu: Gpu,
  { logs, net, dataset, scale }: TrainingSettings,
  result: UNet,
  state: RunState,
): Promise<RunLog | undefined> {
  if (logs === undefined) return undefined;
  const { default: program } = await import("../deno.json", { with: { type: "json" } });
  const { classes, images, fingerprint, ignore } = dataset.info;
  const { model, width } = net.config;
  return await RunLog.open({
    runs: logs.runs,
    name: logs.name ?? `${model}-${width}`,
    resumed: logs.run === undefined
      ? undefined
      : { run: logs.run, epoch: state.epoch, step: state.trainer.step },
    classes,
    images: dataset.valid.map(({ image }) => basename(image)),
    arrays: {
      weights: () => result.store.read(gpu),
      gradients: () => net.store.readCompanion(gpu, "gradients"),
    },
    graph: () => graphDef(drawnGraph(net)),
    notes: [
      `${describe(net.config)} on ${shownPath(dataset.folder)} (${images.train} training, ` +
      `${images.valid} validation images at scale ${scale}), ${gpu.description}`,
    ],
    config: {
      settings: shownOptions(logs.options),
      network: { ...net.config, parameters: net.store.parameterCount },
      data: {
        folder: shownPath(dataset.folder),
        fingerprint,
        ...images,
        ignore,
        classes: classes.map(({ name }) => name),
      },
      device: { adapter: gpu.description, kernels: gpu.kernelFamily },
      versions: { "webgpu-unet": program.version, deno: Deno.version.deno, system: system() },
    },
  });
}

const system = (): string => `${Deno.build.os} ${Deno.build.arch}`;

/** Paths as the user sees them; what every command has is no setting of this one. */
function shownOptions(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const common = ["resume", ...Object.keys(COMMON_OPTIONS)];
  return Object.fromEntries(
    Object.entries(options).filter(([name]) => name === "adapter" || !common.includes(name))
      .map(([name, value]) => [name, typeof value === "string" ? shownOption(value) : value]),
  );
}

const shownOption = (value: string): string => isAbsolute(value) ? shownPath(value) : value;

/** The network at work on an image of a size that stands for all. */
function drawnGraph(net: UNet): Graph {
  const graph = new Graph();
  const shape = [1, DRAWN_SIDE, DRAWN_SIDE];
  const pixels = graph.input("pixels", { shape, dtype: "u32" });
  net.forward(imageInput(pixels, net.config.channels), { training: false });
  return graph;
}
