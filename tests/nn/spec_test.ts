import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError, UsageError } from "../../src/errors.ts";
import { initialTensors } from "../../src/nn/init.ts";
import { Stream } from "../../src/nn/random.ts";
import {
  parameterCount,
  recognise,
  smallestSize,
  unetBlocks,
  type UnetConfig,
  unetTensors,
} from "../../src/nn/unet_spec.ts";

const small: UnetConfig = {
  model: "unet-small",
  width: 64,
  upsample: "bilinear",
  channels: 3,
  classes: 23,
};

const variants: UnetConfig[] = (["unet-small", "unet"] as const).flatMap((model) =>
  (["bilinear", "transposed"] as const).map((upsample) => ({ ...small, model, upsample }))
);

function shapesOf(config: UnetConfig): Map<string, readonly number[]> {
  return new Map(unetTensors(config).map(({ name, shape }) => [name, shape]));
}

Deno.test("U-Nets of width 64 and 23 classes have PyTorch's parameter counts", () => {
  assertEquals(variants.map(parameterCount), [1_038_295, 1_866_839, 17_268_823, 31_044_951]);
});

Deno.test("channels of every block follow the reference networks", () => {
  const channels = (config: UnetConfig) => {
    const { encoder, decoder, head } = unetBlocks(config);
    return [...encoder, ...decoder.map((level) => level.conv)]
      .map((block) => `${block.name.split(".")[0]} ${block.in}-${block.mid}-${block.out}`)
      .concat(`outc ${head.in}-${head.out}`);
  };
  const inc = "inc 3-64-64";
  assertEquals(variants.map(channels), [
    [
      inc,
      "down1 64-128-128",
      "down2 128-128-128",
      "up3 256-128-64",
      "up4 128-64-64",
      "outc 64-23",
    ],
    [
      inc,
      "down1 64-128-128",
      "down2 128-256-256",
      "up3 256-128-128",
      "up4 128-64-64",
      "outc 64-23",
    ],
    [
      inc,
      "down1 64-128-128",
      "down2 128-256-256",
      "down3 256-512-512",
      "down4 512-512-512",
      "up1 1024-512-256",
      "up2 512-256-128",
      "up3 256-128-64",
      "up4 128-64-64",
      "outc 64-23",
    ],
    [
      inc,
      "down1 64-128-128",
      "down2 128-256-256",
      "down3 256-512-512",
      "down4 512-1024-1024",
      "up1 1024-512-512",
      "up2 512-256-256",
      "up3 256-128-128",
      "up4 128-64-64",
      "outc 64-23",
    ],
  ]);
});

Deno.test("a decoder level gets the skip and an upsampled map of the same channels", () => {
  for (const config of variants.concat({ ...small, width: 3 })) {
    const { encoder, decoder } = unetBlocks(config);
    let below = encoder.at(-1)!.out;
    for (const { skip, up, conv } of decoder) {
      assertEquals(up?.in ?? below, below);
      assertEquals(encoder[skip]!.out + (up?.out ?? below), conv.in);
      below = conv.out;
    }
    assertEquals(below, config.width);
    assertEquals(smallestSize(config.model), 2 ** (encoder.length - 1));
  }
});

Deno.test("tensors carry PyTorch's names in module order", () => {
  const names = unetTensors(variants[1]!).map((tensor) => tensor.name);
  assertEquals(names.slice(0, 8), [
    "inc.double_conv.0.weight",
    "inc.double_conv.0.bias",
    "inc.double_conv.1.weight",
    "inc.double_conv.1.bias",
    "inc.double_conv.1.running_mean",
    "inc.double_conv.1.running_var",
    "inc.double_conv.1.num_batches_tracked",
    "inc.double_conv.3.weight",
  ]);
  assertEquals(names.filter((name) => name.includes(".up.")), [
    "up3.up.weight",
    "up3.up.bias",
    "up4.up.weight",
    "up4.up.bias",
  ]);
  assertEquals(shapesOf(variants[1]!).get("up3.up.weight"), [256, 128, 2, 2]);
  assertEquals(names.slice(-2), ["outc.conv.weight", "outc.conv.bias"]);
});

Deno.test("recognise gives the configuration back from the shapes alone", () => {
  for (const base of variants) {
    for (const change of [{}, { width: 7, channels: 1, classes: 1 }]) {
      const config = { ...base, ...change };
      assertEquals(recognise(shapesOf(config), "a.safetensors"), config);
    }
  }
});

Deno.test("recognise accepts checkpoints without the biases in front of BN", () => {
  const shapes = shapesOf(variants[3]!);
  for (const name of [...shapes.keys()]) {
    if (/double_conv\.[03]\.bias$|num_batches_tracked$/.test(name)) shapes.delete(name);
  }
  assertEquals(recognise(shapes, "a.pth"), variants[3]);
});

Deno.test("recognise says which tensor does not fit", () => {
  const broken = (change: (shapes: Map<string, readonly number[]>) => void, message: string) => {
    const shapes = shapesOf(small);
    change(shapes);
    assertThrows(() => recognise(shapes, "odd.safetensors"), InputError, message);
  };
  broken((shapes) => shapes.clear(), "odd.safetensors: could not be read as a U-Net: it has no");
  broken((shapes) => shapes.set("inc.double_conv.0.weight", [64]), "has shape [64]");
  broken((shapes) => shapes.set("outc.conv.weight", [0, 64, 1, 1]), "has shape [0,64,1,1]");
  broken(
    (shapes) => shapes.set("up4.conv.double_conv.3.weight", [64, 32, 3, 3]),
    "up4.conv.double_conv.3.weight has shape [64,32,3,3], [64,64,3,3] was expected",
  );
  broken((shapes) => shapes.delete("outc.conv.bias"), "outc.conv.bias is missing");
  broken((shapes) => shapes.set("attention.weight", [1]), "it has a tensor attention.weight");
});

Deno.test("a U-Net without channels is refused", () => {
  for (const change of [{ width: 0 }, { channels: 1.5 }, { classes: NaN }]) {
    assertThrows(() => unetBlocks({ ...small, ...change }), UsageError, "at least 1");
  }
});

Deno.test("the stream's draws are those of mulberry32", () => {
  // The sequential form of the generator, as published.
  let state = 1234;
  const mulberry32 = () => {
    let t = state += 0x6d2b79f5;
    t = Math.imul(t ^ t >>> 15, t | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
  const stream = new Stream(1234);
  for (let i = 0; i < 1000; i++) assertEquals(stream.next(), mulberry32());
});

Deno.test("initial weights are bit for bit those of the same draws in PyTorch", async () => {
  const tensors = initialTensors(small, 1234);
  const drawn = unetTensors(small).filter(({ role }) => role.startsWith("conv-"));
  const bytes = new Blob(drawn.map(({ name }) => tensors.get(name)!));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await bytes.arrayBuffer()));
  // All convolutions' weights and biases, drawn by NumPy and held by torch.nn.Conv2d.
  assertEquals(digest.toHex(), "f9356a0367d31c8ea553370c778161967d9471cd342c89a2b085a49f6f51c40a");
});

Deno.test("initial weights fill PyTorch's default range, BN starts as the identity", () => {
  for (const config of variants.map((variant) => ({ ...variant, width: 8 }))) {
    const tensors = initialTensors(config, 7);
    for (const { name, role, fanIn, shape } of unetTensors(config)) {
      const values = tensors.get(name)!;
      assertEquals(values.length, shape.reduce((a, b) => a * b, 1), name);
      if (role === "conv-weight") {
        const bound = 1 / Math.sqrt(fanIn);
        const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
        assertAlmostEquals(largest, bound, bound / 10, name);
      } else if (role !== "conv-bias") {
        const start = role === "bn-weight" || role === "running-var" ? 1 : 0;
        assertEquals(values.every((value) => value === start), true, name);
      }
    }
  }
  const transposed = unetTensors(variants[1]!).find(({ name }) => name === "up3.up.weight");
  assertEquals(transposed?.fanIn, 128 * 2 * 2);
});
