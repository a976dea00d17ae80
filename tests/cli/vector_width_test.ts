import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readsTexturesRight } from "../../src/bench/texture_reads.ts";
import { requestGpu } from "../../src/gpu/device.ts";
import { decideVectorWidth } from "../../cli/vector_width.ts";
import { inFolder, noProcesses } from "./run_command.ts";

const PLAIN = { LP_NATIVE_VECTOR_WIDTH: "", MESA_SHADER_CACHE_DIR: "" };

/** Decides in a process of its own. */
async function decide(args: string[], env: Record<string, string>) {
  const script = fileURLToPath(new URL("./vector_width_try.ts", import.meta.url));
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", script, ...args],
    env: { ...PLAIN, ...env },
  }).output();
  const text = new TextDecoder();
  assert(stdout.length > 0, text.decode(stderr));
  return JSON.parse(text.decode(stdout));
}

async function isLlvmpipe(): Promise<boolean> {
  const adapter = Deno.build.os === "linux" ? await navigator.gpu?.requestAdapter() : undefined;
  return adapter?.info.description.startsWith("llvmpipe") ?? false;
}
const ignore = noProcesses || !await isLlvmpipe();

Deno.test("vector width: set where processor and self-test allow, with shaders of its own", {
  ignore,
}, () =>
  inFolder(async (folder) => {
    const found = await decide(["avx512", "right"], { XDG_CACHE_HOME: folder });
    assertEquals([found.set, found.width], [true, "512"], found.reason);
    assertStringIncludes(found.adapter, "512 bits");
    assertEquals(found.shaders, `${folder}/webgpu-unet/llvmpipe-512`);
    assert((await Deno.stat(found.shaders)).isDirectory);

    const own = await decide(["avx512", "right"], { MESA_SHADER_CACHE_DIR: folder });
    assertEquals(own.shaders, `${folder}/llvmpipe-512`);
  }));

Deno.test(
  "vector width: a driver that computes wrong is loaded anew without it",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const found = await decide(["avx512", "wrong"], { XDG_CACHE_HOME: folder });
      assertEquals([found.set, found.width, found.shaders], [false, undefined, undefined]);
      assertMatch(found.adapter, /\b(128|256) bits/);
      assertStringIncludes(found.reason, "computes wrong");
      const own = await decide(["avx512", "wrong"], { MESA_SHADER_CACHE_DIR: folder });
      assertEquals(own.shaders, folder);
    }),
);

Deno.test("vector width: left alone for other processors and where the user chose", {
  ignore,
}, async () => {
  const other = await decide(["plain", "right"], {});
  assertEquals([other.set, other.width], [false, undefined]);
  assertStringIncludes(other.reason, "no AVX-512");
  const unknown = await decide(["unknown", "right"], {});
  assertEquals([unknown.set, unknown.width], [false, undefined]);
  await inFolder(async (folder) => {
    const chosen = { LP_NATIVE_VECTOR_WIDTH: "128", XDG_CACHE_HOME: folder };
    const own = await decide(["avx512", "right"], chosen);
    assertEquals([own.set, own.width], [false, "128"]);
    assertStringIncludes(own.adapter, "128 bits");
    // Mesa's own cache would mix them with shaders of its own width.
    assertEquals(own.shaders, `${folder}/webgpu-unet/llvmpipe-128`);
    const below = { ...chosen, MESA_SHADER_CACHE_DIR: folder };
    assertEquals((await decide(["plain", "right"], below)).shaders, `${folder}/llvmpipe-128`);
    const odd = await decide(["plain", "right"], { ...chosen, LP_NATIVE_VECTOR_WIDTH: "../128" });
    assertEquals(odd.shaders, undefined);
  });
});

Deno.test("vector width: other systems are not asked anything", async () => {
  const never = () => Promise.reject(new Error("asked"));
  for (const os of ["windows", "darwin"]) {
    const { set } = await decideVectorWidth("high", { os, gains: never, ask: never });
    assertEquals([os, set], [os, false]);
  }
});

Deno.test("vector width: the self-test passes at the driver's own width", async () => {
  using gpu = await requestGpu();
  assert(await readsTexturesRight(gpu.device));
});
