/** `deno task web`: a page that segments photos in the browser. @module */

import { isFolder, shownPath } from "../src/data/files.ts";
import { InputError, UsageError } from "../src/errors.ts";
import { int, path, resolveUserPath, type Values } from "./args.ts";
import { type Command, type Context, defineCommand } from "./command.ts";
import { HOST, serve } from "./web_server.ts";
import { buildSite, writeSite } from "./web_site.ts";

const DEFAULT_PORT = 8000;
const DEFAULT_CHECKPOINTS = "checkpoints";

const options = {
  port: int(`port of this machine to serve on (default: ${DEFAULT_PORT}, or the next free one)`, {
    min: 0,
    max: 65535,
  }),
  checkpoints: path(
    `folder whose networks the page offers (default: ${DEFAULT_CHECKPOINTS}; with --out none, ` +
      "else they are copied)",
    { placeholder: "DIR" },
  ),
  out: path("write the page's files there, for any web host, and serve nothing", {
    placeholder: "DIR",
  }),
};

/** Builds the page, then writes it or serves it until it is stopped. */
export async function run(
  { port, checkpoints, out }: Values<typeof options>,
  { log }: Context,
): Promise<number> {
  if (out !== undefined && port !== undefined) {
    throw new UsageError(
      "--out serves nothing, so --port has no meaning with it; give one of them",
    );
  }
  if (checkpoints !== undefined && !await isFolder(checkpoints)) {
    throw new InputError(`no folder ${shownPath(checkpoints)}; --checkpoints names a folder`);
  }
  const site = await buildSite();
  if (out !== undefined) {
    const written = await writeSite(site, out, checkpoints);
    log.info(`${written.length} files written to ${shownPath(out)}: ${written.join(", ")}`);
    log.info(
      "Put the folder on any web host (https), or open its index.html, where you choose the " +
        "network's file yourself",
    );
    return 0;
  }
  const folder = checkpoints ?? resolveUserPath(DEFAULT_CHECKPOINTS);
  await using server = serve(
    { site, checkpoints: folder },
    port ?? DEFAULT_PORT,
    port === undefined,
  );
  log.info(
    await isFolder(folder)
      ? `The page offers the networks of ${shownPath(folder)}`
      : `The page offers no networks yet: there is no folder ${shownPath(folder)}`,
  );
  log.info(`Open http://${HOST}:${server.addr.port}/ in a browser with WebGPU; Ctrl+C stops`);
  await interrupted();
  return 0;
}

/** Resolves when the user stops the program. */
async function interrupted(): Promise<void> {
  await new Promise<void>((resolve) => Deno.addSignalListener("SIGINT", resolve));
}

/** The command. */
export const command: Command = defineCommand({
  name: "web",
  summary:
    "Serves a page on this machine that segments photos in the browser: pick a network and a " +
    "photo, see the mask over it, save it as an indexed PNG. The browser's GPU computes it with the " +
    "same engine; nothing is uploaded. Other machines cannot connect. With --out the page becomes " +
    "plain files for any web host.",
  options,
  examples: [
    "deno task web",
    "deno task web --checkpoints runs/best --port 8080",
    "deno task web --out public --checkpoints checkpoints",
  ],
  run,
});
