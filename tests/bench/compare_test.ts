import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  comparisonReport,
  median,
  parsePeerLine,
  peersOf,
  placeReport,
} from "../../src/bench/peers.ts";
import { variable } from "../../cli/environment.ts";
import { inFolder, namesIn, noProcesses, runCommand, startCommand } from "../cli/run_command.ts";

/** Deno lets no program start others then that may not start all; the last lines below say so. */
const hasLinkerVariable = ["LD_LIBRARY_PATH", "LD_PRELOAD"].some((name) =>
  variable(name) !== undefined
);

Deno.test("compare: peers are scripts by their names, in all known variants", () => {
  const names = peersOf(["torch_peer.py", "README.md", "ort_peer.ts", "mine_peer.ts"])
    .map(({ name, trains, onnx }) => `${name} ${trains} ${onnx}`);
  assertEquals(names, [
    "mine true false",
    "onnxruntime node false true",
    "onnxruntime wasm false true",
    "onnxruntime webgpu false true",
    "torch cpu true false",
    "torch cuda true false",
  ]);
});

Deno.test("compare: the last line of a script's output is its result, or it has none", () => {
  const line = '{"version":"1.2","median_s":0.25,"losses":[3.5,3],"checksum":null}';
  const expected = { version: "1.2", medianMs: 250, result: 3.5 };
  assertEquals(parsePeerLine(`warming up\n${line}\n`), expected);
  assertEquals(parsePeerLine('{"median_s":1,"losses":[],"checksum":0.5}')?.result, 0.5);
  for (const output of ["", "Killed", "null", "[1]", '{"median_s":null}', '{"median_s":0}']) {
    assertEquals(parsePeerLine(output), undefined, output);
  }
});

Deno.test("compare: medians", () => {
  assertEquals([median([3, 1, 2]), median([4, 1]), median([])], [2, 2.5, NaN]);
});

Deno.test("compare: the report has medians, ratios of neighbouring runs, and what failed", () => {
  const setting = {
    what: "train",
    facts: [["machine", "a"]],
    version: "9",
    result: 3.226,
  } as const;
  const report = comparisonReport(setting, [
    {
      name: "fast",
      version: "1",
      pairs: [{ oursMs: 10, peerMs: 5 }, { oursMs: 30, peerMs: 10 }, { oursMs: 20, peerMs: 20 }],
      result: 3.22601,
    },
    { name: "other", version: "1", pairs: [{ oursMs: 40, peerMs: 80 }], result: 3.5 },
    { name: "broken", version: "", pairs: [], result: undefined, problem: "no such module" },
    { name: "silent", version: "2", pairs: [{ oursMs: 40, peerMs: 40 }], result: undefined },
    {
      name: "flaky",
      version: "1",
      pairs: [{ oursMs: 1000, peerMs: 1 }],
      result: 3.226,
      problem: "stopped after 5 s",
    },
  ]);
  const rows = report.split("\n").filter((row) => row.startsWith("| ")).slice(2)
    .map((row) => row.split("|").slice(1, -1).map((cell) => cell.trim()));
  assertEquals(rows, [
    ["webgpu-unet", "9", "30.0", "1", "3.226"],
    ["fast", "1", "10.0", "2.00", "3.22601"],
    ["other", "1", "80.0", "0.50", "3.5 (differs)"],
    ["silent", "2", "40.0", "1.00", "-"],
  ]);
  assert(report.endsWith("- broken: no such module\n- flaky: stopped after 5 s"), report);
});

Deno.test("compare: small results differ by little", () => {
  const setting = { what: "infer", facts: [], version: "9", result: 0.0555 };
  const pairs = [{ oursMs: 1, peerMs: 1 }];
  const rowOf = (result: number) =>
    comparisonReport(setting, [{ name: "peer", version: "1", pairs, result }]).split("\n").at(-1);
  assertMatch(rowOf(0.05551) ?? "", /0\.05551 \|$/);
  assertMatch(rowOf(0.0558) ?? "", /0\.0558 \(differs\) \|$/);
});

Deno.test("compare: a report replaces the one between the marks and nothing else", () => {
  const [begin, end] = ["<!-- bench compare: begin -->", "<!-- bench compare: end -->"];
  const document = `# Title\n${begin}\nold\n${end}\n## History\n`;
  const once = placeReport(document, "new");
  assertEquals(once, `# Title\n${begin}\n\nnew\n\n${end}\n## History\n`);
  assertEquals(placeReport(once ?? "", "new"), once);
  const first = placeReport(" \n", "old");
  assertEquals(first, `${begin}\n\nold\n\n${end}\n`);
  assertEquals(placeReport(first ?? "", "new"), placeReport("", "new"));
  const foreign = ["# Title\n", `${begin}\n# Title\n`, `# Title\n${end}\n`, `${end}\n${begin}\n`];
  for (const document of foreign) assertEquals(placeReport(document, "new"), undefined, document);
});

const PEER = `
const value = (name: string) => Deno.args[Deno.args.indexOf("--" + name) + 1];
if (value("mode") !== "train") throw new TypeError("only train");
const [height, width, steps] = ["height", "width", "steps"].map(value);
console.log("noise");
console.log(JSON.stringify({ version: height + "x" + width + "x" + steps, median_s: 2, losses: [9] }));
`;

Deno.test({
  name: "bench compare: a fake peer in turns with ours, a broken one with its reason",
  ignore: noProcesses || hasLinkerVariable,
  fn: () =>
    inFolder(async (folder) => {
      const peers = `${folder}/peers`;
      await Deno.mkdir(peers);
      await Deno.writeTextFile(`${peers}/fake_peer.ts`, PEER);
      await Deno.writeTextFile(`${peers}/broken_peer.ts`, `throw new RangeError("too far");`);
      const size = ["--height", "16", "--width", "20", "--steps", "1", "--rounds", "1"];
      const run = (...args: string[]) =>
        runCommand(folder, ["bench", "compare", "--peers", "peers", ...size, ...args]);
      const { code, out, err } = await run("-o", "table.md");
      assertEquals(code, 0, err);
      assertMatch(out, /\| webgpu-unet +\|[^|]+\| +[\d.]+ \| +1 \| +3\.\d+ \|/);
      assertMatch(out, /\| fake +\| 16x20x1 +\| +2000\.0 \| +[\d.]+ \| +9 \(differs\) \|/);
      assertMatch(out, /- broken: error: Uncaught .*RangeError: too far/);
      assertMatch(out, /- adapter: \S+/);
      if (Deno.build.os !== "windows") assertMatch(out, /- other programs: load average [\d.]+ /);
      assertEquals(await Deno.readTextFile(`${folder}/table.md`), placeReport("", out.trimEnd()));

      const mine = "# Mine\n<!-- bench compare: begin -->\n";
      await Deno.writeTextFile(`${folder}/mine.md`, mine);
      for (
        const [name, found] of [["mine.md", "it holds text, but"], ["peers", "it is a folder"]]
      ) {
        const refused = await run("-o", name ?? "");
        assertEquals([refused.code, refused.out], [1, ""]);
        assert(
          refused.err.startsWith(`error: cannot put a table into ${name}: ${found}`),
          refused.err,
        );
      }
      assertEquals(await Deno.readTextFile(`${folder}/mine.md`), mine);

      const args = ["bench", "compare", "--peers", "peers", ...size];
      const linked = await runCommand(folder, args, { LD_LIBRARY_PATH: "/usr/local/lib" });
      assertEquals(linked.code, 1);
      assertStringIncludes(
        linked.err,
        "while LD_LIBRARY_PATH is set; unset it, or run deno run -A",
      );

      const python = await run("--python", `${folder}/venv/bin/python`);
      assertEquals([python.code, python.out], [1, ""]);
      assertMatch(
        python.err,
        /^error: cannot start --python .*first on PATH and say --python python3/,
      );

      const unknown = await run("--only", "tensorflow");
      assertEquals(unknown.code, 1);
      assertStringIncludes(unknown.err, "tensorflow, which --only names: peers has broken, fake");
    }),
});

/** Runs until it is ended, which takes a moment, and shows that by a file that grows. */
const ENDLESS_PEER = `
Deno.addSignalListener("SIGTERM", () => setTimeout(Deno.exit, 300));
setInterval(() => Deno.writeTextFileSync("alive", ".", { append: true }), 20);
`;

Deno.test({
  name: "bench compare: Ctrl-C ends the peer that runs and leaves nothing behind",
  ignore: noProcesses || hasLinkerVariable || Deno.build.os === "windows",
  fn: () =>
    inFolder(async (folder) => {
      const sizeOf = () => Deno.stat(`${folder}/alive`).then(({ size }) => size, () => 0);
      const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
      await Deno.mkdir(`${folder}/peers`);
      await Deno.mkdir(`${folder}/temporary`);
      await Deno.writeTextFile(`${folder}/peers/endless_peer.ts`, ENDLESS_PEER);
      const size = ["--height", "16", "--width", "20", "--steps", "1"];
      const args = ["bench", "compare", "--peers", "peers", "-o", "table.md", ...size];
      await using child = startCommand(folder, args, { TMPDIR: `${folder}/temporary` });
      const ended = child.output();
      while (await sizeOf() === 0) await pause(20);
      assertEquals((await namesIn(`${folder}/temporary`)).length, 1);
      // As from a terminal: to the command, and by deno task to the command once more.
      child.kill("SIGINT");
      await pause(100);
      child.kill("SIGINT");
      const { code, stdout } = await ended;
      assertEquals([code, stdout.length], [130, 0]);
      const last = await sizeOf();
      await pause(200);
      assertEquals(await sizeOf(), last);
      assertEquals(await namesIn(`${folder}/temporary`), []);
      assertEquals((await namesIn(folder)).includes("table.md"), false);
    }),
});

Deno.test({
  name: "bench compare: a folder without scripts is told apart from an empty one",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/mine.py`, "");
      const { code, err } = await runCommand(folder, ["bench", "compare", "--peers", "."]);
      assertEquals(code, 1);
      assertStringIncludes(err, "of its 1 files and folders none is called NAME_peer.py");
    }),
});
