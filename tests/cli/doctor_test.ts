import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { driverAdvice } from "../../cli/gpu.ts";
import { checkUnet, measureConv } from "../../cli/self_test.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { inFolder, namesIn, noProcesses, runCommand } from "./run_command.ts";

Deno.test("doctor: the self-test's numbers are PyTorch's", async () => {
  using gpu = await requestGpu();
  for (const { name, found, right } of await checkUnet(gpu)) {
    assertEquals([name, right, found], [name, true, found]);
  }
  const { gflops } = await measureConv(gpu);
  assertEquals(gflops > 0 && Number.isFinite(gflops), true);
});

Deno.test("doctor: advice for every system", () => {
  for (const os of ["linux", "windows", "darwin", "freebsd"]) {
    for (const { system, action } of driverAdvice(os)) {
      assertEquals([os, system !== "" && action !== ""], [os, true]);
    }
  }
  assertMatch(driverAdvice("linux")[0].action, /apt-get install mesa-vulkan-drivers/);
});

Deno.test("doctor: tells what is there and tries it, leaving nothing behind", {
  ignore: noProcesses,
}, () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/data`);
    const { code, out, err } = await runCommand(folder, ["doctor"]);
    assertEquals(code, 0, out + err);
    assertStringIncludes(out, `Deno        ${Deno.version.deno}`);
    assertMatch(out, /memory +\d+\.\d GiB, \d+\.\d GiB available/);
    assertMatch(out, /--adapter high +\S.*, (software|hardware)/);
    assertMatch(out, /maxBufferSize +\d+ MiB/);
    assertMatch(out, /shader-f16 +(yes|no)/);
    assertMatch(out, /loss +1\.15607\d, as PyTorch/);
    assertMatch(out, /about [\d.]+ GFLOP\/s/);
    assertMatch(out, /vector width: (512 bits|the driver's own) \(\S.*\)/);
    assertMatch(out, /kernels +those for (processors \(cpu\)|GPUs \(gpu\)), .*tuned/);
    assertMatch(out, /data +can be read, can be written/);
    assertMatch(out, /checkpoints +not there yet/);
    assertStringIncludes(out, "Everything works");
    assertMatch(out, /runs +not there yet/);
    assertEquals([await namesIn(folder), await namesIn(`${folder}/data`)], [["data"], []]);
  }));

Deno.test("doctor: a file where a folder belongs is told at the end", {
  ignore: noProcesses,
}, () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/runs`, "mine");
    const { code, out, err } = await runCommand(folder, ["doctor"]);
    assertEquals(code, 0, out + err);
    assertMatch(out, /runs +a file is where the folder belongs/);
    assertStringIncludes(out, "commands cannot write into runs");
    assertEquals(out.includes("Everything works"), false);
    assertEquals(await Deno.readTextFile(`${folder}/runs`), "mine");
  }));

Deno.test("doctor: without an adapter it says what to install", {
  ignore: noProcesses || Deno.build.os !== "linux",
}, () =>
  inFolder(async (folder) => {
    // Linux has no Direct3D, so no adapter is left.
    const { code, out } = await runCommand(folder, ["doctor"], { DENO_WEBGPU_BACKEND: "dx12" });
    assertEquals(code, 1);
    assertMatch(out, /--adapter software +none/);
    for (const { action } of driverAdvice("linux")) assertStringIncludes(out, action);
  }));
