/**
 * Report pages in a real browser, as narrow as phones are.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { dataPage } from "../../src/report/data_page.ts";
import { evaluationPage } from "../../src/report/evaluation_page.ts";
import { Gallery } from "../../src/report/gallery.ts";
import { ConfusionMatrix } from "../../src/train/metrics.ts";
import { inFolder } from "../cli/run_command.ts";
import { findChromium, Page } from "./chromium.ts";

const browser = await findChromium();
/** Says in the test's name why it does not run. */
const reason = browser ? "" : " (no chromium on the PATH that may be started)";

const CLASSES = Array.from({ length: 30 }, (_, id) => ({
  name: id % 2 === 0 ? `class ${id}` : `averyveryverylongnamewithoutanyspaceinit${id}`,
  color: [8 * id, 255 - 8 * id, 90] as const,
}));

function pages(): { data: string; evaluation: string } {
  const matrix = new ConfusionMatrix(CLASSES.length);
  const gallery = new Gallery(CLASSES.length);
  const ids = Uint8Array.from({ length: 600 }, (_, i) => Math.floor(i / 20));
  const photo = { width: 30, height: 20, pixels: new Uint8Array(2400) };
  matrix.add(ids, ids);
  const name = "a_photo_of_a_very_long_name_that_does_not_end_before_the_screen.png";
  gallery.offer({ name, photo, width: 30, height: 20, truth: ids, predicted: ids });
  const many = { pixels: 12_345_678, images: 12_345 };
  return {
    data: dataPage({
      ...{ title: "data", notes: [], warnings: [name], skipped: [name], samples: [], facts: [] },
      parts: ["Training", "Validation", "Test"].map((name) => ({
        ...{ name, images: 123_456, masks: 123_456 },
      })),
      classes: CLASSES.map(({ name, color }, id) => ({
        ...{ name, colour: color, value: `mask value ${id}`, parts: [many, many, many] },
      })),
    }),
    evaluation: evaluationPage({
      ...{ title: "scores", notes: [], images: 1, classes: CLASSES, matrix },
      scores: matrix.scores(),
      pictures: gallery.pictures(CLASSES.map(({ color }) => color)),
    }),
  };
}

Deno.test({
  name: `report pages fit a narrow screen, whatever classes are called${reason}`,
  ignore: browser === undefined,
  fn: () =>
    inFolder(async (folder) => {
      await using page = await Page.open(browser ?? "");
      for (const [name, html] of Object.entries(pages())) {
        await Deno.writeTextFile(`${folder}/${name}.html`, html);
        const size = { width: 320, height: 700, deviceScaleFactor: 1, mobile: true };
        await page.send("Emulation.setDeviceMetricsOverride", size);
        await page.goto(`file://${folder}/${name}.html`);
        assertEquals(await page.evaluate("document.documentElement.scrollWidth"), 320, name);
      }
      // Names beside the matrix are words, not columns of letters.
      const narrowest = await page.evaluate(
        "Math.min(...[...document.querySelectorAll('.matrix tbody th')].map((e) => e.offsetWidth))",
      );
      assert(Number(narrowest) > 80, `${narrowest} pixels`);
      assertEquals(page.complaints, []);
    }),
});
