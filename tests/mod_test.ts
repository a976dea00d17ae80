/**
 * The public face as its users meet it: by URL, by its documentation, by name.
 * @module
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import * as unet from "../mod.ts";
import { CLASSES, tinyCheckpoint } from "./cli/tiny_model.ts";
import { canListen, canRead, canRun, canWrite } from "./support.ts";

const ROOT = new URL("../", import.meta.url);

/** What a process printed; fails with its errors unless it ended well. */
async function output(args: string[], options: Deno.CommandOptions = {}): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), { args, ...options });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  assert(success, `deno ${args.join(" ")} failed: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/** Serves the repository's modules and shaders, and notes which were asked for. */
function serveRepository(asked: string[]): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    const type = pathname.endsWith(".ts")
      ? "application/typescript"
      : pathname.endsWith(".wgsl")
      ? "text/plain; charset=utf-8"
      : undefined;
    if (type === undefined) return new Response("not a part of the engine", { status: 404 });
    try {
      const body = await Deno.readFile(new URL(`.${pathname}`, ROOT));
      return new Response(body, { headers: { "content-type": type } });
    } catch {
      return new Response("no such file", { status: 404 });
    }
  });
}

/** Box sums of a 4 x 4 image of ones are 9 inside, so the four pooled maxima sum to 4 * 9.5. */
function remoteScript(url: string): string {
  return `import * as unet from "${url}";
using gpu = await unet.requestGpu();
const graph = new unet.Graph();
const store = new unet.ParameterStore();
const weight = store.add("weight", [1, 1, 3, 3], new Float32Array(9).fill(1));
const bias = store.add("bias", [1], Float32Array.of(0.5));
const image = graph.input("image", { shape: [1, 1, 4, 4], layout: "c4" });
const features = unet.relu(
  unet.conv2d(image, graph.parameter(weight), graph.parameter(bias), { padding: 1 }),
);
const total = unet.sum(unet.maxPool2d(features, 2));
using program = await unet.compile(gpu, graph, { outputs: { total }, stores: [store] });
program.write("image", new Float32Array(16).fill(1));
program.run();
console.log((await program.read("total"))[0]);
`;
}

Deno.test({
  name: "mod.ts: runs when imported over http, with an empty cache and no configuration",
  ignore: !canRead || !canWrite || !canRun || !canListen,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "unet-test-" });
    const asked: string[] = [];
    const server = serveRepository(asked);
    try {
      const { port } = server.addr;
      await Deno.writeTextFile(
        `${folder}/main.ts`,
        remoteScript(`http://127.0.0.1:${port}/mod.ts`),
      );
      const args = ["run", "--no-config", "--no-prompt", `--allow-import=127.0.0.1:${port}`];
      const printed = await output([...args, "main.ts"], {
        cwd: folder,
        env: { DENO_DIR: `${folder}/cache`, NO_COLOR: "1" },
      });
      assertEquals(printed.trim(), "38");
      assertEquals(asked[0], "/mod.ts");
      assert(asked.some((path) => path.startsWith("/shaders/")), "no shader was asked for");
    } finally {
      await server.shutdown();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "mod.ts: the example of its documentation runs as it stands, without a configuration",
  ignore: !canRead || !canWrite || !canRun,
  async fn() {
    const source = await Deno.readTextFile(new URL("mod.ts", ROOT));
    const [, block = ""] = /^ \* ```ts\n([^]*?)^ \* ```$/m.exec(source) ?? [];
    const example = block.replace(/^ \* ?/gm, "");
    const folder = await Deno.makeTempDir({ prefix: "unet-test-" });
    try {
      const script = example.replace('"./mod.ts"', `"${new URL("mod.ts", ROOT)}"`);
      await Deno.writeTextFile(`${folder}/main.ts`, script);
      await output(["run", "--no-config", "--no-prompt", "main.ts"], { cwd: folder });
      assert(script.includes("parseSafetensors"), "another example was found");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

interface ModuleInfo {
  specifier: string;
  error?: string;
  dependencies?: { specifier: string }[];
}

/** What ties a source to a runtime or a registry; `code` without comments. */
const FOREIGN = /\bDeno\s*(\.|\?\.|\[)|["'`](node|npm|jsr):/;

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
}

Deno.test("mod.ts: the check for runtime names sees code and skips comments", () => {
  const foreign = [
    "await Deno.readFile(path)",
    'Deno["env"]',
    'import fs from "node:fs";',
    "import('npm:x')",
  ];
  for (const code of foreign) assertMatch(withoutComments(code), FOREIGN);
  const fine = [
    "/** Not `Deno.readFile`. */ const a = 1;",
    "const b = 2; // as node: does",
    'throw new Error("use Deno 2.9 or newer")',
  ];
  for (const code of fine) assert(!FOREIGN.test(withoutComments(code)), code);
});

Deno.test({
  name: "mod.ts: reaches relative imports and web standards only",
  ignore: !canRead || !canRun,
  async fn() {
    const entry = new URL("mod.ts", ROOT);
    const text = await output(["info", "--json", entry.href], { env: { NO_COLOR: "1" } });
    const { modules } = JSON.parse(text) as { modules: ModuleInfo[] };
    assert(modules.some(({ specifier }) => specifier === entry.href), "mod.ts is missing");
    assert(modules.some(({ specifier }) => specifier.endsWith(".wgsl")), "no shader is reached");
    for (const { specifier, error, dependencies = [] } of modules) {
      assertEquals(error, undefined, specifier);
      assert(specifier.startsWith(ROOT.href), `${specifier} lies outside the repository`);
      for (const dependency of dependencies) {
        assertMatch(dependency.specifier, /^\.\.?\//, `imported by ${specifier}`);
      }
      if (!specifier.endsWith(".ts")) continue;
      const found = withoutComments(await Deno.readTextFile(new URL(specifier))).match(FOREIGN);
      assertEquals(found?.[0], undefined, specifier);
    }
  },
});

const PHOTOS = { batch: 2, height: 7, width: 9 };

/**
 * Two small photos, with the class of every pixel: the brighter of red (1) and green (2) where it
 * is brighter than one half, else 0. Neither blue nor alpha says anything.
 */
function colouredPhotos(): { pixels: Uint8Array; ids: Uint8Array } {
  const count = PHOTOS.batch * PHOTOS.height * PHOTOS.width;
  const pixels = new Uint8Array(count * 4);
  const ids = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const red = (i * 37) % 256;
    const green = (i * 101 + 30) % 256;
    pixels.set([red, green, (i * 53) % 256, (i * 19) % 256], i * 4);
    ids[i] = Math.max(red, green) <= 127 ? 0 : red > green ? 1 : 2;
  }
  return { pixels, ids };
}

Deno.test("mod.ts: a network of one's own classifies raw RGBA pixels", async () => {
  const { pixels, ids } = colouredPhotos();
  using gpu = await unet.requestGpu();
  const store = new unet.ParameterStore();
  const weight = store.add(
    "weight",
    [3, 3, 1, 1],
    Float32Array.of(0, 0, 0, /* red */ 1, 0, 0, /* green */ 0, 1, 0),
  );
  const bias = store.add("bias", [3], Float32Array.of(0.5, 0, 0));
  const graph = new unet.Graph();
  const { batch, height, width } = PHOTOS;
  const image = unet.imageInput(
    graph.input("pixels", { shape: [batch, height, width], dtype: "u32" }),
  );
  const logits = unet.conv2d(image, graph.parameter(weight), graph.parameter(bias));
  const probabilities = unet.softmax(logits);
  const outputs = {
    best: unet.argmax(logits),
    likeliest: unet.argmax(probabilities),
    packed: unet.resizeArgmax(logits, { size: [height, width] }),
  };
  using program = await unet.compile(gpu, graph, { outputs, stores: [store] });
  program.write("pixels", pixels);
  program.run();
  assertEquals(Uint8Array.from(await program.readInts("best")), ids);
  assertEquals(Uint8Array.from(await program.readInts("likeliest")), ids);
  assertEquals(unet.unpackIds(await program.readInts("packed"), height, width), ids);
  store.destroy();
});

Deno.test("mod.ts: a network loaded from a saved checkpoint classifies raw RGBA pixels", async () => {
  const { pixels, ids } = colouredPhotos();
  using gpu = await unet.requestGpu();
  const made = unet.networkOf(unet.decodeCheckpoint(tinyCheckpoint(), "made"), "made");
  const info: unet.CheckpointInfo = {
    classes: [...CLASSES],
    normalization: "divide by 255",
    epoch: 2,
    step: 20,
  };
  const bytes = await unet.encodeCheckpoint(gpu, made, info);
  made.store.destroy();

  const checkpoint = unet.decodeCheckpoint(bytes, "saved");
  assertEquals(checkpoint.config, made.config);
  assertEquals([checkpoint.info.epoch, checkpoint.info.step], [2, 20]);
  const net = unet.networkOf(checkpoint, "saved");
  using segmenter = new unet.Segmenter(gpu, net);
  assertEquals(await segmenter.predict({ ...PHOTOS, pixels }), ids);
  net.store.destroy();
});

Deno.test("mod.ts: names that the compiler would refuse are refused at run time, too", async () => {
  // As from JavaScript.
  const foo = JSON.parse('"foo"');
  using gpu = await unet.requestGpu();
  const net = new unet.UNet({ classes: 2, width: 2 });
  const optimizer = unet.rmsprop();
  using trainer = new unet.Trainer(gpu, net, { optimizer, learningRate: 0.1, loss: foo });
  const batch = { batch: 1, height: 8, width: 8 };
  const attempts: [string, string, () => unknown][] = [
    ["model", "unet-small, unet", () => new unet.UNet({ classes: 2, model: foo })],
    ["upsample", "bilinear, transposed", () => new unet.UNet({ classes: 2, upsample: foo })],
    ["adapter", "high, low, software", () => unet.requestGpu({ adapter: foo })],
    ["kernels", "auto, gpu, cpu", () => unet.requestGpu({ kernels: foo })],
    ["loss", "ce, dice, ce+dice, focal", () => trainer.prepare(batch)],
  ];
  for (const [option, names, attempt] of attempts) {
    await assertRejects(
      async () => await attempt(),
      unet.InputError,
      `the option ${option} was given 'foo', expected one of ${names}`,
    );
  }
  net.store.destroy();
});
