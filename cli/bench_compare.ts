/** `deno task bench compare`: other frameworks and ours in turns. @module */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { kindOf, readText, resolveUserPath, shownPath } from "../src/data/files.ts";
import { InputError } from "../src/errors.ts";
import {
  BEGIN,
  type Comparison,
  comparisonReport,
  type ComparisonSetting,
  END,
  parsePeerLine,
  type Peer,
  peersOf,
  placeReport,
} from "../src/bench/peers.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import { choice, int, list, path, text, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { INTERRUPTED_STATUS, Interrupts } from "./interrupt.ts";
import type { Log } from "./log.ts";
import { type Printed, runProgram } from "./run_program.ts";
import { systemMemory } from "./gpu.ts";

const options = {
  peers: path("folder of the other frameworks' scripts, NAME_peer.py and NAME_peer.ts", {
    required: true,
    placeholder: "DIR",
  }),
  only: list("only these, by their names in the table such as 'torch cpu'", {
    placeholder: "NAME",
  }),
  mode: choice("what to time", ["train", "infer"], { default: "train" }),
  batch: int("images in a batch", { default: 1, min: 1 }),
  height: int("rows of an image", { default: 128, min: 4 }),
  width: int("pixels of a row", { default: 192, min: 4 }),
  steps: int("timed steps of a run; of ours, times as deno task bench step takes them", {
    default: 5,
    min: 1,
  }),
  rounds: int("runs of each, in turns with ours", { default: 3, min: 1 }),
  seconds: int("a run that takes longer is stopped", { default: 600, min: 1 }),
  python: text(
    "Python to use, a name or a path (default: /usr/bin/python3 or python3, whichever has torch); " +
      "another one than these two takes deno run -A cli/main.ts bench compare in place of deno task",
    { placeholder: "PROGRAM" },
  ),
  out: path(
    "Markdown file for the table, new, empty or with the marks of an earlier table, which it replaces",
    { short: "o" },
  ),
};

type Options = Values<typeof options>;

/** Compares and prints. */
export async function run(o: Options, context: Context): Promise<number> {
  const { log } = context;
  const peers = await findPeers(o);
  // Whatever is wrong with the file is better known before minutes of measuring.
  if (o.out !== undefined) await placed(o.out, "");
  using interrupts = new Interrupts(
    log,
    "Stopping what runs, without a table; Ctrl-C again ends at once",
  );
  const { signal } = interrupts;
  const load = systemLoad();
  const temporary = await Deno.makeTempDir({ prefix: "unet-compare-" });
  try {
    const python = await findPython(o, signal);
    const onnxFile = join(temporary, "unet.onnx");
    const { report, ran } = await compareAll(
      new Bench(o, context, { python, onnxFile, signal }),
      peers,
      load,
    );
    console.log(report);
    if (o.out !== undefined) await save(o.out, report, log);
    return ran ? 0 : 1;
  } catch (error) {
    if (interrupts.requested) return INTERRUPTED_STATUS;
    throw error;
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
}

/** Runs all peers in turns. @returns the table, and whether any of them ran */
async function compareAll(
  bench: Bench,
  peers: readonly Peer[],
  load: string,
): Promise<{ report: string; ran: boolean }> {
  const { o, context: { log } } = bench;
  const comparisons: Comparison[] = peers.map((peer) => ({
    name: peer.name,
    version: "",
    pairs: [],
    result: undefined,
  }));
  for (let round = 1; round <= o.rounds; round++) {
    for (const [i, peer] of peers.entries()) {
      const before = comparisons[i];
      if (before === undefined || before.problem !== undefined) continue;
      log.info(`Round ${round} of ${o.rounds}: webgpu-unet, then ${peer.name}`);
      comparisons[i] = await compareOnce(bench, peer, before);
      const { problem } = comparisons[i] ?? {};
      if (problem !== undefined) log.warn(`${peer.name}: ${problem}`);
    }
  }
  const report = comparisonReport(await settingOf(o, bench.latest, load), comparisons);
  return { report, ran: comparisons.some(({ pairs }) => pairs.length > 0) };
}

async function compareOnce(bench: Bench, peer: Peer, before: Comparison): Promise<Comparison> {
  if (bench.o.mode === "train" && !peer.trains) return { ...before, problem: "it cannot train" };
  const ours = await bench.ours();
  const theirs = await bench.theirs(peer);
  if ("problem" in theirs) return { ...before, problem: theirs.problem };
  const line = parsePeerLine(theirs.out);
  if (line === undefined) return { ...before, problem: "it printed no result" };
  const { version, result, medianMs } = line;
  const pairs = [...before.pairs, { oursMs: ours.medianMs, peerMs: medianMs }];
  return { ...before, version, result, pairs };
}

/** What `bench step --json` prints, as far as it is used. */
interface OwnLine {
  readonly adapter: string;
  readonly medianMs: number;
  readonly losses?: readonly number[];
  readonly checksum?: number;
}

/** The path of a file of ours. */
function fileOf(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** Runs steps as processes: a new one each time, for nobody to have a warmer start. */
class Bench {
  /** The result of our latest run. */
  latest: OwnLine | undefined;
  #onnx: Promise<Printed> | undefined;

  constructor(
    readonly o: Options,
    readonly context: Context,
    readonly means: {
      readonly python: string | undefined;
      readonly onnxFile: string;
      /** Ends what runs. */
      readonly signal: AbortSignal;
    },
  ) {}

  get #shape(): string[] {
    const { mode, batch, height, width, steps } = this.o;
    const values = { mode, batch, height, width, steps };
    return Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
  }

  /** @throws InputError where our own step fails: then there is nothing to compare with. */
  async ours(): Promise<OwnLine> {
    const { adapter, kernels } = this.context;
    const printed = await this.#run("deno", [
      ...["run", "--quiet", "-A", "--config", fileOf("../deno.json"), fileOf("./main.ts")],
      ...["bench", "step", "--json", ...this.#shape],
      ...(adapter === undefined ? [] : ["--adapter", adapter]),
      ...(kernels === undefined ? [] : ["--kernels", kernels]),
    ]);
    if ("problem" in printed) {
      throw new InputError(`cannot run our own step: ${printed.problem}`);
    }
    return this.latest = JSON.parse(printed.out) as OwnLine;
  }

  async theirs(peer: Peer): Promise<Printed> {
    if (peer.onnx) {
      this.#onnx ??= this.#python("torch_peer.py", [
        ...this.#shape,
        "--onnx",
        this.means.onnxFile,
      ]);
      const made = await this.#onnx;
      if ("problem" in made) return { problem: `no ONNX file: ${made.problem}` };
    }
    const args = [
      ...this.#shape,
      ...peer.args,
      ...(peer.onnx ? ["--model", this.means.onnxFile] : []),
    ];
    return peer.script.endsWith(".py")
      ? await this.#python(peer.script, args)
      : await this.#run("deno", [
        "run",
        "--quiet",
        "-A",
        "--no-config",
        "--unstable-webgpu",
        join(this.o.peers, peer.script),
        ...args,
      ]);
  }

  async #python(script: string, args: readonly string[]): Promise<Printed> {
    const { python } = this.means;
    if (python === undefined) return { problem: "no Python with torch was found" };
    return await this.#run(python, [join(this.o.peers, script), ...args]);
  }

  async #run(program: string, args: readonly string[]): Promise<Printed> {
    const { signal } = this.means;
    return await runProgram(program, args, { limitMs: this.o.seconds * 1000, signal });
  }
}

async function findPeers({ peers: folder, only }: Options): Promise<Peer[]> {
  let names: string[];
  try {
    names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch {
    throw new InputError(`cannot read the folder ${shownPath(folder)} that --peers names`);
  }
  const found = peersOf(names);
  const wanted = only.length === 0 ? found : found.filter(({ name }) => only.includes(name));
  const missing = only.filter((name) => !found.some((peer) => peer.name === name));
  if (found.length === 0) {
    throw new InputError(
      `cannot compare with what is in ${shownPath(folder)}: of its ${names.length} files and ` +
        "folders none is called NAME_peer.py or NAME_peer.ts; name the folder of such scripts with " +
        "--peers",
    );
  }
  if (missing.length > 0) {
    throw new InputError(
      `cannot compare with ${missing.join(", ")}, which --only names: ${shownPath(folder)} has ` +
        `${found.map(({ name }) => name).join(", ")}; name one of these`,
    );
  }
  return wanted;
}

async function findPython(
  { python }: Options,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (python !== undefined) return startable(python);
  for (const program of ["/usr/bin/python3", "python3"]) {
    const printed = await runProgram(program, ["-c", "import torch"], { limitMs: 60_000, signal });
    if ("out" in printed) return program;
  }
  return undefined;
}

/** The Python that the user named. @throws InputError where Deno may not start it. */
function startable(python: string): string {
  const command = /[\\/]/.test(python) ? resolveUserPath(python) : python;
  if (Deno.permissions.querySync({ name: "run", command }).state === "granted") return command;
  throw new InputError(
    `cannot start --python ${python}: deno task lets Deno start /usr/bin/python3 and the python3 ` +
      "that is first on PATH; put its folder first on PATH and say --python python3, or say " +
      "deno run -A cli/main.ts in place of deno task",
  );
}

/** Programs that wait for a processor before ours start: what the figures suffered from. */
function systemLoad(): string {
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "loadavg" });
  if (state !== "granted" || Deno.build.os === "windows") return "unknown";
  const [minute = 0] = Deno.loadavg();
  return `load average ${minute.toFixed(1)} when this began`;
}

async function settingOf(
  o: Options,
  own: OwnLine | undefined,
  load: string,
): Promise<ComparisonSetting> {
  const { default: config } = await import("../deno.json", { with: { type: "json" } });
  const told = async (program: string, ...args: string[]): Promise<string> => {
    const cwd = fileOf("../");
    const printed = await runProgram(program, args, { limitMs: o.seconds * 1000, cwd });
    return "out" in printed ? printed.out.trim() : "";
  };
  const changes = await told("git", "status", "--porcelain", "--untracked-files=no");
  const commit = await told("git", "rev-parse", "--short", "HEAD");
  const model = await told("/usr/bin/grep", "-m1", "model name", "/proc/cpuinfo");
  const memory = systemMemory();
  const machine = [
    `${navigator.hardwareConcurrency} x ${model.replace(/^.*: */, "") || "processor"}`,
    ...(memory ? [`${Math.round(memory.total / 2 ** 30)} GiB`] : []),
    Deno.build.target,
  ];
  return {
    what: `${o.mode} ${o.batch} x 3 x ${o.height} x ${o.width}, ${o.steps} steps a run, ` +
      `${o.rounds} ${o.rounds === 1 ? "run" : "runs"} each in turns`,
    facts: [
      ["machine", machine.join(", ")],
      ["other programs", load],
      ["adapter", own?.adapter ?? "not asked"],
      ["Deno", Deno.version.deno],
      ["commit", commit === "" ? "unknown" : commit + (changes === "" ? "" : " with changes")],
      ["date", new Date().toISOString().slice(0, 10)],
    ],
    version: config.version,
    result: own?.losses?.[0] ?? own?.checksum ?? NaN,
  };
}

async function save(file: string, report: string, log: Log): Promise<void> {
  await writeFileAtomic(file, new TextEncoder().encode(await placed(file, report)));
  log.info(`Table written to ${shownPath(file)}`);
}

/** What the file is to hold. @throws InputError where a table cannot be put into it. */
async function placed(file: string, report: string): Promise<string> {
  const kind = await kindOf(file);
  if (kind !== undefined && kind !== "file") {
    const found = kind === "folder" ? "a folder" : kind;
    throw new InputError(
      `cannot put a table into ${shownPath(file)}: it is ${found}; name a file with -o`,
    );
  }
  const text = placeReport(kind === undefined ? "" : await readText(file), report);
  if (text === undefined) {
    throw new InputError(
      `cannot put a table into ${shownPath(file)}: it holds text, but not the marks ${BEGIN} and ` +
        `${END} in this order, expected around the table; add them, or name a new file with -o`,
    );
  }
  return text;
}

/** The command. */
export const command: Command = defineCommand({
  name: "bench compare",
  summary: "Runs other frameworks' scripts for the step of deno task bench step, each in turns " +
    "with ours, and makes a table of medians and ratios. Scripts that cannot run are listed with " +
    "the reason. They are programs of their own with all rights: run only what you trust.",
  options,
  gpu: true,
  examples: [
    "deno task bench compare --peers ../peers -o tests/bench/README.md",
    "deno task bench compare --peers ../peers --only 'torch cpu' --mode infer",
  ],
  run,
});
