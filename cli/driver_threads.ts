/**
 * The threads of Mesa's software adapter. llvmpipe gives each of them an equal share of every
 * dispatch, so that one that is held up, by another program or by the machine's other guests, holds
 * up all of them. With twice as many as there are processors the system evens that out. On two
 * processors of a shared machine train steps of 0.1 s then take a fifth less by their medians, those
 * of 0.6 s a tenth, those of 10 s 4 %; the shortest of each take as long as before.
 * @module
 */

import { setDefault } from "./environment.ts";

/** Sets their number, before anything loads the driver, where the user has not. */
export function chooseDriverThreads(processors: number = navigator.hardwareConcurrency): void {
  // A single processor computes without threads of its own.
  if (processors >= 2) setDefault("LP_NUM_THREADS", String(2 * processors));
}
