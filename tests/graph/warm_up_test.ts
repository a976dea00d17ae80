import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { canRun, canWrite } from "../support.ts";
import type { WarmUpTry } from "./warm_up_try.ts";

async function attempt(args: string[], env: Record<string, string>): Promise<WarmUpTry> {
  const script = fileURLToPath(new URL("./warm_up_try.ts", import.meta.url));
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", script, ...args],
    env,
  }).output();
  const text = new TextDecoder();
  assert(stdout.length > 0, text.decode(stderr));
  return JSON.parse(text.decode(stdout));
}

const ignore = !canRun || !canWrite || Deno.build.os !== "linux" ||
  !(await navigator.gpu?.requestAdapter())?.info.description.startsWith("llvmpipe");

Deno.test("warm-up: helpers fill an empty cache with all that steps of any size need", {
  ignore,
}, async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { found, files } = await attempt([folder], { MESA_SHADER_CACHE_DIR: folder });
    assertEquals(found, [{ isCold: true, helpers: 2 }, { isCold: false, helpers: 0 }]);
    const [prepared = 0, run, other] = files;
    assert(prepared > 20, `only ${prepared} files were written`);
    assertEquals([run, other], [prepared, prepared]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("warm-up: devices do not help where there is no cache to share", { ignore }, async () => {
  const { found } = await attempt([], { MESA_SHADER_CACHE_DISABLE: "true" });
  assertEquals(found, [{ isCold: true, helpers: 0 }]);
});
