import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { explainMemory } from "../../cli/training_data.ts";
import { DeviceError, InputError } from "../../src/errors.ts";
import { rmsprop } from "../../src/nn/optimizers.ts";
import { UNet } from "../../src/nn/unet.ts";
import type { PairSource } from "../../src/train/training_batches.ts";
import { testGpu } from "../ops/harness.ts";

const nothing = () => Promise.reject(new Error("no photo is read"));
const train: PairSource = {
  sizes: Array.from({ length: 9 }, () => ({ width: 150, height: 100 })),
  length: 9,
  pair: nothing,
  batch: nothing,
};

Deno.test({
  name: "a device that runs out of memory: the message says which batch, scale or crop to try",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const gpu = await testGpu();
    const net = new UNet({ classes: 3, width: 8 });
    const settings = { net, optimizer: rmsprop(), batchSize: 4, seed: 1, scale: 0.5 };
    const run = (error: Error) => explainMemory(gpu, settings, train, () => Promise.reject(error));
    const failure = new DeviceError(
      "Allocating 90 MiB of GPU memory failed (Out of memory); use a smaller batch, scale or width.",
    );
    const { message } = await assertRejects(() => run(failure), DeviceError);
    assertMatch(
      message,
      /ran out of memory \(Allocating 90 MiB of GPU memory failed \(Out of memory\)\); what would fit: -b [123] \(\d+ MiB\) or -s 0\.\d+ \(\d+ MiB\) or --crop /,
    );
    for (const other of [new DeviceError("The GPU device was lost."), new InputError("memory")]) {
      assertEquals(await assertRejects(() => run(other)), other);
    }
    assertEquals(await explainMemory(gpu, settings, train, () => Promise.resolve(5)), 5);
  },
});
