/**
 * Every shader is used and documented. That each one compiles and is right, the tests of the ops
 * show: plain `deno test` runs them.
 */
import { assert, assertEquals } from "@std/assert";
import { BINDING } from "../src/gpu/empty_dispatch.ts";
import { IMAGE_CONSTANTS } from "../src/gpu/kernel_spec.ts";
import { canRead } from "./support.ts";

const root = new URL("../", import.meta.url);
const shaders = canRead ? filesOf("shaders/").filter((path) => path.endsWith(".wgsl")) : [];

/** Paths under `folder`, relative to the repository. */
function filesOf(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].flatMap((entry) =>
    entry.isDirectory ? filesOf(`${folder}${entry.name}/`) : [folder + entry.name]
  ).sort();
}

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, root));
}

/** The comment that a file begins with, without the slashes. */
function headerOf(code: string): string {
  const lines = code.split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  return lines.slice(0, end).map((line) => line.slice(2)).join("\n");
}

/** Names of the constants that a template asks for, except those that every template has. */
function constantsOf(code: string): Set<string> {
  const directives = code.match(
    /\/\/@(if|for|let|input)[^\n]*|\$\{[^}]*\}|\$(each|list)\([^)]*\)/g,
  );
  const names = directives?.flatMap((text) => text.match(/\b[A-Z][A-Z_0-9]+\b/g) ?? []) ?? [];
  return new Set(names.filter((name) => !Object.hasOwn(IMAGE_CONSTANTS.f32, name)));
}

Deno.test({
  name: "shaders: every file is imported by a module of the engine",
  ignore: !canRead,
  fn: () => {
    const sources = filesOf("src/").filter((path) => path.endsWith(".ts")).map(read).join("\n");
    const used = new Set(
      [...sources.matchAll(/from "[./]+\/(shaders\/\w+\.wgsl)"/g)].map((m) => m[1]),
    );
    assert(shaders.length > 0);
    assertEquals(shaders.filter((path) => !used.has(path)), []);
  },
});

Deno.test({
  name: "shaders: every header says formula, layout, bindings, constants and grid",
  ignore: !canRead,
  fn: () => {
    const missing: string[] = [];
    for (const path of shaders) {
      const code = read(path);
      const header = headerOf(code);
      const has = (word: string) => new RegExp(`^ ${word}\\b`, "m").test(header);
      const wanted = ["Formula", "Layout", "Bindings", "Grid"];
      const constants = [...constantsOf(code)];
      if (constants.length > 0) wanted.push("Constants");
      for (const word of wanted) if (!has(word)) missing.push(`${path}: ${word}`);
      for (const name of constants) {
        if (!new RegExp(`\\b${name}\\b`).test(header)) missing.push(`${path}: constant ${name}`);
      }
    }
    assertEquals(missing, []);
  },
});

Deno.test({
  name: "shaders: inside branches the params come from a copy, which software adapters read once",
  ignore: !canRead,
  fn: () => {
    const late = shaders.filter((path) => {
      const code = read(path);
      // Kernels for GPUs need not; params that end in an array cannot be copied whole.
      if (path.includes("_gemm") || /struct Params \{[^}]*: array<\w+>,\n\}/.test(code)) {
        return false;
      }
      const [before = "", main = ""] = code.split("@compute");
      const helpers = before.slice(before.indexOf("var<storage")).split("\nfn ").slice(1);
      if (
        helpers.some((helper) => /params\./.test(helper) && !/^\w+\(params: Params/.test(helper))
      ) {
        return true;
      }
      const branch = main.search(/^\s*(if|for|while|loop|switch)\b/m);
      return branch >= 0 && main.slice(branch).includes("params.") &&
        !main.slice(0, branch).includes("let params = params;");
    });
    assertEquals(late, []);
  },
});

Deno.test({
  name: "shaders: whatever they bind, an empty dispatch can bind, too",
  ignore: !canRead,
  fn: () => {
    for (const path of shaders) {
      const code = read(path).replaceAll("${TEXEL}", IMAGE_CONSTANTS.f32.TEXEL)
        .replace(/\$\{[^}]*\}/g, "9");
      const bound = [...code.matchAll(BINDING)].map(([declaration, , format]) =>
        format !== undefined || declaration.includes("var<storage")
      );
      assertEquals(bound, Array(code.split("@binding(").length - 1).fill(true), path);
    }
  },
});
