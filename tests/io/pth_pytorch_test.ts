/**
 * Networks of ours, loaded by PyTorch as a user would.
 */
import { assert } from "@std/assert";
import { encodeSafetensorsCheckpoint } from "../../src/io/checkpoint.ts";
import { withoutConvBias } from "../../src/io/conv_bias.ts";
import { decodePth, encodePth } from "../../src/io/pth_checkpoint.ts";
import { inFolder, runCommand } from "../cli/run_command.ts";
import { goldenPths, PTH_INPUT, pthInput } from "../golden/load_pth.ts";
import { hasPyTorch, runTorch, type TorchJob } from "../golden/pytorch.ts";
import { engineLogits, largestDifference } from "./network_logits.ts";

Deno.test({
  name: "pth: PyTorch loads exported networks with weights_only, its logits are ours",
  ignore: !hasPyTorch,
  // The device outlives the test on purpose.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () =>
    inFolder(async (folder) => {
      const image = `${folder}/image`;
      const input = pthInput();
      await Deno.writeFile(image, new Uint8Array(input.buffer));
      const { height, width } = PTH_INPUT;
      const jobs: TorchJob[] = [];
      const add = (file: string, config: TorchJob["config"], bias: boolean) =>
        jobs.push({
          ...{ file, config, bias, image, shape: [1, 3, height, width], logits: `${file}.logits` },
        });
      for (const { name, bytes, config, bias } of goldenPths) {
        const checkpoint = await decodePth(bytes, name);
        await Deno.writeFile(`${folder}/${name}.pth`, encodePth(checkpoint));
        add(`${folder}/${name}.pth`, config, bias);
      }
      const [first] = goldenPths;
      assert(first?.bias);
      const checkpoint = await decodePth(first.bytes, first.name);
      await Deno.writeFile(`${folder}/less.pth`, encodePth(withoutConvBias(checkpoint)));
      add(`${folder}/less.pth`, first.config, false);
      // By the command line, from our own format.
      await Deno.writeFile(`${folder}/own.safetensors`, encodeSafetensorsCheckpoint(checkpoint));
      const { code, err } = await runCommand(folder, [
        ...["export", "-m", "own.safetensors", "-o", "own.pth"],
      ]);
      assert(code === 0, err);
      add(`${folder}/own.pth`, first.config, true);
      await runTorch(jobs);

      for (const [i, { logits }] of jobs.entries()) {
        const found = new Float32Array((await Deno.readFile(logits)).buffer);
        const golden = goldenPths[i] ?? first;
        const ours = await engineLogits(
          await decodePth(golden.bytes, golden.name),
          input,
          [1, height, width],
        );
        const largest = ours.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        const error = largestDifference(found, ours);
        assert(error <= 1e-5 * largest, `${logits}: off by ${error}, the largest is ${largest}`);
      }
    }),
});
