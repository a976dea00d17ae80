import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../src/errors.ts";
import {
  checkWritable,
  removeStaleTemporaries,
  writeFileAtomic,
} from "../../src/io/atomic_file.ts";
import { inFolder, namesIn } from "../cli/run_command.ts";
import { canRead, canWrite } from "../support.ts";

const ignore = !canRead || !canWrite;
const HOUR_MS = 3_600_000;

async function leave(path: string, ageMs: number): Promise<void> {
  await Deno.writeTextFile(path, "half");
  const time = (Date.now() - ageMs) / 1000;
  await Deno.utime(path, time, time);
}

Deno.test(
  "temporary files that nobody writes any more are removed at once",
  { ignore },
  () =>
    inFolder(async (folder) => {
      // Numbers of processes that there are tell nothing: they are given again.
      for (const pid of [1, Deno.pid, 99999999]) await leave(`${folder}/.a.npy.${pid}.tmp`, 0);
      const others = [".a.npy.tmp", ".b.x.tmp", "a.npy.1.tmp", "last.safetensors"];
      for (const name of others) await leave(`${folder}/${name}`, 2 * HOUR_MS);
      using file = await Deno.open(`${folder}/.locked.7.tmp`, { write: true, create: true });
      await file.lock(true);
      await Deno.utime(`${folder}/.locked.7.tmp`, 1, 1);
      await leave(`${folder}/.old.7.tmp`, 2 * HOUR_MS);
      await Deno.mkdir(`${folder}/.folder.7.tmp`);
      await removeStaleTemporaries(folder);
      assertEquals(await namesIn(folder), [...others, ".folder.7.tmp", ".locked.7.tmp"].sort());
    }),
);

Deno.test("whether a folder can be written to is told before there is anything to write", {
  ignore,
}, () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/file`, "mine");
    for (const inside of ["", "/new", "/new/one"]) await checkWritable(folder + inside, "--out");
    assertEquals(await namesIn(folder), ["file"]);
    await Deno.symlink(`${folder}/gone`, `${folder}/link`);
    await assertRejects(
      () => checkWritable(`${folder}/link`, "--out"),
      InputError,
      "it is a link that leads nowhere",
    );
    for (const inside of ["file", "file/new"]) {
      await assertRejects(
        () => checkWritable(`${folder}/${inside}`, "--out"),
        InputError,
        `cannot write into --out ${folder}/${inside}: `,
      );
    }
  }));

Deno.test(
  "where other machines write, too, only age tells",
  { ignore },
  () =>
    inFolder(async (folder) => {
      await leave(`${folder}/.young.npy.7.tmp`, 0.9 * HOUR_MS);
      await leave(`${folder}/.old.npy.7.tmp`, 1.1 * HOUR_MS);
      await leave(`${folder}/.old.png.7.tmp`, 1.1 * HOUR_MS);
      await removeStaleTemporaries(folder, { shared: true, ending: ".npy" });
      assertEquals(await namesIn(folder), [".old.png.7.tmp", ".young.npy.7.tmp"]);
      await removeStaleTemporaries(`${folder}/missing`);
    }),
);

Deno.test(
  "writers and those who tidy up beside them cost nobody a file",
  { ignore },
  () =>
    inFolder(async (folder) => {
      let writing = true;
      const tidy = async () => {
        while (writing) await removeStaleTemporaries(folder);
      };
      const tidying = [tidy(), tidy()];
      const names = Array.from({ length: 200 }, (_, i) => `file${String(i).padStart(3, "0")}`);
      const write = async (name: string, text: string) => {
        await writeFileAtomic(`${folder}/${name}`, new TextEncoder().encode(text));
        assertEquals((await Deno.readTextFile(`${folder}/${name}`)).length, text.length);
      };
      try {
        await Promise.all([
          (async () => {
            for (const name of names) await write(name, name);
          })(),
          ...["a", "b"].map(async (letter) => {
            for (const _ of names) await write("same", letter.repeat(2000));
          }),
        ]);
      } finally {
        writing = false;
        await Promise.all(tidying);
      }
      assertEquals(await namesIn(folder), [...names, "same"]);
    }),
);

Deno.test(
  "a file that cannot be put in place leaves the old one and nothing else",
  { ignore },
  () =>
    inFolder(async (folder) => {
      await Deno.mkdir(`${folder}/taken/inside`, { recursive: true });
      await assertRejects(
        () => writeFileAtomic(`${folder}/taken`, new Uint8Array(3)),
        InputError,
        "cannot write",
      );
      assertEquals(await namesIn(folder), ["taken"]);
    }),
);
