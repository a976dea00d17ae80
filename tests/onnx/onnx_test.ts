/**
 * Networks written as ONNX and run by onnxruntime: logits against PyTorch's and against our engine's.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Checkpoint } from "../../src/io/checkpoint.ts";
import { withoutConvBias } from "../../src/io/conv_bias.ts";
import { encodeOnnx } from "../../src/io/onnx_write.ts";
import { Message } from "../../src/io/protobuf.ts";
import { initialTensors } from "../../src/nn/init.ts";
import { Stream } from "../../src/nn/random.ts";
import { smallestSize } from "../../src/nn/unet_spec.ts";
import { inFolder } from "../cli/run_command.ts";
import { type Golden, goldens } from "../golden/load.ts";
import { engineLogits, largestDifference } from "../io/network_logits.ts";
import { hasOnnxRuntime, runOnnx } from "./onnxruntime.ts";
import type { OnnxJob } from "./run_onnx.ts";

/** The golden network with the running statistics of its first train step, as for `logits.eval`. */
function checkpointOf(golden: Golden): Checkpoint {
  const tensors = initialTensors(golden.config, golden.seedWeights);
  for (const [name, { values }] of golden.tensors) {
    if (name.startsWith("stat.")) tensors.set(name.slice("stat.".length), values);
  }
  return {
    config: golden.config,
    info: {
      classes: Array.from({ length: golden.config.classes }, (_, k) => ({
        name: `Straße ${k}`,
        color: [k, 2 * k, 255 - k],
      })),
      scale: 0.25,
      normalization: "divide by 255",
      epoch: 7,
      step: 70,
    },
    tensors,
  };
}

/** What is run: the golden batch, then sizes that nobody asked for when the model was written. */
function imagesOf(golden: Golden): { data: Float32Array; shape: OnnxJob["shape"] }[] {
  const { batch, height, width, config: { channels, model } } = golden;
  const smallest = smallestSize(model);
  const stream = new Stream(5);
  const more = ([[1, 50, 21], [3, smallest, smallest + 1], [1, 64, 48]] as const).map(
    ([n, h, w]) => ({
      shape: [n, channels, h, w] as const,
      data: Float32Array.from({ length: n * channels * h * w }, () => stream.next()),
    }),
  );
  return [{ shape: [batch, channels, height, width], data: golden.input }, ...more];
}

for (const golden of goldens) {
  Deno.test({
    name: `onnx ${golden.name}: onnxruntime's logits are PyTorch's and ours, at any size`,
    ignore: !hasOnnxRuntime,
    // The device outlives the test on purpose.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () =>
      inFolder(async (folder) => {
        const checkpoint = checkpointOf(golden);
        const less = withoutConvBias(checkpoint);
        await Deno.writeFile(`${folder}/with.onnx`, encodeOnnx(checkpoint));
        await Deno.writeFile(`${folder}/less.onnx`, encodeOnnx(less));
        const images = imagesOf(golden);
        const jobs: OnnxJob[] = [];
        for (const [i, { data, shape }] of images.entries()) {
          const image = `${folder}/image${i}`;
          await Deno.writeFile(image, new Uint8Array(Float32Array.from(data).buffer));
          jobs.push({ model: `${folder}/with.onnx`, image, shape, logits: `${folder}/logits${i}` });
        }
        const [first] = jobs;
        assert(first);
        jobs.push({ ...first, model: `${folder}/less.onnx`, logits: `${folder}/logits.less` });
        const shapes = await runOnnx(jobs);

        const read = async (path: string) => new Float32Array((await Deno.readFile(path)).buffer);
        const expected = golden.tensors.get("logits.eval");
        assert(expected?.stride === 1);
        const near = (found: Float32Array, wanted: Float32Array, what: string) => {
          const error = largestDifference(found, wanted);
          assert(error <= 1e-5 * expected.max, `${what}: off by ${error}, largest ${expected.max}`);
        };
        near(await read(first.logits), expected.values, "PyTorch");
        near(await read(`${folder}/logits.less`), expected.values, "PyTorch, without biases");
        for (const [i, { data, shape: [batch, , height, width] }] of images.entries()) {
          assertEquals(shapes[i], [batch, golden.config.classes, height, width]);
          const ours = await engineLogits(checkpoint, data, [batch, height, width]);
          near(await read(`${folder}/logits${i}`), ours, `ours at ${height} x ${width}`);
        }
      }),
  });
}

/** The fields of a message: numbers, or the bytes of what has a length. */
function fieldsOf(bytes: Uint8Array): { field: number; value: number | Uint8Array }[] {
  const fields: { field: number; value: number | Uint8Array }[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1;; factor *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    const length = kind === 5 ? 4 : kind === 2 ? varint() : 0;
    fields.push({
      field: Math.floor(tag / 8),
      value: kind === 0 ? varint() : bytes.subarray(at, at + length),
    });
    at += length;
  }
  assertEquals(at, bytes.length);
  return fields;
}

const messagesIn = (bytes: Uint8Array, field: number): Uint8Array[] =>
  fieldsOf(bytes).flatMap((each) =>
    each.field === field && typeof each.value !== "number" ? [each.value] : []
  );
const textsIn = (bytes: Uint8Array, field: number): string[] =>
  messagesIn(bytes, field).map((value) => new TextDecoder().decode(value));

Deno.test("onnx: opset, free sizes, classes and colours are in the file", () => {
  const [golden] = goldens;
  assert(golden);
  const checkpoint = checkpointOf(golden);
  const model = encodeOnnx(checkpoint);
  assertEquals(fieldsOf(model)[0], { field: 1, value: 8 });
  const [opset] = messagesIn(model, 8);
  assert(opset);
  assertEquals(fieldsOf(opset).at(-1), { field: 2, value: 17 });

  const entries = messagesIn(model, 14).map((
    entry,
  ) => [textsIn(entry, 1)[0], textsIn(entry, 2)[0]]);
  const metadata = Object.fromEntries(entries);
  const { classes } = checkpoint.info;
  assertEquals(JSON.parse(metadata.classes), classes.map(({ name }) => name));
  assertEquals(JSON.parse(metadata.palette), classes.map(({ color }) => color));
  assertEquals([metadata.scale, metadata.normalization], ["0.25", "divide by 255"]);
  assertEquals(JSON.parse(metadata["webgpu-unet"]).epoch, 7);

  const [graph] = messagesIn(model, 7);
  assert(graph);
  for (const [field, name, channels] of [[11, "image", 3], [12, "logits", 5]] as const) {
    const [value] = messagesIn(graph, field);
    assert(value);
    assertEquals(textsIn(value, 1), [name]);
    const shape = [2, 1, 2].reduce((bytes, each) => messagesIn(bytes, each)[0]!, value);
    const sizes = messagesIn(shape, 1).map((size) =>
      textsIn(size, 2)[0] ?? fieldsOf(size)[0]?.value
    );
    assertEquals(sizes, ["batch", channels, "height", "width"]);
  }
  // Weights under their own names, for those who look.
  const names = messagesIn(graph, 5).map((tensor) => textsIn(tensor, 8)[0]);
  assert(names.includes("up4.conv.double_conv.3.weight"), names.join());
  assertEquals(new Set(names).size, names.length);
});

Deno.test("protobuf: numbers of any length, messages in messages", () => {
  const inner = new Message().text(2, "ü").float(3, 1);
  const message = new Message().integer(1, 300).integer(16, 2 ** 40).message(4, inner)
    .integers(5, [0, 127, 128]);
  const fields = fieldsOf(message.bytes());
  assertEquals(fields.map(({ field }) => field), [1, 16, 4, 5, 5, 5]);
  assertEquals(fields.map(({ value }) => value).toSpliced(2, 1), [300, 2 ** 40, 0, 127, 128]);
  assertEquals(fields[2]?.value, inner.bytes());
  assertEquals(inner.bytes(), Uint8Array.of(0x12, 2, 0xc3, 0xbc, 0x1d, 0, 0, 0x80, 0x3f));
  assertEquals(message.lengthBytes, message.bytes().length);
  assertThrows(() => new Message().integer(1, -1), RangeError);
});
