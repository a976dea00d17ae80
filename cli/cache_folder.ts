/**
 * The folder for what can be made anew: the user's cache folder, as each system has it.
 * @module
 */

import { isAbsolute, join } from "node:path";
import { variable } from "./environment.ts";

/** Our folder below the user's cache folder; `undefined` where Deno may not ask or there is none. */
export function cacheFolder(os: string = Deno.build.os): string | undefined {
  const base = os === "windows" ? variable("LOCALAPPDATA") : variable("XDG_CACHE_HOME") ??
    inHome(...(os === "darwin" ? ["Library", "Caches"] : [".cache"]));
  return base === undefined ? undefined : join(base, "webgpu-unet");
}

function inHome(...names: string[]): string | undefined {
  const home = variable("HOME");
  return home !== undefined && isAbsolute(home) ? join(home, ...names) : undefined;
}
