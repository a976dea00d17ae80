/**
 * Serves the page to browsers on this machine, and to nobody else.
 * @module
 */

import { join } from "node:path";
import { isFolder } from "../src/data/files.ts";
import { InputError } from "../src/errors.ts";
import { SERVED_FOLDER, SERVED_LIST } from "../src/web/served.ts";
import { listModels, type Site } from "./web_site.ts";

/** The loopback interface: other machines cannot connect. */
export const HOST = "127.0.0.1";

/** How many ports after the first are tried where none was asked for. */
const PORTS_TRIED = 20;

/** What the server gives. */
export interface Served {
  readonly site: Site;
  /** Folder whose networks are offered; looked at anew for each list. */
  readonly checkpoints: string;
}

/**
 * Listens on `port`, or, where `tryNext` is set, on the first free one from there on.
 * @throws {InputError} where no port is free.
 */
export function serve(
  served: Served,
  port: number,
  tryNext: boolean,
): Deno.HttpServer<Deno.NetAddr> {
  const last = Math.min(65535, tryNext ? port + PORTS_TRIED : port);
  for (let candidate = port; candidate <= last; candidate++) {
    try {
      return Deno.serve(
        { hostname: HOST, port: candidate, onListen: () => {} },
        (request) => answer(served, request),
      );
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw notListening(candidate, error);
    }
  }
  throw new InputError(
    tryNext
      ? `cannot serve the page: the ports ${port} to ${last} are all taken; give a free one with --port`
      : `cannot serve the page: port ${port} is taken; give another one with --port`,
  );
}

function notListening(port: number, error: unknown): InputError {
  const reason = error instanceof Error ? error.message : String(error);
  return new InputError(
    `cannot serve the page on port ${port}: ${reason}; give another one with --port`,
  );
}

async function answer({ site, checkpoints }: Served, request: Request): Promise<Response> {
  if (!isLocal(request)) return plain(403, "This page is for browsers on this machine.");
  if (request.method !== "GET" && request.method !== "HEAD") return plain(405, "Only GET.");
  const path = new URL(request.url).pathname.slice(1);
  const file = site.get(path === "" ? "index.html" : path);
  if (file) return respond(file.bytes, file.type);
  if (!path.startsWith(SERVED_FOLDER)) return plain(404, "There is no such file.");
  try {
    const models = await isFolder(checkpoints) ? await listModels(checkpoints) : [];
    if (path === SERVED_LIST) return respond(JSON.stringify(models), "application/json");
    // Only what the list names: no path leads out of the folder.
    const asked = path.slice(SERVED_FOLDER.length);
    const model = models.find(({ name }) => encodeURIComponent(name) === asked);
    if (!model) return plain(404, "There is no such network.");
    const { readable } = await Deno.open(join(checkpoints, model.name));
    return respond(readable, "application/octet-stream", { "content-length": `${model.bytes}` });
  } catch (error) {
    return plain(500, error instanceof Error ? error.message : String(error));
  }
}

/**
 * Whether a request was meant for this machine: a web site may make its own name lead here, and
 * would then read the networks.
 */
function isLocal(request: Request): boolean {
  const { hostname } = new URL(`http://${request.headers.get("host")}`);
  return hostname === HOST || hostname === "localhost";
}

function respond(
  body: BodyInit,
  type: string,
  more: Readonly<Record<string, string>> = {},
): Response {
  return new Response(body, {
    headers: {
      "content-type": type,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...more,
    },
  });
}

function plain(status: number, text: string): Response {
  return new Response(text, { status, headers: { "content-type": "text/plain" } });
}
