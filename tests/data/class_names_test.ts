import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { findClassNames, readClassNames } from "../../src/data/class_names.ts";
import { InputError } from "../../src/errors.ts";
import { canRead, canWrite } from "../support.ts";

const ignore = !canRead || !canWrite;

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "unet-names-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const TABLES: Record<string, string> = {
  "class_dict.csv": "name,r,g,b\nroad, 128, 64, 128\nsky,70,130,180\n",
  "spaces.csv": " Name , R , G , B \r\n road , 128 , 64 , 128 \r\n sky , 70 , 130 , 180 \r\n",
  "class.csv": "class,r,g,b\nroad,128,64,128\nsky,70,130,180\n",
  "more.csv": "id,name,red,green,blue,note\n7,road,128,64,128,x\n8,sky,70,130,180,\n",
  "bare.csv": "road,128,64,128\nsky,70,130,180\n",
  "excel.csv": '"name";"r";"g";"b"\r\nroad;128;64;128\r\nsky;70;130;180\r\n',
  "tabs.csv": "road\t128\t64\t128\nsky\t70\t130\t180\n",
  "note.csv": "name,r,g,b,a; b\nroad,128,64,128,1; 2\nsky,70,130,180,\n",
  "labelmap.txt": "# label:color_rgb:parts:actions\nroad:128,64,128::\nsky:70,130,180:a,b:\n\n",
};

Deno.test(
  "class tables: every way that people write names and colours",
  { ignore },
  () =>
    inFolder(async (folder) => {
      for (const [name, text] of Object.entries(TABLES)) {
        await Deno.writeTextFile(`${folder}/${name}`, text);
        const { names, colours } = await readClassNames(`${folder}/${name}`);
        assertEquals(names, ["road", "sky"], name);
        assertEquals(colours, [[128, 64, 128], [70, 130, 180]], name);
      }
      await Deno.writeTextFile(`${folder}/names.csv`, "name\nroad\nsky\n");
      assertEquals((await readClassNames(`${folder}/names.csv`)).colours, undefined);
      await Deno.writeTextFile(`${folder}/quoted.csv`, '"road; wet"\nsky\n');
      assertEquals((await readClassNames(`${folder}/quoted.csv`)).names, ["road; wet", "sky"]);
      await Deno.writeTextFile(`${folder}/labels.txt`, "name;r\nroad, wet\n");
      const plain = await readClassNames(`${folder}/labels.txt`);
      assertEquals(plain.names, ["name;r", "road, wet"]);
    }),
);

Deno.test(
  "class tables: what is wrong names the file and the line",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const cases: [string, string, string[]][] = [
        ["a.csv", "name,r,g,b\nroad,1,2\n", ["line 2 of", "a.csv", "road the colour 1,2,"]],
        ["b.csv", "name,r,g,b\nroad,1,2,256\n", ["line 2 of", "from 0 to 255"]],
        ["c.csv", "name,r,g,b\nroad,1,2,3\nsky,,,\n", ["colours to some classes only"]],
        ["d.csv", "name,r,g,b\n,1,2,3\n", ["line 2 of", "no name"]],
        ["g.csv", "road;sky\nsky;road\n", [
          "what separates",
          "g.csv, which begins with 'road;sky'",
        ]],
        ["e.txt", "# label:color_rgb:parts:actions\nroad:1,2::\n", ["line 2 of", "e.txt", "1,2"]],
        ["f.txt", "# label:color_rgb:parts:actions\n:1,2,3::\n", ["line 2 of", "no name"]],
      ];
      for (const [name, text, says] of cases) {
        await Deno.writeTextFile(`${folder}/${name}`, text);
        const error = await assertRejects(() => readClassNames(`${folder}/${name}`), InputError);
        for (const part of says) assertStringIncludes(error.message, part);
      }
    }),
);

Deno.test(
  "class tables: one with colours is preferred, and disagreement refused",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const none = await assertRejects(() => findClassNames(folder), InputError);
      assertStringIncludes(none.message, "labels.txt; write one class name a line");
      await Deno.writeTextFile(`${folder}/labels.txt`, "road\nsky\n");
      assertEquals((await findClassNames(folder)).colours, undefined);
      await Deno.writeTextFile(`${folder}/labelmap.txt`, TABLES["labelmap.txt"] ?? "");
      assertEquals((await findClassNames(folder)).colours?.length, 2);
      await Deno.writeTextFile(`${folder}/labels.txt`, "road\ntree\n");
      const error = await assertRejects(() => findClassNames(folder), InputError);
      for (const part of ["labelmap.txt", "labels.txt", "class 1 is sky in one and tree"]) {
        assertStringIncludes(error.message, part);
      }
      const chosen = await findClassNames(folder, `${folder}/labels.txt`);
      assertEquals(chosen.names, ["road", "tree"]);
    }),
);
