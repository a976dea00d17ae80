/**
 * A network whose answer is known without training: its weights carry the photo's colours through
 * the first skip connection to the output. The channel of class k > 0 is the brightness of colour
 * k - 1 (red, green, blue), that of class 0 is one half: class k wins where its colour is above one
 * half and above the others.
 * @module
 */
import { initialTensors } from "../../src/nn/init.ts";
import { unetConfig } from "../../src/nn/unet.ts";
import { unetTensors } from "../../src/nn/unet_spec.ts";
import { encodeSafetensors, float32Tensor, type SafeTensor } from "../../src/io/safetensors.ts";
import type { CheckpointClass, CheckpointInfo } from "../../src/io/checkpoint.ts";

/** Names and colours for the tests. */
export const CLASSES: readonly CheckpointClass[] = [
  { name: "ground", color: [10, 20, 30], value: 0 },
  { name: "roof", color: [200, 40, 40], value: 1 },
  { name: "tree", color: [40, 180, 60], value: 2 },
];

const WIDTH = 4;

/** The bytes of its checkpoint, of as many classes as are named; `info` goes on top. */
export function tinyCheckpoint(
  classes: readonly CheckpointClass[] = CLASSES,
  info: Partial<CheckpointInfo> = {},
): Uint8Array<ArrayBuffer> {
  const config = unetConfig({ classes: classes.length, width: WIDTH });
  const values = initialTensors(config, 0);
  for (const [name, data] of values) {
    if (/weight$/.test(name) && !/double_conv\.[14]\./.test(name)) data.fill(0);
    if (/bias$/.test(name)) data.fill(0);
  }
  const set = (name: string, at: number, value: number) => {
    const data = values.get(name);
    if (!data || at >= data.length) throw new RangeError(`no element ${at} in ${name}`);
    data[at] = value;
  };
  const centre = 4;
  const copy = (name: string, channels: number, inputs: number) => {
    for (let c = 0; c < channels; c++) set(name, (c * inputs + c) * 9 + centre, 1);
  };
  copy("inc.double_conv.0.weight", 3, 3);
  copy("inc.double_conv.3.weight", 3, WIDTH);
  // The skip's channels stand in front of the upsampled ones.
  copy("up4.conv.double_conv.0.weight", 3, 2 * WIDTH);
  copy("up4.conv.double_conv.3.weight", 3, WIDTH);
  set("outc.conv.bias", 0, 0.5);
  for (let k = 1; k < classes.length; k++) set("outc.conv.weight", k * WIDTH + k - 1, 1);

  const tensors = unetTensors(config).map(({ name, shape, dtype }): [string, SafeTensor] => [
    name,
    dtype === "I64"
      ? { dtype, shape, data: new BigInt64Array(1) }
      : float32Tensor(shape, values.get(name) ?? new Float32Array()),
  ]);
  const description = {
    format: 1,
    config,
    classes,
    scale: 1,
    normalization: "divide by 255",
    epoch: 3,
    step: 30,
    ...info,
  };
  return encodeSafetensors(tensors, { "webgpu-unet": JSON.stringify(description) });
}
