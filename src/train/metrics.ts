/**
 * Scores of a segmentation, all from one confusion matrix over a whole split.
 * @module
 */

/** Class id of pixels that count nowhere. */
export const IGNORED = 255;

/** Scores of one class; `null` when it occurs neither in truth nor in prediction. */
export interface ClassScore {
  /** Position of the class, from 0. */
  id: number;
  /** |P and T| / |P or T| */
  iou: number | null;
  /** 2 |P and T| / (|P| + |T|) */
  dice: number | null;
  /** |P and T| / |P|; 0 when nothing was predicted. */
  precision: number | null;
  /** |P and T| / |T|; 0 when there is nothing to find. */
  recall: number | null;
  /** Pixels of the class in truth. */
  pixels: number;
}

/** Scores of a split. */
export interface Scores {
  /** Share of the counted pixels whose class is right; 0 when none were counted. */
  pixelAccuracy: number;
  /** Mean over the classes that occur in truth or prediction. */
  meanIoU: number;
  /** Mean over the same classes as `meanIoU`. */
  meanDice: number;
  /** One for each class id, in order. */
  classes: ClassScore[];
}

/** Counts of (true class, predicted class) pairs. */
export class ConfusionMatrix {
  /** Number of classes; pixels with other ids are not counted. */
  readonly classes: number;
  /** counts[t * classes + p] */
  readonly counts: Float64Array;

  /** Starts with nothing counted, for ids 0 to `classes` - 1. */
  constructor(classes: number) {
    this.classes = classes;
    this.counts = new Float64Array(classes * classes);
  }

  /** Counts the pixels of an image; those whose truth is {@linkcode IGNORED} are left out. */
  add(truth: ArrayLike<number>, predicted: ArrayLike<number>): void {
    const { classes, counts } = this;
    if (truth.length !== predicted.length) {
      throw new RangeError(`${truth.length} true and ${predicted.length} predicted pixels`);
    }
    for (let i = 0; i < truth.length; i++) {
      const t = truth[i] ?? IGNORED;
      const p = predicted[i] ?? IGNORED;
      if (t < classes && p < classes) {
        const cell = t * classes + p;
        counts[cell] = (counts[cell] ?? 0) + 1;
      }
    }
  }

  /** The scores of everything added so far. */
  scores(): Scores {
    const { classes, counts } = this;
    const at = (t: number, p: number) => counts[t * classes + p] ?? 0;
    const ids = Array.from({ length: classes }, (_, id) => id);
    const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
    const perClass = ids.map((id): ClassScore => {
      const hit = at(id, id);
      const truth = sum(ids.map((other) => at(id, other)));
      const predicted = sum(ids.map((other) => at(other, id)));
      if (truth + predicted === 0) {
        return { id, iou: null, dice: null, precision: null, recall: null, pixels: 0 };
      }
      return {
        id,
        iou: hit / (truth + predicted - hit),
        dice: 2 * hit / (truth + predicted),
        precision: predicted === 0 ? 0 : hit / predicted,
        recall: truth === 0 ? 0 : hit / truth,
        pixels: truth,
      };
    });
    const mean = (values: (number | null)[]) => {
      const present = values.filter((v) => v !== null);
      return present.length === 0 ? 0 : sum(present) / present.length;
    };
    const total = sum(Array.from(counts));
    return {
      pixelAccuracy: total === 0 ? 0 : sum(ids.map((id) => at(id, id))) / total,
      meanIoU: mean(perClass.map((c) => c.iou)),
      meanDice: mean(perClass.map((c) => c.dice)),
      classes: perClass,
    };
  }
}
