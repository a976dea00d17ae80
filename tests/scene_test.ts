import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { Kind, SceneCanvas } from "../src/demo/canvas.ts";
import { Random } from "../src/demo/noise.ts";
import { drawScene, SCENE_CLASSES } from "../src/demo/scene.ts";

const width = 192;
const height = 128;
const seeds = [1, 2, 3, 4, 5, 6];
const scenes = seeds.map((seed) => drawScene(seed, width, height));
const idOf = (name: string) => SCENE_CLASSES.findIndex((entry) => entry.name === name);

/** Mean of each colour channel over the pixels of one class. */
function meanColour(classId: number): [number, number, number] {
  const sum: [number, number, number] = [0, 0, 0];
  let count = 0;
  for (const { photo, mask } of scenes) {
    for (let i = 0; i < mask.length; i++) {
      if (mask[i] !== classId) continue;
      count++;
      for (let c = 0; c < 3; c++) sum[c]! += photo[3 * i + c]!;
    }
  }
  return [sum[0] / count, sum[1] / count, sum[2] / count];
}

/**
 * How well a mask moved by (dx, dy) explains the photos' edges: the mean brightness step where two
 * classes meet over the mean step inside classes.
 */
function edgeContrast(dx: number, dy: number): number {
  let [edge, edges, inner, inners] = [0, 0, 0, 0];
  for (const { photo, mask } of scenes) {
    const bright = (x: number, y: number) => {
      const at = 3 * (y * width + x);
      return photo[at]! + photo[at + 1]! + photo[at + 2]!;
    };
    for (let y = 4; y < height - 4; y++) {
      for (let x = 4; x < width - 4; x++) {
        const at = (y + dy) * width + x + dx;
        const step = Math.abs(bright(x, y) - bright(x + 1, y)) +
          Math.abs(bright(x, y) - bright(x, y + 1));
        if (mask[at] !== mask[at + 1] || mask[at] !== mask[at + width]) {
          edge += step;
          edges++;
        } else {
          inner += step;
          inners++;
        }
      }
    }
  }
  return (edge / edges) / (inner / inners);
}

Deno.test("scene: a seed draws the same bytes again, another seed does not", () => {
  const again = drawScene(1, width, height);
  assertEquals(again.photo, scenes[0]!.photo);
  assertEquals(again.mask, scenes[0]!.mask);
  assertNotEquals(scenes[1]!.photo, scenes[0]!.photo);
  assertNotEquals(scenes[1]!.mask, scenes[0]!.mask);
});

Deno.test("scene: photo and mask have the size asked for, odd ones too", () => {
  const scene = drawScene(7, 61, 43);
  assertEquals([scene.width, scene.height], [61, 43]);
  assertEquals(scene.photo.length, 61 * 43 * 3);
  assertEquals(scene.mask.length, 61 * 43);
});

Deno.test("scene: masks hold known ids only, and every class but water is in every picture", () => {
  const counts = scenes.map(({ mask }) => {
    const count = SCENE_CLASSES.map(() => 0);
    for (const id of mask) {
      assert(id < SCENE_CLASSES.length, `id ${id} has no class`);
      count[id]!++;
    }
    return count;
  });
  for (const [id, { name }] of SCENE_CLASSES.entries()) {
    const pictures = counts.filter((count) => count[id]! > 0).length;
    const least = name === "water" ? seeds.length - 1 : seeds.length;
    assert(pictures >= least, `${name} is in ${pictures} of ${seeds.length} pictures`);
  }
});

Deno.test("scene: no class covers more than 70 % of a picture, persons at least 0.2 %", () => {
  const person = idOf("person");
  for (const { mask } of scenes) {
    const count = SCENE_CLASSES.map(() => 0);
    for (const id of mask) count[id]!++;
    assert(Math.max(...count) < 0.7 * mask.length);
    assert(count[person]! > 0.002 * mask.length, `persons cover ${count[person]} pixels`);
  }
});

Deno.test("scene: photos use the whole range of brightness, none is burnt out", () => {
  for (const { photo } of scenes) {
    const levels = photo.slice().sort();
    const dark = levels[Math.floor(0.05 * levels.length)]!;
    const bright = levels[Math.floor(0.95 * levels.length)]!;
    const burnt = levels.length - levels.indexOf(255);
    assert(bright - dark > 80, `5 % to 95 %: ${dark} to ${bright}`);
    assert(levels.indexOf(255) === -1 || burnt < 0.05 * levels.length);
  }
});

Deno.test("scene: the colour of the photo follows the class of the mask", () => {
  const grass = meanColour(idOf("grass"));
  const paved = meanColour(idOf("paved area"));
  const water = meanColour(idOf("water"));
  const tree = meanColour(idOf("tree"));
  assert(grass[1] > grass[2] + 25, `grass is ${grass}`);
  assert(Math.abs(paved[0] - paved[2]) < 30, `paving is ${paved}`);
  assert(water[2] > water[0] + 25, `water is ${water}`);
  assert(tree[1] > tree[2], `trees are ${tree}`);
  assert(tree[0] + tree[1] + tree[2] < grass[0] + grass[1] + grass[2], "trees are darker");
});

Deno.test("scene: the mask's edges lie on the photo's edges, to the pixel", () => {
  const here = edgeContrast(0, 0);
  assert(here > 1.5, `edges stand out ${here} times`);
  for (const [dx, dy] of [[2, 0], [-2, 0], [0, 2], [0, -2]] as const) {
    const moved = edgeContrast(dx, dy);
    assert(here > 1.15 * moved, `${here} in place, ${moved} moved by ${dx}, ${dy}`);
  }
});

Deno.test("scene: a box is painted whole, however it is turned", () => {
  const random = new Random(9);
  const canvas = () => new SceneCanvas(new Random(4), 60, 40);
  const { heading, reach } = canvas();
  const angles = [0, Math.PI / 2, Math.PI, -Math.PI / 2, 1e-9, 1e-4, Math.PI / 2 + 1e-10];
  for (let i = 0; i < 30; i++) {
    const angle = heading + (angles[i] ?? random.range(-3, 3));
    const frame = { x: random.range(-20, 20), y: random.range(-12, 12), angle };
    const [halfX, halfY] = [random.range(0.1, 20), random.range(0.1, 3)];
    const [box, whole] = [canvas(), canvas()];
    let painted = 0;
    box.paint(frame, halfX, halfY, (_x, _y, sample) => {
      sample.kind = Kind.car;
      painted++;
      return true;
    });
    // The same box as part of one that holds the whole picture.
    whole.paint(frame, 4 * reach, 4 * reach, (x, y, sample) => {
      sample.kind = Kind.car;
      return Math.abs(x) <= halfX && Math.abs(y) <= halfY;
    });
    assertEquals(box.kind, whole.kind, `box ${i}`);
    assertEquals(painted, whole.kind.filter((kind) => kind === Kind.car).length);
  }
});
