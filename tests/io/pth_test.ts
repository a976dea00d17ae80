/**
 * Networks saved by PyTorch, read and run here; and networks written here, read back.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { decodePhoto } from "../../src/data/photo.ts";
import { rgbToRgba } from "../../src/data/samples.ts";
import { InputError } from "../../src/errors.ts";
import { type ByteSource, memorySource } from "../../src/io/byte_source.ts";
import {
  type Checkpoint,
  decodeCheckpoint,
  encodeSafetensorsCheckpoint,
  networkOf,
} from "../../src/io/checkpoint.ts";
import { plainInfo } from "../../src/io/checkpoint_info.ts";
import { withoutConvBias } from "../../src/io/conv_bias.ts";
import { decodeModel } from "../../src/io/decode_model.ts";
import { unpickle } from "../../src/io/pickle.ts";
import { decodePth, encodePth, summarisePth } from "../../src/io/pth_checkpoint.ts";
import { encodePthTensors } from "../../src/io/pth_write.ts";
import { float32Tensor, type SafeTensor, toFloat32 } from "../../src/io/safetensors.ts";
import { Segmenter } from "../../src/nn/segmenter.ts";
import { initialTensors } from "../../src/nn/init.ts";
import { unetConfig } from "../../src/nn/unet.ts";
import { unetTensors } from "../../src/nn/unet_spec.ts";
import { tinyCheckpoint } from "../cli/tiny_model.ts";
import {
  type GoldenPth,
  goldenPths,
  PTH_INPUT,
  pthCrop,
  pthInput,
  pthPhoto,
} from "../golden/load_pth.ts";
import { testGpu } from "../ops/harness.ts";
import { canDecode, testData } from "../support.ts";
import { engineLogits, largestDifference } from "./network_logits.ts";

const BIAS = /double_conv\.[03]\.bias$/;

/** Logits as PyTorch has them: of a one-class network, only the second channel is PyTorch's. */
function comparable(golden: GoldenPth, logits: Float32Array): Float32Array {
  return logits.subarray(logits.length - golden.logits.length);
}

for (const golden of goldenPths) {
  // The device outlives its first test on purpose.
  Deno.test({
    name: `pth ${golden.name}: ${golden.about}; logits are PyTorch's`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      // By content: the name says another format.
      const checkpoint = await decodeModel(golden.bytes, "a.safetensors");
      assertEquals(checkpoint.config, golden.config);
      const names = [...checkpoint.tensors.keys()];
      assertEquals(names.some((name) => BIAS.test(name)), golden.bias);
      assertEquals(checkpoint.info.classes.length, golden.config.classes);
      const { height, width } = PTH_INPUT;
      const logits = await engineLogits(checkpoint, pthInput(), [1, height, width]);
      const error = largestDifference(comparable(golden, logits), golden.logits);
      const scale = golden.logits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      assert(error <= 1e-5 * scale, `off by ${error}, the largest logit is ${scale}`);
      if (golden.name === "one_class") {
        assert(logits.subarray(0, height * width).every((value) => value === 0));
      }
    },
  });
}

Deno.test("pth: mask_values become the classes' mask values or colours", async () => {
  const classes = async (name: string) => {
    const golden = goldenPths.find((each) => each.name === name);
    assert(golden);
    return (await decodePth(golden.bytes, name)).info.classes;
  };
  assertEquals((await classes("half")).map(({ value }) => value), [0, 7, 200, 255]);
  assertEquals((await classes("one_class")).map(({ value }) => value), [0, 255]);
  assertEquals((await classes("bfloat16")).map(({ color }) => color), [[0, 0, 0], [200, 30, 40]]);
  assertEquals((await classes("zip")).map(({ name, value }) => [name, value]), [
    ["class_0", undefined],
    ["class_1", undefined],
    ["class_2", undefined],
    ["class_3", undefined],
    ["class_4", undefined],
  ]);
});

/** Bytes of which it is counted how many are read. */
function countingSource(bytes: Uint8Array<ArrayBuffer>): ByteSource & { readBytes: number } {
  const source = memorySource(bytes);
  const counting = {
    sizeBytes: source.sizeBytes,
    readBytes: 0,
    read(start: number, end: number) {
      assert(0 <= start && start <= end && end <= source.sizeBytes, "inside");
      counting.readBytes += end - start;
      return source.read(start, end);
    },
  };
  return counting;
}

Deno.test("pth: a summary says what the whole file says, and reads no weights", async () => {
  for (const { name, bytes } of goldenPths) {
    const { config, info } = await decodePth(bytes, name);
    assertEquals(await summarisePth(memorySource(bytes), name), { config, info });
    await assertRejects(
      () => summarisePth(memorySource(bytes.slice(0, -9)), name),
      InputError,
      name,
    );
  }
  const config = unetConfig({ classes: 3, width: 32 });
  const info = {
    ...plainInfo(3),
    epoch: 4,
    metrics: { meanIoU: 0.25 },
  };
  const source = countingSource(encodePth({ config, info, tensors: initialTensors(config, 1) }));
  assertEquals(await summarisePth(source, "a.pth"), { config, info });
  assert(source.sizeBytes > 1e6 && source.readBytes < 2e5, `${source.readBytes} bytes read`);
});

Deno.test("pth: pickles of a legacy file may be longer than what is tried first", async () => {
  const legacy = goldenPths.find(({ name }) => name === "legacy")?.bytes ?? new Uint8Array();
  // After the magic number and the version comes a dict about the machine: PROTO 2, a dict, STOP.
  const machine = 15 + 6;
  const { end } = unpickle(legacy, machine, {
    globals: new Map(),
    persistent: () => undefined,
    refuse: (found) => new InputError(found),
    refuseGlobal: (name) => new InputError(name),
  });
  const text = new Uint8Array((1 << 20) + 100).fill(0x61);
  const parts = [
    legacy.subarray(0, machine),
    Uint8Array.of(0x80, 2, 0x7d, 0x58),
    new Uint8Array(Uint32Array.of(text.length).buffer),
    text,
    Uint8Array.of(0x4b, 0, 0x73, 0x2e),
    legacy.subarray(end),
  ];
  const long = new Uint8Array(await new Blob(parts).arrayBuffer());
  assertEquals(await decodePth(long, "a.pth"), await decodePth(legacy, "a.pth"));
  const wide = await summarisePth(memorySource(long), "a.pth");
  assertEquals(wide, await summarisePth(memorySource(legacy), "a.pth"));
});

const photoFolder = testData("nuclei");

Deno.test({
  name: "pth: class ids of a real photo at odd sizes are PyTorch's",
  ignore: photoFolder === undefined || !canDecode,
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const path = `${photoFolder?.replace(/\/nuclei$/, "")}/${pthPhoto}`;
    const photo = await decodePhoto(await Deno.readFile(path), path);
    const rgba = rgbToRgba(photo.data);
    const [left, top, right, bottom] = pthCrop;
    const size = { width: right - left, height: bottom - top };
    const crop = new Uint8Array(size.width * size.height * 4);
    for (let y = 0; y < size.height; y++) {
      const start = ((top + y) * photo.width + left) * 4;
      crop.set(rgba.subarray(start, start + size.width * 4), y * size.width * 4);
    }
    const gpu = await testGpu();
    for (const golden of goldenPths) {
      const net = networkOf(await decodePth(golden.bytes, golden.name), golden.name);
      using segmenter = new Segmenter(gpu, net);
      const check = async (
        expected: SafeTensor,
        pixels: Uint8Array,
        { width, height }: { width: number; height: number },
      ) => {
        assertEquals(expected.shape, [height, width]);
        const ids = await segmenter.predict({ batch: 1, height, width, pixels });
        const wanted = toFloat32(expected);
        assert(new Set(wanted).size === golden.config.classes, "a class is missing in the truth");
        const equal = wanted.reduce((sum, id, i) => sum + (id === ids[i] ? 1 : 0), 0);
        assertEquals(ids.length, wanted.length);
        assert(
          equal >= 0.999 * wanted.length,
          `${golden.name} at ${width} x ${height}: ${
            wanted.length - equal
          } of ${wanted.length} differ`,
        );
      };
      await check(golden.crop, crop, size);
      if (golden.photo) await check(golden.photo, rgba, photo);
      net.store.destroy();
    }
  },
});

Deno.test({
  name: "pth: a one-class network is a sigmoid with a threshold",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const classes = [{ name: "cell", color: [9, 9, 9] }] as const;
    const made = decodeCheckpoint(tinyCheckpoint(classes), "a.safetensors");
    assertEquals(made.info.classes.map(({ name }) => name), ["background", "cell"]);
    // The logit: the brightness of red less one half.
    const one = new Map(made.tensors);
    one.set("outc.conv.weight", Float32Array.of(1, 0, 0, 0));
    one.set("outc.conv.bias", Float32Array.of(-0.5));
    const bytes = encodePthTensors(named(unetConfig({ classes: 1, width: 4 }), one));
    const checkpoint = await decodePth(bytes, "one.pth");
    assertEquals(checkpoint.config.classes, 2);
    const [width, height] = [256, 4];
    const pixels = Uint8Array.from(
      { length: width * height * 4 },
      (_, i) => i % 4 === 0 ? (i / 4) % width : 0,
    );
    const net = networkOf(checkpoint, "one.pth");
    const gpu = await testGpu();
    using segmenter = new Segmenter(gpu, net);
    for (const threshold of [undefined, 0.4, 0.55]) {
      const ids = await segmenter.predict(
        { batch: 1, height, width, pixels },
        threshold === undefined ? {} : { threshold },
      );
      const expected = Uint8Array.from({ length: width * height }, (_, i) => {
        const logit = (i % width) / 255 - 0.5;
        return 1 / (1 + Math.exp(-logit)) > (threshold ?? 0.5) ? 1 : 0;
      });
      assertEquals(ids, expected, `at ${threshold}`);
    }
    net.store.destroy();
  },
});

function named(
  config: Checkpoint["config"],
  values: ReadonlyMap<string, Float32Array<ArrayBuffer>>,
): [string, SafeTensor][] {
  return unetTensors(config).flatMap(({ name, shape, dtype }): [string, SafeTensor][] =>
    dtype === "F32" ? [[name, float32Tensor(shape, values.get(name) ?? new Float32Array())]] : []
  );
}

for (const model of ["unet-small", "unet"] as const) {
  for (const upsample of ["bilinear", "transposed"] as const) {
    Deno.test(`pth: ${model} ${upsample} comes back as it was written, description included`, async () => {
      const config = unetConfig({ model, upsample, classes: 2, width: 2, channels: 1 });
      const tensors = initialTensors(config, 3);
      tensors.get("inc.double_conv.1.num_batches_tracked")?.fill(300);
      const written: Checkpoint = {
        config,
        info: {
          classes: [{ name: "Himmel", color: [1, 2, 3], value: 4 }, {
            name: "Straße",
            color: [5, 6, 7],
          }],
          scale: 0.25,
          normalization: "divide by 255",
          epoch: 3,
          step: 70000,
        },
        tensors,
      };
      assertEquals(await decodePth(encodePth(written), "a.pth"), written);
      assertEquals(decodeCheckpoint(encodeSafetensorsCheckpoint(written), "a"), written);
    });
  }
}

Deno.test({
  name: "pth: without the biases in front of batch norm the logits stay",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const [golden] = goldenPths;
    assert(golden?.bias);
    const less = withoutConvBias(await decodePth(golden.bytes, "zip.pth"));
    const read = await decodePth(encodePth(less), "less.pth");
    assert(![...read.tensors.keys()].some((name) => BIAS.test(name)));
    const { height, width } = PTH_INPUT;
    const logits = await engineLogits(read, pthInput(), [1, height, width]);
    const scale = golden.logits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    assert(largestDifference(logits, golden.logits) <= 1e-5 * scale);
    const before = await decodePth(golden.bytes, "zip.pth");
    assert([...before.tensors.keys()].some((name) => BIAS.test(name)), "the original was changed");
  },
});

Deno.test("pth: a file without a U-Net says what it holds instead", async () => {
  const other = encodePthTensors([["fc.weight", float32Tensor([1], Float32Array.of(1))]]);
  await assertRejects(() => decodeModel(other, "b.pth"), InputError, "it holds no tensor outc");
  await assertRejects(() => decodeModel(other, "b.pth"), InputError, '(but "fc.weight")');
  const config = unetConfig({ classes: 2, width: 1 });
  const tensors = named(config, initialTensors(config, 1));
  const more = encodePthTensors([...tensors, [
    "attention.weight",
    float32Tensor([1], Float32Array.of(1)),
  ]]);
  await assertRejects(
    () => decodeModel(more, "b.pth"),
    InputError,
    "it has a tensor attention.weight",
  );
  const [first, ...rest] = tensors;
  assert(first);
  await assertRejects(() => decodeModel(encodePthTensors(rest), "b.pth"), InputError, first[0]);
});

Deno.test("pth: what is no file of PyTorch's is told by its beginning", async () => {
  const refused = (bytes: Uint8Array<ArrayBuffer>, file: string, message: string) =>
    assertRejects(
      () => decodeModel(bytes, file),
      InputError,
      `${file}: could not be read as ${message}`,
    );
  const text = new TextEncoder().encode("no network at all");
  await refused(text, "a.pth", "a PyTorch file: it begins like no file of torch.save");
  await refused(text, "a.safetensors", "safetensors");
  await refused(Uint8Array.of(8, 8, 0x12, 1, 65), "a.onnx", "a network: it looks like ONNX");
  await refused(new Uint8Array(), "a.pt", "a PyTorch file");
  // A safetensors file stays one under any name.
  assertEquals((await decodeModel(tinyCheckpoint(), "a.pth")).config.classes, 3);
});
