import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { decodePng } from "../../src/data/png.ts";
import { inFolder, namesIn, noProcesses, runCommand } from "./run_command.ts";
import { writeRaw } from "./tiny_data.ts";

const SMALL = ["train", "-s", "1", "--width", "8", "-b", "3", "--optimizer", "adamw", "-l", "0.01"];

Deno.test({
  name: "train looks before it leaps: dry run, one batch by heart, where the time goes",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      writeRaw(folder);
      assertEquals((await runCommand(folder, ["data"])).code, 0);
      const dry = await runCommand(folder, [...SMALL, "--dry-run", "--augment", "light"]);
      assertEquals(dry.code, 0, dry.err);
      assertMatch(dry.err, /Planned: +\d+ MiB of \d+ MiB that may be used\n/);
      assertMatch(dry.err, /losses \d\.\d+ and \d\.\d+, /);
      assertStringIncludes(dry.err, "no checkpoint was written");
      assertEquals(await namesIn(folder), ["data", "reports"]);
      const png = Deno.readFileSync(`${folder}/reports/figures/training_samples.png`);
      assert(decodePng(png, "sheet").width > 50);

      const learnt = await runCommand(folder, [...SMALL, "--overfit-one-batch"]);
      assertEquals(learnt.code, 0, learnt.err);
      assertMatch(learnt.err, /The loss of one batch fell from 0\.\d+ to 0\.0\d+ in \d+ steps/);
      const idle = await runCommand(folder, [...SMALL, "-l", "1e-9", "--overfit-one-batch"]);
      assertEquals(idle.code, 1);
      assertStringIncludes(idle.err, "use another learning rate (-l)");
      assertEquals(await namesIn(folder), ["data", "reports"]);

      const timed = await runCommand(folder, [...SMALL, "-e", "1", "--profile", "--crop", "16"]);
      assertEquals(timed.code, 0, timed.err);
      const table = timed.err.slice(timed.err.indexOf("Where epoch 1 spent its"));
      const shares = [...table.matchAll(/^ {4}([a-zA-Z].*?) +[\d.]+ s +(-?[\d.]+) %$/gm)];
      const whole = shares.filter(([, name]) => !name?.startsWith("outside"));
      const sum = whole.reduce((total, [, , share]) => total + Number(share), 0);
      assert(whole.length > 5 && Math.abs(sum - 100) < 1, table);
      // The run's folder shows what the network saw.
      const [run = ""] = await namesIn(`${folder}/runs`);
      assert((await namesIn(`${folder}/runs/${run}`)).includes("samples.png"));
    }),
});
