/**
 * The one thing that decides which program a network needs.
 * @module
 */

/** How many photos of which size. */
export interface BatchShape {
  /** Photos, at least 1. */
  batch: number;
  /** Rows of pixels of each photo. */
  height: number;
  /** Pixels of a row. */
  width: number;
}
