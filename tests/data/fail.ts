import { InputError } from "../../src/errors.ts";

/** A job that throws what it is named after, or does nothing. */
export function fail(kind: string): string {
  if (kind === "input") throw new InputError("cannot read a.png: it is no PNG");
  if (kind === "bug") throw new RangeError("Invalid array length");
  return kind;
}
