/**
 * Runs that are killed or interrupted at any moment and go on end with the very checkpoints of a run
 * that nothing disturbed. `UNET_KILLS=20` kills more often than the ordinary tests do.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { requestGpu } from "../../src/gpu/device.ts";
import { decodeCheckpoint } from "../../src/io/checkpoint.ts";
import { inFolder, namesIn, noProcesses, runCommand, startCommand } from "./run_command.ts";
import { checkpointContent, writeRaw } from "./tiny_data.ts";

const mayAsk = Deno.permissions.querySync({ name: "env", variable: "UNET_KILLS" }).state;
const KILLS = Number((mayAsk === "granted" && Deno.env.get("UNET_KILLS")) || 3);

/** Two sizes of photos (so batch norm is frozen half-way), and all that has a state. */
const EPOCHS = 4 * Math.max(3, KILLS);
const TRAIN = [
  ...["train", "-s", "1", "--width", "4", "-b", "2", "-e", String(EPOCHS)],
  ...["--optimizer", "adamw", "-l", "0.003", "--schedule", "cosine", "--warmup", "1"],
  ...["--ema", "0.9", "--accumulate", "2", "--clip", "1", "--save-every", "3"],
  ...["--augment", "strong", "--loss", "ce+dice", "--class-weights", "auto"],
];

/** The loss scale is a state too, where the adapter has one. */
async function sixteenBits(): Promise<string[]> {
  using gpu = await requestGpu();
  return gpu.supportsF16 ? ["--precision", "f16"] : [];
}

async function prepare(folder: string): Promise<void> {
  writeRaw(folder);
  assertEquals((await runCommand(folder, ["data"])).code, 0);
}

const file = (folder: string, checkpoints: string, name: string) =>
  Deno.readFileSync(`${folder}/${checkpoints}/${name}.safetensors`);

function assertSameRuns(folder: string, a: string, b: string): void {
  for (const name of ["best", "CP_epoch3", `CP_epoch${EPOCHS}`, "last"]) {
    const [one, other] = [file(folder, a, name), file(folder, b, name)];
    const { tensors } = decodeCheckpoint(one, name);
    for (const [tensor, values] of decodeCheckpoint(other, name).tensors) {
      assertEquals(tensors.get(tensor), values, `${name}: ${tensor}`);
    }
    const contents = [one, other].map((bytes) => checkpointContent(bytes, name));
    assertEquals(contents[0], contents[1], `${name} differs outside the network`);
  }
}

/** Passes on lines of standard error until one contains `text`; returns whether one did. */
async function waitFor(process: Deno.ChildProcess, text: string): Promise<boolean> {
  let seen = "";
  const reader = process.stderr.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value = "" } = await reader.read();
    seen += value;
    if (seen.includes(text) || done) {
      // Nobody blocks on a full pipe.
      (async () => {
        while (!(await reader.read()).done);
      })();
      return !done;
    }
  }
}

Deno.test({
  name: "a run that is killed again and again ends as if nothing had happened",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      await prepare(folder);
      const whole = await runCommand(folder, [...TRAIN, "--checkpoints", "whole"]);
      assertEquals(whole.code, 0, whole.err);
      let resumed = 0;
      let killed = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        const started = (await namesIn(folder)).includes("killed") &&
          (await namesIn(`${folder}/killed`)).includes("last.safetensors");
        const args = started ? ["train", "--resume"] : TRAIN;
        const process = startCommand(folder, [...args, "--checkpoints", "killed"]);
        if (started) resumed++;
        const output = process.stdout.cancel();
        // The first one surely leaves something to go on from.
        await waitFor(process, kill === 0 ? "Epoch 2:" : "Compiling shaders");
        await new Promise((done) => setTimeout(done, Math.random() * 600));
        try {
          process.kill("SIGKILL");
        } catch {
          // It had ended by then.
        }
        const [{ signal }] = await Promise.all([process.status, output]);
        if (signal === "SIGKILL") killed++;
      }
      const last = decodeCheckpoint(file(folder, "killed", "last"), "last");
      if (last.info.epoch < EPOCHS) {
        // What a kill in the middle of a write leaves, the number being of a process that there is.
        await Deno.writeTextFile(`${folder}/killed/.CP_epoch3.safetensors.1.tmp`, "half");
        const rest = await runCommand(folder, ["train", "--resume", "--checkpoints", "killed"]);
        assertEquals(rest.code, 0, rest.err);
        resumed++;
        const names = await namesIn(`${folder}/killed`);
        assertEquals(names.filter((name) => name.endsWith(".tmp")), []);
      }
      assert(resumed > 0 && killed > KILLS / 2, `${resumed} resumed, ${killed} killed`);
      assertSameRuns(folder, "whole", "killed");

      const over = await runCommand(folder, ["train", "--resume", "--checkpoints", "killed"]);
      assertEquals(over.code, 1);
      assertStringIncludes(over.err, "give a larger total");
      const other = ["train", "--resume", "--checkpoints", "killed", "-b", "3", "-e", "99"];
      assertStringIncludes((await runCommand(folder, other)).err, "-b 3 contradicts the run");
    }),
});

Deno.test({
  name: "Ctrl-C saves within an epoch, says how to go on, and the run goes on exactly",
  ignore: noProcesses || Deno.build.os === "windows",
  fn: () =>
    inFolder(async (folder) => {
      await prepare(folder);
      const cropped = [...TRAIN, "--crop", "12x16", ...await sixteenBits()];
      const whole = await runCommand(folder, [...cropped, "--checkpoints", "whole"]);
      assertEquals(whole.code, 0, whole.err);
      const process = startCommand(folder, cropped);
      const output = process.stdout.cancel();
      assert(await waitFor(process, "Epoch 1:"));
      process.kill("SIGINT");
      assertEquals((await process.status).code, 130);
      await output;
      const bytes = file(folder, "checkpoints", "INTERRUPTED");
      const { info } = decodeCheckpoint(bytes, "INTERRUPTED");
      assert(info.epoch < EPOCHS);
      const rest = await runCommand(folder, ["train", "--resume"]);
      assertEquals(rest.code, 0, rest.err);
      assertStringIncludes(rest.err, "INTERRUPTED.safetensors");
      assertSameRuns(folder, "whole", "checkpoints");
    }),
});
