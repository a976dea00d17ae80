import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { choice, flag, float, int, list, optionalPath, positional, text } from "../../cli/args.ts";
import { nearest } from "../../cli/nearest.ts";
import { parseOptions } from "../../cli/parse_options.ts";
import { commandHelp, type Context, defineCommand } from "../../cli/command.ts";
import { Terminal } from "../../cli/log.ts";
import { duration, Progress } from "../../cli/progress.ts";
import { UsageError } from "../../src/errors.ts";
import { noProcesses } from "./run_command.ts";

const table = {
  "what": positional("what to do", ["step", "ops"], { default: "step" }),
  "epochs": int("passes", { short: "e", default: 2, min: 1 }),
  "batch-size": int("images", { short: "b", default: 2, min: 1 }),
  "learning-rate": float("rate", { short: "l", default: 0.01 }),
  "ratio": float("share", { default: 0.75, min: 0, max: 1, open: true }),
  "seed": int("seed"),
  "model": choice("network", ["unet-small", "unet"], { default: "unet-small" }),
  "input": list("photos", { short: "i" }),
  "output": list("masks", { short: "o" }),
  "viz": flag("show", { short: "v" }),
  "nosave": flag("do not write", { short: "n" }),
  "name": text("name"),
  "crop": int("crop", { unavailable: true }),
  "augment": flag("augment", { unavailable: true }),
};
const parse = (line: string) => parseOptions(table, line === "" ? [] : line.split(" "));

Deno.test("options: defaults, short and long forms, and types", () => {
  const values = parse("");
  assertEquals(values.epochs, 2);
  assertEquals(values.learningRate, 0.01);
  assertEquals(values.seed, undefined);
  assertEquals(values.input, []);
  assertEquals(values.viz, false);
  assertEquals(values.what, "step");
  for (const line of ["-b 4", "-b4", "-b=4", "--batch-size 4", "--batch-size=4"]) {
    assertEquals(parse(line).batchSize, 4, line);
  }
  assertEquals(parse("-e 1 -e 3").epochs, 3, "the last one counts");
  assertEquals(parse("ops --seed=7").what, "ops");
  assertEquals(parse("--model unet").model, "unet");
});

Deno.test("options: negative numbers and exponents are values", () => {
  for (const line of ["-l -0.5", "-l-0.5", "--learning-rate -.5", "--learning-rate=-5e-1"]) {
    assertEquals(parse(line).learningRate, -0.5, line);
  }
  assertEquals(parse("-l 1e-3").learningRate, 0.001);
  assertEquals(parse("--seed -3").seed, -3);
});

Deno.test("options: an optional path is one, true without a value, or nothing", () => {
  const table = { resume: optionalPath("go on"), epochs: int("passes", { short: "e" }) };
  const parse = (line: string) => parseOptions(table, line === "" ? [] : line.split(" "));
  assertEquals(parse("").resume, undefined);
  assertEquals(parse("--resume").resume, true);
  assertEquals(parse("--resume -e 3"), { resume: true, epochs: 3 });
  assertEquals(parse("--resume /a/b -e 3"), { resume: "/a/b", epochs: 3 });
  assertEquals(parse("-e 3 --resume=/a/b").resume, "/a/b");
});

Deno.test("options: lists take several values, and flags can be joined", () => {
  const values = parse("-i a b c -o x -i d -vn");
  assertEquals(values.input, ["a", "b", "c", "d"]);
  assertEquals(values.output, ["x"]);
  assert(values.viz && values.nosave);
  assertEquals(parse("-vi a b").input, ["a", "b"]);
  assertEquals(parse("ops -i a").input, ["a"]);
});

Deno.test("options: wrong usage names the option and what it takes", () => {
  const cases: [string, string][] = [
    ["--epochs two", "--epochs takes a whole number, got 'two'"],
    ["-e 1.5", "--epochs takes a whole number, got '1.5'"],
    ["-e 0", "--epochs must be at least 1, got 0"],
    ["--ratio 1.5", "--ratio must be between 0 and 1, got 1.5"],
    ["--ratio 1", "--ratio must be between 0 and 1, got 1"],
    ["--ratio 0x1", "--ratio takes a number, got '0x1'"],
    ["-l Infinity", "--learning-rate takes a number, got 'Infinity'"],
    ["-l 1e30", "--learning-rate is too large, got 1e30"],
    ["-l -1e400", "--learning-rate is too small, got -1e400"],
    ["--seed 99999999999999999999", "--seed is too large, got 99999999999999999999"],
    ["--ratio 1e400", "--ratio must be between 0 and 1, got 1e400"],
    ["--model vnet", "--model must be unet-small or unet, got 'vnet'"],
    ["--epochs", "--epochs needs a value"],
    ["--epochs --viz", "--epochs needs a value"],
    ["-i -v", "--input needs a value"],
    ["--viz=yes", "--viz takes no value"],
    ["--name=", "--name needs a value"],
    ["--epoch 3", "unknown option --epoch, did you mean --epochs?"],
    ["--batchsize 3", "unknown option --batchsize, did you mean --batch-size?"],
    ["--toString", "unknown option --toString"],
    ["-z", "unknown option -z"],
    ["--what ops", "unknown option --what"],
    ["ops more", "unexpected argument 'more'"],
    ["walk", "what must be step or ops, got 'walk'"],
    ["--crop 256", "--crop is not available yet"],
    ["--augment", "--augment is not available yet"],
  ];
  for (const [line, message] of cases) {
    const error = assertThrows(() => parse(line), UsageError);
    assert(error.message.startsWith(message), `${line}: ${error.message}`);
  }
  const required = { model: text("model", { required: true }) };
  assertThrows(() => parseOptions(required, []), UsageError, "--model must be given");
});

Deno.test("options: the nearest name is suggested only when it is near", () => {
  assertEquals(nearest("evalute", ["train", "evaluate"]), "evaluate");
  assertEquals(nearest("quantum", ["train", "evaluate"]), undefined);
});

Deno.test("help lists every option with its default, and says what is not built", () => {
  const command = defineCommand({
    name: "thing",
    summary: "Does a thing.",
    options: table,
    examples: ["deno task thing -e 3"],
    run: () => Promise.resolve(0),
  });
  const help = commandHelp(command);
  assertStringIncludes(help, "usage: deno task thing step|ops [options]");
  assertStringIncludes(help, "-e, --epochs N");
  assertStringIncludes(help, "passes (default: 2)");
  assertStringIncludes(help, "crop (not available yet)");
  assertStringIncludes(help, "--adapter high|low|software");
  assertStringIncludes(help, "  deno task thing -e 3");
});

Deno.test("a command that opens a GPU, and only such a one, takes --kernels", async () => {
  let seen: unknown;
  const spec = {
    name: "thing",
    summary: "Does a thing.",
    options: {},
    examples: [],
    run: (_: unknown, { kernels }: Context) => {
      seen = kernels;
      return Promise.resolve(0);
    },
  };
  const gpu = defineCommand({ ...spec, gpu: true });
  const { terminal } = silent();
  assertStringIncludes(commandHelp(gpu), "--kernels auto|gpu|cpu");
  await gpu.execute(["--kernels", "cpu"], terminal);
  assertEquals(seen, "cpu");
  await gpu.execute([], terminal);
  assertEquals(seen, undefined);
  assertThrows(
    () => gpu.execute(["--kernels", "tpu"], terminal),
    UsageError,
    "--kernels must be auto, gpu or cpu, got 'tpu'",
  );
  const plain = defineCommand(spec);
  assertThrows(
    () => plain.execute(["--kernels", "cpu"], terminal),
    UsageError,
    "unknown option --kernels",
  );
});

Deno.test("a command gets its typed options and the adapter", async () => {
  let seen: unknown;
  const command = defineCommand({
    name: "thing",
    summary: "Does a thing.",
    options: { size: int("size", { default: 3 }) },
    examples: [],
    run: ({ size }, { adapter }) => {
      seen = [size + 1, adapter];
      return Promise.resolve(5);
    },
  });
  const status = await command.execute(["--adapter", "low"], silent().terminal);
  assertEquals([status, seen], [5, [4, "low"]]);
});

function silent(isTerminal = false): { terminal: Terminal; text: () => string } {
  let written = "";
  const terminal = new Terminal(
    { isTerminal, colour: false, write: (part) => void (written += part) },
    () => new Date(2026, 10, 23, 10, 15, 2),
  );
  return { terminal, text: () => written };
}

Deno.test("log lines have the date, the level and the message", () => {
  const { terminal, text } = silent();
  terminal.info("Using device x");
  terminal.warn("careful");
  assertEquals(
    text(),
    "2026/11/23 10:15:02-INFO - Using device x\n2026/11/23 10:15:02-WARNING - careful\n",
  );
});

Deno.test("progress: nothing before a second, then a bar that makes room for log lines", () => {
  const { terminal, text } = silent(true);
  let nowMs = 0;
  const progress = new Progress({ label: "Epoch 1", total: 40, terminal, now: () => nowMs });
  nowMs = 900;
  progress.advance(9);
  assertEquals(text(), "");
  nowMs = 2000;
  progress.advance(1, "loss 0.5");
  assertStringIncludes(text(), "\r\x1b[KEpoch 1 ██████░");
  const bar = text();
  terminal.info("note");
  assertStringIncludes(
    text().slice(bar.length),
    "\r\x1b[K2026/11/23 10:15:02-INFO - note\nEpoch 1",
  );
  progress.finish();
  assert(text().endsWith("\r\x1b[K"));
});

Deno.test("progress: a line never wraps, however narrow the terminal is", () => {
  const { terminal, text } = silent(true);
  let nowMs = 0;
  const options = { label: "Epoch 1", total: 40, terminal, now: () => nowMs };
  for (const columns of [120, 12, 1]) {
    const before = text().length;
    const progress = new Progress({ ...options, columns: () => columns });
    nowMs += 2000;
    progress.advance(1, "loss 0.5");
    const shown = text().slice(before).replace("\r\x1b[K", "");
    assert(shown.length < columns, shown);
    progress.finish();
  }
});

Deno.test(
  "log: when nobody reads any more, the work goes on",
  { ignore: noProcesses },
  async () => {
    const log = new URL("../../cli/log.ts", import.meta.url).href;
    const code = `import { terminal } from "${log}";
    await Deno.stdin.read(new Uint8Array(1));
    for (let i = 0; i < 9; i++) terminal.info("x".repeat(1 << 16));
    console.log("done");`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-config", code],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    await child.stderr.cancel();
    await child.stdin.close();
    assertEquals(await new Response(child.stdout).text(), "done\n");
    assertEquals((await child.status).code, 0);
  },
);

Deno.test("progress: plain lines with rate and time left where there is no terminal", () => {
  const { terminal, text } = silent();
  let nowMs = 0;
  const progress = new Progress({ label: "Epoch 1", total: 40, terminal, now: () => nowMs });
  for (let i = 0; i < 20; i++) {
    nowMs += 1000;
    progress.advance(1, "loss 0.5");
  }
  progress.finish();
  assertEquals(
    text(),
    "Epoch 1: 25 %, 10/40, 1.0 images/s, 30 s left, loss 0.5\n" +
      "Epoch 1: 50 %, 20/40, 1.0 images/s, 20 s left, loss 0.5\n",
  );
});

Deno.test("durations read as people say them", () => {
  assertEquals([12, 185, 3723].map(duration), ["12 s", "3:05 min", "1:02:03 h"]);
});
