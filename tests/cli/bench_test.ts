import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
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
        "losses",
      ]);
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
  name: "bench refuses what is not built",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      const { code, err } = await runCommand(folder, ["bench", "ops"]);
      assertEquals(code, 2);
      assertStringIncludes(err, "bench ops is not available yet");
    }),
});
