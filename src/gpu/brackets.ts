/**
 * Brackets in shader text.
 * @module
 */

/** The index just past the bracket that closes the one at `open`, ( or {; -1 where none does. */
export function closingBracket(text: string, open: number): number {
  const [opener, closer] = text[open] === "(" ? ["(", ")"] : ["{", "}"];
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === opener) depth++;
    else if (text[i] === closer && --depth === 0) return i + 1;
  }
  return -1;
}
