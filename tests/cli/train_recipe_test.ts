import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { parseOptions } from "../../cli/parse_options.ts";
import { weightsOf } from "../../cli/class_weights_file.ts";
import { cropSize, makeSchedule, recipeOptions, resolveRecipe } from "../../cli/train_recipe.ts";
import { InputError, UsageError } from "../../src/errors.ts";
import { canRead, canWrite } from "../support.ts";
import { inFolder, noProcesses, runCommand } from "./run_command.ts";
import { writeRaw } from "./tiny_data.ts";

const recipe = (line: string, saved?: Parameters<typeof resolveRecipe>[1]) =>
  resolveRecipe(parseOptions(recipeOptions, line === "" ? [] : line.split(" ")), saved);

Deno.test("recipe: the original's defaults, and what flags make of them", () => {
  const plain = recipe("");
  assertEquals(
    [plain.batchSize, plain.learningRate, plain.scale, plain.optimizer, plain.schedule],
    [2, 0.01, 0.1, "rmsprop", "plateau"],
  );
  assertEquals([plain.loss, plain.augment, plain.crop, plain.clip], ["ce", "none", null, null]);
  assertEquals(recipe("--optimizer adamw").learningRate, 0.001);
  assertEquals(recipe("-b auto").batchSize, "auto");
  assertEquals(cropSize(recipe("--crop 64")), { height: 64, width: 64 });
  assertEquals(cropSize(recipe("--crop 48x64")), { height: 48, width: 64 });
  for (const crop of ["0", "4x", "x4", "4x4x4", "-4", "abc"]) {
    assertThrows(() => recipe(`--crop=${crop}`), UsageError, "--crop must be");
  }
  assertThrows(() => recipe("-b 0"), UsageError, "--batch-size must be");
  assertThrows(() => recipe("--loss dice --class-weights auto"), UsageError, "no effect");
});

Deno.test("recipe: a run that goes on keeps its own, contradictions are refused", () => {
  const saved = { recipe: { ...recipe("-b 4 --crop 32 --loss focal"), batchSize: 4 }, file: "f" };
  const again = recipe("--patience 3", {
    ...saved,
    recipe: { ...saved.recipe, classWeightValues: [1, 2] },
  });
  assertEquals([again.batchSize, again.crop, again.loss, again.patience], [4, "32x32", "focal", 3]);
  assertEquals(again.classWeightValues, [1, 2]);
  assertEquals(recipe("--crop 32x32 -b 4", saved).crop, "32x32");
  assertThrows(() => recipe("--crop 48", saved), InputError, "--crop 48x48 contradicts");
  assertThrows(() => recipe("--loss ce", saved), InputError, "which has focal");
  assertThrows(() => recipe("--precision f16", saved), InputError, "which has f32");
});

Deno.test("recipe: schedules rise as long as they are told", () => {
  const rates = (line: string, batches: number) => {
    const schedule = makeSchedule(recipe(line), 20, 5);
    return Array.from({ length: batches }, () => {
      const rate = Number(schedule.learningRate.toPrecision(4));
      schedule.stepBatch?.();
      return rate;
    });
  };
  // (1 - done / 20)^0.9, the first five of them times 1/6, 2/6, ...
  const poly = (done: number) => (1 - done / 20) ** 0.9;
  const rounded = (value: number) => Number(value.toPrecision(4));
  assertEquals(
    rates("-l 1 --schedule poly --warmup 1", 7),
    [0, 1, 2, 3, 4, 5, 6].map((i) => rounded(poly(i) * Math.min(1, (i + 1) / 6))),
  );
  assertEquals(rates("-l 1 --warmup 0.4", 4), [rounded(1 / 3), rounded(2 / 3), 1, 1]);
  assertEquals(rates("-l 1 --schedule cosine --warmup 2", 10).indexOf(1), 9);
  assertEquals(rates("-l 1 --schedule cosine", 3).indexOf(1), 1);
});

const CLASSES = [{ name: "sky", trainPixels: 90 }, { name: "street lamp", trainPixels: 10 }];

Deno.test({
  name: "class weights: by frequency, and from a file whose mistakes are named by line",
  ignore: !canRead || !canWrite,
  fn: () =>
    inFolder(async (folder) => {
      assertEquals(await weightsOf("none", CLASSES), null);
      const [sky = 0, lamp = 0] = await weightsOf("auto", CLASSES) ?? [];
      assert(Math.abs(lamp / sky - 3) < 1e-6 && Math.abs(0.9 * sky + 0.1 * lamp - 1) < 1e-6);
      const file = `${folder}/weights.csv`;
      const read = async (text: string) => {
        await Deno.writeTextFile(file, text);
        return await weightsOf(file, CLASSES);
      };
      assertEquals(await read("name,weight\nstreet lamp, 2.5\n"), [1, 2.5]);
      assertEquals(await read("street lamp,0\r\nsky,3"), [3, 0]);
      const refuses = async (text: string, says: string) => {
        await assertRejects(() => read(text), InputError, says);
      };
      await refuses("sky,1\nroof,2", "line 2: 'roof' is no class of this set");
      await refuses("sky,-1", "line 1: '-1' is no weight");
      await refuses("sky", "is no weight");
      await refuses("sky,1\nsky,2", "weighs 'sky' again");
      await refuses("sky,0\nstreet lamp,0", "every class the weight 0");
      for (const nothing of ["", "\n", "name,weight\n"]) {
        await refuses(nothing, "weights.csv weighs no class; write lines such as");
      }
      const { message } = await assertRejects(
        () => weightsOf(`${folder}/none.csv`, CLASSES),
        InputError,
      );
      assertMatch(message, /^--class-weights \S+none.csv does not exist; name a CSV file/);
    }),
});

Deno.test({
  name: "train with everything of the recipe on, the batch as large as fits",
  ignore: noProcesses,
  fn: () =>
    inFolder(async (folder) => {
      writeRaw(folder);
      assertEquals((await runCommand(folder, ["data"])).code, 0);
      Deno.writeTextFileSync(`${folder}/weights.csv`, "roof,2\n");
      const { code, err } = await runCommand(folder, [
        ...["train", "-s", "1", "--width", "4", "-b", "auto", "-e", "2", "--loss", "focal"],
        ...["--augment", "light", "--crop", "16x12", "--class-weights", "weights.csv"],
        ...["--schedule", "poly", "--warmup", "0.5", "--optimizer", "adamw"],
      ]);
      assertEquals(code, 0, err);
      assertMatch(err, /Batch size: +[78]\n/);
      assertMatch(err, /Loss: +focal, class weights weights.csv\n/);
      assertMatch(err, /Augmentation: +light, crops of 16x12/);
      // One size of crops is one shape, whatever the photos are: no statistics to freeze.
      assertMatch(err, /1 batch shape /);
      assert(!err.includes("several sizes, so"));
      const [, loss] = /Epoch 2: loss ([\d.]+)/.exec(err) ?? [];
      assert(Number(loss) > 0 && Number(loss) < 2, err);
    }),
});
