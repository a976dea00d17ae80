/**
 * The folder for what can be made anew: the user's cache folder, as each system has it.
 * @module
 */

import { isAbsolute, join } from "node:path";

/** Our folder below the user's cache folder; `undefined` where Deno may not ask or there is none. */
export function cacheFolder(os: string = Deno.build.os): string | undefined {
  const base = os === "windows" ? variable("LOCALAPPDATA") : variable("XDG_CACHE_HOME") ??
    inHome(...(os === "darwin" ? ["Library", "Caches"] : [".cache"]));
  return base === undefined ? undefined : join(base, "webgpu-unet");
}

/** An environment variable that Deno may read and that is set. */
export function variable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return (state === "granted" ? Deno.env.get(name) : undefined) || undefined;
}

function inHome(...names: string[]): string | undefined {
  const home = variable("HOME");
  return home !== undefined && isAbsolute(home) ? join(home, ...names) : undefined;
}
