import { assert, assertEquals, assertRejects } from "@std/assert";
import { readMask } from "../src/data/mask.ts";
import { decodePhoto } from "../src/data/photo.ts";
import { writeSamples } from "../src/demo/samples.ts";
import { drawScene } from "../src/demo/scene.ts";
import { InputError } from "../src/errors.ts";
import { canRead, canWrite } from "./support.ts";

const ignore = !canRead || !canWrite;
const seed = 3;
const scenes = 5;

/** Writes samples with so many workers. @returns all files by their paths */
async function samples(workers: number): Promise<Map<string, Uint8Array>> {
  const raw = await Deno.makeTempDir({ prefix: "unet-samples-" });
  try {
    let drawn = 0;
    await writeSamples({ raw, scenes, seed, workers, onProgress: () => drawn++ });
    assertEquals(drawn, scenes);
    const files = new Map<string, Uint8Array>();
    await readAll(raw, "", files);
    return files;
  } finally {
    await Deno.remove(raw, { recursive: true });
  }
}

async function readAll(root: string, below: string, files: Map<string, Uint8Array>): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(root + below)) {
    const path = `${below}/${name}`;
    if (isDirectory) await readAll(root, path, files);
    else files.set(path, await Deno.readFile(root + path));
  }
}

Deno.test("samples: the scenes of their seeds, whoever draws them", { ignore }, async () => {
  const alone = await samples(0);
  const parts = ["train", "train", "train", "test", "test"];
  const name = (i: number) => `scene_00${i + 1}.png`;
  assertEquals([...alone.keys()].sort(), [
    "/labels.txt",
    ...[3, 4].map((i) => `/test/images/${name(i)}`),
    ...[3, 4].map((i) => `/test/masks/${name(i)}`),
    ...[0, 1, 2].map((i) => `/train/images/${name(i)}`),
    ...[0, 1, 2].map((i) => `/train/masks/${name(i)}`),
  ]);
  for (const [i, part] of parts.entries()) {
    const [width, height] = [384, 256];
    const scene = drawScene(seed * 10_000 + i, width, height);
    const file = (folder: string) => alone.get(`/${part}/${folder}/${name(i)}`) ?? new Uint8Array();
    const photo = await decodePhoto(file("images"), name(i));
    assertEquals([photo.width, photo.height], [width, height]);
    assertSame(photo.data, scene.photo, `photo ${i}`);
    assertSame(readMask(file("masks"), name(i)).data, scene.mask, `mask ${i}`);
  }
  for (const workers of [1, 3]) {
    const files = await samples(workers);
    assertEquals([...files.keys()].sort(), [...alone.keys()].sort());
    for (const [path, bytes] of alone) {
      assertSame(files.get(path) ?? [], bytes, `${path}, ${workers} workers`);
    }
  }
});

function assertSame(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  assertEquals(actual.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] !== expected[i]) throw new Error(`${what} differs at ${i}`);
  }
}

Deno.test(
  "samples: a file that cannot be written is named, whoever draws",
  { ignore },
  async () => {
    for (const workers of [0, 2]) {
      const raw = await Deno.makeTempDir({ prefix: "unet-samples-" });
      try {
        await Deno.writeTextFile(`${raw}/train`, "mine");
        const draw = () => writeSamples({ raw, scenes, seed, workers });
        const { message } = await assertRejects(draw, InputError);
        assert(/^cannot write .*\/train\/images\/scene_00[12]\.png: ./.test(message), message);
        assertEquals(await Deno.readTextFile(`${raw}/train`), "mine");
      } finally {
        await Deno.remove(raw, { recursive: true });
      }
    }
  },
);
