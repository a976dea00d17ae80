/**
 * Files that cannot be used: they end the run, or are left out and listed.
 * @module
 */

import { InputError } from "../errors.ts";
import { few } from "./classes.ts";
import { shownPath } from "./files.ts";
import type { Problem, Reporter } from "./scan.ts";

/** Above this many, further problems are only counted. */
const LISTED_PROBLEMS = 50;

/** Collects what is wrong until everything was looked at. */
export class BadFiles {
  /** All of them, in the order they were found. */
  readonly problems: Problem[] = [];

  /** @param skip whether to go on without them */
  constructor(readonly skip: boolean, readonly reporter: Reporter) {}

  /** Notes problems. @returns whether there were any */
  add(problems: readonly Problem[]): boolean {
    this.problems.push(...problems);
    return problems.length > 0;
  }

  /** What `make` makes of the items it takes; those that it throws an `InputError` at are noted. */
  keepGood<T, R>(items: readonly T[], fileOf: (item: T) => string, make: (item: T) => R): R[] {
    return items.flatMap((item) => {
      try {
        return [make(item)];
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        this.problems.push({ file: fileOf(item), message: error.message });
        return [];
      }
    });
  }

  /** Tells about all of them. @throws InputError unless they are to be skipped */
  finish(): void {
    const messages = this.problems.map(({ message }) => message);
    const [first] = messages;
    if (first === undefined) return;
    if (this.skip) {
      this.#list(messages.map((message) => `skipped: ${message}`));
      return;
    }
    if (messages.length === 1) throw new InputError(`${first} (--skip-bad goes on without it)`);
    const todo = "correct them, or go on without them with --skip-bad";
    if (messages.length <= 3) {
      const listed = messages.map((message, at) => `(${at + 1}) ${message}`).join(" ");
      throw new InputError(`${messages.length} files cannot be used: ${listed}; ${todo}`);
    }
    this.#list(messages);
    const names = few(this.problems.map(({ file }) => shownPath(file)), 2);
    throw new InputError(`${messages.length} files cannot be used (${names}, see above); ${todo}`);
  }

  #list(messages: readonly string[]): void {
    for (const message of messages.slice(0, LISTED_PROBLEMS)) this.reporter.warn(message);
    const more = messages.length - LISTED_PROBLEMS;
    if (more > 0) this.reporter.warn(`and ${more} more`);
  }
}
