import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Chart, lineChart, ticksBetween } from "../src/report/chart.ts";
import { dataPage } from "../src/report/data_page.ts";
import { evaluationPage } from "../src/report/evaluation_page.ts";
import { Gallery } from "../src/report/gallery.ts";
import { bestEpoch, runPage } from "../src/report/run_page.ts";
import { ConfusionMatrix } from "../src/train/metrics.ts";
import type { EpochRow } from "../src/train/run_table.ts";

const HOSTILE = `<b onclick="x">&"'</b>`;

/** As many classes as ids allow for, with names that would break out of text and attributes. */
function classesOf(count: number) {
  return Array.from({ length: count }, (_, id) => ({
    name: id % 2 === 0 ? `${HOSTILE} ${id}` : `a${"very".repeat(30)}longname${id}`,
    color: [id % 256, (7 * id) % 256, (31 * id) % 256] as const,
  }));
}

/** Elements that are opened are closed in turn, and no text is nonsense. */
function checkPage(page: string): void {
  const inside = page.replace(/<(style|script)>[^]*?<\/\1>/g, "");
  assert(!inside.includes("<b onclick"), "a name became markup");
  const words = inside.replace(/base64,[^"')]*/g, "").match(/\b(NaN|Infinity|undefined|null)\b/g);
  assertEquals(words, null);
  const open: string[] = [];
  const empty = /^(meta|img|input|br|circle|line|polyline|text)$/;
  for (const [, end, name = ""] of inside.matchAll(/<(\/?)([a-z0-9]+)(?:"[^"]*"|[^">])*>/g)) {
    if (empty.test(name)) continue;
    if (end) assertEquals(open.pop(), name);
    else open.push(name);
  }
  assertEquals(open, []);
}

/** A gallery and matrix of images of 6 x 4 pixels, each of one class and one ignored pixel. */
function scored(classes: number, images: number) {
  const matrix = new ConfusionMatrix(classes);
  const gallery = new Gallery(classes);
  for (let i = 0; i < images; i++) {
    const truth = new Uint8Array(24).fill(i % classes);
    truth[0] = 255;
    const predicted = truth.map((id, at) => at < i ? (id + 1) % classes : id);
    matrix.add(truth, predicted);
    const photo = { width: 6, height: 4, pixels: new Uint8Array(96).fill(9) };
    gallery.offer({ name: `${HOSTILE}.png`, photo, width: 6, height: 4, truth, predicted });
  }
  return { matrix, gallery, scores: matrix.scores() };
}

Deno.test("pages: any names, one class or two hundred, images or none", () => {
  for (const [count, images] of [[1, 0], [2, 3], [200, 12]] as const) {
    const classes = classesOf(count);
    const { matrix, gallery, scores } = scored(count, images);
    const pictures = gallery.pictures(classes.map(({ color }) => color));
    const title = HOSTILE;
    const notes = [HOSTILE];
    checkPage(evaluationPage({ title, notes, images, classes, scores, matrix, pictures }));
    const row = epoch(1, scores.meanIoU);
    checkPage(runPage({
      ...{ title, notes, classes },
      epochs: [row],
      steps: [],
      scored: { epoch: 1, scores, matrix, images, pictures },
      settings: [{ title: HOSTILE, rows: [[HOSTILE, HOSTILE]] }],
    }));
    checkPage(dataPage({
      ...{ title, notes },
      parts: [{ name: "Training", images, masks: images }, {
        name: "Validation",
        images: 0,
        masks: 0,
      }],
      classes: classes.map(({ name, color }, id) => ({
        name,
        colour: color,
        value: `mask value ${id}`,
        parts: [{ pixels: id % 3, images: id % 3 }, { pixels: 0, images: 0 }],
      })),
      samples: [],
      warnings: [HOSTILE],
      skipped: [HOSTILE],
      facts: [],
    }));
  }
});

function epoch(number: number, meanIoU: number, trainLoss = 1): EpochRow {
  return {
    ...{ epoch: number, step: 10 * number, trainLoss, validLoss: null },
    scores: { meanIoU, meanDice: meanIoU, pixelAccuracy: meanIoU },
    ...{ classIoU: [], learningRate: 0, seconds: 1 },
  };
}

Deno.test("pages: of equal epochs the first is the best", () => {
  assertEquals(bestEpoch([epoch(1, 0.2), epoch(2, 0.5), epoch(3, 0.5)])?.epoch, 2);
  assertEquals(bestEpoch([]), undefined);
});

Deno.test("gallery: an image without truth has no score, so it is not among the lowest", () => {
  const gallery = new Gallery(2);
  const photo = { width: 2, height: 1, pixels: new Uint8Array(8) };
  const image = (name: string, truth: number[]) => ({
    ...{ name, photo, width: 2, height: 1 },
    truth: Uint8Array.from(truth),
    predicted: Uint8Array.of(1, 1),
  });
  gallery.offer(image("ignored", [255, 255]));
  gallery.offer(image("half", [0, 1]));
  assertEquals([gallery.count, gallery.kept.map(({ name }) => name)], [2, ["half"]]);
});

/** A chart of one line with its coordinates and the axis's numbers. */
function drawn(points: readonly (readonly [number, number])[], more: Partial<Chart> = {}) {
  const svg = lineChart({
    title: HOSTILE,
    series: [{ name: HOSTILE, colour: 1, points }],
    x: [0, 3],
    format: (y) => y.toFixed(2),
    ...more,
  });
  checkPage(svg);
  const [, line = ""] = /<polyline[^>]* points="([^"]*)"/.exec(svg) ?? [];
  return { svg, line: line.split(" ").filter((point) => point !== "") };
}

Deno.test("chart: what is no number is left out and the rest keeps its scale", () => {
  const { svg, line } = drawn([[1, 4], [2, NaN], [3, 2], [3, Infinity]]);
  assertEquals(line.length, 2);
  assertMatch(svg, />4<.*epoch 3: .* 2\.00</s);
  const faint = [{ name: "step", colour: 1, faint: true, points: [[1, NaN], [2, 5]] }] as const;
  const steps = drawn([], { series: faint });
  assertEquals(steps.line.length, 1);
});

Deno.test("chart: no points, one point, equal points and zeros have axes", () => {
  for (const points of [[], [[1, 7]], [[1, -3], [2, -3]], [[1, 0], [2, 0]]] as const) {
    const { svg } = drawn(points);
    assertMatch(svg, /class="grid"/);
    assert(!/>-?\d*e-/.test(svg), `an axis of dust: ${svg}`);
  }
});

Deno.test("chart: ticks are round and enclose", () => {
  assertEquals(ticksBetween(0.13, 0.92), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assertEquals(ticksBetween(-3, 9), [-5, 0, 5, 10]);
  assertEquals(ticksBetween(2, 2), [2]);
});
