import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { GROWTH_SHAPES } from "../../src/bench/growth.ts";
import { inFolder, noProcesses, runCommand } from "./run_command.ts";

/** Runs `bench step` and parses its only line. */
async function bench(folder: string, ...args: string[]) {
  const { code, out, err } = await runCommand(folder, ["bench", "step", "--json", ...args]);
  assertEquals(code, 0, err);
  assertEquals(out.trimEnd().split("\n").length, 1, out);
  return JSON.parse(out);
}

const size = (height: number, width: number) => [
  "--height",
  `${height}`,
  "--width",
  `${width}`,
  "--steps",
  "1",
];

Deno.test({
  name: "bench step runs the step that other frameworks were given",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      // The losses and checksums are PyTorch's on the same weights, image and labels.
      const train = await bench(folder, ...size(128, 192));
      assertEquals(Object.keys(train), [
        "adapter",
        "mode",
        "model",
        "channels",
        "precision",
        "kernels",
        "batch",
        "height",
        "width",
        "classes",
        "steps",
        "coldMs",
        "medianMs",
        "minMs",
        "gflops",
        "plannedBytes",
        "rssPeakBytes",
        "dispatches",
        "sinceStartMs",
        "losses",
      ]);
      assertEquals([train.channels, train.precision], [64, "f32"]);
      assert(["cpu", "gpu"].includes(train.kernels));
      // The process has to start and find its adapter before the first step begins.
      assert(train.sinceStartMs > train.coldMs);
      assertEquals(train.losses.length, 2);
      assertAlmostEquals(train.losses[0], 3.226, 1e-4);
      assertAlmostEquals(train.losses[1], 3.384, 0.01);
      assertAlmostEquals(train.gflops * train.medianMs / 1000, 46.7, 0.1);
      assert(train.plannedBytes > 5e7 && train.rssPeakBytes > 1e8 && train.dispatches > 50);

      const small = await bench(folder, ...size(32, 32));
      assertAlmostEquals(small.losses[0], 3.40775, 1e-4);

      const infer = await bench(folder, "--mode", "infer", ...size(128, 192));
      assertAlmostEquals(infer.checksum, 0.0555022, 1e-6);
      assert(!("losses" in infer));
    }),
});

Deno.test({
  name: "bench step --profile: rows that add up, beside what was there before",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      const line = await bench(folder, "--profile", ...size(32, 32));
      assertAlmostEquals(line.losses[0], 3.40775, 1e-4);
      const sum = (field: string) =>
        line.profile.reduce(
          (total: number, row: Record<string, number>) => total + (row[field] ?? NaN),
          0,
        );
      assertAlmostEquals(sum("share"), 1, 1e-3);
      assert(sum("timeMs") > 0 && sum("count") >= line.dispatches);
      assertEquals(Object.keys(line.profile[0]), ["op", "kernel", "count", "timeMs", "share"]);
    }),
});

Deno.test({
  name: "bench ops: one line of JSON with every op, its rate and its error",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      const args = ["bench", "ops", "--json", "--model", "unet-small", "--first-level", "4"];
      const small = ["--height", "17", "--width", "22", "--batch", "2", "--steps", "1"];
      const { code, out, err } = await runCommand(folder, [...args, ...small]);
      assertEquals(code, 0, err);
      const { peaks, ops, kernels, batch } = JSON.parse(out);
      assert(peaks.gflops > 0 && peaks.gigabytesPerSecond > 0 && batch === 2);
      assert(["cpu", "gpu"].includes(kernels.family));
      const names = new Set(ops.map(({ op }: { op: string }) => op));
      for (const op of ["conv2d", "conv2d_weight_grad", "max_pool2d_grad", "cross_entropy"]) {
        assert(names.has(op), `${[...names]} lacks ${op}`);
      }
      for (const { op, error, allowed } of ops) assert(error <= allowed, `${op}: ${error}`);
    }),
});

Deno.test({
  name: "bench scale: memory of every size, time of those that are quick enough",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      const args = ["--first-level", "4", "--steps", "1", "--seconds", "0"];
      const { code, out, err } = await runCommand(folder, ["bench", "scale", ...args]);
      assertEquals(code, 0, err);
      const lines = out.trimEnd().split("\n").map((line) => line.trim().split(/ +/));
      assertEquals(lines.length, 1 + GROWTH_SHAPES.length);
      const [, first, second] = lines;
      assertEquals(first?.slice(0, 3), ["1", "128", "192"]);
      // MiB, bytes a pixel, ms, ns a pixel
      for (const figure of first?.slice(3) ?? []) assert(Number(figure) > 0, figure);
      assert(Number(second?.[3]) > 2 * Number(first?.[3]), "four times the pixels");
      assertEquals(second?.slice(5, 9), ["-", "-", "not", "timed,"]);
    }),
});

Deno.test({
  name: "bench: help, and wrong words",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      const cases: [string[], number, "out" | "err", string][] = [
        [["bench", "--help"], 0, "out", "usage: deno task bench WHAT [options]"],
        [["bench", "ops", "--help"], 0, "out", "--first-level N"],
        [["bench", "--batch", "2", "step", "-h"], 0, "out", "usage: deno task bench step"],
        [["bench", "opts"], 2, "err", "got 'opts', did you mean ops?"],
        [["bench", "step", "--kernels", "tpu"], 2, "err", "--kernels must be auto, gpu or cpu"],
        [["bench", "compare"], 2, "err", "--peers must be given"],
        [["bench", "compare", "--peers", "nowhere"], 1, "err", "cannot read the folder nowhere"],
        [["bench", "tune", "--candidates", "1"], 2, "err", "--candidates must be at least 2"],
      ];
      for (const [args, status, stream, part] of cases) {
        const outcome = await runCommand(folder, args);
        assertEquals([args, outcome.code], [args, status], outcome.err);
        assertStringIncludes(outcome[stream], part);
      }
    }),
});
