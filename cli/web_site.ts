/**
 * The static files of the page, built in memory: the page, its style and one script with the whole
 * engine. Any web host can serve them, and they ask for nothing but what lies beside them.
 * @module
 */

import { basename, join } from "node:path";
import {
  compareNames,
  isFile,
  kindOf,
  listFiles,
  readBytes,
  readText,
  shownPath,
} from "../src/data/files.ts";
import { InputError } from "../src/errors.ts";
import { writeFileAtomic } from "../src/io/atomic_file.ts";
import { MODEL_ENDINGS, SERVED_FOLDER, SERVED_LIST } from "../src/web/served.ts";
import type { ServedModel } from "../src/web/served.ts";
import html from "../src/web/index.html" with { type: "text" };
import css from "../src/web/style.css" with { type: "text" };

/** A file of the page. */
export interface SiteFile {
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Files by their path below the page's folder. */
export type Site = ReadonlyMap<string, SiteFile>;

const ENTRY = new URL("../src/web/app.ts", import.meta.url);

/** Stands in every page that this command wrote, and so tells whether it may be overwritten. */
const MARK = '<meta name="generator" content="webgpu-unet">';

/**
 * Bundles the page.
 * @throws {InputError} where Deno's bundler is not to be had or fails.
 */
export async function buildSite(): Promise<Site> {
  const encoder = new TextEncoder();
  const text = (type: string, content: string): SiteFile => ({
    type: `${type}; charset=utf-8`,
    bytes: encoder.encode(content),
  });
  return new Map([
    ["index.html", text("text/html", html)],
    ["style.css", text("text/css", css)],
    ["app.js", text("text/javascript", await bundle())],
  ]);
}

async function bundle(): Promise<string> {
  if (typeof Deno.bundle !== "function") {
    throw new InputError(
      "cannot build the page: this Deno bundles nothing without --unstable-bundle; " +
        "run deno task web, which gives it",
    );
  }
  let found: string;
  try {
    const { success, errors, outputFiles = [] } = await Deno.bundle({
      entrypoints: [ENTRY.href],
      platform: "browser",
      // A plain script: browsers load no modules from a folder on a disk.
      format: "iife",
      minify: true,
      write: false,
    });
    const [script] = outputFiles;
    if (success && script) return script.text();
    found = errors.map(({ text }) => text).join("; ") || "the bundler gave no script";
  } catch (error) {
    found = error instanceof Error ? error.message : String(error);
  }
  throw new InputError(
    `cannot build the page: ${found}; Deno fetches its bundler (esbuild) from npm the first time, ` +
      "so be online once",
  );
}

/** Numbered checkpoints come last, the newest first. */
const FIRST = ["best.safetensors", "last.safetensors"];

/**
 * The networks of a folder as the page lists them; none where there is no such folder.
 * @throws {InputError} where the folder cannot be read.
 */
export async function listModels(folder: string): Promise<ServedModel[]> {
  const { files } = await listFiles(folder, MODEL_ENDINGS);
  const rank = (name: string) => (FIRST.indexOf(name) + FIRST.length + 1) % (FIRST.length + 1);
  const kinds = await Promise.all(files.map(kindOf));
  const names = files.filter((_, i) => kinds[i] === "file").map((file) => basename(file)).sort((
    a,
    b,
  ) =>
    rank(a) - rank(b) || Number(/\d+/.exec(b)?.[0] ?? 0) - Number(/\d+/.exec(a)?.[0] ?? 0) ||
    compareNames(a, b)
  );
  return await Promise.all(names.map(async (name) => ({
    name,
    bytes: (await Deno.stat(join(folder, name))).size,
  })));
}

/**
 * Writes the page into a folder, with the networks of another one if there is one.
 * @returns paths below the folder
 * @throws {InputError} where files cannot be written or another page lies there.
 */
export async function writeSite(
  site: Site,
  folder: string,
  checkpoints: string | undefined,
): Promise<string[]> {
  const page = join(folder, "index.html");
  if (await isFile(page) && !(await readText(page)).includes(MARK)) {
    throw new InputError(
      `${shownPath(page)} is a page of somebody else's; give --out another folder`,
    );
  }
  const models = checkpoints === undefined ? [] : await listModels(checkpoints);
  const list = new TextEncoder().encode(JSON.stringify(models));
  const written: string[] = [];
  const write = async (path: string, bytes: Uint8Array) => {
    await writeFileAtomic(join(folder, path), bytes);
    written.push(path);
  };
  for (const { name } of models) {
    const bytes = await readBytes(join(checkpoints ?? "", name));
    await write(SERVED_FOLDER + name, bytes);
  }
  await write(SERVED_LIST, list);
  // The page comes last: until then the one that was there works on.
  for (const [path, { bytes }] of [...site].reverse()) await write(path, bytes);
  return written.sort(compareNames);
}
