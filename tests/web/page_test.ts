/**
 * The page in a real browser: what a user gives and gets, against the command line's masks.
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { serve } from "../../cli/web_server.ts";
import { buildSite } from "../../cli/web_site.ts";
import { decodePng } from "../../src/data/png.ts";
import { encodePng } from "../../src/data/png_write.ts";
import { decodeCheckpoint } from "../../src/io/checkpoint.ts";
import { encodePth } from "../../src/io/pth_checkpoint.ts";
import { inFolder, runCommand } from "../cli/run_command.ts";
import { CLASSES, tinyCheckpoint } from "../cli/tiny_model.ts";
import { redBlueTurned } from "../data/sample_jpeg.ts";
import { findChromium, Page } from "./chromium.ts";

const browser = await findChromium();
const ignore = browser === undefined;
/** Says in the test's name why it does not run. */
const reason = ignore ? " (no chromium on the PATH that may be started)" : "";

const WIDTH = 150;
const HEIGHT = 90;

/** Soft waves of colour, so that the classes have borders of every direction. */
function photo(): Uint8Array {
  const data = new Uint8Array(WIDTH * HEIGHT * 3);
  for (let y = 0, to = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      data[to++] = 127 + 120 * Math.sin(x / 9 + y / 23);
      data[to++] = 127 + 120 * Math.cos(y / 7 - x / 31);
      data[to++] = (x * y) % 256;
    }
  }
  return encodePng({ width: WIDTH, height: HEIGHT, channels: 3, data });
}

/** Waits until everything asked for is done. @returns the error shown, if any. */
async function settled(page: Page): Promise<string> {
  // What was asked for begins a turn of the loop later.
  await page.evaluate("new Promise((resolve) => setTimeout(resolve, 50))");
  await page.until('document.body.ariaBusy === "false"');
  return String(await page.evaluate("problem.hidden ? '' : problem.textContent"));
}

/** Presses the button and waits for the file. */
async function downloaded(page: Page, folder: string, name: string): Promise<Uint8Array> {
  await page.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder });
  await page.evaluate("download.click()");
  for (const end = performance.now() + 10_000; performance.now() < end;) {
    try {
      return await Deno.readFile(`${folder}/${name}`);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }
  throw new Error(`no ${name} was saved; the page says: ${await settled(page)}`);
}

/** Alpha of the mask's layer in the middle of the photo. */
const MASK_ALPHA = `(() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const layer = document.getElementById("mask-layer");
  context.drawImage(layer, ${WIDTH / 2}, ${HEIGHT / 2}, 1, 1, 0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data[3];
})()`;

Deno.test(
  `page: network in, photo in, the command line's mask out${reason}`,
  { ignore },
  () =>
    inFolder(async (folder) => {
      await Deno.mkdir(`${folder}/checkpoints`);
      await Deno.writeFile(`${folder}/checkpoints/best.safetensors`, tinyCheckpoint());
      await Deno.writeFile(
        `${folder}/other.pth`,
        encodePth(decodeCheckpoint(tinyCheckpoint(), "tiny")),
      );
      await Deno.writeFile(`${folder}/waves.png`, photo());
      await Deno.writeFile(`${folder}/turned.jpg`, redBlueTurned(6));
      await Deno.writeTextFile(`${folder}/broken.png`, "no photo");
      const inputs = ["-i", "waves.png", "turned.jpg"];
      const command = runCommand(folder, ["predict", ...inputs, "--out", "masks"]);

      await using server = serve(
        { site: await buildSite(), checkpoints: `${folder}/checkpoints` },
        0,
        false,
      );
      const origin = `http://127.0.0.1:${server.addr.port}/`;
      await using page = await Page.open(browser ?? "");
      await page.goto(origin);
      assertEquals(await settled(page), "");
      // The first network of the folder was read.
      assertMatch(
        String(await page.evaluate('document.getElementById("model-text").textContent')),
        /^best\.safetensors: unet-small of width 4, .* 3 classes, 3 epochs$/,
      );

      await page.choose("#photo-file", [`${folder}/waves.png`]);
      assertEquals(await settled(page), "");
      const legend = String(await page.evaluate("legend.innerText"));
      for (const { name } of CLASSES) assertStringIncludes(legend, name);

      const { code, err } = await command;
      assertEquals(code, 0, err);
      const mask = decodePng(await downloaded(page, folder, "waves_OUT.png"), "waves_OUT.png");
      const expected = decodePng(await Deno.readFile(`${folder}/masks/waves.png`), "waves.png");
      assertEquals([mask.width, mask.height], [WIDTH, HEIGHT]);
      assertEquals(mask.palette, expected.palette);
      const equal = mask.data.filter((id, i) => id === expected.data[i]).length;
      assert(new Set(expected.data).size === CLASSES.length, "the photo lacks a class");
      // Another device sums in another order: a pixel on a border may fall to the other side.
      assert(equal >= 0.999 * WIDTH * HEIGHT, `${equal} of ${WIDTH * HEIGHT} pixels are equal`);

      // Switches and opacity change what is seen.
      assertEquals(await page.evaluate(MASK_ALPHA), 255);
      await page.evaluate('document.getElementById("show-none").click()');
      assertEquals(await page.evaluate(MASK_ALPHA), 0);
      await page.evaluate(
        'document.querySelectorAll("#legend input").forEach((box) => box.click())',
      );
      assertEquals(await page.evaluate(MASK_ALPHA), 255);
      await page.evaluate("opacity.value = 20; opacity.dispatchEvent(new Event('input'))");
      assertEquals(
        await page.evaluate(
          'getComputedStyle(document.getElementById("mask-layer")).opacity',
        ),
        "0.2",
      );

      // A file of PyTorch's, and a photo that its EXIF turns: red above blue.
      await page.choose("#model-file", [`${folder}/other.pth`]);
      await page.choose("#photo-file", [`${folder}/turned.jpg`]);
      assertEquals(await settled(page), "");
      const turned = decodePng(await downloaded(page, folder, "turned_OUT.png"), "turned_OUT.png");
      assertEquals([turned.width, turned.height], [8, 16]);
      assertEquals(
        turned.data,
        decodePng(await Deno.readFile(`${folder}/masks/turned.png`), "").data,
      );
      assertEquals([turned.data[0], turned.data[8 * 16 - 1]], [1, 0]);

      // What is wrong is said, and what was there stays.
      await page.choose("#photo-file", [`${folder}/broken.png`]);
      assertMatch(await settled(page), /^broken\.png could not be read as a photo: .*\.$/);
      await page.evaluate('scale.value = "0.1"; run.click()');
      assertMatch(await settled(page), /got an image f32\[1,3,1,1\]; .*; use a larger scale\.$/);
      await page.evaluate('scale.value = "2"; run.click()');
      assertEquals(await settled(page), "The scale must be a number between 0.001 and 1.");

      assertEquals(page.complaints, []);
      const elsewhere = page.requests.filter((url) => !/^(data|blob):/.test(url))
        .filter((url) => !url.startsWith(origin));
      assertEquals(elsewhere, []);
    }),
);

Deno.test(`page: without WebGPU it says so${reason}`, { ignore }, async () => {
  await using server = serve({ site: await buildSite(), checkpoints: "none" }, 0, false);
  await using page = await Page.open(browser ?? "");
  await page.send("Page.addScriptToEvaluateOnNewDocument", {
    source: "Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined })",
  });
  await page.goto(`http://127.0.0.1:${server.addr.port}/`);
  assertMatch(await settled(page), /^This browser has no WebGPU, .*use a current Chrome, .*\.$/);
  assertEquals(await page.evaluate("run.disabled"), true);
});
