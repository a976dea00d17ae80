/**
 * The split into training and validation: seeded, shuffled, and such that every class that can be in
 * both parts is.
 *
 * Method: first iterative stratification for multi-label data (K. Sechidis, G. Tsoumakas,
 * I. Vlahavas, "On the stratification of multi-label data", 2011): the class with the fewest images
 * left is dealt first, each image to the part that is furthest from its share of that class. That
 * keeps the proportions, but with few images it can leave a rare class out of a part. So a search in
 * the manner of min-conflicts follows: while some class of two or more images is missing from a
 * part, one image that holds it changes places with one of the other part, the exchange that leaves
 * the fewest classes missing, now and then a random one to get out of a dead end. A class of a
 * single image cannot be in both; it goes to training where that costs no other class its place.
 * @module
 */

import { Random } from "./random.ts";

/** Indices of the images of each part, in shuffled order. */
export interface Split {
  readonly train: readonly number[];
  readonly valid: readonly number[];
}

/** Steps of the search after which the best split so far has to do. */
const MAX_STEPS = 2000;

/**
 * Splits images into two parts.
 * @param classesOf for each image the ids of the classes it holds
 * @param ratio share of the images that go to training, between 0 and 1; as in the original,
 *   floor(ratio x images) do, but at least one and not all
 * @param seed the same seed and input give the same split
 */
export function splitImages(
  classesOf: readonly (readonly number[])[],
  ratio: number,
  seed: number,
): Split {
  const count = classesOf.length;
  if (count < 2) throw new Error(`cannot split ${count} images: at least 2 are needed`);
  const random = new Random(seed);
  const order = random.shuffle(classesOf.map((_, at) => at));
  // The small term undoes rounding: 0.29 * 100 is 28.999999999999996.
  const trainCount = Math.min(count - 1, Math.max(1, Math.floor(ratio * count + 1e-9)));
  const start = stratify(classesOf, order, trainCount, random);
  const inTrain = new Search(classesOf, start, random).run();
  return {
    train: order.filter((at) => inTrain[at] === true),
    valid: order.filter((at) => inTrain[at] !== true),
  };
}

/** Iterative stratification. Returns for each image whether it goes to training. */
function stratify(
  classesOf: readonly (readonly number[])[],
  order: readonly number[],
  trainCount: number,
  random: Random,
): boolean[] {
  const share = trainCount / classesOf.length;
  const holders = new Map<number, Set<number>>();
  for (const at of order) {
    for (const id of new Set(classesOf[at])) {
      const set = holders.get(id) ?? new Set<number>();
      holders.set(id, set.add(at));
    }
  }
  // How many images of each class the parts still want; below zero once they have more.
  const wanted = new Map<number, Record<"train" | "valid", number>>();
  for (const [id, { size }] of holders) {
    wanted.set(id, { train: size * share, valid: size * (1 - share) });
  }
  const free = { train: trainCount, valid: classesOf.length - trainCount };
  const inTrain = new Array<boolean>(classesOf.length).fill(false);
  const place = (at: number, part: "train" | "valid") => {
    inTrain[at] = part === "train";
    free[part]--;
    for (const id of new Set(classesOf[at])) {
      holders.get(id)?.delete(at);
      const want = wanted.get(id);
      if (want !== undefined) want[part]--;
    }
  };
  const placed = new Set<number>();
  for (let id = rarest(holders); id !== undefined; id = rarest(holders)) {
    for (const at of [...holders.get(id) ?? []]) {
      const want = wanted.get(id) ?? { train: 0, valid: 0 };
      const lead = want.train - want.valid || free.train - free.valid || random.next() - 0.5;
      const liked = lead > 0 ? "train" : "valid";
      place(at, free[liked] > 0 ? liked : liked === "train" ? "valid" : "train");
      placed.add(at);
    }
  }
  // Images without any class (all of them ignored) fill what is left.
  for (const at of order) if (!placed.has(at)) place(at, free.train > 0 ? "train" : "valid");
  return inTrain;
}

function rarest(holders: ReadonlyMap<number, ReadonlySet<number>>): number | undefined {
  let best: number | undefined;
  let fewest = Infinity;
  for (const [id, { size }] of holders) {
    if (size > 0 && (size < fewest || (size === fewest && id < (best ?? Infinity)))) {
      [best, fewest] = [id, size];
    }
  }
  return best;
}

/** What one missing class costs, beside a class of one image that lies in validation (1). */
const MISSING = 1 << 20;

/** The repair: exchanges between the parts until no class is missing that need not be. */
class Search {
  readonly #classes: number[][];
  readonly #total: Map<number, number> = new Map();
  readonly #train: Map<number, number> = new Map();

  constructor(
    classesOf: readonly (readonly number[])[],
    readonly inTrain: boolean[],
    readonly random: Random,
  ) {
    this.#classes = classesOf.map((ids) => [...new Set(ids)]);
    this.#classes.forEach((ids, at) => {
      for (const id of ids) {
        add(this.#total, id, 1);
        add(this.#train, id, inTrain[at] === true ? 1 : 0);
      }
    });
  }

  run(): boolean[] {
    let cost = this.#cost();
    let best = [...this.inTrain];
    let bestCost = cost;
    for (let step = 0; step < MAX_STEPS && bestCost > 0; step++) {
      const exchange = this.#choose();
      if (exchange === undefined) break;
      this.#swap(...exchange);
      cost = this.#cost();
      if (cost < bestCost) [best, bestCost] = [[...this.inTrain], cost];
    }
    return best;
  }

  /** Cost of class `id` when `train` of its images are in training. */
  #classCost(id: number, train: number): number {
    const total = this.#total.get(id) ?? 0;
    if (total === 1) return train === 1 ? 0 : 1;
    return train === 0 || train === total ? MISSING : 0;
  }

  #cost(): number {
    let cost = 0;
    for (const [id, train] of this.#train) cost += this.#classCost(id, train);
    return cost;
  }

  /** An exchange [from training, from validation] that mends a class picked at random. */
  #choose(): [number, number] | undefined {
    const costs = [...this.#train].map(([id, train]) => [id, this.#classCost(id, train)] as const);
    const worst = Math.max(...costs.map(([, cost]) => cost));
    const broken = costs.filter(([, cost]) => cost === worst && cost > 0);
    const [id] = broken[this.random.below(broken.length)] ?? [];
    if (id === undefined) return undefined;
    const missingInTrain = this.#train.get(id) === 0;
    const train: number[] = [];
    const valid: number[] = [];
    this.inTrain.forEach((here, at) => {
      const holds = this.#classes[at]?.includes(id) === true;
      if (here && (missingInTrain || holds)) train.push(at);
      if (!here && (!missingInTrain || holds)) valid.push(at);
    });
    const pick = (list: readonly number[]) => list[this.random.below(list.length)] ?? 0;
    if (this.random.next() < 0.1) return [pick(train), pick(valid)];
    let best: [number, number] | undefined;
    let bestChange = Infinity;
    // Among equals the first wins: the shuffles keep that from being the same one every time.
    for (const a of this.random.shuffle(train)) {
      for (const b of this.random.shuffle(valid)) {
        const change = this.#change(a, b);
        if (change < bestChange) [best, bestChange] = [[a, b], change];
      }
    }
    return best;
  }

  /** How the cost changes when `a` leaves training for `b`. */
  #change(a: number, b: number): number {
    const ofA = this.#classes[a] ?? [];
    const ofB = this.#classes[b] ?? [];
    let change = 0;
    const move = (id: number, by: number) => {
      const train = this.#train.get(id) ?? 0;
      change += this.#classCost(id, train + by) - this.#classCost(id, train);
    };
    for (const id of ofA) if (!ofB.includes(id)) move(id, -1);
    for (const id of ofB) if (!ofA.includes(id)) move(id, 1);
    return change;
  }

  #swap(a: number, b: number): void {
    for (const id of this.#classes[a] ?? []) add(this.#train, id, -1);
    for (const id of this.#classes[b] ?? []) add(this.#train, id, 1);
    this.inTrain[a] = false;
    this.inTrain[b] = true;
  }
}

function add(map: Map<number, number>, key: number, by: number): void {
  map.set(key, (map.get(key) ?? 0) + by);
}
