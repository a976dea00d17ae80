import { assertEquals } from "@std/assert";
import { resolveUserPath } from "../../src/data/files.ts";
import { resumeCommand } from "../../cli/train.ts";

Deno.test("what goes on with a run names every folder that is not the usual one", () => {
  const usual = {
    checkpoints: resolveUserPath("checkpoints"),
    data: resolveUserPath("data"),
    runs: resolveUserPath("runs"),
  };
  assertEquals(resumeCommand(usual), "deno task train --resume");
  const other = { ...usual, checkpoints: resolveUserPath("a/checkpoints") };
  assertEquals(resumeCommand(other), "deno task train --resume --checkpoints a/checkpoints");
  const others = { ...other, data: resolveUserPath("b/data"), runs: resolveUserPath("c") };
  const flags = "--checkpoints a/checkpoints --data b/data --runs c";
  assertEquals(resumeCommand(others), `deno task train --resume ${flags}`);
});
