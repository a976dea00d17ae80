/**
 * Files that want to run something, to hang or to exhaust memory, and damaged ones: each is an
 * InputError naming the file, at once.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import { decodeModel } from "../../src/io/decode_model.ts";
import { PickleWriter } from "../../src/io/pickle_write.ts";
import { encodeZip } from "../../src/io/zip_write.ts";
import { memorySource } from "../../src/io/byte_source.ts";
import { summarisePth } from "../../src/io/pth_checkpoint.ts";
import { ZipArchive } from "../../src/io/zip.ts";
import { Stream } from "../../src/nn/random.ts";
import { goldenPths } from "../golden/load_pth.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Bytes of text (code units below 256) and of other bytes. */
function bytesOf(...parts: readonly (string | number | Uint8Array)[]): Bytes {
  const all = parts.flatMap((part) =>
    typeof part === "string"
      ? Array.from(part, (letter) => letter.charCodeAt(0))
      : typeof part === "number"
      ? [part]
      : [...part]
  );
  return Uint8Array.from(all);
}

const uint32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
const uint64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

/** A file of `torch.save` around a pickle. */
function zipOf(pickle: Bytes, ...memory: Bytes[]): Bytes {
  return encodeZip([
    { name: "archive/data.pkl", data: pickle },
    ...memory.map((data, key) => ({ name: `archive/data/${key}`, data })),
    { name: "archive/version", data: bytesOf("3\n") },
  ]);
}

const LEGACY_START = bytesOf("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");

/** The legacy container around a pickle. */
function legacyOf(pickle: Bytes): Bytes {
  return bytesOf(LEGACY_START, "\x80\x02M\xe9\x03.", "\x80\x02}.", pickle, "\x80\x02].");
}

async function refused(file: Bytes, ...messages: string[]): Promise<void> {
  const error = await assertRejects(() => decodeModel(file, "evil.pth"), InputError);
  assert(error.message.startsWith("evil.pth: "), error.message);
  for (const message of messages) assert(error.message.includes(message), error.message);
  // A list, which reads no weights, may miss what is wrong with them, but fails in no other way.
  await summarisePth(memorySource(file), "evil.pth").catch((error) => {
    assert(error instanceof InputError && error.message.startsWith("evil.pth: "), error);
  });
}

/** Both containers. */
async function pickleRefused(pickle: Bytes, ...messages: string[]): Promise<void> {
  await refused(zipOf(pickle), ...messages);
  await refused(legacyOf(pickle), ...messages);
}

function golden(name: string): Bytes {
  const found = goldenPths.find((each) => each.name === name);
  if (!found) throw new RangeError(`no golden file ${name}`);
  return found.bytes;
}

async function goldenPickle(): Promise<Bytes> {
  const source = memorySource(golden("zip"));
  const archive = await ZipArchive.open(source, (found) => new InputError(found));
  return await archive.read("zip/data.pkl", 1 << 20);
}

for (
  const [module, name] of [
    ["os", "system"],
    ["posix", "system"],
    ["builtins", "eval"],
    ["__builtin__", "eval"],
    ["builtins", "getattr"],
    ["builtins", "exec"],
    ["subprocess", "Popen"],
    ["torch", "load"],
    ["torch.hub", "load"],
    ["numpy", "load"],
    ["unet.unet_model", "UNet"],
    ["__torch__.unet", "UNet"],
    ["constructor", "prototype"],
  ] as const
) {
  Deno.test(`hostile pth: ${module}.${name} is refused by name`, async () => {
    const asks = [JSON.stringify(`${module}.${name}`), "nothing was run", "model.state_dict()"];
    const call = [uint32(8), "echo hey", "\x85R."] as const;
    await pickleRefused(bytesOf(`\x80\x02c${module}\n${name}\nX`, ...call), ...asks);
    const text = (value: string) => bytesOf("\x8c", value.length, value);
    await pickleRefused(bytesOf("\x80\x04", text(module), text(name), "\x93X", ...call), ...asks);
    // Behind a network that is in order.
    const state = bytesOf("\x80\x02}(X", uint32(10), "state_dict}", "X", uint32(1), "x");
    await pickleRefused(bytesOf(state, `c${module}\n${name}\n)Ru.`), ...asks);
  });
}

Deno.test("hostile pth: instructions that weights do not need are refused", async () => {
  for (
    const [pickle, code] of [
      ["(S'echo'\nios\nsystem\n.", "0x53"],
      ["\x80\x02(ios\nsystem\n.", "0x69"],
      ["\x80\x02(\x82\x01.", "0x82"],
      ["\x80\x02ccollections\nOrderedDict\n)\x81.", "0x81"],
      ["\x80\x02ccollections\nOrderedDict\n)}\x92.", "0x92"],
      ["\x80\x02(o.", "0x6f"],
      ["\x80\x02P1\n.", "0x50"],
      ["\x80\x05\x97.", "0x97"],
    ] as const
  ) await pickleRefused(bytesOf(pickle), `the instruction ${code} `);
});

Deno.test("hostile pth: calls of what is no function, and with other arguments", async () => {
  for (
    const [pickle, message] of [
      ["K\x01)R.", "calls something that is no function"],
      ["ccollections\nOrderedDict\nK\x01R.", "calls something that is no function"],
      ["ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage with arguments"],
      ["ctorch._utils\n_rebuild_tensor_v2\n)R.", "_rebuild_tensor_v2 with arguments"],
      ["ccollections\nOrderedDict\n]K\x01a\x85R.", "OrderedDict with arguments"],
      ["c_codecs\nencode\nK\x01\x85R.", "_codecs.encode with arguments"],
      ["X\x01\0\0\0ab.", "its pickle takes a value where there is none"],
      ["]}b.", "sets attributes"],
      ["]K\x01K\x02s.", "no dict"],
      ["}(K\x01u.", "no dict"],
      ["}K\x01a.", "no list"],
      ["](K\x01\x90.", "no set"],
      ["K\x01Q.", "other than a tensor's memory"],
      [
        "(X\x06\0\0\0modulectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ.",
        "other than",
      ],
      ["t.", "closes a group"],
      ["h\x05.", "refers to value 5"],
      [".", "takes a value"],
      ["c" + "x".repeat(5000), "a name that does not end"],
    ] as const
  ) await pickleRefused(bytesOf("\x80\x02", pickle), message);
});

Deno.test("hostile pth: lengths that are declared and not there", async () => {
  const far = uint64(2n ** 62n);
  for (const start of ["X", "T", "B", "\x8b"]) {
    await pickleRefused(bytesOf("\x80\x02", start, uint32(0xfffffff0), "."));
  }
  for (const start of ["\x8d", "\x8e"]) {
    await pickleRefused(bytesOf("\x80\x04", start, far, "."), "are left");
  }
  const long = bytesOf("\x80\x02\x8b", uint32(100_000), new Uint8Array(100_000), ".");
  await pickleRefused(long, "an integer of 100000 bytes");
});

/** A state_dict of one tensor with this rebuild. */
function oneTensor(
  { elements, offset = 0, shape, strides }: {
    elements: number;
    offset?: number;
    shape: number[];
    strides: number[];
  },
  name = "outc.conv.weight",
): Bytes {
  return new PickleWriter().global("collections", "OrderedDict").integers([]).call().mark()
    .text(name).global("torch._utils", "_rebuild_tensor_v2").mark()
    .mark().text("storage").global("torch", "FloatStorage").text("0").text("cpu")
    .integer(elements).tuple().persistent()
    .integer(offset).integers(shape).integers(strides).no()
    .tuple().call().setItems().end();
}

/** A U-Net of width 1 whose tensors are all views of one storage of `elements`. */
function wholeNetwork(
  view: (shape: readonly number[]) => { offset: number; strides: readonly number[] },
  elements: number,
  width = 1,
): Bytes {
  const pickle = new PickleWriter().global("collections", "OrderedDict").integers([]).call().mark();
  const add = (name: string, shape: readonly number[]) => {
    const { offset, strides } = view(shape);
    pickle.text(name).global("torch._utils", "_rebuild_tensor_v2").mark()
      .mark().text("storage").global("torch", "FloatStorage").text("0").text("cpu")
      .integer(elements).tuple().persistent()
      .integer(offset).integers(shape).integers(strides).no().tuple().call();
  };
  const block = (name: string, inputs: number, mid: number, out: number) => {
    for (const [layer, from, to] of [[0, inputs, mid], [3, mid, out]] as const) {
      add(`${name}.double_conv.${layer}.weight`, [to, from, 3, 3]);
      for (const leaf of ["weight", "bias", "running_mean", "running_var"]) {
        add(`${name}.double_conv.${layer + 1}.${leaf}`, [to]);
      }
    }
  };
  block("inc", 3, width, width);
  block("down1.maxpool_conv.1", width, 2 * width, 2 * width);
  block("down2.maxpool_conv.1", 2 * width, 2 * width, 2 * width);
  block("up3.conv", 4 * width, 2 * width, width);
  block("up4.conv", 2 * width, width, width);
  add("outc.conv.weight", [2, width, 1, 1]);
  add("outc.conv.bias", [2]);
  return pickle.setItems().end();
}

Deno.test("hostile pth: tensors that reach outside their memory", async () => {
  const memory = new Uint8Array(16);
  const row = { elements: 4, shape: [2, 1, 1, 2], strides: [2, 2, 2, 1] };
  for (const change of [{ strides: [-2, 2, 2, 1] }, { offset: -1 }, { shape: [2, -1, 1, 2] }]) {
    await refused(
      zipOf(oneTensor({ ...row, ...change }), memory),
      "arguments that it does not take",
    );
  }
  const whole = (offset: number, elements: number, stride = 0) =>
    wholeNetwork((shape) => ({ offset, strides: shape.map(() => stride) }), elements);
  // In order: all elements of all tensors are the same number.
  const checkpoint = await decodeModel(zipOf(whole(3, 4), memory), "a.pth");
  assertEquals(checkpoint.config.width, 1);
  await refused(zipOf(whole(4, 4), memory), "reaches element 4 of 4");
  await refused(zipOf(whole(0, 4, 2 ** 52), memory), "reaches element");
  await refused(zipOf(whole(0, 3), memory), "has 16 bytes, 12 were expected");
  await refused(zipOf(whole(0, 5), memory), "has 16 bytes, 20 were expected");
  await refused(zipOf(whole(0, 2 ** 50), memory), "16 bytes");
  await refused(zipOf(whole(0, 4)), 'no member "archive/data/0"');
});

Deno.test("hostile pth: a few bytes that ask for terabytes by repeating themselves", async () => {
  const repeated = wholeNetwork(
    (shape) => ({ offset: 0, strides: shape.map(() => 0) }),
    1,
    2 ** 20,
  );
  await refused(zipOf(repeated, new Uint8Array(4)), "repeats the 1 elements that it has");
});

Deno.test("hostile pth: values inside themselves, and nested deeply", async () => {
  // A dict that is its own state_dict.
  const key = bytesOf("X", uint32(10), "state_dict");
  await pickleRefused(bytesOf("\x80\x02}q\0", key, "h\0s."), "no tensor outc.conv.weight");
  // A list inside itself, as a tensor's sizes.
  await pickleRefused(bytesOf("\x80\x02]q\0h\0a0ctorch\nSize\nh\0\x85R."), "no tensor outc");
  await pickleRefused(bytesOf("\x80\x02", "]".repeat(200_000), "a".repeat(199_999), "."));
  await pickleRefused(bytesOf("\x80\x02)", "\x85".repeat(200_000), "."), "no tensor outc");
  await pickleRefused(bytesOf("\x80\x02", "(".repeat(200_000), "t".repeat(200_000), "."));
  // Each list holds the one before it ten times: 10^50 elements, were they ever counted.
  const laughs = Array.from(
    { length: 50 },
    (_, i) => `](${`h${String.fromCharCode(i)}`.repeat(10)}eq${String.fromCharCode(i + 1)}`,
  );
  await pickleRefused(bytesOf("\x80\x02]q\0", ...laughs, "."), "no tensor outc.conv.weight");
});

Deno.test("hostile pth: a pickle that never comes to its end", async () => {
  const pickle = new Uint8Array(2 ** 25).fill(0x4e, 2);
  pickle.set([0x80, 2]);
  for (let i = 3; i < pickle.length; i += 2) pickle[i] = 0x30;
  await refused(zipOf(pickle), "more than 16777216 instructions");
});

Deno.test("damaged pth: every place to cut it off, both containers", async () => {
  const pickle = await goldenPickle();
  for (let length = 0; length < pickle.length; length += 7) {
    await refused(zipOf(pickle.slice(0, length)));
  }
  for (const name of ["zip", "legacy"]) {
    const whole = golden(name);
    for (let length = 0; length < whole.length; length += 397) {
      await refused(whole.slice(0, length));
    }
    await refused(whole.slice(0, whole.length - 1));
  }
});

Deno.test("damaged pth: a changed byte is an InputError or changes only numbers", async () => {
  const stream = new Stream(11);
  const draw = (below: number) => Math.floor(stream.next() * below);
  const pickle = await goldenPickle();
  const legacy = golden("legacy");
  let failed = 0;
  for (let round = 0; round < 600; round++) {
    const inPickle = round % 2 === 0;
    // The legacy file's pickles come first.
    const bytes = (inPickle ? pickle : legacy).slice();
    const at = draw(inPickle ? bytes.length : 20_000);
    bytes[at] = draw(256);
    try {
      await decodeModel(inPickle ? zipOf(bytes) : bytes, "evil.pth");
    } catch (error) {
      failed++;
      assert(error instanceof InputError, `${error} after byte ${at} of round ${round}`);
      assert(error.message.startsWith("evil.pth: "), error.message);
    }
  }
  assert(failed > 300, `${failed} of 600 failed`);
  // In the zip container the checksum finds a changed weight too.
  const zip = golden("zip").slice();
  const middle = zip.length >> 1;
  zip[middle] = (zip[middle] ?? 0) ^ 1;
  await refused(zip, "is damaged (size or checksum)");
});

Deno.test("hostile pth: zip directories that lie", async () => {
  const good = zipOf(bytesOf("\x80\x02}."));
  const view = (bytes: Bytes) => new DataView(bytes.buffer);
  const end = good.length - 22;
  const central = view(good).getUint32(end + 16, true);
  const changed = (at: number, value: number) => {
    const bytes = good.slice();
    view(bytes).setUint32(at, value, true);
    return bytes;
  };
  await refused(good, "no tensor outc.conv.weight");
  await refused(changed(end + 16, 0xfffffff0), "does not lie inside the file");
  await refused(changed(end + 12, 0xfffffff0), "does not lie inside the file");
  await refused(changed(end + 8, 0xffffffff), "does not lie inside the file");
  await refused(changed(central + 24, 0xfffffff0), "at most 67108864 were expected");
  await refused(changed(central + 24, 100), "is damaged");
  await refused(changed(central + 20, 0xfffffff0), "past the end");
  await refused(changed(central + 42, 0xfffffff0), "not where the directory says");
  await refused(changed(central + 42, 1), "not where the directory says");
  await refused(changed(central + 16, 0), "is damaged");
  await refused(changed(central + 8, 1), "is encrypted");
  await refused(changed(central + 10, 12), "packed by method 12");
  await refused(changed(central, 0), "directory is damaged at member 0");
  await refused(changed(central + 28, 0xffff), "directory is damaged at member 0");
  const twice = encodeZip([1, 2].map(() => ({ name: "a/data.pkl", data: new Uint8Array(1) })));
  await refused(twice, "two members");
  await refused(encodeZip([{ name: "x", data: new Uint8Array(1) }]), "without a member data.pkl");
});
