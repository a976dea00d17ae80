import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { decideClasses } from "../../src/data/classes.ts";
import { loadDataset, valueToClass } from "../../src/data/dataset.ts";
import { IGNORED } from "../../src/train/metrics.ts";
import { fromTablePath, tablePath, writeTogether } from "../../src/data/files.ts";
import { defaultColour } from "../../src/data/palette.ts";
import { labelsToCsv, pairsToCsv, photosToCsv } from "../../src/data/tables.ts";
import { InputError } from "../../src/errors.ts";
import { canRead, canWrite } from "../support.ts";

const info = (values: readonly number[], ignore: number | null) => ({
  classes: values.map((value, id) => ({
    id,
    name: `c${id}`,
    color: [0, 0, 0] as const,
    value,
    pixels: 1,
    trainPixels: 1,
  })),
  ignore,
});

Deno.test("mask values become labels; the ignored one becomes 255", () => {
  const map = valueToClass(info([0, 7, 300], 11));
  const labels = map.toLabels(Uint16Array.of(0, 300, 7, 11), "m.png");
  assertEquals([...labels], [0, 2, 1, IGNORED]);
  const error = assertThrows(() => map.toLabels(Uint8Array.of(0, 8), "m.png"), InputError);
  assertStringIncludes(error.message, "m.png holds the value 8");
});

interface ClassCase {
  readonly about: string;
  readonly names: string[];
  readonly values: number[];
  readonly ignore?: number;
  /** `name=mask value`, in the order of ids. */
  readonly classes: string[];
  readonly warning?: string;
}

const CLASS_CASES: ClassCase[] = [
  {
    about: "line k is value k",
    names: ["a", "b", "c"],
    values: [0, 2],
    classes: ["a=0", "b=1", "c=2"],
  },
  {
    about: "values without a name",
    names: ["a", "b"],
    values: [0, 1, 4, 9],
    classes: ["a=0", "b=1", "unknown_1=4", "unknown_2=9"],
    warning: "4 (now unknown_1), 9 (now unknown_2)",
  },
  { about: "0 and 255", names: ["a", "b"], values: [0, 255], classes: ["a=0", "b=255"] },
  { about: "another pair", names: ["a", "b"], values: [1, 2], classes: ["a=1", "b=2"] },
  {
    about: "a pair that the names cover is no binary set",
    names: ["a", "b", "c", "d"],
    values: [0, 3],
    classes: ["a=0", "b=1", "c=2", "d=3"],
    warning: "no mask shows b, c",
  },
  {
    about: "255 among others is a value like any",
    names: ["a", "b"],
    values: [0, 1, 255],
    classes: ["a=0", "b=1", "unknown_1=255"],
    warning: "add --ignore 255",
  },
  {
    about: "0 and 255 with more names",
    names: ["a", "b", "c"],
    values: [0, 255],
    classes: ["a=0", "b=255"],
    warning: "left out: c",
  },
  {
    about: "255 alone is the foreground of a binary set",
    names: ["a", "b"],
    values: [255],
    classes: ["a=0", "b=255"],
  },
  {
    about: "the ignored value gets no class",
    names: ["a", "b"],
    values: [0, 1, 255],
    ignore: 255,
    classes: ["a=0", "b=1"],
  },
  {
    about: "a last line naming the ignored value is dropped",
    names: ["a", "b", "void"],
    values: [0, 1, 2],
    ignore: 2,
    classes: ["a=0", "b=1"],
  },
  {
    about: "an inner line naming the ignored value is dropped",
    names: ["void", "a", "b", "c"],
    values: [0, 1, 2, 3],
    ignore: 0,
    classes: ["a=1", "b=2", "c=3"],
  },
  {
    about: "names that skip the ignored value",
    names: ["a", "b", "c"],
    values: [0, 1, 2, 3],
    ignore: 0,
    classes: ["a=1", "b=2", "c=3"],
  },
  {
    about: "a binary set with an ignored value",
    names: ["a", "b", "void"],
    values: [0, 128, 255],
    ignore: 128,
    classes: ["a=0", "b=255"],
    warning: "left out: void",
  },
];

for (const { about, names, values, ignore, classes, warning } of CLASS_CASES) {
  Deno.test(`classes: ${about}`, () => {
    const decision = decideClasses({ file: "labels.txt", names }, values, ignore);
    assertEquals(decision.classes.map(({ name, value }) => `${name}=${value}`), classes);
    assertEquals(decision.classes.map(({ id }) => id), classes.map((_, id) => id));
    if (warning === undefined) {
      assertEquals(decision.warnings.filter((text) => !text.startsWith("no mask shows")), []);
    } else assertStringIncludes(decision.warnings.join("\n"), warning);
  });
}

Deno.test("classes: colours from the file, else from the masks, else distinct defaults", () => {
  const named = { file: "c.csv", names: ["a", "b", "c"] };
  const palette = [[1, 1, 1], [2, 2, 2], [3, 3, 3]] as const;
  const colours = [[9, 0, 0], [0, 9, 0], [0, 0, 9]] as const;
  const of = (decision: ReturnType<typeof decideClasses>) => decision.classes.map((c) => c.color);
  const values = [0, 1, 2];
  assertEquals(of(decideClasses({ ...named, colours }, values, undefined, palette)), [...colours]);
  assertEquals(of(decideClasses(named, values, undefined, palette)), [...palette]);
  const same = [[1, 1, 1], [1, 1, 1], [3, 3, 3]] as const;
  assertEquals(
    of(decideClasses(named, values, undefined, same)),
    values.map((id) => defaultColour(id, 3)),
  );
});

Deno.test("default colours of 40 classes are well apart", () => {
  const colours = Array.from({ length: 40 }, (_, id) => defaultColour(id, 40));
  let closest = Infinity;
  colours.forEach((a, i) =>
    colours.slice(i + 1).forEach((b) => {
      closest = Math.min(closest, Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]));
    })
  );
  assert(closest > 30, `two colours are only ${closest} apart`);
});

Deno.test("tables have the columns of the original", () => {
  const row = { photo: "data/a.jpg", mask: "data/a.png", values: [0, 3, 12] };
  assertEquals(
    pairsToCsv([row]),
    "img_rgb,img_mask,label_min,label_max,label_unique,label_id_list\n" +
      "data/a.jpg,data/a.png,0,12,3,[ 0  3 12]\n",
  );
  assertEquals(
    photosToCsv([{ photo: "data/b.jpg", height: 4, width: 6 }]),
    "img_name,height,width,channel\ndata/b.jpg,4,6,3\n",
  );
  assertEquals(labelsToCsv(["a", "b, c"]), 'label_name\na\n"b, c"\n');
});

Deno.test("table paths start at the data folder's name and follow it when it moves", () => {
  const inside = tablePath("/x/data/raw/train/images/322.jpg", "/x/data");
  assertEquals(inside, "data/raw/train/images/322.jpg");
  assertEquals(fromTablePath(inside, "/y/moved"), "/y/moved/raw/train/images/322.jpg");
  const outside = tablePath("/z/raw/a.jpg", "/x/data");
  assertEquals(outside, "/z/raw/a.jpg");
  assertEquals(fromTablePath(outside, "/y/moved"), "/z/raw/a.jpg");
});

const files = { ignore: !canRead || !canWrite };

Deno.test(
  "files written together: all or none, the previous ones kept as backups",
  files,
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const set = (text: string) =>
        ["a", "b", "c"].map((name) => ({ path: `${folder}/${name}`, text: text + name }));
      await writeTogether(set("1"));
      await writeTogether(set("2"));
      assertEquals(await Deno.readTextFile(`${folder}/b.backup`), "1b");
      await Deno.remove(`${folder}/c`);
      await Deno.mkdir(`${folder}/c/full`, { recursive: true });
      const error = await assertRejects(() => writeTogether(set("3")), InputError);
      assertStringIncludes(error.message, "cannot write");
      assertEquals(await Deno.readTextFile(`${folder}/a`), "2a");
      assertEquals(await Deno.readTextFile(`${folder}/b`), "2b");
      const left = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
      assertEquals(left, ["a", "a.backup", "b", "b.backup", "c", "c.backup"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test("a folder that is not prepared says what to run", files, async () => {
  const folder = await Deno.makeTempDir();
  try {
    const missing = await assertRejects(() => loadDataset(`${folder}/none`), InputError);
    assertStringIncludes(missing.message, "no data folder");
    const empty = await assertRejects(() => loadDataset(folder), InputError);
    assertStringIncludes(empty.message, "run deno task data");
    await Deno.mkdir(`${folder}/processed`);
    await Deno.writeTextFile(`${folder}/processed/dataset.json`, '{"version": 1}');
    const damaged = await assertRejects(() => loadDataset(folder), InputError);
    assertStringIncludes(damaged.message, "dataset.json is not as deno task data writes it");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
