import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import {
  type Checkpoint,
  type CheckpointInfo,
  decodeCheckpoint,
  encodeCheckpoint,
  encodeSafetensorsCheckpoint,
  networkOf,
} from "../../src/io/checkpoint.ts";
import { readCheckpointFile, writeCheckpointFile } from "../../src/io/checkpoint_file.ts";
import { encodeOnnx } from "../../src/io/onnx_write.ts";
import { encodePth } from "../../src/io/pth_checkpoint.ts";
import {
  encodeSafetensors,
  float32Tensor,
  parseSafetensors,
  type SafeTensor,
} from "../../src/io/safetensors.ts";
import { UNet } from "../../src/nn/unet.ts";
import { tinyCheckpoint } from "../cli/tiny_model.ts";
import { canRead, canWrite } from "../support.ts";

const INFO: CheckpointInfo = {
  classes: [
    { name: "Himmel", color: [1, 2, 3], value: 0 },
    { name: "Straße", color: [255, 128, 0], value: 255 },
  ],
  scale: 0.25,
  normalization: "divide by 255",
  ignore: 7,
  epoch: 12,
  step: 345,
  metrics: { meanIoU: 0.5, loss: 0.125 },
  training: { optimizer: "rmsprop", seed: 42 },
};

/** The safetensors of `bytes` with another description, or none. */
function described(bytes: Uint8Array<ArrayBuffer>, description?: string): Uint8Array<ArrayBuffer> {
  const { tensors } = parseSafetensors(bytes, "a.safetensors");
  return encodeSafetensors(
    tensors,
    description === undefined ? {} : { "webgpu-unet": description },
  );
}

for (const model of ["unet-small", "unet"] as const) {
  for (const upsample of ["bilinear", "transposed"] as const) {
    Deno.test(`checkpoint: ${model} ${upsample} comes back as it was`, async () => {
      using gpu = await requestGpu();
      const net = new UNet({ classes: 2, width: 2, model, upsample }, 5);
      net.batchesTracked = 17;
      const before = await net.store.read(gpu);
      const { config, info, tensors } = decodeCheckpoint(
        await encodeCheckpoint(gpu, net, INFO),
        "a.safetensors",
      );
      assertEquals(config, net.config);
      assertEquals(info, { ...INFO, kernels: { family: gpu.kernelFamily } });
      const again = networkOf({ config, info, tensors }, "a.safetensors");
      assertEquals(again.batchesTracked, 17);
      const after = await again.store.read(gpu);
      assertEquals([...after.keys()], [...before.keys()]);
      for (const [name, values] of before) {
        assertEquals([name, after.get(name)], [name, values]);
      }
    });
  }
}

Deno.test("checkpoint: the kernels that it was trained with are those of its device", async () => {
  const tuning = { "conv2d_texture_forward 1x4x8x8>4 3x3": "5x4 lanes 8" };
  using gpu = await requestGpu({ kernels: "gpu", tuning });
  const net = new UNet({ classes: 2, width: 2 }, 5);
  const bytes = await encodeCheckpoint(gpu, net, { ...INFO, kernels: { family: "cpu" } });
  assertEquals(decodeCheckpoint(bytes, "a").info.kernels, { family: "gpu", tuning });

  const { metadata } = parseSafetensors(bytes, "a");
  const info = JSON.parse(metadata["webgpu-unet"] ?? "");
  for (const kernels of ["gpu", { family: "tpu" }, { family: "gpu", tuning: { a: 1 } }]) {
    const odd = described(bytes, JSON.stringify({ ...info, kernels }));
    assertEquals(decodeCheckpoint(odd, "a").info.kernels, undefined, JSON.stringify(kernels));
  }
});

Deno.test("checkpoint: a file without a description is recognised by its shapes", () => {
  const { config, info } = decodeCheckpoint(described(tinyCheckpoint()), "foreign.safetensors");
  assertEquals(config, {
    model: "unet-small",
    width: 4,
    upsample: "bilinear",
    channels: 3,
    classes: 3,
  });
  assertEquals(info.classes.map(({ name }) => name), ["class_0", "class_1", "class_2"]);
  assertEquals(new Set(info.classes.map(({ color }) => color.join())).size, 3);
  assertEquals([info.scale, info.epoch], [undefined, 0]);
});

Deno.test("checkpoint: the optimizer's tensors are no part of the network", () => {
  const { tensors, metadata } = parseSafetensors(tinyCheckpoint(), "a.safetensors");
  const more: [string, SafeTensor][] = [...tensors, [
    "optimizer.momentum",
    float32Tensor([2], new Float32Array(2)),
  ]];
  const read = decodeCheckpoint(encodeSafetensors(more, metadata), "a.safetensors");
  assertEquals([...read.tensors.keys()].sort(), [...tensors.keys()].sort());
});

Deno.test("checkpoint: what is wrong with a file is said with its name", () => {
  const good = tinyCheckpoint();
  const refused = (bytes: Uint8Array<ArrayBuffer>, message: string) => {
    const error = assertThrows(() => decodeCheckpoint(bytes, "b.safetensors"), InputError, message);
    assert(error.message.startsWith("b.safetensors"), error.message);
  };
  refused(good.slice(0, good.length - 1), "b.safetensors");
  refused(good.slice(0, 100), "b.safetensors");
  refused(new Uint8Array(0), "at least 8");
  refused(described(good, "{"), "no JSON");
  refused(described(good, '{"classes":[{"name":"a","color":[1,2,3]}]}'), "names 1 classes");
  const { tensors, metadata } = parseSafetensors(good, "a.safetensors");
  tensors.delete("outc.conv.bias");
  refused(encodeSafetensors(tensors, metadata), "outc.conv.bias is missing");
  tensors.set("outc.conv.bias", float32Tensor([4], new Float32Array(4)));
  refused(encodeSafetensors(tensors, metadata), "outc.conv.bias has shape [4]");
  refused(encodeSafetensors([], {}), "no tensor inc.double_conv.0.weight");
});

Deno.test(
  "checkpoint file: written whole, replaced in one step, read back",
  { ignore: !canRead || !canWrite },
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "unet-checkpoint-" });
    try {
      const path = `${folder}/new/folder/a.safetensors`;
      await writeCheckpointFile(path, tinyCheckpoint());
      await writeCheckpointFile(path, tinyCheckpoint(undefined, { epoch: 9 }));
      assertEquals((await readCheckpointFile(path)).info.epoch, 9);
      const names = await Array.fromAsync(Deno.readDir(`${folder}/new/folder`), (e) => e.name);
      assertEquals(names, ["a.safetensors"]);

      // Something that cannot be replaced: the failure must leave it and nothing else behind.
      const taken = `${folder}/taken.safetensors`;
      await Deno.mkdir(`${taken}/inside`, { recursive: true });
      await assertRejects(
        () => writeCheckpointFile(taken, tinyCheckpoint()),
        InputError,
        "taken.safetensors",
      );
      const left = await Array.fromAsync(Deno.readDir(folder), (e) => e.name);
      assertEquals(left.sort(), ["new", "taken.safetensors"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test("checkpoint file: training writes .safetensors only, and says so before it writes", async () => {
  const bytes = new Uint8Array(1);
  for (
    const [name, message] of [
      ["/x/a.pth", "ends with .pth"],
      ["/x/a.png", "ends with .png"],
      ["/x/a", "ends with no format"],
    ] as const
  ) {
    await assertRejects(() => writeCheckpointFile(name, bytes), InputError, message);
  }
});

Deno.test(
  "checkpoint file: a missing file and a folder are said to be that",
  { ignore: !canRead || !canWrite },
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "unet-checkpoint-" });
    try {
      await Deno.mkdir(`${folder}/b.safetensors`);
      for (const [name, message] of [["a", "does not exist"], ["b", "is a folder"]] as const) {
        await assertRejects(
          () => readCheckpointFile(`${folder}/${name}.safetensors`),
          InputError,
          message,
        );
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test("checkpoint: numbers that are none are refused by tensor", () => {
  const { tensors, metadata } = parseSafetensors(tinyCheckpoint(), "a.safetensors");
  const bias = tensors.get("outc.conv.bias");
  assert(bias);
  tensors.set("outc.conv.bias", float32Tensor(bias.shape, new Float32Array(3).fill(NaN)));
  assertThrows(
    () => decodeCheckpoint(encodeSafetensors(tensors, metadata), "a.safetensors"),
    InputError,
    "a.safetensors: tensor outc.conv.bias holds values that are no finite numbers",
  );
});

Deno.test("checkpoint: what could not be read again is not written, in any format", () => {
  const good = decodeCheckpoint(tinyCheckpoint(), "a.safetensors");
  const [first, second, third] = good.info.classes;
  assert(first && second && third);
  const withInfo = (info: Partial<CheckpointInfo>): Checkpoint => ({
    ...good,
    info: { ...good.info, ...info },
  });
  const withTensor = (name: string, values?: Float32Array<ArrayBuffer>): Checkpoint => {
    const tensors = new Map(good.tensors);
    if (values) tensors.set(name, values);
    else tensors.delete(name);
    return { ...good, tensors };
  };
  const loud = { ...third, color: [300, -1, NaN] as const };
  const cases: [Checkpoint, string][] = [
    [withInfo({ classes: [first, second] }), "info has 2 classes, expected the network's 3"],
    [withInfo({ classes: [first, second, loud] }), "a class 2 of name"],
    [withInfo({ epoch: NaN }), "epoch NaN, expected a whole number"],
    [withInfo({ step: 1.5 }), "step 1.5, expected a whole number"],
    [withInfo({ scale: Infinity }), "scale Infinity, expected a number above 0"],
    [withInfo({ ignore: NaN }), "ignore NaN, expected a number or null"],
    [withTensor("outc.conv.weight"), "a tensor outc.conv.weight which is missing"],
    [withTensor("outc.conv.bias", new Float32Array(4)), "which has 4 values, expected 3 finite"],
    [withTensor("outc.conv.bias", Float32Array.of(0, NaN, 0)), "not all values are finite"],
  ];
  for (const encode of [encodeSafetensorsCheckpoint, encodePth, encodeOnnx]) {
    encode(withTensor("inc.double_conv.0.bias"));
    for (const [checkpoint, message] of cases) {
      assertThrows(() => encode(checkpoint), InputError, message);
    }
  }
});
