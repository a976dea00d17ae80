/**
 * Options that are one of a few names. The compiler knows them; whoever calls from JavaScript is
 * told here.
 * @module
 */
import { InputError } from "./errors.ts";

/** Refuses what is none of the names. @throws {InputError} listing them. */
export function checkChoice(option: string, value: string, names: readonly string[]): void {
  if (names.includes(value)) return;
  throw new InputError(
    `the option ${option} was given '${value}', expected one of ${names.join(", ")}`,
  );
}
